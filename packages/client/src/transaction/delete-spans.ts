/**
 * Deletion of a span that nothing refers to any more, a chunk at a time, each chunk at an instant of its own: what DROP
 * and TRUNCATE leave. Transactions delete otherwise: see `KvTransaction.deleteSpan`.
 */
import { DbError, keySuccessor, type Span } from '@flotilla/base';
import type { Router } from '@flotilla/router';

/** Rows that one command of a span's deletion may cover. Unit: rows. Bounds the log entry and its apply time. */
export const deleteSpanRowsMax: number = 1000;

/** @throws DbError; OUTCOME_UNKNOWN where some of it is deleted; CANCELLED, whatever is */
export async function deleteInChunks(
  router: Router,
  span: Span,
  signal?: AbortSignal,
): Promise<void> {
  let deleted = false;
  try {
    for await (const batch of router.scan(span, { batchRows: deleteSpanRowsMax })) {
      const [first, last] = [batch[0], batch[batch.length - 1]];
      if (signal?.aborted === true) throw new DbError('CANCELLED', 'told to stop deleting a span');
      if (first === undefined || last === undefined) continue;
      // From row to row, not from where the last chunk ended: a chunk must not reach into another range.
      const chunk = { startKey: first.key, endKey: keySuccessor(last.key) };
      await router.write({ conditions: [], mutations: [], deleteSpans: [chunk] });
      deleted = true;
    }
  } catch (error) {
    if (!deleted || signal?.aborted === true) throw error;
    throw new DbError('OUTCOME_UNKNOWN', 'a span was deleted in part', {
      outcome: 'unknown',
      cause: error,
    });
  }
}
