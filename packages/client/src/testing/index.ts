/**
 * For tests of the client, of what stands on it, and of clusters: a router in memory, checkers of histories, and the
 * coordinator of transactions by itself, without SQL.
 */

export {
  TransactionDatabase,
  type TransactionDatabaseOptions,
} from '../transaction/transaction-database.ts';
export * from './checkers/history.ts';
export * from './checkers/linearizability.ts';
export * from './checkers/list-append.ts';
export * from './checkers/register.ts';
export * from './checkers/set.ts';
export * from './memory-router.ts';
