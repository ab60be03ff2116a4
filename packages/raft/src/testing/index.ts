export * from './inspect.ts';
export * from './manual-group.ts';
export * from './memory-log-storage.ts';
export * from './raft-cluster.ts';
