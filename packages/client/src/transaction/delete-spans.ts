/**
 * Deletion of whole spans after a commit, a chunk at a time, each chunk at an instant of its own. For data that nothing
 * refers to any more: what DROP and TRUNCATE leave.
 */
import { DbError, keySuccessor, type Logger, type Span, toHex } from '@flotilla/base';
import type { Router } from '@flotilla/router';

/** Rows that one command of a span's deletion may cover. Unit: rows. Bounds the log entry and its apply time. */
export const deleteSpanRowsMax: number = 1000;

/** @param committed other writes of the transaction are made: a span that fails to go is logged and left behind */
export async function deleteSpans(
  router: Router,
  logger: Logger,
  spans: readonly Span[],
  committed: boolean,
): Promise<void> {
  for (const span of spans) {
    try {
      await deleteInChunks(router, span);
    } catch (error) {
      if (!committed) throw error;
      logger.warn(
        { startKey: toHex(span.startKey), endKey: toHex(span.endKey), err: error },
        'dropped_span_left_behind',
      );
    }
  }
}

async function deleteInChunks(router: Router, span: Span): Promise<void> {
  let deleted = false;
  try {
    for await (const batch of router.scan(span, { batchRows: deleteSpanRowsMax })) {
      const [first, last] = [batch[0], batch[batch.length - 1]];
      if (first === undefined || last === undefined) continue;
      // From row to row, not from where the last chunk ended: a chunk must not reach into another range.
      const chunk = { startKey: first.key, endKey: keySuccessor(last.key) };
      await router.write({ conditions: [], mutations: [], deleteSpans: [chunk] });
      deleted = true;
    }
  } catch (error) {
    if (!deleted) throw error;
    throw new DbError('OUTCOME_UNKNOWN', 'a span was deleted in part', {
      outcome: 'unknown',
      cause: error,
    });
  }
}
