/**
 * One SQL cursor: where it is among the rows of its query, and FETCH and MOVE over them. Rows come one after the other from
 * the query; those of a cursor that may go back are kept. Used by cursor-statements.ts. Knows no transactions.
 */
import { MemoryAccount } from '../execute/run.ts';
import { workMemoryBytes } from '../limits.ts';
import type { ColumnDescription, Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';

type Row = readonly Datum[];

/** `all`: to the end, or to the beginning. */
export type Step =
  | { readonly kind: 'forward' | 'backward'; readonly count: number | 'all' }
  | { readonly kind: 'absolute' | 'relative'; readonly count: number };

export interface CursorOptions {
  readonly columns: readonly ColumnDescription[];
  readonly rows: AsyncIterable<readonly Row[]>;
  /** It may go back: its rows are kept in memory. */
  readonly scrolls: boolean;
}

export class Cursor {
  readonly columns: readonly ColumnDescription[];
  private readonly scrolls: boolean;
  private readonly source: AsyncIterator<readonly Row[]>;
  private batch: readonly Row[] = [];
  private next = 0;
  private sourceEnded = false;
  /** 0: before the first row; n: on the n-th; one more than there are: after the last. */
  private position = 0;
  /** The cursor has gone beyond its last row. */
  private atEnd = false;
  private readonly kept: Row[] = [];
  private readonly memory = new MemoryAccount(workMemoryBytes);

  constructor({ columns, rows, scrolls }: CursorOptions) {
    this.columns = columns;
    this.source = rows[Symbol.asyncIterator]();
    this.scrolls = scrolls;
  }

  /** Takes all rows into memory, so that nothing below is needed any more. Throws 53200, and what the query throws. */
  async readAhead(): Promise<void> {
    const rows: Row[] = [];
    for (let row = await this.pull(); row !== undefined; row = await this.pull()) {
      if (!this.scrolls) this.memory.addRows([row]);
      rows.push(row);
    }
    this.kept.length = 0;
    this.batch = rows;
    this.next = 0;
    for (const row of rows) if (this.scrolls) this.memory.releaseRow(row); // counted again when they are passed
  }

  /** Gives up the rows that have not been read. */
  async close(): Promise<void> {
    this.kept.length = 0;
    this.batch = [];
    if (this.sourceEnded) return;
    this.sourceEnded = true;
    await this.source.return?.();
  }

  /**
   * FETCH, as PostgreSQL's DoPortalRunFetch has it. @returns the rows, which MOVE only counts.
   * Throws 55000 for what needs a way back, 53200, and what the query throws.
   */
  async fetch(step: Step): Promise<readonly Row[]> {
    const { kind, count } = step;
    switch (kind) {
      case 'forward':
        if (count === 0) return this.again();
        return count === 'all' || count > 0 ? this.forward(count) : this.backward(-count);
      case 'backward':
        if (count === 0) return this.again();
        return count === 'all' || count > 0 ? this.backward(count) : this.forward(-count);
      case 'relative':
        if (count === 0) return this.again();
        return count > 0 ? this.ahead(count) : this.back(-count);
      case 'absolute':
        return this.absolute(count);
    }
  }

  private async absolute(count: number): Promise<readonly Row[]> {
    if (count > 0) {
      if (count > this.position) return this.ahead(count - this.position);
      return this.back(this.position - count);
    }
    if (count < 0) {
      await this.forward('all', false);
      return this.back(-count);
    }
    await this.backward('all');
    return [];
  }

  /** The row so many ahead alone. */
  private async ahead(count: number): Promise<readonly Row[]> {
    if (count > 1) await this.forward(count - 1, false);
    return this.forward(1);
  }

  private back(count: number): readonly Row[] {
    if (count === 0) return this.again();
    if (count > 1) this.backward(count - 1);
    return this.backward(1);
  }

  /** The row that the cursor is on, if it is on one. */
  private again(): readonly Row[] {
    if (this.position === 0 || this.atEnd) return [];
    this.requireScroll();
    const row = this.kept[this.position - 1];
    return row === undefined ? [] : [row];
  }

  private async forward(count: number | 'all', wanted = true): Promise<readonly Row[]> {
    const rows: Row[] = [];
    if (this.atEnd) return rows;
    const memory = new MemoryAccount(workMemoryBytes);
    for (let left = count === 'all' ? Number.POSITIVE_INFINITY : count; left > 0; left--) {
      const row = this.kept[this.position] ?? (await this.pull());
      this.position++;
      if (row === undefined) {
        this.atEnd = true;
        break;
      }
      if (!wanted) continue;
      memory.addRows([row]);
      rows.push(row);
    }
    return rows;
  }

  private backward(count: number | 'all'): readonly Row[] {
    const rows: Row[] = [];
    if (this.position === 0) return rows;
    this.requireScroll();
    for (let left = count === 'all' ? Number.POSITIVE_INFINITY : count; left > 0; left--) {
      this.position--;
      this.atEnd = false;
      const row = this.position === 0 ? undefined : this.kept[this.position - 1];
      if (row === undefined) break;
      rows.push(row);
    }
    return rows;
  }

  private requireScroll(): void {
    if (!this.scrolls)
      throw new SqlError('55000', 'cursor can only scan forward', {
        hint: 'Declare it with SCROLL option to enable backward scan.',
      });
  }

  /** The next row of the query; undefined: there are no more. */
  private async pull(): Promise<Row | undefined> {
    for (;;) {
      const row = this.batch[this.next];
      if (row !== undefined) {
        this.next++;
        if (this.scrolls) this.keep(row);
        return row;
      }
      if (this.sourceEnded) return undefined;
      const result = await this.source.next();
      if (result.done === true) {
        this.sourceEnded = true;
        return undefined;
      }
      this.batch = result.value;
      this.next = 0;
    }
  }

  private keep(row: Row): void {
    this.memory.addRows([row]);
    this.kept.push(row);
  }
}
