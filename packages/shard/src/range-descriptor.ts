/**
 * Which keys a range holds and who its members are. The group's own applied state is the truth; everything else that
 * carries a descriptor is an index or a cache, in which the higher generation wins.
 */
import {
  compareBytes,
  equalBytes,
  type RangeId,
  type ReplicaId,
  type Span,
  type StoreId,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import type { flotilla } from '../gen/kv.js';

export interface ReplicaPlace {
  replicaId: ReplicaId;
  storeId: StoreId;
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
  for (const { replicaId, storeId } of from.replicas ?? []) {
    if (!isId(replicaId) || !isId(storeId)) return { ok: false, reason: 'replica' };
    if (replicas.some((other) => other.replicaId === replicaId || other.storeId === storeId))
      return { ok: false, reason: 'replica is there twice' };
    replicas.push({ replicaId: toReplicaId(replicaId), storeId: toStoreId(storeId) });
  }
  if (replicas.length === 0) return { ok: false, reason: 'no replicas' };
  replicas.sort((a, b) => a.replicaId - b.replicaId);
  if (!isId(nextReplicaId) || replicas.some((replica) => replica.replicaId >= nextReplicaId))
    return { ok: false, reason: 'next replica id' };
  return {
    ok: true,
    descriptor: {
      rangeId: toRangeId(rangeId),
      startKey,
      endKey,
      generation,
      replicas,
      nextReplicaId: toReplicaId(nextReplicaId),
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

export function sameDescriptor(a: RangeDescriptor, b: RangeDescriptor): boolean {
  return (
    a.rangeId === b.rangeId &&
    a.generation === b.generation &&
    equalBytes(a.startKey, b.startKey) &&
    equalBytes(a.endKey, b.endKey)
  );
}
