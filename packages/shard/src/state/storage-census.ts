/** What lies in an engine that is opened: storage ids in use or left over, and tombstones. One seek per storage id. */
import { asBuffer, assert, compareBytes, emptyBytes, keyMax } from '@flotilla/base';
import type { Engine, EngineSpan } from '../engine/engine.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { UnusedStorage } from '../store/storage-reclaimer.ts';
import type { RangeState } from './range-checkpoint.ts';
import {
  allTombstones,
  rangeIdOfTombstone,
  readU64,
  storageIdOf,
  storageSpansFrom,
  tombstoneKey,
  writeU64,
} from './storage-keys.ts';
import { checkStored, encodeStored, storedPayload } from './stored-value.ts';

/** Storage ids that have rows, ascending. */
export async function storageIdsIn(engine: Engine): Promise<readonly number[]> {
  const found = new Set<number>();
  const kinds = storageSpansFrom(1).length;
  for (let kind = 0; kind < kinds; kind++) {
    for (let from = 1; from <= 0xffff_ffff; ) {
      const span = storageSpansFrom(from)[kind];
      const first = span === undefined ? undefined : await firstKey(engine, span);
      if (first === undefined) break;
      const storageId = storageIdOf(first);
      found.add(storageId);
      from = storageId + 1;
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** What of these storage ids belongs to none of the ranges: all of it, or what lies beside and between their spans. */
export function unusedStorage(
  storageIds: readonly number[],
  ranges: readonly RangeState[],
): readonly UnusedStorage[] {
  const users = new Map<number, RangeDescriptor[]>();
  for (const { storageId, descriptor } of ranges) {
    const others = users.get(storageId);
    if (others === undefined) users.set(storageId, [descriptor]);
    else others.push(descriptor);
  }
  const unused: UnusedStorage[] = [];
  for (const storageId of storageIds) {
    const using = users.get(storageId) ?? [];
    if (using.length === 0) {
      unused.push({ storageId, span: undefined });
      continue;
    }
    using.sort((a, b) => compareBytes(a.startKey, b.startKey));
    let startKey: Uint8Array = emptyBytes;
    for (const { startKey: endKey, endKey: next } of using) {
      assert(compareBytes(startKey, endKey) <= 0, 'ranges do not overlap', { storageId });
      if (compareBytes(startKey, endKey) < 0)
        unused.push({ storageId, span: { startKey, endKey } });
      startKey = next;
    }
    if (compareBytes(startKey, keyMax) < 0)
      unused.push({ storageId, span: { startKey, endKey: keyMax } });
  }
  return unused;
}

async function firstKey(engine: Engine, span: EngineSpan): Promise<Buffer | undefined> {
  const iterator = engine.iterate(span);
  try {
    const [row] = await iterator.next(1);
    return row === undefined ? undefined : asBuffer(row.key);
  } finally {
    await iterator.close();
  }
}

/** By range, the least replica id that may live on this store. */
export async function readTombstones(engine: Engine): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  const iterator = engine.iterate(allTombstones);
  try {
    for (;;) {
      const rows = await iterator.next(256);
      if (rows.length === 0) return found;
      for (const { key, value } of rows)
        found.set(rangeIdOfTombstone(key), readU64(storedPayload(checkStored(key, value)), 0));
    }
  } finally {
    await iterator.close();
  }
}

export function tombstoneRow(
  rangeId: number,
  leastReplicaId: number,
): { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer } {
  const key = tombstoneKey(rangeId);
  const payload = Buffer.allocUnsafe(8);
  writeU64(payload, 0, leastReplicaId);
  return { type: 'put', key, value: encodeStored(key, 0, payload) };
}
