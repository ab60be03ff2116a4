/** In-memory twin of the engine, the conformance cases of engines, and a cluster of stores in one process. */
export { type EngineCase, type EngineUnderTest, engineCases } from './engine-suite.ts';
export {
  changeReplicas,
  consensusOf,
  contentsOf,
  inspectStore,
  isReclaiming,
  type RangeContents,
  type ReplicaView,
  splitRange,
  stopPlacement,
  type TransactionsView,
  transactionsAt,
  uninitializedOf,
  type VersionView,
  versionsOf,
} from './inspect.ts';
export { MemoryEngine } from './memory-engine.ts';
export { MortalClock } from './mortal-clock.ts';
export { StoreCluster, type StoreClusterOptions } from './store-cluster.ts';
export { onlyKey, TestClient, type TestClientOptions } from './test-client.ts';
