/** Sorting in memory that lets others run: runs of some thousand rows are sorted at once, then merged stepwise. Stable. */
import type { SortColumn } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { comparatorOf } from '../types/compare.ts';
import type { Row } from './evaluate.ts';
import type { Pace } from './run.ts';

const runRows = 2_048;

export type RowComparator = (a: Row, b: Row) => number;

export function rowComparator(columns: readonly SortColumn[]): RowComparator {
  const parts = columns.map((column) => ({
    output: column.output,
    sign: column.descending ? -1 : 1,
    nullSign: column.nullsFirst ? -1 : 1,
    compare: comparatorOf(column.type),
  }));
  return (a, b) => {
    for (const { output, sign, nullSign, compare } of parts) {
      const x: Datum = a[output] ?? null;
      const y: Datum = b[output] ?? null;
      if (x === null || y === null) {
        if (x !== y) return x === null ? nullSign : -nullSign;
        continue;
      }
      const order = compare(x, y);
      if (order !== 0) return order * sign;
    }
    return 0;
  };
}

export async function sortRows(rows: Row[], compare: RowComparator, pace: Pace): Promise<Row[]> {
  if (rows.length <= runRows) return rows.sort(compare);
  let runs: Row[][] = [];
  for (let at = 0; at < rows.length; at += runRows) {
    runs.push(rows.slice(at, at + runRows).sort(compare));
    if (pace.due()) await pace.rest();
  }
  while (runs.length > 1) {
    const merged: Row[][] = [];
    for (let i = 0; i < runs.length; i += 2) {
      const [left, right] = [runs[i], runs[i + 1]];
      if (left === undefined) continue;
      merged.push(right === undefined ? left : await merge(left, right, compare, pace));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge(
  left: readonly Row[],
  right: readonly Row[],
  compare: RowComparator,
  pace: Pace,
): Promise<Row[]> {
  const merged: Row[] = [];
  let [i, j] = [0, 0];
  while (i < left.length && j < right.length) {
    const [a, b] = [left[i], right[j]];
    if (a === undefined || b === undefined) break;
    if (compare(a, b) <= 0) {
      merged.push(a);
      i++;
    } else {
      merged.push(b);
      j++;
    }
    if ((merged.length & 1023) === 0 && pace.due()) await pace.rest();
  }
  for (; i < left.length; i++) merged.push(left[i] ?? []);
  for (; j < right.length; j++) merged.push(right[j] ?? []);
  return merged;
}
