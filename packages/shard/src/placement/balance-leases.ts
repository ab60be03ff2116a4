/**
 * Evening out leases, when nothing is wrong: to where they should be, then to who asks for the range, then by count, then by
 * requests. Each step makes something strictly smaller (the leases that are not where they should be, or the sum of squares
 * of what the stores have) and nothing that comes before it larger, so that for given figures the steps come to an end and
 * never go round in circles. None of them begins until the difference is worth it. Pure.
 */
import type { StoreId } from '@flotilla/base';
import { type Board, missesOf, type RangeCell, type StoreCell } from './board.ts';
import type { PlacementRule } from './picture.ts';
import { bestExchange, byStore, Candidates, idOf, unevenPairs, widestGap } from './uneven.ts';

/** Requests are worth a hand-over beyond this share of the mean, and this many. Unit: requests/s. */
const requestsLeftAlone = { share: 0.2, least: 500 };

/** Leases go to the zones that should have them. */
export function* preferLeases(board: Board): Generator<void, void> {
  for (const cell of board.ranges) {
    if (board.looked()) yield;
    const { leaseholder, leasePreference } = cell.range;
    if (leaseholder === undefined || board.isPreferred(cell, leaseholder)) continue;
    const [to] = board
      .takers([leaseholder])
      .filter((taker) => mayLead(board, cell, taker) && board.isPreferred(cell, idOf(taker)))
      .sort(
        (a, b) =>
          missesOf(cell, idOf(a)) - missesOf(cell, idOf(b)) ||
          a.leases - b.leases ||
          idOf(a) - idOf(b),
      );
    if (to !== undefined)
      handOver(board, cell, idOf(to), 'lease-preference', `zone ${leasePreference} should lead it`);
  }
}

/** Leases go to the stores whose own gateways ask for them. */
export function* followLoad(board: Board): Generator<void, void> {
  for (const cell of board.ranges) {
    if (board.looked()) yield;
    const { leaseholder, requests } = cell.range;
    const to = board.followed(cell);
    if (leaseholder === undefined || to === undefined || to === leaseholder) continue;
    const taker = board.takers([leaseholder]).find((each) => idOf(each) === to);
    if (taker === undefined || !mayLead(board, cell, taker)) continue;
    const reason = `the gateway of s${to} asks for most of its ${requests} requests a second`;
    handOver(board, cell, to, 'lease-follows', reason);
  }
}

export function* balanceLeases(board: Board): Generator<void, void> {
  let led: Map<StoreId, RangeCell[]> | undefined;
  const tried = new Map<string, Candidates>();
  const handOne = function* (): Generator<void, boolean> {
    for (const [full, empty] of unevenPairs(board, ({ leases }) => leases)) {
      if (!board.mayHandOver(full) || !board.mayHandOver(empty)) continue;
      const pair = `${idOf(full)}>${idOf(empty)}`;
      let candidates = tried.get(pair);
      if (candidates === undefined) {
        led ??= yield* byStore(board, ({ range: { leaseholder } }) =>
          leaseholder === undefined ? [] : [leaseholder],
        );
        candidates = new Candidates(led.get(idOf(full)) ?? []);
        tried.set(pair, candidates);
      }
      const cell = yield* candidates.at('first', board, (each) =>
        isFreeToLead(board, each, full, empty),
      );
      if (cell === undefined) continue;
      const reason = `s${idOf(full)} leads ${full.leases} ranges and s${idOf(empty)} ${empty.leases}`;
      if (handOver(board, cell, idOf(empty), 'balance-leases', reason)) return true;
    }
    return false;
  };
  while (yield* handOne()) if (board.looked()) yield;
}

/**
 * Hands a lease from the store that is asked most to the one that is asked least, or exchanges two, so that leases stay
 * even. At most once per round: what it does shows in figures only later.
 */
export function* balanceLoad(board: Board): Generator<void, void> {
  const found = widestGap(board, ({ requests }) => requests, requestsLeftAlone);
  if (found === undefined) return;
  const { full, empty, gap } = found;
  const out: RangeCell[] = [];
  const back: RangeCell[] = [];
  for (const cell of board.ranges) {
    const { leaseholder, requests, unmeasured } = cell.range;
    if (board.looked()) yield;
    // It may be asked most of all.
    if (unmeasured === true) continue;
    if (leaseholder === idOf(full) && requests > 0 && isFreeToLead(board, cell, full, empty))
      out.push(cell);
    if (leaseholder === idOf(empty) && isFreeToLead(board, cell, empty, full)) back.push(cell);
  }
  const rates = (cells: readonly RangeCell[]): number[] => cells.map(({ range }) => range.requests);
  const alone = full.leases > empty.leases ? bestExchange(rates(out), [0], gap) : undefined;
  const two = bestExchange(rates(out), rates(back), gap);
  // Two hand-overs have to be worth more than one.
  const exchange = two !== undefined && (alone === undefined || two.left + gap / 10 < alone.left);
  const big = out[(exchange ? two : alone)?.big ?? -1];
  if (big === undefined) return;
  const reason = `s${idOf(full)} is asked ${Math.round(full.requests)} times a second and s${idOf(empty)} ${Math.round(empty.requests)}`;
  const small = exchange ? back[two.small] : undefined;
  if (handOver(board, big, idOf(empty), 'balance-load', reason) && small !== undefined)
    handOver(board, small, idOf(full), 'balance-load', reason);
}

/** Nothing is done to the range, its lease may move, and moves from one store to the other to no worse place. */
function isFreeToLead(board: Board, cell: RangeCell, from: StoreCell, to: StoreCell): boolean {
  return (
    mayLead(board, cell, to) &&
    board.followed(cell) !== idOf(from) &&
    (board.isPreferred(cell, idOf(to)) || !board.isPreferred(cell, idOf(from)))
  );
}

function mayLead(board: Board, cell: RangeCell, to: StoreCell): boolean {
  return (
    !cell.taken &&
    cell.voters.includes(idOf(to)) &&
    !board.leasesAtRest.has(cell.range.descriptor.rangeId)
  );
}

function handOver(
  board: Board,
  cell: RangeCell,
  to: StoreId,
  rule: PlacementRule,
  reason: string,
): boolean {
  const { descriptor, leaseholder } = cell.range;
  if (leaseholder === undefined) return false;
  const { rangeId, generation } = descriptor;
  const from = leaseholder;
  return board.decide(cell, { kind: 'transfer', rangeId, from, to, generation, rule, reason });
}
