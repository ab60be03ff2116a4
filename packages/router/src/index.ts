/**
 * The router: key-value operations by key, wherever the key lives.
 *
 * `createRouter` gives a `Router` over any `Transport`. It keeps a cache of ranges and leaseholders, learns from what
 * stores refuse, and sends everything for one store in one turn as one frame. Reads are retried anywhere; a write
 * carries a session and a serial number and is retried only under them, so that it takes effect once or is said to be
 * unknown. `bootstrapCluster` founds a cluster. `connectNats` is the real network; without one, `MemoryNetwork` of
 * `@flotilla/base` connects everything inside a process.
 *
 * How a request moves: `Operation` (what a user waits for) -> `RangeCall` (its part in one range) -> `Dispatcher`
 * (finds, sends, learns, retries) -> `ClientLink` (frames). Beside it: `RangeCache`, `Lookups`, `Sessions`,
 * `StoreHealth`, `Admission`.
 *
 * Not built: plain reads from followers, prefetching in scans, limits per user.
 */
export { followerReadLagMs } from '@flotilla/shard/protocol';
export * from './bootstrap.ts';
export * from './cluster-rows.ts';
export type { RouterLimits, RouterTimings } from './limits.ts';
export { defaultRouterLimits, defaultRouterTimings } from './limits.ts';
export { credentialsOf, type NatsCredentials } from './nats/credentials.ts';
export * from './nats/nats-transport.ts';
export * from './protected-snapshots.ts';
export * from './router.ts';
export * from './router-api.ts';
export type { Place } from './store-places.ts';
export * from './transaction/transaction-api.ts';
