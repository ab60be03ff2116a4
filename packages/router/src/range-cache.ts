/**
 * What the router believes about ranges: for every key the newest descriptor it was told of (by generation), and for
 * every range the newest leaseholder (by term). Everything here may be stale; stores refuse what is wrong and say what
 * is right. An older descriptor never displaces a newer one, but fills the gaps between newer ones.
 */
import { compareBytes, type Span } from '@flotilla/base';
import { kv, type RangeInfo } from '@flotilla/shard/protocol';
import { StartKeys } from './start-keys.ts';

const { ReplicaRole } = kv;

/** Leadership of one range. Lives as long as the router: terms only rise, whatever happens to descriptors. */
export interface RangeState<Waiter> {
  readonly rangeId: number;
  /** Raft term in which `leaseholder` was seen. */
  term: number;
  /** Store id; 0 = unknown. */
  leaseholder: number;
  /** The one request that asks around for a leaseholder, while the others wait. */
  scout: Waiter | undefined;
  readonly waiters: Set<Waiter>;
  /** Which replica to ask next. */
  nextReplica: number;
}

/** One descriptor as it was told. The same one may be told twice: compare with `isSame`. */
export interface CachedRange<Waiter> {
  readonly rangeId: number;
  readonly generation: number;
  readonly storeIds: readonly number[];
  readonly descriptor: NonNullable<RangeInfo['descriptor']>;
  readonly state: RangeState<Waiter>;
}

/** A part of the key space under one descriptor: its span, less what newer descriptors cover. */
export interface Piece<Waiter> extends Span {
  readonly range: CachedRange<Waiter>;
}

/** Start keys are laid out anew after so many searches per piece: while pieces are learned one by one it would not pay. */
const searchesPerPiece = 0.25;

export class RangeCache<Waiter> {
  private readonly onLeaseholder: (state: RangeState<Waiter>) => void;
  /** Disjoint, ascending. */
  private readonly pieces: Piece<Waiter>[] = [];
  /** Undefined: some time after `pieces` has changed. */
  private startKeys: StartKeys | undefined;
  /** Since `pieces` has changed. */
  private searches = 0;
  private readonly states = new Map<number, RangeState<Waiter>>();
  private readonly newest = new Map<number, CachedRange<Waiter>>();

  /** @param onLeaseholder called when a range's leaseholder has become known, or another one */
  constructor(onLeaseholder: (state: RangeState<Waiter>) => void) {
    this.onLeaseholder = onLeaseholder;
  }

  /** The piece that holds `key`, if any. */
  find(key: Uint8Array): Piece<Waiter> | undefined {
    const index = this.lastStartingAtOrBefore(key);
    const piece = this.pieces[index];
    if (piece === undefined || this.startKeys?.reachesNext(index) === true) return piece;
    return compareBytes(key, piece.endKey) < 0 ? piece : undefined;
  }

  /** The piece that holds the keys directly below `key`, if any. */
  findBefore(key: Uint8Array): Piece<Waiter> | undefined {
    let index = this.lastStartingAtOrBefore(key);
    if (index >= 0 && compareBytes(this.pieces[index]?.startKey ?? key, key) === 0) index--;
    const piece = this.pieces[index];
    return piece !== undefined && compareBytes(key, piece.endKey) <= 0 ? piece : undefined;
  }

  /** Where the gap around an unknown key begins: calls with the same answer wait for the same look-up. */
  gapBefore(key: Uint8Array): Uint8Array | undefined {
    return this.pieces[this.lastStartingAtOrBefore(key)]?.endKey;
  }

  /**
   * Takes in what a store or the meta range said. Malformed or stale parts are ignored.
   * @returns whether any key's descriptor changed
   */
  learn(info: RangeInfo): boolean {
    const told = info.descriptor;
    if (!told || !isWellFormed(told)) return false;
    const rangeId = told.rangeId ?? 0;
    const state = this.stateOf(rangeId);
    const known = this.newest.get(rangeId);
    const same = known !== undefined && known.generation === (told.generation ?? 0);
    let changed = false;
    if (!same || !this.covers(known)) {
      const range = same ? known : newRange(told, state);
      if (known === undefined || known.generation < range.generation)
        this.newest.set(rangeId, range);
      changed = this.insert(range);
    }
    this.learnLeaseholder(state, info.leaseholderStoreId ?? 0, info.term ?? 0);
    return changed;
  }

  /** A store answered as the leaseholder of a range whose leaseholder was unknown or in doubt. */
  found(state: RangeState<Waiter>, storeId: number): void {
    if (state.leaseholder === storeId) return;
    state.leaseholder = storeId;
    this.onLeaseholder(state);
  }

  /** A store that was taken for the leaseholder says that it is not. Does nothing if somebody else is known by now. */
  forgetLeaseholder(state: RangeState<Waiter>, storeId: number): void {
    if (state.leaseholder === storeId) state.leaseholder = 0;
  }

  /** Removes a descriptor that turned out wrong; newer ones that were learned meanwhile stay. */
  evict(range: CachedRange<Waiter>): void {
    for (let i = this.pieces.length - 1; i >= 0; i--) {
      const piece = this.pieces[i];
      if (piece !== undefined && isSame(piece.range, range)) this.pieces.splice(i, 1);
    }
    this.forgetStartKeys();
    const newest = this.newest.get(range.rangeId);
    if (newest !== undefined && isSame(newest, range)) this.newest.delete(range.rangeId);
  }

  /** Ranges whose leaseholder is this store. */
  ledBy(storeId: number): RangeState<Waiter>[] {
    return [...this.states.values()].filter((state) => state.leaseholder === storeId);
  }

