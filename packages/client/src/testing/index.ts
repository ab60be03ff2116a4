/** For tests of the client, of what stands on it, and of clusters: a router in memory, and checkers of histories. */
export * from './checkers/history.ts';
export * from './checkers/linearizability.ts';
export * from './checkers/list-append.ts';
export * from './checkers/register.ts';
export * from './checkers/set.ts';
export * from './memory-router.ts';
