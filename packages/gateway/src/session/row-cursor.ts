/** A result on its way to the client: takes row batches as they come, sends up to a number of rows at a time. */
import type { Datum } from '@flotilla/sql';
import { type RowShape, writeDataRow } from '../messages/data-row.ts';
import type { ClientLink } from './client-link.ts';
import type { CopyInput } from './copy-input.ts';
import type { StatementRunner } from './statement-runner.ts';

type Row = readonly Datum[];

export interface RowTarget {
  readonly link: ClientLink;
  readonly runner: StatementRunner;
  readonly copyInput: CopyInput;
  /** Bytes at which encoded rows leave. */
  readonly flushBytes: number;
}

export class RowCursor {
  private readonly iterator: AsyncIterator<readonly Row[]>;
  private batch: readonly Row[] = [];
  private next = 0;
  private ended = false;

  constructor(rows: AsyncIterable<readonly Row[]>) {
    this.iterator = rows[Symbol.asyncIterator]();
  }

  /**
   * Sends rows, at most `rowsMax` (0 = all).
   * @returns the number sent; `ended` tells whether the result is known to be complete. A result with exactly
   * `rowsMax` rows left is not known to be: like PostgreSQL, we do not look ahead.
   */
  async send(
    target: RowTarget,
    shape: RowShape,
    rowsMax: number,
  ): Promise<{ readonly sent: number; readonly ended: boolean }> {
    const { link, runner, flushBytes } = target;
    const { output } = link;
    let sent = 0;
    try {
      for (;;) {
        while (this.next < this.batch.length) {
          if (sent === rowsMax && rowsMax > 0) return { sent, ended: false };
          this.encode(link, shape, this.batch[this.next++] as Row);
          sent++;
          if (output.length < flushBytes) continue;
          const wait = link.push();
          if (wait !== undefined) {
            await wait;
            runner.throwIfAborted();
          }
        }
        if (sent === rowsMax && rowsMax > 0) return { sent, ended: false };
        if (!(await this.fill())) return { sent, ended: true };
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** The next rows, at most `count`, not sent but handed out. */
  async take(count: number): Promise<{ readonly rows: readonly Row[]; readonly ended: boolean }> {
    const rows: Row[] = [];
    while (rows.length < count) {
      if (this.next === this.batch.length && !(await this.fill())) return { rows, ended: true };
      const end = Math.min(this.batch.length, this.next + count - rows.length);
      while (this.next < end) rows.push(this.batch[this.next++] as Row);
    }
    return { rows, ended: false };
  }

  /** Fetches the next batch. @returns false: there is none */
  private async fill(): Promise<boolean> {
    const result = await this.iterator.next();
    if (result.done === true) {
      this.ended = true;
      return false;
    }
    this.batch = result.value;
    this.next = 0;
    return true;
  }

  /** Takes the remaining rows without sending them: the statement's writes are complete only then. */
  async drain(): Promise<void> {
    this.batch = [];
    while (!this.ended) this.ended = (await this.iterator.next()).done === true;
  }

  /** Gives up the rest of the result. */
  async close(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.batch = [];
    await this.iterator.return?.();
  }

  /** A value that can not be encoded must not leave half a message behind. */
  private encode(link: ClientLink, shape: RowShape, row: Row): void {
    const { output } = link;
    const start = output.length;
    try {
      writeDataRow(output, shape, row);
    } catch (error) {
      output.length = start;
      throw error;
    }
  }
}
