/** For tests of the client, of what stands on it, and of clusters: a router in memory, and checkers of histories. */
export * from './memory-router.ts';
