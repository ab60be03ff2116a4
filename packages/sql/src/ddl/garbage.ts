/**
 * Deletes rows that nobody can read any more, once the change that made them so has committed. A failure leaves garbage
 * behind, never a table with missing rows: ids of storage are not used twice.
 */
import { DbError, type Logger, type Span } from '@flotilla/base';
import type { KvDatabase } from '../kv-transaction.ts';

/** Never fails the statement: what it did is done already. */
export async function deleteGarbage(
  database: KvDatabase,
  spans: readonly Span[],
  logger: Logger,
): Promise<void> {
  for (const span of spans) {
    try {
      await database.discard(span);
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      const { code, message } = error;
      logger.warn({ code, error: message }, 'dropped_rows_left_behind');
    }
  }
}
