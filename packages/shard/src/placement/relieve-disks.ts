/**
 * Stores whose disk is full give ranges away, the largest first, to stores that have room: a store with no room left stops,
 * and everything on it would have to be copied at once. One range at a time, since the figures of disks are seconds old,
 * until the disk is not full any more. Pure.
 */
import { isMovable } from './balance-replicas.ts';
import type { Board, RangeCell, StoreCell } from './board.ts';
import { changeOf } from './range-rules.ts';
import { hasRoom, idOf } from './uneven.ts';

/** Puts down at most one move for each such store. */
export function* relieveDisks(board: Board): Generator<void, void> {
  for (const full of board.takers([])) {
    const from = idOf(full);
    if (full.store.disk !== 'full' || board.isGiving(from)) continue;
    const takers = board.takers([from]).filter(hasRoom);
    takers.sort((a, b) => a.replicas - b.replicas || a.bytes - b.bytes || idOf(a) - idOf(b));
    let largest: { readonly cell: RangeCell; readonly taker: StoreCell } | undefined;
    for (const cell of board.ranges) {
      if (board.looked()) yield;
      if (cell.range.bytes <= (largest?.cell.range.bytes ?? 0)) continue;
      const taker = takers.find((each) => isMovable(board, cell, from, idOf(each)));
      if (taker !== undefined) largest = { cell, taker };
    }
    if (largest === undefined) continue;
    const { cell, taker } = largest;
    const move = { add: [idOf(taker)], remove: [from] };
    board.decide(cell, changeOf(cell, 'full-disk', move, `the disk of s${from} is full`));
  }
}
