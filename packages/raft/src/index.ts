/**
 * Agreement between stores. `createRaftCore` is one replica of one group, a pure machine (`core/raft-core.ts` is its
 * contract); `encodeRaftMessage` and `decodeRaftMessage` are the border to the network; `openWriteAheadLog` is the log
 * that all groups of a store share; `createMultiRaft` drives all of them in one loop. A store uses the driver; tests and
 * the simulator also use the core alone. Twins and harnesses are in `@flotilla/raft/testing`.
 *
 * Not built: votes of witnesses, merging of groups.
 */
export { type DecodeResult, decodeRaftMessage, encodeRaftMessage } from './codec.ts';
export {
  type ConfigurationDecodeResult,
  decodeConfiguration,
  encodeConfiguration,
} from './configuration-codec.ts';
export { createRaftCore } from './core/core.ts';
export { defaultLimits, defaultTimings } from './core/limits.ts';
export * from './core/raft-core.ts';
export * from './driver/create-multi-raft.ts';
export * from './driver/limits.ts';
export * from './driver/multi-raft.ts';
export * from './messages.ts';
export * from './store-messages.ts';
export * from './wal/open-write-ahead-log.ts';
export * from './wal/write-ahead-log.ts';
