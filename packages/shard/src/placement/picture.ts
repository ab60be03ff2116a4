/**
 * What placement decides from: stores and ranges at one moment, with what is under way counted as done. A plain value;
 * made by `gather.ts` from the cluster's rows, or by a test.
 */
import type { RangeId, StoreId } from '@flotilla/base';
import { isLearner, isVoter, type RangeDescriptor } from '../range-descriptor.ts';

/** `live`: heard of lately. `suspect`: not, but not for long. `dead`: for the whole grace period. */
export type StoreHealth = 'live' | 'suspect' | 'dead';

export interface StorePicture {
  readonly storeId: StoreId;
  readonly machine: string;
  /** Empty: not known. */
  readonly zone: string;
  readonly health: StoreHealth;
  readonly draining: boolean;
  readonly decommissioning: boolean;
  /** Of the file system that its ranges lie on. Undefined: not known. */
  readonly disk?: DiskRoom | undefined;
}

/** `filling`: nothing is put there only to even out. `full`: nothing is put there at all, and some of it goes elsewhere. */
export type DiskRoom = 'roomy' | 'filling' | 'full';

export function sameStore(one: StorePicture, other: StorePicture | undefined): boolean {
  return (
    one.storeId === other?.storeId &&
    one.machine === other.machine &&
    one.zone === other.zone &&
    one.health === other.health &&
    one.draining === other.draining &&
    one.decommissioning === other.decommissioning &&
    one.disk === other.disk
  );
}

export interface RangePicture {
  readonly descriptor: RangeDescriptor;
  /** Undefined: nobody is known to lead it. */
  readonly leaseholder: StoreId | undefined;
  /** About. 0: nothing, or not known. */
  readonly bytes: number;
  /** Nobody has said lately how much it holds. */
  readonly unmeasured?: boolean;
  /** Of its leaseholder. 0: not known. Unit: requests/s. */
  readonly requests: number;
  /** The store whose process asks for most of it: a gateway runs there. */
  readonly asker?: StoreId | undefined;
  /** Voters that it should have. Undefined: as many as all. */
  readonly replicas?: number | undefined;
  /** The zone that should lead it. */
  readonly leasePreference?: string | undefined;
}

export type PlacementAction =
  | {
      readonly kind: 'change';
      readonly rangeId: RangeId;
      readonly add: readonly StoreId[];
      readonly remove: readonly StoreId[];
      /** Of the descriptor that it was decided from. */
      readonly generation: number;
      readonly rule: PlacementRule;
      /** For people: half a sentence. */
      readonly reason: string;
    }
  | {
      readonly kind: 'transfer';
      readonly rangeId: RangeId;
      readonly from: StoreId;
      readonly to: StoreId;
      readonly generation: number;
      readonly rule: PlacementRule;
      readonly reason: string;
    };

/** In order of urgency. */
const rules = [
  'repair',
  'half-done',
  'decommission',
  'drain',
  'spread',
  'replication',
  'full-disk',
  'balance-count',
  'balance-bytes',
  'lease-preference',
  'lease-follows',
  'balance-leases',
  'balance-load',
] as const;
export type PlacementRule = (typeof rules)[number];

export function isMoreUrgent(one: PlacementRule, other: PlacementRule): boolean {
  return rules.indexOf(one) < rules.indexOf(other);
}

/** Something that was decided for a range came to nothing lately. */
export interface Setback {
  /** By which it was decided. */
  readonly rule: PlacementRule;
  /** The range is left alone for now, except for what is more urgent. */
  readonly isAtRest: boolean;
  /** How often each store should have got a replica, or the lease, and did not. */
  readonly misses: ReadonlyMap<StoreId, number>;
}

/** How much is done at once. */
export interface PlacementPaces {
  /** Moves to one store at once, whatever the ranges hold: as many snapshots as it admits. */
  readonly receivingMax: number;
  /** More of them, as long as all together hold no more. Unit: bytes. */
  readonly receivingBytesMax: number;
  /** And no more than this. */
  readonly receivingSmallMax: number;
  /** Leases on their way to, and from, one store: each stops the writes of its range for a moment. */
  readonly transfersMax: number;
}

export interface PlacementPicture {
  readonly stores: readonly StorePicture[];
  readonly ranges: readonly RangePicture[];
  /** Voters that a range should have that says nothing else. */
  readonly replicationFactor: number;
  readonly paces: PlacementPaces;
  /** Being carried out. No other action for these ranges; counted as if done. */
  readonly underWay: readonly PlacementAction[];
  readonly setbacks: ReadonlyMap<RangeId, Setback>;
  /** Ranges whose lease should stay for now: it has just moved, or somebody asked for it to be there. */
  readonly leasesAtRest: ReadonlySet<RangeId>;
}

/** Stores with a voter, by an applied configuration that is not joint. */
export function voterStores(descriptor: RangeDescriptor): StoreId[] {
  return descriptor.replicas.filter(isVoter).map(({ storeId }) => storeId);
}

export function learnerStores(descriptor: RangeDescriptor): StoreId[] {
  return descriptor.replicas.filter(isLearner).map(({ storeId }) => storeId);
}
