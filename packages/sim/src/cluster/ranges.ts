/** A founding cut with few ranges, all of which the workloads use, but for the first: it holds the map of the others. */
import {
  keyMax,
  kvPrefix,
  type StoreId,
  systemPrefix,
  toRangeId,
  toReplicaId,
} from '@flotilla/base';
import type { initialRanges } from '@flotilla/shard';

export type RangeDescriptor = ReturnType<typeof initialRanges>[number];

/** @param count at least 2 */
export function cutInto(
  count: number,
): (storeIds: readonly StoreId[]) => readonly RangeDescriptor[] {
  return (storeIds) => {
    const starts = [new Uint8Array(0), systemPrefix];
    for (let i = 1; i < count - 1; i++)
      starts.push(Uint8Array.of(...kvPrefix, Math.floor((256 * i) / (count - 1))));
    const copies = Math.min(3, storeIds.length);
    return starts.map((startKey, i) => ({
      rangeId: toRangeId(i + 1),
      startKey,
      endKey: starts[i + 1] ?? keyMax,
      generation: 1,
      replicas: Array.from({ length: copies }, (_, k) => ({
        replicaId: toReplicaId(k + 1),
        storeId: storeIds[(i + k) % storeIds.length] as StoreId,
      })),
      nextReplicaId: toReplicaId(copies + 1),
    }));
  };
}

/** Key number `n` of a kind, spread over the ranges that `cutInto` makes. */
export function keyOf(kind: string, n: number): Buffer {
  return Buffer.concat([kvPrefix, Buffer.of((n * 97 + 13) % 256), Buffer.from(`${kind}${n}`)]);
}
