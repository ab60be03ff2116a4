/** Results as sessions hand them out. */
import { statementError } from '../kv-errors.ts';
import type { ColumnDescription, StatementResult } from '../session-api.ts';
import type { Row } from './evaluate.ts';

type Batch = readonly Row[];

/** A statement that returns no rows. */
export function emptyResult(tag: string): StatementResult {
  return { columns: undefined, rows: undefined, commandTag: () => tag };
}

/** Rows that are all there. @param complete `tag` is the whole tag; else the count is appended */
export function listResult(
  columns: readonly ColumnDescription[],
  rows: Batch,
  tag: string,
  complete = false,
): StatementResult {
  const text = complete ? tag : `${tag} ${rows.length}`;
  return { columns, rows: new ListRows(rows), commandTag: () => text };
}

export interface StreamOptions {
  readonly signal: AbortSignal | undefined;
  /** Called once, when the rows have ended, failed or been given up. */
  readonly onEnd: () => void;
}

/** The rows of a SELECT as they come. */
export function streamResult(
  columns: readonly ColumnDescription[],
  rows: AsyncGenerator<Row[], void, undefined>,
  options: StreamOptions,
): StatementResult {
  let count = 0;
  const counted = async function* (): AsyncGenerator<Batch, void, undefined> {
    try {
      for await (const batch of rows) {
        count += batch.length;
        yield batch;
      }
    } catch (error) {
      throw statementError(error, options.signal);
    } finally {
      options.onEnd();
    }
  };
  return { columns, rows: counted(), commandTag: () => `SELECT ${count}` };
}

/** One batch, without the cost of a generator. */
class ListRows implements AsyncIterable<Batch>, AsyncIterator<Batch, undefined> {
  private rows: Batch;

  constructor(rows: Batch) {
    this.rows = rows;
  }

  [Symbol.asyncIterator](): AsyncIterator<Batch, undefined> {
    return this;
  }

  next(): Promise<IteratorResult<Batch, undefined>> {
    const { rows } = this;
    if (rows.length === 0) return Promise.resolve({ done: true, value: undefined });
    this.rows = [];
    return Promise.resolve({ done: false, value: rows });
  }

  return(): Promise<IteratorResult<Batch, undefined>> {
    this.rows = [];
    return Promise.resolve({ done: true, value: undefined });
  }
}
