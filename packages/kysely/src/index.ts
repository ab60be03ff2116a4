/**
 * Kysely over the SDK: `new Kysely<Database>({ dialect: new FlotillaDialect({ client }) })`. SQL is compiled as for
 * PostgreSQL, and runs in this process: there is no gateway in between, and no pool, because a session costs no network.
 * Values come as the SDK has them (int8 as bigint, jsonb as what it says); errors are the SDK's, with their SQLSTATE.
 *
 * Kysely itself is brought by the user (a peer dependency).
 */
export { FlotillaDialect, type FlotillaDialectConfig } from './flotilla-dialect.ts';
