/**
 * SQL over an ordered key-value store: PostgreSQL's grammar, types, operators, errors and formats; a primary-key planner;
 * a streaming executor; a catalog kept in the store itself. A caller makes one engine for a process and a session for
 * each connection:
 *
 *   const engine = await createSqlEngine({ database, clock });
 *   const session = engine.createSession({ user: 'ann', database: 'main' });
 *   for (const statement of session.parse('select 1')) {
 *     const prepared = await session.prepare(statement, []);
 *     const result = await session.execute(prepared, []);
 *     for await (const batch of result.rows ?? []) …
 *   }
 *
 * The way of a statement, room by room:
 *
 *   parse/      text → PostgreSQL's syntax tree (libpg-query in WebAssembly), cached by text
 *   bind/       tree → logical plan: relational operators over typed expressions; names, overloads, coercions
 *   plan/       logical plan → tree of physical operators: key points and spans from predicates, join order and methods
 *   execute/    physical operators: batches of rows from scans to results; writes, retries; sessions' utility statements
 *   types/      the types: text and binary forms, comparison, casts, numeric and time arithmetic
 *   functions/  operators, functions, aggregates, and how an overload is chosen
 *   transaction/ blocks, implicit transactions, savepoints
 *   deferred/   constraints that are checked when a transaction commits
 *   catalog/    the catalog in memory: snapshots, changes in the making, names, sequences; catalog/virtual/: system tables
 *   ddl/        CREATE, ALTER, DROP, TRUNCATE: changes of the catalog and of rows that have to fit them
 *   dropped/    what was dropped is deleted behind everybody's back
 *   copy/       COPY in text and CSV
 *   roles/      who may do what: roles, verifiers of passwords, logins
 *   storage/    rows as keys and values
 *
 * Invariants: a construct is either executed as PostgreSQL 15 executes it, or refused with 0A000 and its name (what
 * differs is listed in docs/sql.md); a statement takes effect whole or not at all; rows that left are never taken back; nothing here
 * knows of ranges, stores, sockets or consensus.
 *
 * Not built: exclusion constraints, partitioned tables, inheritance, materialized views, functions,
 * triggers, prepared transactions, SEARCH and CYCLE, hypothetical-set aggregates, spilling to disk.
 */
export * from './cluster/cluster-inspector.ts';
export type { Peers } from './cluster/peers.ts';
export type { CancelKeyBytes, RemoteCancels } from './cluster/remote-cancels.ts';
export type { SessionClient } from './cluster/session-facts.ts';
export * from './engine.ts';
export { createStorePrograms } from './execute/push/evaluate-program.ts';
export * from './kv-errors.ts';
export * from './kv-transaction.ts';
export * from './named-statements.ts';
export type { Login, Logins } from './roles/logins.ts';
export type { ScramVerifier } from './roles/scram-verifier.ts';
export * from './session-api.ts';
export * from './sql-error.ts';
