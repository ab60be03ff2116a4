export { type DecodeResult, decodeRaftMessage, encodeRaftMessage } from './codec.ts';
export { createRaftCore } from './core/core.ts';
export { defaultLimits, defaultTimings } from './core/limits.ts';
export * from './core/raft-core.ts';
export * from './driver/create-multi-raft.ts';
export * from './driver/limits.ts';
export * from './driver/multi-raft.ts';
export * from './messages.ts';
export * from './wal/write-ahead-log.ts';
