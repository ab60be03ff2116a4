/**
 * What one range needs, whatever the others need: repair, the end of what was begun, flight from stores that go, spread
 * over machines and zones, and the right number of voters. Each rule looks at one range on the board and says what to do
 * or nothing. Pure.
 *
 * None of them takes a voter away without another in its place, except where there are more than there should be; and none
 * touches a range whose majority does not live: nothing could be committed there.
 */
import type { StoreId } from '@flotilla/base';
import {
  type Board,
  isLost,
  maybeGiven,
  missesOf,
  type RangeCell,
  type StoreCell,
} from './board.ts';
import type { PlacementAction, PlacementRule } from './picture.ts';

export type Wish =
  | { readonly kind: 'act'; readonly action: PlacementAction }
  /** Something is wrong that no store can help with. */
  | { readonly kind: 'stuck'; readonly reason: string }
  | undefined;

type Rule = (board: Board, cell: RangeCell) => Wish;

/** The rules for single ranges, the most urgent first. */
export const rangeRules: readonly Rule[] = [
  repair,
  endHalfDone,
  decommission,
  drain,
  spreadOut,
  replicate,
];

/** A voter on a store that is lost is replaced. */
function repair(board: Board, cell: RangeCell): Wish {
  const lost = cell.voters.filter((storeId) => {
    const store = board.cell(storeId)?.store;
    return store !== undefined && isLost(store);
  });
  if (lost.length === 0) return undefined;
  if (!board.hasQuorum(cell))
    return { kind: 'stuck', reason: `most of its replicas are gone (${list(lost)} lost)` };
  const victim = lost[0];
  if (victim === undefined) return undefined;
  if (cell.voters.length > cell.wanted)
    return change(cell, 'repair', [], [victim], `s${victim} is lost, and there are enough without`);
  const taker =
    bestTaker(board, cell, { victims: [victim] }) ??
    cell.learners.map((storeId) => board.cell(storeId)).find(mayBePromoted);
  if (taker === undefined)
    return {
      kind: 'stuck',
      reason: `s${victim} is lost and no store can take its place${fullDisks(board)}`,
    };
  const to = taker.store.storeId;
  return change(cell, 'repair', [to], [victim], `s${victim} is lost`);
}

/** A learner that nobody is about to promote: it is made use of where one is needed, and taken back elsewhere. */
function endHalfDone(board: Board, cell: RangeCell): Wish {
  const [learner] = cell.learners;
  if (learner === undefined || !board.hasQuorum(cell)) return undefined;
  const leaving = cell.voters.find((storeId) => board.cell(storeId)?.store.decommissioning);
  const victims = leaving === undefined ? [] : [leaving];
  const other = bestTaker(board, cell, { victims });
  // What nobody could get to it goes to somebody else.
  const isBetter =
    other !== undefined && missesOf(cell, other.store.storeId) < missesOf(cell, learner);
  if (mayBePromoted(board.cell(learner)) && !isBetter) {
    if (leaving !== undefined)
      return change(cell, 'half-done', [learner], [leaving], `the move to s${learner} was begun`);
    const voters = cell.voters.length + 1;
    if (voters <= cell.wanted && voters % 2 === 1)
      return change(cell, 'half-done', [learner], [], `the replica on s${learner} was begun`);
  }
  return change(cell, 'half-done', [], [learner], `nobody needs the replica begun on s${learner}`);
}

function decommission(board: Board, cell: RangeCell): Wish {
  const leaving = cell.voters.find((storeId) => board.cell(storeId)?.store.decommissioning);
  if (leaving === undefined || !board.hasQuorum(cell)) return undefined;
  const reason = `s${leaving} is being decommissioned`;
  if (cell.voters.length > cell.wanted) {
    // Others may be silent: then it is needed until they are back, or have made room (`replicate`).
    const others = cell.voters.filter((storeId) => storeId !== leaving);
    if (!board.hasQuorum({ voters: others })) return undefined;
    return change(cell, 'decommission', [], [leaving], reason);
  }
  const taker = bestTaker(board, cell, { victims: [leaving] });
  if (taker === undefined)
    return { kind: 'stuck', reason: `${reason} and no store can take over${fullDisks(board)}` };
  return change(cell, 'decommission', [taker.store.storeId], [leaving], reason);
}

