/** A user's own session: settings, temporary tables and transaction blocks that last from one statement to the next. */
import { DbError } from '@flotilla/base';
import type { Notice, TransactionStatus } from '@flotilla/sql';
import {
  type BulkInsertOptions,
  type BulkInsertResult,
  type BulkParts,
  bulkInsert,
  type RowSource,
  type TableName,
} from './bulk-insert.ts';
import { type SessionUse, sharedSession, type UseSession } from './session-use.ts';
import type { SqlExecutor } from './sql-executor.ts';
import { createSqlTag, type SqlTag } from './sql-tag.ts';

export interface ConnectionOptions {
  /** Shown by `pg_stat_activity` and `flotilla top`. */
  readonly applicationName?: string;
  /** Settings that it begins with, as `SET` would take them: `{ search_path: 'app' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly onNotice?: (notice: Notice) => void;
}

export interface SqlConnection {
  /** Statements of this session, one after the other. BEGIN, SET, temporary tables and the like are for it. */
  readonly sql: SqlTag;
  /** `idle`, `active` in a block, `failed` in a block that can only be rolled back. */
  readonly transactionStatus: TransactionStatus;
  /** In the open block, or in a transaction of its own. */
  bulkInsert(
    table: TableName,
    rows: RowSource,
    options?: Omit<BulkInsertOptions, 'transactions' | 'rowsPerTransaction' | 'onCommitted'>,
  ): Promise<BulkInsertResult>;
  /** Waits for the statement that runs, then rolls back what is open. Idempotent. */
  close(): Promise<void>;
}

/** Makes one over a session that becomes its own. */
export function connectionOver(
  { session, retries }: Pick<SessionUse, 'session' | 'retries'>,
  parts: Pick<BulkParts, 'clock' | 'prng'>,
  executorOf: (useSession: UseSession) => SqlExecutor,
): SqlConnection {
  let closing: Promise<void> | undefined;
  const share = sharedSession(session, () => {}, retries);
  const useSession: UseSession = () => {
    if (closing !== undefined) throw new DbError('CLOSED', 'the connection is closed');
    return share();
  };
  return {
    sql: createSqlTag(useSession, executorOf(useSession)),
    get transactionStatus() {
      return session.transactionStatus;
    },
    bulkInsert: (table, rows, options) =>
      bulkInsert({ ...parts, useSession, mayCommit: false }, table, rows, options),
    close() {
      closing ??= share().turn(async () => session.close());
      return closing;
    },
  };
}
