/** A result on its way to the client: takes row batches as they come, sends up to a number of rows at a time. */
import type { Datum } from '@flotilla/sql';
import type { GatewayCounters } from '../gateway-counters.ts';
import { writeCommandComplete } from '../messages/backend-messages.ts';
import { type RowShape, writeDataRow } from '../messages/data-row.ts';
import type { ClientLink } from './client-link.ts';
import type { CopyInput } from './copy-input.ts';
import type { StatementRunner } from './statement-runner.ts';

type Row = readonly Datum[];

export interface RowTarget {
  readonly link: ClientLink;
  readonly runner: StatementRunner;
  readonly copyInput: CopyInput;
  readonly counters: GatewayCounters;
  /** Bytes at which encoded rows leave. */
  readonly flushBytes: number;
}

/** How many rows one `send` has sent, and whether the result is known to be complete. */
export interface Sent {
  readonly sent: number;
  readonly ended: boolean;
}

export class RowCursor {
  /** Undefined: all rows are in `batch`. */
  private readonly source: AsyncIterator<readonly Row[]> | undefined;
  private batch: readonly Row[];
  private next = 0;
  /** No rows come after `batch`. */
  private ended: boolean;
  /** Rows that the present `send` has sent. */
  private sent = 0;

  /** @param rows as they come, or all of them where they are there already */
  constructor(rows: AsyncIterable<readonly Row[]> | readonly Row[]) {
    const isAll = !(Symbol.asyncIterator in rows);
    this.source = isAll ? undefined : rows[Symbol.asyncIterator]();
    this.batch = isAll ? rows : [];
    this.ended = isAll;
  }

  /**
   * Sends rows, at most `rowsMax` (0 = all). Nothing is waited for, and no promise made, where all rows are there and the
   * client takes them. A result with exactly `rowsMax` rows left is not known to be complete: like PostgreSQL, we do not
   * look ahead.
   */
  send(target: RowTarget, shape: RowShape, rowsMax: number): Sent | Promise<Sent> {
    this.sent = 0;
    if (!this.ended) return this.sendOn(target, shape, rowsMax);
    const wait = this.sendBatch(target, shape, rowsMax);
    return wait === undefined ? this.sentSoFar(rowsMax) : this.sendOn(target, shape, rowsMax, wait);
  }

  /** @param begun what is to be waited for first */
  private async sendOn(
    target: RowTarget,
    shape: RowShape,
    rowsMax: number,
    begun?: Promise<void>,
  ): Promise<Sent> {
    try {
      let wait = begun ?? this.sendBatch(target, shape, rowsMax);
      for (;;) {
        if (wait !== undefined) {
          await wait;
          target.runner.throwIfAborted();
        } else if (this.isFull(rowsMax) || !(await this.fill())) return this.sentSoFar(rowsMax);
        wait = this.sendBatch(target, shape, rowsMax);
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Rows that are at hand. @returns what is to be waited for before the next ones */
  private sendBatch(
    { link, flushBytes }: RowTarget,
    shape: RowShape,
    rowsMax: number,
  ): Promise<void> | undefined {
    const { output } = link;
    while (this.next < this.batch.length && !this.isFull(rowsMax)) {
      this.encode(link, shape, this.batch[this.next++] as Row);
      this.sent++;
      if (output.length < flushBytes) continue;
      const wait = link.push();
      if (wait !== undefined) return wait;
    }
    return undefined;
  }

  private isFull(rowsMax: number): boolean {
    return rowsMax > 0 && this.sent === rowsMax;
  }

  private sentSoFar(rowsMax: number): Sent {
    return { sent: this.sent, ended: !this.isFull(rowsMax) };
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
    const result = this.ended ? undefined : await this.source?.next();
    if (result === undefined || result.done === true) {
      this.ended = true;
      return false;
    }
    this.batch = result.value;
    this.next = 0;
    return true;
  }

  /** Takes the remaining rows without sending them: the statement's writes are complete only then. */
  async drain(): Promise<void> {
    while (await this.fill());
    this.batch = [];
  }

  /** Gives up the rest of the result. */
  async close(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.batch = [];
    await this.source?.return?.();
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

/** The statement is done: the client is told its tag. */
export function completeStatement({ link, counters }: RowTarget, tag: string): void {
  counters.completed(tag);
  writeCommandComplete(link.output, tag);
}