/** The lease leaves a store that goes. */
function drain(board: Board, cell: RangeCell): Wish {
  const { leaseholder, descriptor } = cell.range;
  if (leaseholder === undefined) return undefined;
  const from = board.cell(leaseholder);
  if (from === undefined || from.store.health !== 'live') return undefined;
  if (!from.store.draining && !from.store.decommissioning) return undefined;
  const heir = board
    .takers([leaseholder])
    .filter(({ store }) => cell.voters.includes(store.storeId))
    .sort(
      (a, b) =>
        missesOf(cell, a.store.storeId) - missesOf(cell, b.store.storeId) ||
        Number(board.isPreferred(cell, b.store.storeId)) -
          Number(board.isPreferred(cell, a.store.storeId)) ||
        a.leases - b.leases ||
        a.store.storeId - b.store.storeId,
    )[0];
  if (heir === undefined)
    return { kind: 'stuck', reason: `s${leaseholder} drains and nobody else can lead it` };
  return {
    kind: 'act',
    action: {
      kind: 'transfer',
      rangeId: descriptor.rangeId,
      from: leaseholder,
      to: heir.store.storeId,
      generation: descriptor.generation,
      rule: 'drain',
      reason: `s${leaseholder} drains`,
    },
  };
}

/** Two voters share a machine, or a zone, and need not. */
function spreadOut(board: Board, cell: RangeCell): Wish {
  const { voters } = cell;
  if (!voters.every((storeId) => board.isLive(storeId))) return undefined;
  const now = board.spread(voters);
  const { machines, zones } = board.widest;
  const widest =
    now.machines === Math.min(voters.length, machines) &&
    now.zones === Math.min(voters.length, zones);
  if (widest) return undefined;
  let best: { taker: StoreCell; victim: StoreId; gain: number } | undefined;
  for (const victim of voters) {
    const taker = bestTaker(board, cell, { victims: [victim], spreadFirst: true });
    if (taker === undefined) continue;
    const then = board.spread([...voters.filter((id) => id !== victim), taker.store.storeId]);
    const gain = (then.machines - now.machines) * 16 + (then.zones - now.zones);
    const fuller =
      best !== undefined &&
      (board.cell(victim)?.replicas ?? 0) > (board.cell(best.victim)?.replicas ?? 0);
    if (gain > 0 && (best === undefined || gain > best.gain || (gain === best.gain && fuller)))
      best = { taker, victim, gain };
  }
  if (best === undefined) return undefined;
  const what = best.gain >= 16 ? 'machine' : 'zone';
  const reason = `two of its replicas share a ${what}`;
  return change(cell, 'spread', [best.taker.store.storeId], [best.victim], reason);
}

/** Too few voters, or too many. An even number of them is no better than one less. */
function replicate(board: Board, cell: RangeCell): Wish {
  const { voters, wanted } = cell;
  if (!board.hasQuorum(cell)) return undefined;
  if (voters.length > wanted) {
    const victim = leastUseful(board, cell);
    if (victim === undefined) return undefined;
    const reason = `it has ${voters.length} replicas and should have ${wanted}`;
    return change(cell, 'replication', [], [victim], reason);
  }
  const add: StoreId[] = [];
  while (voters.length + add.length < wanted) {
    const taker = bestTaker(board, cell, { coming: add });
    if (taker === undefined) break;
    add.push(taker.store.storeId);
  }
  if ((voters.length + add.length) % 2 === 0) add.pop();
  if (add.length === 0) return undefined;
  const count = voters.length === 1 ? '1 replica' : `${voters.length} replicas`;
  return change(cell, 'replication', add, [], `it has ${count} and should have ${wanted}`);
}

