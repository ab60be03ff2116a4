/**
 * Evening out, when nothing is wrong: replicas by count, then by bytes; leases to where they should be, then to who asks for
 * the range, then by count, then by requests. Each step makes something strictly smaller (the sum of squares of what the
 * stores have, or the leases that are not where they should be) and nothing that comes before it larger, so that for given
 * figures the steps come to an end and never go round in circles. None of them begins until the difference is worth it. Pure.
 */
import type { StoreId } from '@flotilla/base';
import { type Board, maybeGiven, type RangeCell, type StoreCell } from './board.ts';
import type { PlacementRule } from './picture.ts';
import { changeOf } from './range-rules.ts';

/** Stores within this share of the mean are left alone. */
const slackShare = 0.05;
/** Bytes are worth moving beyond this share of the mean, and this many. */
const bytesShare = 0.2;
const bytesLeast = 64 * 1024 * 1024;
/** Requests are worth a hand-over beyond this share of the mean, and this many. Unit: requests/s. */
const requestsShare = 0.2;
const requestsLeast = 500;

type Measure = (cell: StoreCell) => number;

/** Puts down moves until stores are even, or have enough to do. */
export function balanceCounts(board: Board): void {
  while (moveOne(board)) {
    // Each move changes who is the fullest.
  }
}

function moveOne(board: Board): boolean {
  for (const [full, empty] of unevenPairs(board, ({ replicas }) => replicas)) {
    const from = full.store.storeId;
    const to = empty.store.storeId;
    const movable = board.ranges
      .filter((cell) => isMovable(board, cell, from, to))
      .sort((a, b) => preference(a, b, full, empty));
    const cell = movable[0];
    if (cell === undefined) continue;
    const reason = `s${from} has ${full.replicas} replicas and s${to} ${empty.replicas}`;
    const action = changeOf(cell, 'balance-count', { add: [to], remove: [from] }, reason);
    if (board.decide(cell, action)) return true;
  }
  return false;
}

/** Ranges that need no hand-over first; then those that even out bytes too. */
function preference(a: RangeCell, b: RangeCell, full: StoreCell, empty: StoreCell): number {
  const from = full.store.storeId;
  const led = Number(a.range.leaseholder === from) - Number(b.range.leaseholder === from);
  if (led !== 0) return led;
  const bigFirst = full.bytes >= empty.bytes ? 1 : -1;
  return (
    (b.range.bytes - a.range.bytes) * bigFirst ||
    a.range.descriptor.rangeId - b.range.descriptor.rangeId
  );
}

/** Exchanges a big range for a small one, so that counts stay as they are. At most one exchange per round. */
export function balanceBytes(board: Board): void {
  const stores = board.cells.filter(({ store }) => maybeGiven(store));
  if (stores.length < 2) return;
  const mean = stores.reduce((sum, { bytes }) => sum + bytes, 0) / stores.length;
  const sorted = [...stores].sort((a, b) => b.bytes - a.bytes);
  const full = sorted[0];
  const empty = sorted[sorted.length - 1];
  if (full === undefined || empty === undefined) return;
  const gap = full.bytes - empty.bytes;
  if (gap <= Math.max(bytesLeast, mean * bytesShare)) return;
  const from = full.store.storeId;
  const to = empty.store.storeId;
  const out = board.ranges.filter((cell) => isMovable(board, cell, from, to));
  const back = board.ranges.filter((cell) => isMovable(board, cell, to, from));
  let best: { big: RangeCell; small: RangeCell; left: number } | undefined;
  for (const big of out)
    for (const small of back) {
      const shift = big.range.bytes - small.range.bytes;
      // Worth two snapshots, and not so much that the gap only turns round.
      if (shift < gap / 10 || shift > (gap * 9) / 10) continue;
      const left = Math.abs(gap - 2 * shift);
      if (best === undefined || left < best.left) best = { big, small, left };
    }
  if (best === undefined) return;
  const reason = `s${from} holds ${mebibytes(full.bytes)} and s${to} ${mebibytes(empty.bytes)}`;
  const there = changeOf(best.big, 'balance-bytes', { add: [to], remove: [from] }, reason);
  const here = changeOf(best.small, 'balance-bytes', { add: [from], remove: [to] }, reason);
  if (board.decide(best.big, there)) board.decide(best.small, here);
}

/** Leases go to the zones that should have them. */
export function preferLeases(board: Board): void {
  for (const cell of board.ranges) {
    const { leaseholder, leasePreference } = cell.range;
    if (leaseholder === undefined || board.isPreferred(cell, leaseholder)) continue;
    const [to] = board
      .takers([leaseholder])
      .filter((taker) => mayLead(board, cell, taker) && board.isPreferred(cell, idOf(taker)))
      .sort((a, b) => a.leases - b.leases || idOf(a) - idOf(b));
    if (to !== undefined)
      handOver(board, cell, idOf(to), 'lease-preference', `zone ${leasePreference} should lead it`);
  }
}

