/** Rows of a snapshot and a transaction's own writes, as one sequence in scan order. Used by the transactions alone. */
import { compareBytes } from '@flotilla/base';
import type { KvPair } from '@flotilla/sql';
import type { OwnWrite } from './write-buffer.ts';

/** Merges rows from below with own writes, both in scan order; own writes win. */
export class ScanMerge {
  private readonly own: readonly OwnWrite[];
  private readonly reverse: boolean;
  private taken = 0;

  constructor(own: readonly OwnWrite[], reverse: boolean) {
    this.own = reverse ? [...own].reverse() : own;
    this.reverse = reverse;
  }

  /** What may be shown once these rows, which follow those before them, are known. */
  next(rows: readonly KvPair[]): readonly KvPair[] {
    if (this.taken === this.own.length) return rows;
    const merged: KvPair[] = [];
    for (const row of rows) {
      let hidden = false;
      for (let own = this.own[this.taken]; own !== undefined; own = this.own[this.taken]) {
        const order = compareBytes(own.key, row.key) * (this.reverse ? -1 : 1);
        if (order > 0) break;
        this.taken++;
        if (own.value !== undefined) merged.push({ key: own.key, value: own.value });
        if (order === 0) {
          hidden = true;
          break;
        }
      }
      if (!hidden) merged.push(row);
    }
    return merged;
  }

  /** Own writes beyond the last row. */
  rest(): readonly KvPair[] {
    const pairs: KvPair[] = [];
    for (const { key, value } of this.own.slice(this.taken))
      if (value !== undefined) pairs.push({ key, value });
    this.taken = this.own.length;
    return pairs;
  }
}
