/**
 * What still rests on a store, and whether that is known for certain. Replicas are where the meta index says, leases where
 * leaseholders say; a store may only be called free when the index is whole and whoever leads each range has confirmed
 * its row. What is not known is said, never taken for nothing. Pure, but for the reading of the index.
 */
import {
  compareBytes,
  DbError,
  emptyBytes,
  keyMax,
  metaPrefix,
  prefixSpan,
  type Span,
  spanText,
  toHex,
} from '@flotilla/base';
import type { KvRow, Router } from '@flotilla/router';
import { decodeIndexRow, type IndexRow } from '@flotilla/shard';
import type { ClusterStatus, RangeRow } from '../status/cluster-status.ts';

export interface StoreDuties {
  /** Ranges that have a replica on the store, and ranges that it leads: as many as are known. */
  readonly replicas: number;
  readonly leases: number;
  /** What has to be heard before these numbers are all. Empty: they are. */
  readonly waitingFor: readonly string[];
}

/** Ranges and stores that are named one by one. */
const namedMax = 5;

/** The whole meta index, or why it is not known. */
export async function readIndex(
  router: Router,
  timeoutMs: number,
): Promise<readonly IndexRow[] | string> {
  const ranges: IndexRow[] = [];
  try {
    for (const { value } of await rowsOf(router, prefixSpan(metaPrefix), timeoutMs)) {
      const row = decodeIndexRow(value);
      if (row !== undefined) ranges.push(row);
    }
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    return `the meta index (${error.message})`;
  }
  const hole = firstHole(ranges);
  return hole === undefined ? ranges : `the meta index: who has ${spanText(hole)} is not known`;
}

async function rowsOf(router: Router, span: Span, timeoutMs: number): Promise<KvRow[]> {
  const rows: KvRow[] = [];
  for await (const batch of router.scan(span, { timeoutMs })) rows.push(...batch);
  return rows;
}

/** A part of the key space that no row tells of, or several: ranges are being cut just now. */
function firstHole(index: readonly IndexRow[]): Span | undefined {
  let from: Uint8Array = emptyBytes;
  const descriptors = index.map(({ descriptor }) => descriptor);
  for (const { startKey, endKey } of descriptors.sort((a, b) => compareBytes(a.endKey, b.endKey))) {
    if (compareBytes(startKey, from) !== 0) return { startKey: from, endKey };
    from = endKey;
  }
  return compareBytes(from, keyMax) === 0 ? undefined : { startKey: from, endKey: keyMax };
}

/**
 * @param index read before `status`, so that leaseholders know no less than their rows; or why it is not known
 * @param status of whoever answered
 */
export function dutiesOf(
  storeId: number,
  index: readonly IndexRow[] | string,
  status: ClusterStatus,
): StoreDuties {
  const answered = new Map(status.ranges.map((range) => [range.rangeId, range]));
  const indexed = typeof index === 'string' ? [] : index;
  const known = new Map(indexed.map((row) => [Number(row.descriptor.rangeId), row]));
  const replicas = new Set<number>();
  const leases = new Set<number>();
  const unconfirmed: number[] = [];
  for (const row of indexed) {
    const { rangeId, generation } = row.descriptor;
    const told = answered.get(rangeId);
    const isNewest = told === undefined || told.generation <= generation;
    if (isNewest && isMember(row, storeId)) replicas.add(rangeId);
    if (told !== undefined && isConfirmed(row, told)) continue;
    unconfirmed.push(rangeId);
    if (row.leaseholderStoreId === storeId) leases.add(rangeId);
  }
  for (const told of status.ranges) {
    const isNewest = told.generation >= (known.get(told.rangeId)?.descriptor.generation ?? 0);
    const isHolder = told.replicas.some((replica) => replica.storeId === storeId);
    if (isNewest && isHolder) replicas.add(told.rangeId);
    if (told.leaseholderStoreId === storeId) leases.add(told.rangeId);
    if (!known.has(told.rangeId) && !isLed(told)) unconfirmed.push(told.rangeId);
  }
  const waitingFor = typeof index === 'string' ? [index] : [];
  if (unconfirmed.length > 0) {
    const silent = silentStores(indexed, new Set(unconfirmed), status);
    const whose = unconfirmed.length === 1 ? 'the leaseholder' : 'the leaseholders';
    const why = silent.length === 0 ? '' : ` (${namesOf('s', silent)}: no answer)`;
    waitingFor.push(`${whose} of ${namesOf('r', unconfirmed)}${why}`);
  }
  return { replicas: replicas.size, leases: leases.size, waitingFor };
}

/** Ranges with a replica on the store, by the index alone. Undefined: it is not known whole. */
export function placedOn(storeId: number, index: readonly IndexRow[] | string): number | undefined {
  if (typeof index === 'string') return undefined;
  return index.filter((row) => isMember(row, storeId)).length;
}

/** A store that leads it knows the range as its row does, or newer; if it was cut since, another row is to come. */
function isConfirmed({ descriptor, term }: IndexRow, told: RangeRow): boolean {
  return (
    isLed(told) &&
    told.term >= term &&
    told.generation >= descriptor.generation &&
    told.startKey === toHex(descriptor.startKey) &&
    told.endKey === toHex(descriptor.endKey)
  );
}

function isMember({ descriptor }: IndexRow, storeId: number): boolean {
  return descriptor.replicas.some((replica) => replica.storeId === storeId);
}

/** By a lease that nobody else can have meanwhile. */
function isLed({ leaseholderStoreId, lease }: RangeRow): boolean {
  return leaseholderStoreId !== undefined && lease === 'valid';
}

function silentStores(
  index: readonly IndexRow[],
  rangeIds: ReadonlySet<number>,
  status: ClusterStatus,
): number[] {
  const silent = new Set<number>();
  for (const { descriptor } of index)
    if (rangeIds.has(descriptor.rangeId))
      for (const { storeId } of descriptor.replicas) silent.add(storeId);
  for (const { storeId, answers } of status.stores) if (answers) silent.delete(storeId);
  return [...silent].sort((a, b) => a - b);
}

function namesOf(letter: string, ids: readonly number[]): string {
  const named = ids.slice(0, namedMax).map((id) => `${letter}${id}`);
  const others = ids.length - named.length;
  return others === 0 ? named.join(', ') : `${named.join(', ')} and ${others} more`;
}
