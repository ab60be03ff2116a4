/**
 * One storage process: `openStore` opens a data directory and serves the ranges in it. A request enters through
 * `store/request-server.ts`, which finds its `Replica`; reads are answered by `reads/reads.ts` from the engine under the
 * leader's lease, writes go to the range's `Leaseholder`, which evaluates them and proposes the result. What the
 * consensus driver commits comes back through `store/store-state-machine.ts`, is written to the engine in one batch for
 * all ranges, and only then answered.
 *
 *   engine/    ordered key-value storage behind an interface; LevelDB is known here alone
 *   state/     what lies in the engine and in which form: values, sessions, range checkpoints, engine keys
 *   replica/   one range: evaluation, exactly-once, application of log entries
 *   transaction/ intents, records, snapshots at a timestamp, read checks, locks
 *   reads/     gets and scans: newest versions, snapshots at the leaseholder and at followers; leases and confirmations
 *   evaluation/ programs that scans and gets carry, in short turns of the loop
 *   split/     a range is cut in two: when, where, and how the right half begins
 *   snapshot/  a range's whole state from one store to another
 *   membership/ replicas come, move and go
 *   closed/    up to which timestamp nothing is written any more: what leaseholders promise, what followers have heard
 *   placement/ stores describe themselves and join; replicas and leases are placed from the first range's leaseholder
 *   store/     the process: identity, founding, requests, checkpoints, meta reports, balance, history
 *   protocol/  the messages, for clients too
 *   testing/   the engine in memory, its conformance suite, a cluster in one process
 *
 * The log is the truth and the engine a cache of it; whatever a client is told went through the log of the leader's own
 * term, or was read under its lease.
 *
 * Not built: merging of ranges; a store that lost its disk comes back only under a new store id; locks that outlive their leaseholder, but for a split or a hand-over; placement by disk space; a span's own
 * time to live of old versions.
 */
export type {
  Engine,
  EngineIterator,
  EngineOperation,
  EngineRow,
  EngineSpan,
} from './engine/engine.ts';
export { openLevelEngine } from './engine/level-engine.ts';
export { VolatileEngine } from './engine/volatile-engine.ts';
export type { ReadProgram, ReadPrograms } from './evaluation/read-programs.ts';
export type { ComputedValue, RowPrograms, StorePrograms } from './evaluation/row-programs.ts';
export {
  foundingRangesDefault,
  foundingRangesMax,
  foundingRangesMin,
  initialRanges,
  metaRangeId,
  preferredLeader,
} from './initial-ranges.ts';
export { defaultStoreLimits, type StoreLimits } from './limits.ts';
export {
  decodeEvent,
  decodeIntent,
  decodeReport,
  encodeIntent,
  eventSpan,
  intentKey,
  intentSpan,
  type PlacementEvent,
  reportSpan,
  type StoreIntent,
  type StoreReport,
  storeOfKey,
} from './placement/cluster-rows.ts';
export {
  type Capacity,
  deadAfterReports,
  type PlacementSettings,
  type StoreFigures,
  suspectAfterReports,
  type WriteHealth,
} from './placement/settings.ts';
export type { RangeDescriptor, ReplicaPlace } from './range-descriptor.ts';
export { decodeIndexRow, type IndexRow } from './store/meta-index.ts';
export { openStore } from './store/open-store.ts';
export type { Store, StoreOptions } from './store/store-api.ts';
export type { AbandonedTransaction, FinishTransaction } from './transaction/abandoned.ts';
