/**
 * The SDK. `connect({ servers })` gives a `Flotilla`: `kv`, an ordered map of byte strings, and `sql`, a template tag
 * whose values are always bound. It talks to the stores directly, over NATS, with no gateway in between: the router
 * inside it knows which range holds a key and who leads it, and the SQL engine inside it plans and executes here.
 *
 * `createFlotilla` puts the same together over a router that the caller made: the gateway's process does that.
 *
 * Who must know what: a `DbError` or `SqlError` with `outcome: 'unknown'` (SQLSTATE 40003) means that a write may have
 * been made. It is never retried here, because only the caller can tell whether doing it twice would be harmful. All
 * other failures of writes mean that nothing was written. A write that was retried inside took effect once.
 *
 * `TransactionDatabase` is where the transactions come from that SQL runs on: reads of one snapshot, buffered writes, and
 * a commit of one write where everything lies in one range, of one round to all ranges otherwise.
 *
 * `createInspector` is the cluster as its stores describe it: SQL's schema `flotilla` and `flotilla top` stand on it.
 *
 * Not built: watching keys; streaming of SQL results (`createSession` gives row batches); pools of settings.
 */
export { DbError, type ErrorCode } from '@flotilla/base';
export {
  type IsolationLevel,
  type Notice,
  type Notification,
  type SessionOptions,
  SqlError,
  type TransactionStatus,
} from '@flotilla/sql';
export type {
  BulkInsertOptions,
  BulkInsertResult,
  BulkRow,
  RowSource,
  TableName,
} from './bulk-insert.ts';
export type { BytesLike } from './bytes-like.ts';
export type { ClusterConnectOptions, TlsOptions } from './cluster-options.ts';
export { type ConnectOptions, connect } from './connect.ts';
export type { ConnectionOptions, SqlConnection } from './connection.ts';
export { type CreateFlotillaOptions, createFlotilla } from './create-flotilla.ts';
export type { EmbeddedConnectOptions } from './embedded.ts';
export type { Flotilla } from './flotilla.ts';
export { type ClusterPicture, createInspector } from './inspector.ts';
export {
  type Kv,
  KvEntry,
  type KvScanOptions,
  type KvUpdateOptions,
  type KvUpdateResult,
  type KvWriteOptions,
  type KvWriteResult,
  kvKeyBytesMax,
} from './kv.ts';
export type { Subscription } from './listen.ts';

export type { OnOperation, OperationName, OperationReport } from './operations.ts';
export type { Params, PreparedSql } from './prepared-sql.ts';
export type { SqlResult, SqlRow } from './sql-executor.ts';
export type { SqlTag } from './sql-tag.ts';
export type { JsonValue, ParseType, SqlParameter, SqlValue } from './sql-values.ts';
export type { SqlColumn, SqlOptions } from './statement.ts';
export { transactionBytesMax } from './transaction/range-transaction.ts';
export type {
  Transaction,
  TransactionKv,
  TransactionOptions,
} from './transaction/run-transaction.ts';
export {
  TransactionDatabase,
  type TransactionDatabaseOptions,
} from './transaction/transaction-database.ts';
