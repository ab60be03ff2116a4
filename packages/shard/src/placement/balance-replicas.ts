/**
 * Evening out replicas, when nothing is wrong: by count, then by bytes. Each step makes the sum of squares of what the
 * stores have strictly smaller and nothing that comes before it larger, so that for given figures the steps come to an end
 * and never go round in circles; disks that are filling only give. None of them begins until the difference is worth it. Pure.
 */
import type { StoreId } from '@flotilla/base';
import type { Board, RangeCell } from './board.ts';
import { changeOf } from './range-rules.ts';
import {
  bestExchange,
  byStore,
  Candidates,
  hasRoom,
  idOf,
  unevenPairs,
  widestGap,
} from './uneven.ts';

/** Bytes are worth moving beyond this share of the mean, and this many. */
const bytesLeftAlone = { share: 0.2, least: 64 * 1024 * 1024 };

/** Ranges of one store: those that need no hand-over, and those that do, the small ones first. */
type Movable = readonly [free: readonly RangeCell[], led: readonly RangeCell[]];

/** Puts down moves until stores are even, or have enough to do. */
export function* balanceCounts(board: Board): Generator<void, void> {
  let held: Map<StoreId, RangeCell[]> | undefined;
  const ordered = new Map<StoreId, Movable>();
  const tried = new Map<string, readonly Candidates[]>();
  const moveOne = function* (): Generator<void, boolean> {
    for (const [full, empty] of unevenPairs(board, ({ replicas }) => replicas)) {
      const [from, to] = [idOf(full), idOf(empty)];
      const pair = `${from}>${to}`;
      let candidates = tried.get(pair);
      if (candidates === undefined) {
        held ??= yield* byStore(board, ({ voters }) => voters);
        const movable = ordered.get(from) ?? inOrder(held.get(from) ?? [], from);
        ordered.set(from, movable);
        candidates = movable.map((cells) => new Candidates(cells));
        tried.set(pair, candidates);
      }
      // Those that even out bytes too.
      const end = full.bytes >= empty.bytes ? 'last' : 'first';
      for (const each of candidates) {
        const cell = yield* each.at(end, board, (one) => isMovable(board, one, from, to));
        if (cell === undefined) continue;
        if (!board.hasRoom(empty, cell.range)) break;
        const reason = `s${from} has ${full.replicas} replicas and s${to} ${empty.replicas}`;
        const move = { add: [to], remove: [from] };
        if (board.decide(cell, changeOf(cell, 'balance-count', move, reason))) return true;
      }
    }
    return false;
  };
  // Each move changes who is the fullest.
  while (yield* moveOne()) if (board.looked()) yield;
}

/** Small ones first; of equal ones the newest, since the end is where most are taken from. */
function inOrder(held: readonly RangeCell[], from: StoreId): Movable {
  const sorted = [...held].sort(
    (a, b) =>
      a.range.bytes - b.range.bytes || b.range.descriptor.rangeId - a.range.descriptor.rangeId,
  );
  const leads = ({ range }: RangeCell): boolean => range.leaseholder === from;
  return [sorted.filter((cell) => !leads(cell)), sorted.filter(leads)];
}

/**
 * Exchanges a big range for a small one, so that counts stay as they are; a disk that is filling gets nothing in exchange. At
 * most one exchange per round.
 */
export function* balanceBytes(board: Board): Generator<void, void> {
  const found = widestGap(board, ({ bytes }) => bytes, bytesLeftAlone);
  if (found === undefined) return;
  const { full, empty, gap } = found;
  const [from, to] = [idOf(full), idOf(empty)];
  const out: RangeCell[] = [];
  const back: RangeCell[] = [];
  const takesBack = hasRoom(full);
  for (const cell of board.ranges) {
    if (board.looked()) yield;
    // It may be the largest of all.
    if (cell.range.unmeasured === true) continue;
    if (isMovable(board, cell, from, to)) out.push(cell);
    if (takesBack && isMovable(board, cell, to, from)) back.push(cell);
  }
  const sizes = (cells: readonly RangeCell[]): number[] => cells.map(({ range }) => range.bytes);
  const best = bestExchange(sizes(out), takesBack ? sizes(back) : [0], gap);
  const big = out[best?.big ?? -1];
  if (big === undefined) return;
  const reason = `s${from} holds ${mebibytes(full.bytes)} and s${to} ${mebibytes(empty.bytes)}`;
  const there = changeOf(big, 'balance-bytes', { add: [to], remove: [from] }, reason);
  const small = back[best?.small ?? -1];
  if (!board.decide(big, there) || small === undefined) return;
  const here = changeOf(small, 'balance-bytes', { add: [from], remove: [to] }, reason);
  board.decide(small, here);
}

/** A healthy range that may leave one store for the other without coming closer together. */
export function isMovable(board: Board, cell: RangeCell, from: StoreId, to: StoreId): boolean {
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
