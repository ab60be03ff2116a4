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
  type StorePicture,
  voterStores,
} from './picture.ts';

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
  receiving: number;
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
}

export class Board {
  readonly cells: readonly StoreCell[];
  readonly ranges: readonly RangeCell[];
  readonly leasesAtRest: ReadonlySet<RangeId>;
  private readonly paces: PlacementPaces;
  readonly actions: PlacementAction[] = [];
  private readonly byStore: ReadonlyMap<StoreId, StoreCell>;

  constructor(picture: PlacementPicture) {
    this.leasesAtRest = picture.leasesAtRest;
    this.paces = picture.paces;
    this.cells = [...picture.stores]
      .sort((a, b) => a.storeId - b.storeId)
      .map((store) => ({ store, ...nothing }));
    this.byStore = new Map(this.cells.map((cell) => [cell.store.storeId, cell]));
    const underWay = new Map(picture.underWay.map((action) => [action.rangeId, action]));
    this.ranges = picture.ranges.map((range) => {
      const { descriptor } = range;
      const outgoing = descriptor.replicas.some(
        ({ role }) => role === ReplicaRole.LEARNER_OUTGOING,
      );
      return {
        range,
        voters: voterStores(descriptor),
        learners: learnerStores(descriptor),
        wanted: range.replicas ?? picture.replicationFactor,
        taken:
          isJoint(descriptor) ||
          outgoing ||
          underWay.has(descriptor.rangeId) ||
          picture.resting.has(descriptor.rangeId),
      };
    });
    for (const cell of this.ranges) {
      const { leaseholder, bytes, requests, descriptor } = cell.range;
      const { rangeId } = descriptor;
      for (const storeId of [...cell.voters, ...cell.learners]) this.gain(storeId, 1, bytes);
      const led = leaseholder === undefined ? undefined : this.byStore.get(leaseholder);
      if (led !== undefined) {
        led.leases++;
        led.requests += requests;
      }
      const action = underWay.get(rangeId);
      if (action !== undefined) this.count(cell, action);
    }
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
    return this.cells.filter(({ store }) => maybeGiven(store) && !but.includes(store.storeId));
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
  hasQuorum({ voters }: RangeCell): boolean {
    return 2 * voters.filter((storeId) => this.isLive(storeId)).length > voters.length;
  }

  /** On how many machines, and in how many zones, these stores are. */
  spread(storeIds: readonly StoreId[]): { machines: number; zones: number } {
    const machines = new Set<string>();
    const zones = new Set<string>();
    for (const storeId of storeIds) {
      const store = this.byStore.get(storeId)?.store;
      machines.add(store?.machine ?? `?${storeId}`);
      zones.add(store?.zone ?? '');
    }
    return { machines: machines.size, zones: zones.size };
  }

  /** Puts an action down, unless a store has enough to do. @returns false then */
  decide(cell: RangeCell, action: PlacementAction): boolean {
    assert(!cell.taken, 'one action per range', { rangeId: action.rangeId });
    const { receivingMax, transfersMax } = this.paces;
    const busy =
      action.kind === 'change'
        ? action.add.some((id) => (this.byStore.get(id)?.receiving ?? 0) >= receivingMax)
        : [action.from, action.to].some(
            (id) => (this.byStore.get(id)?.transfers ?? 0) >= transfersMax,
          );
    if (busy) return false;
    cell.taken = true;
    this.actions.push(action);
    this.count(cell, action);
    return true;
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
      if (store !== undefined) store.receiving++;
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

const nothing = { replicas: 0, leases: 0, bytes: 0, requests: 0, receiving: 0, transfers: 0 };

/** New replicas and leases may go there. */
export function maybeGiven({ health, draining, decommissioning }: StorePicture): boolean {
  return health === 'live' && !draining && !decommissioning;
}

/** Its replicas should be elsewhere: it is dead, or is going and cannot be waited for. */
export function isLost({ health, decommissioning }: StorePicture): boolean {
  return health === 'dead' || (decommissioning && health !== 'live');
}
