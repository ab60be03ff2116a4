/** Takes old versions that were deleted off what their ranges are said to hold. Called by whoever deletes them. */
import { spanContains } from '@flotilla/base';
import type { EngineRow } from '../engine/engine.ts';
import type { Replica } from '../replica/replica.ts';
import { dataPrefixBytes, storageIdOf, userKeyOfHistory } from '../state/storage-keys.ts';

/** @param rows of the history, in the order of their keys; those of nobody count for nobody */
export function countForgotten(rows: readonly EngineRow[], replicas: Iterable<Replica>): void {
  const byStorage = new Map<number, Replica[]>();
  for (const replica of replicas) {
    const sharers = byStorage.get(replica.storageId);
    if (sharers === undefined) byStorage.set(replica.storageId, [replica]);
    else sharers.push(replica);
  }
  let last: Replica | undefined;
  for (const { key, value } of rows) {
    const storageId = storageIdOf(key);
    const userKey = userKeyOfHistory(key.subarray(dataPrefixBytes));
    if (userKey === undefined) continue;
    if (last?.storageId !== storageId || !spanContains(last.descriptor, userKey))
      last = byStorage.get(storageId)?.find(({ descriptor }) => spanContains(descriptor, userKey));
    last?.forgot(userKey.length + value.length);
  }
}
