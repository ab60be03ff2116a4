/**
 * What evening out has in common: which stores are uneven enough, and which of a store's ranges are tried in which order.
 * Each store's ranges are put in order once per round and each is tried once for each store that it could go to, however
 * many moves come of it. Pure.
 */
import type { StoreId } from '@flotilla/base';
import { type Board, maybeGiven, type RangeCell, type StoreCell } from './board.ts';

/** Stores within this share of the mean are left alone. */
const slackShare = 0.05;

export type Measure = (cell: StoreCell) => number;

export function idOf({ store }: StoreCell): StoreId {
  return store.storeId;
}

/**
 * Pairs of stores worth evening out, the fullest first and for each the emptiest first. One less here and one more there
 * brings them closer.
 */
export function* unevenPairs(board: Board, measure: Measure): Generator<[StoreCell, StoreCell]> {
  const stores = board.cells.filter(({ store }) => maybeGiven(store));
  const mean = stores.reduce((sum, cell) => sum + measure(cell), 0) / stores.length;
  const slack = Math.max(0.5, mean * slackShare);
  const fullest = [...stores].sort((a, b) => measure(b) - measure(a) || idOf(a) - idOf(b));
  const emptiest = stores
    .filter(hasRoom)
    .sort((a, b) => measure(a) - measure(b) || idOf(a) - idOf(b));
  for (const full of fullest)
    for (const empty of emptiest) {
      if (measure(full) - measure(empty) < 2) break;
      if (measure(full) - mean > slack || mean - measure(empty) > slack) yield [full, empty];
    }
}

/** The fullest and the emptiest of those that may be given something, if they differ by more than is left alone. */
export function widestGap(
  board: Board,
  measure: Measure,
  leftAlone: { readonly share: number; readonly least: number },
): { readonly full: StoreCell; readonly empty: StoreCell; readonly gap: number } | undefined {
  const stores = board.cells.filter(({ store }) => maybeGiven(store));
  const mean = stores.reduce((sum, cell) => sum + measure(cell), 0) / stores.length;
  const sorted = [...stores].sort((a, b) => measure(b) - measure(a) || idOf(a) - idOf(b));
  const [full, empty] = [sorted[0], sorted.filter(hasRoom).pop()];
  if (full === undefined || empty === undefined) return undefined;
  const gap = measure(full) - measure(empty);
  if (gap <= Math.max(leftAlone.least, mean * leftAlone.share)) return undefined;
  return { full, empty, gap };
}

/** Something may be put there that could as well stay where it is. */
export function hasRoom({ store }: StoreCell): boolean {
  return store.disk === undefined || store.disk === 'roomy';
}

/** A list from which ranges are taken at either end, those that will not do for good. */
export class Candidates {
  private readonly cells: readonly RangeCell[];
  private first = 0;
  private last: number;

  constructor(cells: readonly RangeCell[]) {
    this.cells = cells;
    this.last = cells.length - 1;
  }

  /** @returns the next at that end, which stays; undefined: none is left */
  *at(
    end: 'first' | 'last',
    board: Board,
    isSo: (cell: RangeCell) => boolean,
  ): Generator<void, RangeCell | undefined> {
    while (this.first <= this.last) {
      const cell = this.cells[end === 'first' ? this.first : this.last];
      if (cell !== undefined && isSo(cell)) return cell;
      if (end === 'first') this.first++;
      else this.last--;
      if (board.looked()) yield;
    }
    return undefined;
  }
}

/** The ranges of each store, as `storesOf` says where a range is. */
export function* byStore(
  board: Board,
  storesOf: (cell: RangeCell) => readonly StoreId[],
): Generator<void, Map<StoreId, RangeCell[]>> {
  const found = new Map<StoreId, RangeCell[]>();
  for (const cell of board.ranges) {
    for (const storeId of storesOf(cell)) {
      const cells = found.get(storeId);
      if (cells === undefined) found.set(storeId, [cell]);
      else cells.push(cell);
    }
    if (board.looked()) yield;
  }
  return found;
}

/**
 * Of all pairs of a big one and a small one, that whose difference is nearest to half of the gap, and between a tenth and
 * nine tenths of it: worth two moves, and not so much that the gap only turns round.
 * @param back in any order; `big` and `small` are positions in the lists
 * Cost O((n + m) log m). Errors: none.
 */
export function bestExchange(
  out: readonly number[],
  back: readonly number[],
  gap: number,
): { readonly big: number; readonly small: number; readonly left: number } | undefined {
  const order = back.map((_, i) => i).sort((a, b) => (back[a] ?? 0) - (back[b] ?? 0) || a - b);
  const sorted = order.map((i) => back[i] ?? 0);
  let best: { big: number; small: number; left: number } | undefined;
  for (const [big, size] of out.entries()) {
    const above = firstAtLeast(sorted, size - gap / 2);
    // Of equal ones the first in its list.
    const below = above > 0 ? firstAtLeast(sorted, sorted[above - 1] ?? 0) : -1;
    for (const at of [below, above]) {
      const small = order[at];
      if (small === undefined) continue;
      const shift = size - (back[small] ?? 0);
      if (shift < gap / 10 || shift > (gap * 9) / 10) continue;
      const left = Math.abs(gap - 2 * shift);
      if (best === undefined || left < best.left) best = { big, small, left };
    }
  }
  return best;
}

function firstAtLeast(sorted: readonly number[], least: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