/** Whose removal hurts least; never one that the majority of the rest needs. */
function leastUseful(board: Board, cell: RangeCell): StoreId | undefined {
  const { voters, range } = cell;
  const ranked = [...voters].sort((a, b) => {
    const spread = (id: StoreId): number => {
      const { machines, zones } = board.spread(voters.filter((other) => other !== id));
      return machines * 16 + zones;
    };
    const leads = (id: StoreId): number =>
      Number(voters.some((other) => other !== id && board.isPreferred(cell, other)));
    return (
      Number(board.isLive(a)) - Number(board.isLive(b)) ||
      leads(b) - leads(a) ||
      spread(b) - spread(a) ||
      Number(a === range.leaseholder) - Number(b === range.leaseholder) ||
      (board.cell(b)?.replicas ?? 0) - (board.cell(a)?.replicas ?? 0) ||
      a - b
    );
  });
  return ranked[0];
}

export interface Place {
  /** Voters that go. */
  readonly victims?: readonly StoreId[];
  /** Stores that get one as well. */
  readonly coming?: readonly StoreId[];
  /** It is only about being further apart: no store is taken for the reason alone that another one failed. */
  readonly spreadFirst?: boolean;
}

/**
 * The store that should get a replica: one that has failed least often to get it, then the one that spreads the range over
 * most machines, then one where it should be led, if no other is there, then over most zones, then one whose disk is not
 * filling, then the emptiest.
 */
export function bestTaker(
  board: Board,
  cell: RangeCell,
  { victims = [], coming = [], spreadFirst = false }: Place,
): StoreCell | undefined {
  const stay = [...cell.voters.filter((id) => !victims.includes(id)), ...coming];
  let best: { readonly taker: StoreCell; readonly rank: readonly number[] } | undefined;
  for (const taker of board.takers([...cell.voters, ...cell.learners, ...coming])) {
    if (taker.store.disk === 'full') continue;
    const { machines, zones } = board.spread([...stay, taker.store.storeId]);
    const { storeId } = taker.store;
    // Somebody has to be there who can lead it where it should be led.
    const leads =
      board.isPreferred(cell, storeId) && !stay.some((id) => board.isPreferred(cell, id)) ? 8 : 0;
    const score = machines * 16 + leads + zones;
    const misses = missesOf(cell, storeId);
    const order = spreadFirst ? [-score, misses] : [misses, -score];
    const rank = [...order, Number(taker.store.disk === 'filling'), taker.replicas, taker.bytes];
    if (best === undefined || isLess(rank, best.rank)) best = { taker, rank };
  }
  return best?.taker;
}

/** By the first number that differs. */
function isLess(some: readonly number[], others: readonly number[]): boolean {
  for (const [i, one] of some.entries()) {
    const other = others[i] ?? 0;
    if (one !== other) return one < other;
  }
  return false;
}

/** A replica may come to vote there. */
function mayBePromoted(place: StoreCell | undefined): place is StoreCell {
  return place !== undefined && maybeGiven(place.store) && place.store.disk !== 'full';
}

export function changeOf(
  cell: RangeCell,
  rule: PlacementRule,
  move: { readonly add: readonly StoreId[]; readonly remove: readonly StoreId[] },
  reason: string,
): PlacementAction {
  const { rangeId, generation } = cell.range.descriptor;
  return { kind: 'change', rangeId, ...move, generation, rule, reason };
}

function change(
  cell: RangeCell,
  rule: PlacementRule,
  add: readonly StoreId[],
  remove: readonly StoreId[],
  reason: string,
): Wish {
  return { kind: 'act', action: changeOf(cell, rule, { add, remove }, reason) };
}

/** Stores that could help if they had room: half a sentence, or nothing. */
function fullDisks(board: Board): string {
  const full = board.takers([]).filter(({ store }) => store.disk === 'full');
  if (full.length === 0) return '';
  const who = list(full.map(({ store }) => store.storeId));
  return full.length === 1 ? `: the disk of ${who} is full` : `: the disks of ${who} are full`;
}

function list(storeIds: readonly StoreId[]): string {
  return storeIds.map((storeId) => `s${storeId}`).join(', ');
}
