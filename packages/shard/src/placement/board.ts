/**
 * The picture with everything counted as done that was decided already: how many replicas, leases and bytes each store
 * will have, and how much more it may be sent. Made anew for each round of `decide.ts`; rules read it and put down what
 * they decide.
 */
import { assert, type RangeId, type StoreId } from '@flotilla/base';
import { isJoint } from '../membership/configuration.ts';
import { ReplicaRole } from '../range-descriptor.ts';
import {
  learnerStores,
  type PlacementAction,
  type PlacementPaces,
  type PlacementPicture,
  type RangePicture,
  type Setback,
  type StorePicture,
  voterStores,
} from './picture.ts';

/** Ranges looked at between two turns of the event loop: some 1 ms. */
const looksPerSlice = 512;
/** What a gateway asks less often does not bring it the lease. Unit: requests/s. */
const followedLeast = 100;

/** A store, with what it will have. */
export interface StoreCell {
  readonly store: StorePicture;
  replicas: number;
  leases: number;
  bytes: number;
  /** Of the ranges that it leads. Unit: requests/s. */
  requests: number;
  /** Moves to it, and what their ranges hold. */
  receiving: number;
  receivingBytes: number;
  transfers: number;
}

/** A range, with where it will be. */
export interface RangeCell {
  readonly range: RangePicture;
  /** Stores with a voter. */
  readonly voters: readonly StoreId[];
  readonly learners: readonly StoreId[];
  /** How many voters it should have. */
  readonly wanted: number;
  /** An action was decided, now or before; or it is in the middle of something that must end first. */
  taken: boolean;
  /** Undefined: nothing that was decided for it has failed lately. */
  readonly setback: Setback | undefined;
}

/** How often the store failed to get the range, or its lease, of late. */
export function missesOf({ setback }: RangeCell, storeId: StoreId): number {
  return setback?.misses.get(storeId) ?? 0;
}

export class Board {
  readonly cells: readonly StoreCell[];
  readonly ranges: RangeCell[] = [];
  readonly leasesAtRest: ReadonlySet<RangeId>;
  readonly actions: PlacementAction[] = [];
  /** Machines and zones that there are. */
  readonly widest: { readonly machines: number; readonly zones: number };
  private readonly picture: PlacementPicture;
  private readonly paces: PlacementPaces;
  private readonly byStore: ReadonlyMap<StoreId, StoreCell>;
  /** Stores that may be given something. */
  private readonly givable: readonly StoreCell[];
  private readonly underWay: ReadonlyMap<RangeId, PlacementAction>;
  private looks = 0;

  /** Without its ranges: `add` puts them down one by one. */
  constructor(picture: PlacementPicture) {
    this.picture = picture;
    this.leasesAtRest = picture.leasesAtRest;
    this.paces = picture.paces;
    this.cells = [...picture.stores]
      .sort((a, b) => a.storeId - b.storeId)
      .map((store) => ({ store, ...nothing }));
    this.byStore = new Map(this.cells.map((cell) => [cell.store.storeId, cell]));
    this.givable = this.cells.filter(({ store }) => maybeGiven(store));
    this.widest = this.spread(this.cells.map(({ store }) => store.storeId));
    this.underWay = new Map(picture.underWay.map((action) => [action.rangeId, action]));
  }

  add(range: RangePicture): void {
    const { descriptor, leaseholder, bytes, requests } = range;
    const { rangeId } = descriptor;
    const outgoing = descriptor.replicas.some(({ role }) => role === ReplicaRole.LEARNER_OUTGOING);
    const action = this.underWay.get(rangeId);
    const cell: RangeCell = {
      range,
      voters: voterStores(descriptor),
      learners: learnerStores(descriptor),
      wanted: range.replicas ?? this.picture.replicationFactor,
      taken: outgoing || action !== undefined || isJoint(descriptor),
      setback: this.picture.setbacks.get(rangeId),
    };
    this.ranges.push(cell);
    for (const storeId of cell.voters) this.gain(storeId, 1, bytes);
    for (const storeId of cell.learners) this.gain(storeId, 1, bytes);
    const led = leaseholder === undefined ? undefined : this.byStore.get(leaseholder);
    if (led !== undefined) {
      led.leases++;
      led.requests += requests;
    }
    if (action !== undefined) this.count(cell, action);
  }

  /** A range was looked at. @returns true if so many were that others should have their turn of the event loop */
  looked(): boolean {
    this.looks++;
    if (this.looks < looksPerSlice) return false;
    this.looks = 0;
    return true;
  }

  cell(storeId: StoreId): StoreCell | undefined {
    return this.byStore.get(storeId);
  }

  isLive(storeId: StoreId): boolean {
    return this.byStore.get(storeId)?.store.health === 'live';
  }

  /** Some store is silent and may be back in a moment: what is even or not shows then. */
  get isUncertain(): boolean {
    return this.cells.some(
      ({ store }) => store.health === 'suspect' && !store.draining && !store.decommissioning,
    );
  }

  /** Stores that may be given something, other than these. */
  takers(but: readonly StoreId[]): StoreCell[] {
    return this.givable.filter(({ store }) => !but.includes(store.storeId));
  }

  /** The store is where the range should be led, or nobody asks for that. */
  isPreferred({ range }: RangeCell, storeId: StoreId): boolean {
    const { leasePreference } = range;
    return (
      leasePreference === undefined || this.byStore.get(storeId)?.store.zone === leasePreference
    );
  }

