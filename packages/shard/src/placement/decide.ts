/**
 * What to do next about where replicas and leases are: a picture of the cluster in, at most one action per range out, each
 * with its reason in words. Pure: the same picture gives the same actions. What cannot be helped is said too.
 */
import type { RangeId } from '@flotilla/base';
import { balanceLeases, balanceLoad, followLoad, preferLeases } from './balance-leases.ts';
import { balanceBytes, balanceCounts } from './balance-replicas.ts';
import { Board, type RangeCell } from './board.ts';
import { isMoreUrgent, type PlacementAction, type PlacementPicture } from './picture.ts';
import { rangeRules } from './range-rules.ts';
import { relieveDisks } from './relieve-disks.ts';

export interface PlacementDecision {
  readonly actions: readonly PlacementAction[];
  /** Ranges that something is wrong with and no store can help. */
  readonly stuck: readonly { readonly rangeId: RangeId; readonly reason: string }[];
}

/** All at once: for thousands of ranges it takes tens of milliseconds. */
export function decide(picture: PlacementPicture): PlacementDecision {
  const slices = decideInSlices(picture);
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value;
  }
}

/** The same, in slices of about a millisecond. @returns the decision, after as many yields as it takes */
export function* decideInSlices(picture: PlacementPicture): Generator<void, PlacementDecision> {
  const board = new Board(picture);
  for (const range of picture.ranges) {
    board.add(range);
    if (board.looked()) yield;
  }
  const stuck = new Map<RangeId, string>();
  for (const rule of rangeRules)
    for (const cell of board.ranges) {
      if (board.looked()) yield;
      if (cell.taken) continue;
      const wish = rule(board, cell);
      if (wish?.kind === 'act') {
        // What a store has no room for is decided again when it has; nothing less urgent comes before it.
        if (isAtRest(cell, wish.action) || !board.decide(cell, wish.action)) cell.taken = true;
      } else if (wish?.kind === 'stuck') stuck.set(cell.range.descriptor.rangeId, wish.reason);
    }
  for (const cell of board.ranges) if (cell.setback?.isAtRest === true) cell.taken = true;
  yield* relieveDisks(board);
  if (!board.isUncertain) {
    yield* balanceCounts(board);
    if (board.actions.every(({ kind }) => kind === 'transfer') && !moving(picture))
      yield* balanceBytes(board);
    yield* preferLeases(board);
    yield* followLoad(board);
    yield* balanceLeases(board);
    if (board.actions.length === 0 && picture.underWay.length === 0) yield* balanceLoad(board);
  }
  return {
    actions: board.actions,
    stuck: [...stuck].map(([rangeId, reason]) => ({ rangeId, reason })),
  };
}

/** What came to nothing is not tried again at once, and nothing less urgent is: what is more urgent does not wait for it. */
function isAtRest({ setback }: RangeCell, { rule }: PlacementAction): boolean {
  return setback?.isAtRest === true && !isMoreUrgent(rule, setback.rule);
}

function moving(picture: PlacementPicture): boolean {
  return picture.underWay.some(({ kind }) => kind === 'change');
}
