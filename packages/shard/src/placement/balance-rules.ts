/**
 * Evening out, when nothing is wrong: replicas by count, then by bytes, then leases by count. Each step makes the sum of
 * squares of what the stores have strictly smaller, so the steps come to an end and never go round in circles; none of
 * them begins until the difference is worth it. Pure.
 */
import type { StoreId } from '@flotilla/base';
import { type Board, maybeGiven, type RangeCell, type StoreCell } from './board.ts';
import { changeOf } from './range-rules.ts';

/** Stores within this share of the mean are left alone. */
const slackShare = 0.05;
/** Bytes are worth moving beyond this share of the mean, and this many. */
const bytesShare = 0.2;
const bytesLeast = 64 * 1024 * 1024;

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

export function balanceLeases(board: Board): void {
  while (handOne(board)) {
    // As above.
  }
}

function handOne(board: Board): boolean {
  for (const [full, empty] of unevenPairs(board, ({ leases }) => leases)) {
    const from = full.store.storeId;
    const to = empty.store.storeId;
    const cell = board.ranges.find(
      (each) =>
        !each.taken &&
        each.range.leaseholder === from &&
        each.voters.includes(to) &&
        !board.leasesAtRest.has(each.range.descriptor.rangeId),
    );
    if (cell === undefined) continue;
    const { rangeId, generation } = cell.range.descriptor;
    const reason = `s${from} leads ${full.leases} ranges and s${to} ${empty.leases}`;
    const rule = 'balance-leases';
    if (board.decide(cell, { kind: 'transfer', rangeId, from, to, generation, rule, reason }))
      return true;
  }
  return false;
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
  const now = board.spread(voters);
  const then = board.spread([...voters.filter((storeId) => storeId !== from), to]);
  return then.machines >= now.machines && then.zones >= now.zones;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / (1024 * 1024))} MiB`;
}
