/** Errors of the key-value layer in PostgreSQL's codes. */
import { DbError } from '@flotilla/base';
import { TransactionTooLarge } from './kv-transaction.ts';
import { SqlError } from './sql-error.ts';

export const cancelledMessage: string = 'canceling statement due to user request';

/** As `toSqlError`; where a cancelled statement's signal says why it was cancelled, that is the error. */
export function statementError(error: unknown, signal: AbortSignal | undefined): unknown {
  const mapped = toSqlError(error);
  const cancelled = mapped instanceof SqlError && mapped.code === '57014';
  return cancelled && signal?.reason instanceof SqlError ? signal.reason : mapped;
}

/** Whether what failed may have been done, or may yet be. */
export function isUnknown(error: unknown): boolean {
  return (
    error instanceof DbError && (error.code === 'OUTCOME_UNKNOWN' || error.outcome === 'unknown')
  );
}

/** SqlErrors and everything that is not a DbError pass through unchanged. */
export function toSqlError(error: unknown): unknown {
  if (!(error instanceof DbError)) return error;
  const cause = { cause: error };
  if (error.outcome === 'unknown' || error.code === 'OUTCOME_UNKNOWN')
    return new SqlError(
      '40003',
      `it is not known whether the statement took effect: ${error.message}`,
      cause,
    );
  switch (error.code) {
    case 'CONFLICT':
      return new SqlError('40001', 'could not serialize access due to concurrent update', cause);
    case 'DEADLOCK':
      return new SqlError('40P01', 'deadlock detected', {
        ...cause,
        detail: error.message,
        hint: 'Run the transaction again.',
      });
    case 'SNAPSHOT_TOO_OLD':
      return new SqlError('72000', 'snapshot too old', {
        ...cause,
        detail: error.message,
        hint: 'Old versions of rows are kept for the time that gc.ttl says.',
      });
    case 'LOCK_NOT_AVAILABLE':
      return new SqlError('55P03', error.message, cause);
    case 'KEY_EXISTS':
      return new SqlError('23505', 'duplicate key value violates unique constraint', cause);
    case 'CANCELLED':
      return new SqlError('57014', cancelledMessage, cause);
    case 'TIMEOUT':
      return new SqlError(
        '57014',
        `canceling statement: the store did not answer in time: ${error.message}`,
        cause,
      );
    case 'UNAVAILABLE':
      // Not of class 08: to a client that means a lost connection and so an unknown outcome. Nothing happened here.
      return new SqlError('57P03', `no store answers for the data: ${error.message}`, {
        ...cause,
        hint: 'Nothing was changed: the statement can be run again.',
      });
    case 'BUSY':
      return new SqlError('53000', `the store is overloaded: ${error.message}`, cause);
    case 'TOO_LARGE':
      if (error instanceof TransactionTooLarge)
        return new SqlError('54000', `the transaction is too large: ${error.message}`, {
          ...cause,
          hint: 'Commit more often. Rows of a table that the transaction itself has created or truncated do not count.',
        });
      return new SqlError('54000', `row, key or statement is too large: ${error.message}`, cause);
    case 'NOT_SUPPORTED':
      return new SqlError('0A000', error.message, cause);
    case 'CORRUPTION':
      return new SqlError('XX001', error.message, cause);
    case 'CLOSED':
      return new SqlError('57P01', 'terminating connection: the database is shutting down', cause);
    case 'INVALID_ARGUMENT':
      return new SqlError('XX000', error.message, cause);
  }
}