  /**
   * The store that should lead the range because the gateway in its process asks for most of it: what it asks then stays
   * within the process. Where somebody has said which zone should lead, only there.
   */
  followed(cell: RangeCell): StoreId | undefined {
    const { asker, requests } = cell.range;
    if (asker === undefined || requests < followedLeast) return undefined;
    return cell.voters.includes(asker) && this.isPreferred(cell, asker) ? asker : undefined;
  }

  /** A majority of the voters lives: what changes them can be committed. */
  hasQuorum({ voters }: Pick<RangeCell, 'voters'>): boolean {
    return 2 * voters.filter((storeId) => this.isLive(storeId)).length > voters.length;
  }

  /** On how many machines, and in how many zones, these stores are. */
  spread(storeIds: readonly StoreId[]): { machines: number; zones: number } {
    const before: StorePicture[] = [];
    const seen = { machines: 0, zones: 0 };
    let strangers = 0;
    for (const storeId of storeIds) {
      const store = this.byStore.get(storeId)?.store;
      if (store === undefined) strangers++;
      else {
        if (before.every(({ machine }) => machine !== store.machine)) seen.machines++;
        if (before.every(({ zone }) => zone !== store.zone)) seen.zones++;
        before.push(store);
      }
    }
    // Of stores that nobody knows each is on a machine of its own, all in the zone that is not known.
    if (strangers > 0 && before.every(({ zone }) => zone !== '')) seen.zones++;
    return { machines: seen.machines + strangers, zones: seen.zones };
  }

  /** The store can be sent the range now, beside what is on its way to it. */
  hasRoom(to: StoreCell, range: RangePicture): boolean {
    const { receivingMax, receivingBytesMax, receivingSmallMax } = this.paces;
    if (to.receiving < receivingMax) return true;
    return (
      to.receiving < receivingSmallMax &&
      to.receivingBytes + this.weight(range) <= receivingBytesMax
    );
  }

  mayHandOver(store: StoreCell | undefined): boolean {
    return store === undefined || store.transfers < this.paces.transfersMax;
  }

  /** A range is on its way from the store to others. */
  isGiving(storeId: StoreId): boolean {
    const gives = (action: PlacementAction): boolean =>
      action.kind === 'change' && action.remove.includes(storeId);
    return this.picture.underWay.some(gives) || this.actions.some(gives);
  }

  /** Puts an action down, unless a store has enough to do. @returns false then */
  decide(cell: RangeCell, action: PlacementAction): boolean {
    assert(!cell.taken, 'one action per range', { rangeId: action.rangeId });
    const fits =
      action.kind === 'change'
        ? action.add.every((id) => {
            const store = this.byStore.get(id);
            return store === undefined || this.hasRoom(store, cell.range);
          })
        : [action.from, action.to].every((id) => this.mayHandOver(this.byStore.get(id)));
    if (!fits) return false;
    cell.taken = true;
    this.actions.push(action);
    this.count(cell, action);
    return true;
  }

  /** What a move of the range counts for. */
  private weight({ bytes, unmeasured }: RangePicture): number {
    return unmeasured === true ? this.paces.receivingBytesMax : bytes;
  }

  private count({ range, voters, learners }: RangeCell, action: PlacementAction): void {
    const { bytes } = range;
    if (action.kind === 'transfer') {
      for (const storeId of [action.from, action.to]) {
        const store = this.byStore.get(storeId);
        if (store !== undefined) store.transfers++;
      }
      this.moveLease(range, action.to);
      return;
    }
    for (const storeId of action.add) {
      if (!voters.includes(storeId) && !learners.includes(storeId)) this.gain(storeId, 1, bytes);
      const store = this.byStore.get(storeId);
      if (store === undefined) continue;
      store.receiving++;
      store.receivingBytes += this.weight(range);
    }
    for (const storeId of action.remove)
      if (voters.includes(storeId) || learners.includes(storeId)) this.gain(storeId, -1, -bytes);
    // Whoever leads and is to go hands over first, to somebody who stays; to whom is not decided here.
    const { leaseholder } = range;
    if (leaseholder === undefined || !action.remove.includes(leaseholder)) return;
    const heir = voters.find((storeId) => !action.remove.includes(storeId)) ?? action.add[0];
    this.moveLease(range, heir);
  }

  private gain(storeId: StoreId, replicas: number, bytes: number): void {
    const cell = this.byStore.get(storeId);
    if (cell === undefined) return;
    cell.replicas += replicas;
    cell.bytes += bytes;
  }

  private moveLease({ leaseholder, requests }: RangePicture, to: StoreId | undefined): void {
    const before = leaseholder === undefined ? undefined : this.byStore.get(leaseholder);
    const after = to === undefined ? undefined : this.byStore.get(to);
    if (before !== undefined) {
      before.leases--;
      before.requests -= requests;
    }
    if (after !== undefined) {
      after.leases++;
      after.requests += requests;
    }
  }
}

const nothing = {
  ...{ replicas: 0, leases: 0, bytes: 0, requests: 0 },
  ...{ receiving: 0, receivingBytes: 0, transfers: 0 },
};

/** New replicas and leases may go there. */
export function maybeGiven({ health, draining, decommissioning }: StorePicture): boolean {
  return health === 'live' && !draining && !decommissioning;
}

/** Its replicas should be elsewhere: it is dead, or is going and cannot be waited for. */
export function isLost({ health, decommissioning }: StorePicture): boolean {
  return health === 'dead' || (decommissioning && health !== 'live');
}
