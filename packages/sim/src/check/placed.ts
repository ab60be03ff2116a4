/**
 * Replicas and leases are where they should be, when nothing is under way any more: a store that is decommissioned holds
 * nothing as long as others can; one that drains leads nothing that another store of the range could lead; and no two
 * replicas of a range share a machine while a store of another machine could take one. That every range has its number of
 * voters on stores that live is looked at by whoever changes members (`cluster/operator.ts`).
 */
import { spanContains } from '@flotilla/base';
import { decodeIntent, intentSpan, metaRangeId, storeOfKey } from '@flotilla/shard';
import { versionsOf } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { type Leader, leadersOf } from './leaders.ts';

export interface Intent {
  readonly draining: boolean;
  readonly decommissioning: boolean;
}

/** A store that lives and is a member. */
export interface Place {
  readonly storeId: number;
  /** Of its machine. */
  readonly label: string;
}

/** Where one range is. */
export interface Placed {
  readonly rangeId: number;
  readonly stores: readonly number[];
  readonly leader: number;
}

export interface FleetPicture {
  readonly places: readonly Place[];
  /** By store. */
  readonly intents: ReadonlyMap<number, Intent>;
  readonly ranges: readonly Placed[];
  /** Voters that a range should have. */
  readonly replication: number;
}

export function fleetPicture(machines: readonly StoreMachine[], replication: number): FleetPicture {
  const leaders = leadersOf(machines);
  return {
    places: machines
      .filter(({ isMember, isDamaged }) => isMember && !isDamaged)
      .map(({ storeId, label }) => ({ storeId, label })),
    intents: intentsOf(leaders.get(metaRangeId)),
    ranges: [...leaders.values()].map(({ machine, descriptor }) => ({
      rangeId: descriptor.rangeId,
      stores: descriptor.replicas.map(({ storeId }) => storeId),
      leader: machine.storeId,
    })),
    replication,
  };
}

/** @returns what is not where it should be, or undefined */
export function placementFault({
  places,
  intents,
  ranges,
  replication,
}: FleetPicture): string | undefined {
  const isLeaving = (storeId: number): boolean => intents.get(storeId)?.decommissioning === true;
  const isGivable = (storeId: number): boolean =>
    intents.get(storeId)?.draining !== true && !isLeaving(storeId);
  const takers = places.filter(({ storeId }) => isGivable(storeId));
  const labelOf = new Map(places.map(({ storeId, label }) => [storeId, label]));
  for (const { rangeId, stores, leader } of ranges) {
    const leaving = stores.find(isLeaving);
    if (leaving !== undefined && takers.length >= replication)
      return `r${rangeId} is on s${leaving}, which is decommissioned`;
    if (!isGivable(leader) && stores.some(isGivable))
      return `r${rangeId} is led by s${leader}, which drains`;
    const labels = new Set(stores.map((storeId) => labelOf.get(storeId)));
    const other = takers.find(({ label }) => !labels.has(label));
    if (labels.size < stores.length && other !== undefined)
      return `r${rangeId} is twice on a machine, on s${stores}, and s${other.storeId} is on another`;
  }
  return undefined;
}

/** What operators want of stores, as the first range's leader has it. */
function intentsOf(first: Leader | undefined): ReadonlyMap<number, Intent> {
  const intents = new Map<number, Intent>();
  const store = first?.machine.store;
  if (first === undefined || store === undefined) return intents;
  for (const { key, supersededAt, value } of versionsOf(store, first.machine.engine, metaRangeId)) {
    if (supersededAt !== 0 || !spanContains(intentSpan, key)) continue;
    const { draining = false, decommissioning = false } = decodeIntent(value) ?? {};
    intents.set(storeOfKey(key), { draining, decommissioning });
  }
  return intents;
}
