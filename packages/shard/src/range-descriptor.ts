/**
 * Which keys a range holds and who its members are. The group's own applied state is the truth; everything else that
 * carries a descriptor is an index or a cache, in which the higher generation wins.
 */
import {
  compareBytes,
  type RangeId,
  type ReplicaId,
  type Span,
  type StoreId,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import { flotilla } from '../gen/kv.js';

export type ReplicaRole = flotilla.kv.ReplicaRole;
export const ReplicaRole: typeof flotilla.kv.ReplicaRole = flotilla.kv.ReplicaRole;

export interface ReplicaPlace {
  replicaId: ReplicaId;
  storeId: StoreId;
  /** Absent: a voter. */
  role?: ReplicaRole;
}

/** Assignable to the protocol's RangeDescriptor. Never changed in place. */
export interface RangeDescriptor {
  rangeId: RangeId;
  startKey: Uint8Array;
  /** Exclusive. */
  endKey: Uint8Array;
  /** From 1. Rises with every change of bounds or replicas. */
  generation: number;
  /** Sorted by replica id; at most one per store. */
  replicas: ReplicaPlace[];
  nextReplicaId: ReplicaId;
  /** The generation in which the bounds changed last; absent: the first. */
  boundsGeneration?: number;
}

export type DescriptorResult =
  | { readonly ok: true; readonly descriptor: RangeDescriptor }
  | { readonly ok: false; readonly reason: string };

function isId(n: number | null | undefined): n is number {
  return typeof n === 'number' && Number.isSafeInteger(n) && n >= 1;
}

/** Checks a descriptor that came from outside. Keys are copied out of the bytes they came in. */
export function checkDescriptor(from: flotilla.kv.RangeDescriptor.$Properties): DescriptorResult {
  const { rangeId, generation, nextReplicaId } = from;
  if (!isId(rangeId)) return { ok: false, reason: 'range id' };
  if (!isId(generation)) return { ok: false, reason: 'generation' };
  const startKey = Buffer.from(from.startKey ?? new Uint8Array(0));
  const endKey = Buffer.from(from.endKey ?? new Uint8Array(0));
  if (compareBytes(startKey, endKey) >= 0) return { ok: false, reason: 'bounds' };
  const replicas: ReplicaPlace[] = [];
  for (const { replicaId, storeId, role } of from.replicas ?? []) {
    if (!isId(replicaId) || !isId(storeId)) return { ok: false, reason: 'replica' };
    if (role && ReplicaRole[role] === undefined) return { ok: false, reason: 'replica role' };
    if (replicas.some((other) => other.replicaId === replicaId || other.storeId === storeId))
      return { ok: false, reason: 'replica is there twice' };
    replicas.push({
      replicaId: toReplicaId(replicaId),
      storeId: toStoreId(storeId),
      ...(role ? { role } : {}),
    });
  }
  if (replicas.length === 0) return { ok: false, reason: 'no replicas' };
  replicas.sort((a, b) => a.replicaId - b.replicaId);
  if (!isId(nextReplicaId) || replicas.some((replica) => replica.replicaId >= nextReplicaId))
    return { ok: false, reason: 'next replica id' };
  const boundsGeneration = from.boundsGeneration ?? 0;
  if (boundsGeneration !== 0 && !(isId(boundsGeneration) && boundsGeneration <= generation))
    return { ok: false, reason: 'generation of the bounds' };
  return {
    ok: true,
    descriptor: {
      rangeId: toRangeId(rangeId),
      startKey,
      endKey,
      generation,
      replicas,
      nextReplicaId: toReplicaId(nextReplicaId),
      ...(boundsGeneration === 0 ? {} : { boundsGeneration }),
    },
  };
}

export function descriptorSpan(descriptor: RangeDescriptor): Span {
  return { startKey: descriptor.startKey, endKey: descriptor.endKey };
}

export function replicaOnStore(
  descriptor: RangeDescriptor,
  storeId: StoreId,
): ReplicaPlace | undefined {
  return descriptor.replicas.find((replica) => replica.storeId === storeId);
}

/** Requests and commands of an older generation than this do not know the range's bounds. */
export function boundsGeneration(descriptor: RangeDescriptor): number {
  return descriptor.boundsGeneration ?? 1;
}

/** Votes and goes on voting: whom leadership may be given to. */
export function isVoter(replica: ReplicaPlace): boolean {
  const role = replica.role ?? ReplicaRole.VOTER;
  return role === ReplicaRole.VOTER || role === ReplicaRole.VOTER_INCOMING;
}

export function isLearner(replica: ReplicaPlace): boolean {
  return replica.role === ReplicaRole.LEARNER || replica.role === ReplicaRole.LEARNER_OUTGOING;
}

/**
 * True if the descriptor proves that a replica is a member no longer: its id was given out and is not in use on that
 * store. Ids are never given out again, so the proof holds for ever.
 */
export function provesRemoved(
  descriptor: RangeDescriptor,
  replicaId: number,
  storeId: number,
): boolean {
  return (
    replicaId < descriptor.nextReplicaId &&
    !descriptor.replicas.some(
      (replica) => replica.replicaId === replicaId && replica.storeId === storeId,
    )
  );
}

/** Store ids from outside; undefined if one is none. */
export function toStoreIds(from: readonly number[] | null | undefined): StoreId[] | undefined {
  const ids = from ?? [];
  return ids.every(isId) ? ids.map(toStoreId) : undefined;
}
