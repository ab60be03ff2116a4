/**
 * Deletes rows that nobody can read any more, once the change that made them so has committed. A failure leaves garbage
 * behind, never a table with missing rows: ids of storage are not used twice.
 */
import { DbError, keySuccessor, type Logger, type Span } from '@flotilla/base';
import type { KvDatabase } from '../kv-transaction.ts';
import { dropChunkRows } from '../limits.ts';

/** Never fails the statement: what it did is done already. */
export async function deleteGarbage(
  database: KvDatabase,
  spans: readonly Span[],
  logger: Logger,
): Promise<void> {
  for (const span of spans) {
    try {
      await deleteWhole(database, span);
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      const { code, message } = error;
      logger.warn({ code, error: message }, 'dropped_rows_left_behind');
    }
  }
}

/** At once if the store can, else in chunks, which shrink where one still covers too much. */
async function deleteWhole(database: KvDatabase, span: Span): Promise<void> {
  if (await tryDelete(database, span)) return;
  let { startKey } = span;
  let chunkRows = dropChunkRows;
  for (;;) {
    let last: Uint8Array | undefined;
    let rows = 0;
    for await (const batch of database
      .begin()
      .scan({ startKey, endKey: span.endKey }, { limit: chunkRows })) {
      rows += batch.length;
      last = batch[batch.length - 1]?.key ?? last;
    }
    if (last === undefined) return;
    const endKey = keySuccessor(last);
    if (await tryDelete(database, { startKey, endKey })) {
      startKey = endKey;
      if (rows < chunkRows) return;
      continue;
    }
    if (rows <= 1) throw new DbError('NOT_SUPPORTED', 'a single row could not be deleted');
    chunkRows = Math.max(1, Math.floor(Math.min(chunkRows, rows) / 2));
  }
}

async function tryDelete(database: KvDatabase, span: Span): Promise<boolean> {
  const transaction = database.begin();
  transaction.deleteSpan(span);
  try {
    await transaction.commit();
    return true;
  } catch (error) {
    if (error instanceof DbError && (error.code === 'NOT_SUPPORTED' || error.code === 'TOO_LARGE'))
      return false;
    throw error;
  }
}