/** Leases go to the stores whose own gateways ask for them. */
export function followLoad(board: Board): void {
  for (const cell of board.ranges) {
    const { leaseholder, requests } = cell.range;
    const to = board.followed(cell);
    if (leaseholder === undefined || to === undefined || to === leaseholder) continue;
    const taker = board.takers([leaseholder]).find((each) => idOf(each) === to);
    if (taker === undefined || !mayLead(board, cell, taker)) continue;
    const reason = `the gateway of s${to} asks for most of its ${requests} requests a second`;
    handOver(board, cell, to, 'lease-follows', reason);
  }
}

export function balanceLeases(board: Board): void {
  while (handOne(board)) {
    // As above.
  }
}

function handOne(board: Board): boolean {
  for (const [full, empty] of unevenPairs(board, ({ leases }) => leases)) {
    const cell = board.ranges.find(
      (each) => each.range.leaseholder === idOf(full) && isFreeToLead(board, each, full, empty),
    );
    if (cell === undefined) continue;
    const reason = `s${idOf(full)} leads ${full.leases} ranges and s${idOf(empty)} ${empty.leases}`;
    if (handOver(board, cell, idOf(empty), 'balance-leases', reason)) return true;
  }
  return false;
}

/**
 * Hands a lease from the store that is asked most to the one that is asked least, or exchanges two, so that leases stay
 * even. At most once per round: what it does shows in figures only later.
 */
export function balanceLoad(board: Board): void {
  const stores = board.cells.filter(({ store }) => maybeGiven(store));
  if (stores.length < 2) return;
  const mean = stores.reduce((sum, { requests }) => sum + requests, 0) / stores.length;
  const sorted = [...stores].sort((a, b) => b.requests - a.requests || idOf(a) - idOf(b));
  const [full, empty] = [sorted[0], sorted[sorted.length - 1]];
  if (full === undefined || empty === undefined) return;
  const gap = full.requests - empty.requests;
  if (gap <= Math.max(requestsLeast, mean * requestsShare)) return;
  const out = board.ranges.filter(
    (cell) =>
      cell.range.leaseholder === idOf(full) &&
      cell.range.requests > 0 &&
      isFreeToLead(board, cell, full, empty),
  );
  const back: (RangeCell | undefined)[] = board.ranges.filter(
    (cell) => cell.range.leaseholder === idOf(empty) && isFreeToLead(board, cell, empty, full),
  );
  if (full.leases > empty.leases) back.unshift(undefined);
  let best: { big: RangeCell; small: RangeCell | undefined; left: number } | undefined;
  for (const big of out)
    for (const small of back) {
      const shift = big.range.requests - (small?.range.requests ?? 0);
      if (shift < gap / 10 || shift > (gap * 9) / 10) continue;
      // Two hand-overs have to be worth more than one.
      const left = Math.abs(gap - 2 * shift) + (small === undefined ? 0 : gap / 10);
      if (best === undefined || left < best.left) best = { big, small, left };
    }
  if (best === undefined) return;
  const reason = `s${idOf(full)} is asked ${Math.round(full.requests)} times a second and s${idOf(empty)} ${Math.round(empty.requests)}`;
  const { big, small } = best;
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

function idOf({ store }: StoreCell): StoreId {
  return store.storeId;
}

/** Pairs of stores worth evening out, the most uneven first. One less here and one more there brings them closer. */
function unevenPairs(board: Board, measure: Measure): [StoreCell, StoreCell][] {
  const stores = board.cells.filter(({ store }) => maybeGiven(store));
  const mean = stores.reduce((sum, cell) => sum + measure(cell), 0) / stores.length;
  const slack = Math.max(0.5, mean * slackShare);
  const pairs: [StoreCell, StoreCell][] = [];
  for (const full of stores)
    for (const empty of stores) {
      if (measure(full) - measure(empty) < 2) continue;
      if (measure(full) - mean > slack || mean - measure(empty) > slack) pairs.push([full, empty]);
    }
  const gap = ([full, empty]: [StoreCell, StoreCell]): number => measure(full) - measure(empty);
  return pairs.sort(
    (a, b) =>
      gap(b) - gap(a) ||
      a[0].store.storeId - b[0].store.storeId ||
      a[1].store.storeId - b[1].store.storeId,
  );
}

/** A healthy range that may leave one store for the other without coming closer together. */
function isMovable(board: Board, cell: RangeCell, from: StoreId, to: StoreId): boolean {
  const { voters, learners, taken } = cell;
  if (taken || learners.length > 0 || !voters.includes(from) || voters.includes(to)) return false;
  if (!voters.every((storeId) => board.isLive(storeId))) return false;
  const others = voters.filter((storeId) => storeId !== from);
  const now = board.spread(voters);
  const then = board.spread([...others, to]);
  const canBeLed = (ids: readonly StoreId[]): boolean =>
    ids.some((storeId) => board.isPreferred(cell, storeId));
  if (canBeLed(voters) && !canBeLed([...others, to])) return false;
  return then.machines >= now.machines && then.zones >= now.zones;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / (1024 * 1024))} MiB`;
}
