/**
 * The founding cut of the key space: enough ranges that a young cluster uses every store, few enough to be cheap. The
 * ranges tile [empty, keyMax). Used once, by whoever founds a cluster.
 */
import {
  assert,
  compareBytes,
  keyMax,
  kvPrefix,
  present,
  type RangeId,
  type StoreId,
  systemPrefix,
  tablePrefix,
  toRangeId,
  toReplicaId,
} from '@flotilla/base';
import { isVoter, type RangeDescriptor } from './range-descriptor.ts';

/** The range whose rows say where every range is. */
export const metaRangeId: RangeId = toRangeId(1);
export const replicationFactor = 3;

/** Enough that a young cluster uses every store. */
export const foundingRangesDefault: number = 14;
/** The meta range, the system's, and one each for the two spaces that grow. */
export const foundingRangesMin: number = 4;
/** What one request to found a store may carry. */
export const foundingRangesMax: number = 10_000;

/** Start keys of `count` founding ranges, ascending; the first is the empty key. */
function startKeys(count: number): Uint8Array[] {
  const pieces = count - 2;
  const kvPieces = Math.max(1, Math.floor(pieces / 3));
  return [
    new Uint8Array(0),
    systemPrefix,
    ...startsOf(kvPrefix, kvPieces),
    ...startsOf(tablePrefix, pieces - kvPieces),
  ];
}

/** Cuts the span of a prefix into equal pieces by the two bytes after it. */
function startsOf(prefix: Uint8Array, pieces: number): Uint8Array[] {
  return Array.from({ length: pieces }, (_, i) => {
    const at = Math.floor((i * 0x1_0000) / pieces);
    const [high, low] = [at >> 8, at & 0xff];
    if (i === 0) return prefix;
    return Uint8Array.of(...prefix, ...(low === 0 ? [high] : [high, low]));
  });
}

/**
 * @param storeIds the founding stores, distinct, at least one; each range gets up to three of them, in turn
 * @param count how many ranges; more than the default only pays where much data comes at once
 * @returns descriptors of generation 1, in key order; the meta range is the first
 */
export function initialRanges(
  storeIds: readonly StoreId[],
  count: number = foundingRangesDefault,
): RangeDescriptor[] {
  assert(count >= foundingRangesMin && count <= foundingRangesMax, 'a sane number of ranges', {
    count,
  });
  assert(storeIds.length > 0, 'a cluster is founded on at least one store');
  const stores = [...new Set(storeIds)].sort((a, b) => a - b);
  assert(stores.length === storeIds.length, 'founding stores are distinct');
  const starts = startKeys(count);
  return starts.map((startKey, i) => {
    const endKey = starts[i + 1] ?? keyMax;
    assert(compareBytes(startKey, endKey) < 0, 'founding ranges ascend');
    const count = Math.min(replicationFactor, stores.length);
    const replicas = Array.from({ length: count }, (_, k) => ({
      replicaId: toReplicaId(k + 1),
      // Which stores hold a range rotates, so that more than three stores share the load.
      storeId: present(stores[(i + k) % stores.length], 'a store'),
    }));
    return {
      rangeId: toRangeId(i + 1),
      startKey,
      endKey,
      generation: 1,
      replicas,
      nextReplicaId: toReplicaId(count + 1),
    };
  });
}

/** The store that should lead the range when it can: spreads leaders evenly without talk. */
export function preferredLeader(descriptor: RangeDescriptor): StoreId {
  const stores = descriptor.replicas
    .filter((replica) => isVoter(replica))
    .map((replica) => replica.storeId)
    .sort((a, b) => a - b);
  const store = stores[descriptor.rangeId % stores.length];
  assert(store !== undefined, 'a range has voters');
  return store;
}
