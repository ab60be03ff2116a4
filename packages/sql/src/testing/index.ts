/** In-memory twins for tests of SQL and of what is built on it. */
export * from './memory-kv-database.ts';
export { MemoryPeers } from './memory-peers.ts';
