/** Results as sessions hand them out. */
import { workMemoryBytes } from '../limits.ts';
import type { ColumnDescription, StatementResult } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { Row } from './evaluate.ts';
import { MemoryAccount } from './run.ts';

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
  return { columns, rows: new ListRows(rows), allRows: rows, commandTag: () => text };
}

export interface StreamOptions {
  readonly signal: AbortSignal | undefined;
  /** Called once, when the rows have ended, failed or been given up. */
  readonly onEnd: () => void;
  /** Called when the rows fail. @returns what the reader is told */
  readonly onError: (error: unknown) => unknown;
}

/** The rows of a SELECT as they come. */
export function streamResult(
  columns: readonly ColumnDescription[],
  rows: AsyncIterable<Batch>,
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
      throw options.onError(error);
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

/**
 * Rows of a query in a transaction that goes on: when another statement begins before all of them have been read, the
 * rest is taken into memory, so that they stay what they were.
 */
export class HeldRows implements AsyncIterable<Batch>, AsyncIterator<Batch, undefined> {
  private readonly source: AsyncGenerator<Row[], void, undefined>;
  private readonly onEnd: () => void;
  private held: Batch[] = [];
  private failure: { readonly error: unknown } | undefined;
  private sourceEnded = false;

  /** @param onEnd called when the source is needed no more */
  constructor(source: AsyncGenerator<Row[], void, undefined>, onEnd: () => void) {
    this.source = source;
    this.onEnd = onEnd;
  }

  [Symbol.asyncIterator](): AsyncIterator<Batch, undefined> {
    return this;
  }

  async next(): Promise<IteratorResult<Batch, undefined>> {
    const [first] = this.held;
    if (first !== undefined) {
      this.held.shift();
      return { done: false, value: first };
    }
    if (this.failure !== undefined) throw this.failure.error;
    return this.fetch();
  }

  async return(): Promise<IteratorResult<Batch, undefined>> {
    this.held = [];
    if (!this.sourceEnded) {
      this.end();
      await this.source.return();
    }
    return { done: true, value: undefined };
  }

  /** Takes what is left. An error is kept for the reader; 53200 if it is too much. */
  async detach(): Promise<void> {
    const memory = new MemoryAccount(workMemoryBytes);
    try {
      for (let next = await this.fetch(); next.done !== true; next = await this.fetch()) {
        memory.addRows(next.value);
        this.held.push(next.value);
      }
    } catch (error) {
      this.failure = { error };
      await this.source.return();
      throw error;
    } finally {
      this.end();
    }
  }

  /** The transaction has ended. */
  close(): void {
    this.failure ??= { error: new SqlError('34000', 'the transaction of the portal has ended') };
    this.held = [];
    if (this.sourceEnded) return;
    this.end();
    this.source.return().catch(() => undefined); // it has nobody left to tell
  }

  private async fetch(): Promise<IteratorResult<Batch, undefined>> {
    if (this.sourceEnded) return { done: true, value: undefined };
    try {
      const next = await this.source.next();
      if (next.done !== true) return { done: false, value: next.value };
      this.end();
      return { done: true, value: undefined };
    } catch (error) {
      this.end();
      throw error;
    }
  }

  private end(): void {
    if (this.sourceEnded) return;
    this.sourceEnded = true;
    this.onEnd();
  }
}
