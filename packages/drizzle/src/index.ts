/**
 * Drizzle over the SDK: `drizzle(client, { schema })` gives the database that `drizzle-orm/node-postgres` would give, with
 * its query builder, relational queries, transactions and migrations, without a gateway in between. Errors are Drizzle's
 * (`DrizzleQueryError`), whose `cause` is the SDK's with its SQLSTATE.
 *
 * Drizzle itself is brought by the user (a peer dependency).
 */
export { drizzle, FlotillaDatabase, type FlotillaDrizzleConfig } from './driver.ts';
export { type FlotillaMigrationConfig, migrate } from './migrator.ts';
export type { FlotillaQueryResult, FlotillaQueryResultHKT } from './session.ts';
