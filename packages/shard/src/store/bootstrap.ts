/**
 * Founding: the one moment when state appears without a log entry. Everything is written so that a crash anywhere in it
 * followed by the same request again ends right: range rows and meta rows first, flushed; then a first checkpoint in
 * the log; and last, as the single point of no return, the cluster id in the identity file.
 */
import {
  asBuffer,
  clusterIdBytes,
  equalBytes,
  type LogIndex,
  noClusterId,
  type RangeId,
  type StoreId,
  toLogIndex,
  toTimestamp,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Engine, EngineOperation, EngineSpan } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import { metaRangeId } from '../initial-ranges.ts';
import { kv } from '../protocol/index.ts';
import { checkDescriptor, type RangeDescriptor, replicaOnStore } from '../range-descriptor.ts';
import { nextRangeIdKey, rangeIdValue } from '../split/range-ids.ts';
import { type RangeState, rangeCheckpointRow } from '../state/range-checkpoint.ts';
import { SessionTable } from '../state/session-table.ts';
import { allRangeRows, ownerRowKey, StorageSpace } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { TransactionState } from '../state/transaction-state.ts';
import { metaKey } from './meta-index.ts';

export interface Founding {
  readonly clusterId: Buffer;
  readonly ranges: readonly RangeDescriptor[];
  readonly meta: RangeDescriptor;
}

export type FoundingResult =
  | { readonly ok: true; readonly founding: Founding }
  | { readonly ok: false; readonly reason: string };

/** Checks a request from outside. */
export function checkFounding(
  request: flotilla.kv.BootstrapRequest.$Properties,
  storeId: StoreId,
): FoundingResult {
  const clusterId = asBuffer(request.clusterId ?? noClusterId);
  if (clusterId.length !== clusterIdBytes || equalBytes(clusterId, noClusterId))
    return { ok: false, reason: 'a cluster id has 16 bytes, not all zero' };
  if (request.storeId !== storeId)
    return { ok: false, reason: `this is store ${storeId}, not ${String(request.storeId)}` };
  const ranges: RangeDescriptor[] = [];
  const seen = new Set<number>();
  for (const raw of request.ranges ?? []) {
    const checked = checkDescriptor(raw);
    if (!checked.ok) return { ok: false, reason: `bad range: ${checked.reason}` };
    const { rangeId } = checked.descriptor;
    if (seen.has(rangeId)) return { ok: false, reason: `r${rangeId} is there twice` };
    seen.add(rangeId);
    ranges.push(checked.descriptor);
  }
  const meta = ranges.find((range) => range.rangeId === metaRangeId);
  if (meta === undefined) return { ok: false, reason: 'the meta range is missing' };
  return { ok: true, founding: { clusterId: Buffer.from(clusterId), ranges, meta } };
}

/** Timestamp of the rows that exist from the beginning: the least that is not "never". */
const foundingTimestamp = toTimestamp(1);

/** State of this store's ranges before their first log entry. */
export function foundingStates(founding: Founding, storeId: StoreId): RangeState[] {
  const states: RangeState[] = [];
  for (const descriptor of founding.ranges) {
    const place = replicaOnStore(descriptor, storeId);
    if (place === undefined) continue;
    states.push({
      descriptor,
      replicaId: place.replicaId,
      appliedIndex: 0,
      appliedTerm: 0,
      storageId: descriptor.rangeId,
      lastTimestamp: descriptor.rangeId === metaRangeId ? foundingTimestamp : 0,
      liveBytes: 0,
      historyBytes: 0,
      sessions: new SessionTable(),
      lastDeletion: 0,
      transactions: new TransactionState(),
    });
  }
  return states;
}

/** Writes the founding state durably to the engine, in place of what an unfinished founding may have left. */
export async function writeFoundingState(
  engine: Engine,
  turns: EngineTurns,
  founding: Founding,
  states: readonly RangeState[],
  storeUuid: string,
): Promise<void> {
  const operations = await deletesOf(engine, allRangeRows);
  operations.push({ type: 'put', key: ownerRowKey, value: ownerRow(storeUuid) });
  for (const state of states) operations.push(rangeCheckpointRow(state));
  const meta = states.find((state) => state.descriptor.rangeId === metaRangeId);
  if (meta !== undefined) {
    const space = new StorageSpace(meta.storageId);
    const { startKey, endKey } = meta.descriptor;
    operations.push(...(await deletesOf(engine, space.dataSpan(startKey, endKey))));
    const next = Math.max(...founding.ranges.map(({ rangeId }) => rangeId)) + 1;
    operations.push({
      type: 'put',
      key: space.dataKey(nextRangeIdKey),
      value: encodeStored(nextRangeIdKey, foundingTimestamp, rangeIdValue(next)),
    });
    for (const descriptor of founding.ranges) {
      const key = metaKey(descriptor.endKey);
      const info = kv.RangeInfo.encode({ descriptor, leaseholderStoreId: 0, term: 0 }).finish();
      operations.push({
        type: 'put',
        key: space.dataKey(key),
        value: encodeStored(key, foundingTimestamp, info),
      });
    }
  }
  await turns.write(() => operations);
  await engine.flush();
}

async function deletesOf(engine: Engine, span: EngineSpan): Promise<EngineOperation[]> {
  const operations: EngineOperation[] = [];
  const iterator = engine.iterate(span);
  for (;;) {
    const rows = await iterator.next(256);
    if (rows.length === 0) break;
    for (const { key } of rows) operations.push({ type: 'del', key });
  }
  await iterator.close();
  return operations;
}

function ownerRow(storeUuid: string): Buffer {
  return encodeStored(ownerRowKey, 0, Buffer.from(storeUuid));
}

/** True if the engine belongs to this store and is not empty. */
export function isOwnEngine(engine: Engine, storeUuid: string): boolean {
  const row = engine.get(ownerRowKey);
  return row !== undefined && equalBytes(row, ownerRow(storeUuid));
}

export function foundingPositions(states: readonly RangeState[]): Map<RangeId, LogIndex> {
  return new Map(states.map((state) => [state.descriptor.rangeId, toLogIndex(0)]));
}
