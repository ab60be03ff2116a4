/** Descriptors that tests found a `StoreCluster` with. */
import { present, type StoreId, toRangeId, toReplicaId } from '@flotilla/base';
import type { RangeDescriptor } from '../range-descriptor.ts';

/** Ranges from each bound to the next, numbered from 1, with a replica on each of the stores. */
export function rangesOn(
  stores: readonly StoreId[],
  bounds: readonly Uint8Array[],
): RangeDescriptor[] {
  return bounds.slice(1).map((endKey, i) => ({
    rangeId: toRangeId(i + 1),
    startKey: present(bounds[i], 'start'),
    endKey,
    generation: 1,
    replicas: stores.map((storeId, k) => ({ replicaId: toReplicaId(k + 1), storeId })),
    nextReplicaId: toReplicaId(stores.length + 1),
  }));
}
