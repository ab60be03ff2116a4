export * from './core/raft-core.ts';
export * from './driver/multi-raft.ts';
export * from './messages.ts';
export * from './wal/write-ahead-log.ts';
