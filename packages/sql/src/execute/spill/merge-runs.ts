/** Sorted inputs as one: a heap of their next rows. Of equal rows that of the earlier input comes first. */
import { batchRows } from '../../limits.ts';
import type { Row } from '../evaluate.ts';
import type { Batches } from '../operator.ts';
import type { Pace } from '../run.ts';
import type { RowComparator } from '../sort.ts';

interface Cursor {
  readonly source: Batches;
  readonly place: number;
  batch: Row[];
  at: number;
}

export async function* mergeRuns(
  sources: readonly Batches[],
  compare: RowComparator,
  pace: Pace,
): Batches {
  const heap: Cursor[] = [];
  const isBefore = (a: Cursor, b: Cursor): boolean => {
    const order = compare(a.batch[a.at] ?? [], b.batch[b.at] ?? []);
    return order === 0 ? a.place < b.place : order < 0;
  };
  try {
    for (const [place, source] of sources.entries()) {
      const cursor: Cursor = { source, place, batch: [], at: 0 };
      if (!(await advance(cursor))) continue;
      heap.push(cursor);
      rise(heap, heap.length - 1, isBefore);
    }
    let out: Row[] = [];
    for (let top = heap[0]; top !== undefined; top = heap[0]) {
      out.push(top.batch[top.at] ?? []);
      top.at++;
      if (top.at >= top.batch.length && !(await advance(top))) {
        const last = heap.pop();
        if (last !== undefined && last !== top) heap[0] = last;
      }
      sink(heap, isBefore);
      if (out.length < batchRows) continue;
      if (pace.due()) await pace.rest();
      yield out;
      out = [];
    }
    if (out.length > 0) yield out;
  } finally {
    for (const source of sources) await source.return();
  }
}

/** @returns false: there is nothing more */
async function advance(cursor: Cursor): Promise<boolean> {
  for (;;) {
    const next = await cursor.source.next();
    if (next.done === true) return false;
    if (next.value.length === 0) continue;
    cursor.batch = next.value;
    cursor.at = 0;
    return true;
  }
}

type IsBefore = (a: Cursor, b: Cursor) => boolean;

function rise(heap: Cursor[], from: number, isBefore: IsBefore): void {
  for (let at = from; at > 0; ) {
    const above = (at - 1) >> 1;
    if (!swapIf(heap, at, above, isBefore)) return;
    at = above;
  }
}

function sink(heap: Cursor[], isBefore: IsBefore): void {
  for (let at = 0; ; ) {
    const [left, right] = [2 * at + 1, 2 * at + 2];
    const [a, b] = [heap[left], heap[right]];
    if (a === undefined) return;
    const least = b !== undefined && isBefore(b, a) ? right : left;
    if (!swapIf(heap, least, at, isBefore)) return;
    at = least;
  }
}

/** Swaps if what is below comes first. */
function swapIf(heap: Cursor[], below: number, above: number, isBefore: IsBefore): boolean {
  const [a, b] = [heap[below], heap[above]];
  if (a === undefined || b === undefined || !isBefore(a, b)) return false;
  heap[above] = a;
  heap[below] = b;
  return true;
}
