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

const kvPieces = 4;
const tablePieces = 8;

/** Start keys of the founding ranges, ascending; the first is the empty key. */
function startKeys(): Uint8Array[] {
  const keys = [new Uint8Array(0), systemPrefix, kvPrefix];
  for (let i = 1; i < kvPieces; i++) keys.push(Uint8Array.of(...kvPrefix, (256 / kvPieces) * i));
  keys.push(tablePrefix);
  for (let i = 1; i < tablePieces; i++)
    keys.push(Uint8Array.of(...tablePrefix, (256 / tablePieces) * i));
  return keys;
}

/**
 * @param storeIds the founding stores, distinct, at least one; each range gets up to three of them, in turn
 * @returns descriptors of generation 1, in key order; the meta range is the first
 */
export function initialRanges(storeIds: readonly StoreId[]): RangeDescriptor[] {
  assert(storeIds.length > 0, 'a cluster is founded on at least one store');
  const stores = [...new Set(storeIds)].sort((a, b) => a - b);
  assert(stores.length === storeIds.length, 'founding stores are distinct');
  const starts = startKeys();
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