  get size(): number {
    return this.pieces.length;
  }

  private stateOf(rangeId: number): RangeState<Waiter> {
    let state = this.states.get(rangeId);
    if (state === undefined) {
      state = {
        rangeId,
        term: 0,
        leaseholder: 0,
        scout: undefined,
        waiters: new Set(),
        nextReplica: 0,
      };
      this.states.set(rangeId, state);
    }
    return state;
  }

  private learnLeaseholder(state: RangeState<Waiter>, storeId: number, term: number): void {
    if (term < state.term) return;
    const before = state.leaseholder;
    if (term > state.term) {
      state.term = term;
      state.leaseholder = storeId;
    } else if (before === 0) {
      state.leaseholder = storeId;
    }
    if (state.leaseholder !== before && state.leaseholder !== 0) this.onLeaseholder(state);
  }

  private covers(range: CachedRange<Waiter>): boolean {
    const piece = this.find(range.descriptor.startKey ?? new Uint8Array(0));
    return (
      piece !== undefined &&
      isSame(piece.range, range) &&
      compareBytes(piece.endKey, range.descriptor.endKey ?? new Uint8Array(0)) === 0
    );
  }

  /** Index of the last piece whose startKey <= key, or -1. */
  private lastStartingAtOrBefore(key: Uint8Array): number {
    if (this.startKeys === undefined && ++this.searches > this.pieces.length * searchesPerPiece)
      this.startKeys = new StartKeys(this.pieces);
    if (this.startKeys !== undefined) return this.startKeys.lastAtOrBefore(key);
    let low = 0;
    let high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const piece = this.pieces[middle];
      if (piece !== undefined && compareBytes(piece.startKey, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private insert(range: CachedRange<Waiter>): boolean {
    const startKey = range.descriptor.startKey ?? new Uint8Array(0);
    const endKey = range.descriptor.endKey ?? new Uint8Array(0);
    let first = this.lastStartingAtOrBefore(startKey);
    const before = this.pieces[first];
    if (before === undefined || compareBytes(before.endKey, startKey) <= 0) first++;
    const replacement: Piece<Waiter>[] = [];
    let cursor = startKey;
    let rest: Piece<Waiter> | undefined;
    let changed = false;
    let end = first;
    for (; end < this.pieces.length; end++) {
      const piece = this.pieces[end];
      if (piece === undefined || compareBytes(piece.startKey, endKey) >= 0) break;
      if (piece.range.generation > range.generation || isSame(piece.range, range)) {
        if (compareBytes(cursor, piece.startKey) < 0) {
          replacement.push({ startKey: cursor, endKey: piece.startKey, range });
          changed = true;
        }
        replacement.push(piece);
        cursor = piece.endKey;
        continue;
      }
      if (compareBytes(piece.startKey, startKey) < 0)
        replacement.push({ startKey: piece.startKey, endKey: startKey, range: piece.range });
      if (compareBytes(endKey, piece.endKey) < 0)
        rest = { startKey: endKey, endKey: piece.endKey, range: piece.range };
    }
    if (compareBytes(cursor, endKey) < 0) {
      replacement.push({ startKey: cursor, endKey, range });
      changed = true;
    }
    if (rest !== undefined) replacement.push(rest);
    this.pieces.splice(first, end - first, ...replacement);
    this.forgetStartKeys();
    return changed;
  }

  private forgetStartKeys(): void {
    this.startKeys = undefined;
    this.searches = 0;
  }
}

/** One descriptor, though perhaps told twice. */
export function isSame<Waiter>(a: CachedRange<Waiter>, b: CachedRange<Waiter>): boolean {
  return a.rangeId === b.rangeId && a.generation === b.generation;
}

function isWellFormed(descriptor: NonNullable<RangeInfo['descriptor']>): boolean {
  const { rangeId, startKey, endKey, generation, replicas } = descriptor;
  if (!isId(rangeId) || !Number.isSafeInteger(generation ?? 0) || !endKey) return false;
  if (compareBytes(startKey ?? new Uint8Array(0), endKey) >= 0) return false;
  return !!replicas && replicas.length > 0 && replicas.every(({ storeId }) => isId(storeId));
}

function isId(id: number | null | undefined): boolean {
  return Number.isSafeInteger(id) && (id ?? 0) >= 1;
}

/** Copies what it keeps: `told` is a view of a frame. */
function newRange<Waiter>(
  told: NonNullable<RangeInfo['descriptor']>,
  state: RangeState<Waiter>,
): CachedRange<Waiter> {
  const replicas = (told.replicas ?? []).map(({ replicaId, storeId, role }) => ({
    replicaId: replicaId ?? 0,
    storeId: storeId ?? 0,
    role: role ?? ReplicaRole.VOTER,
  }));
  // Learners lead nothing, and may not hold the range yet, or not for long.
  const voters = replicas.filter(
    ({ role }) => role !== ReplicaRole.LEARNER && role !== ReplicaRole.LEARNER_OUTGOING,
  );
  return {
    rangeId: told.rangeId ?? 0,
    generation: told.generation ?? 0,
    storeIds: (voters.length > 0 ? voters : replicas).map(({ storeId }) => storeId),
    descriptor: {
      rangeId: told.rangeId ?? 0,
      startKey: Uint8Array.from(told.startKey ?? []),
      endKey: Uint8Array.from(told.endKey ?? []),
      generation: told.generation ?? 0,
      replicas,
      nextReplicaId: told.nextReplicaId ?? 0,
    },
    state,
  };
}
