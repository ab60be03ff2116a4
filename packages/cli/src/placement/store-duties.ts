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
import { kv } from '@flotilla/shard/protocol';
import type { ClusterStatus, RangeRow } from '../status/cluster-status.ts';

/** A range as its row in the meta index has it. */
export interface IndexedRange {
  readonly rangeId: number;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly generation: number;
  readonly term: number;
  /** 0: nobody has said yet. */
  readonly leaseholderStoreId: number;
  readonly storeIds: readonly number[];
}

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
): Promise<readonly IndexedRange[] | string> {
  let ranges: IndexedRange[];
  try {
    ranges = (await rowsOf(router, prefixSpan(metaPrefix), timeoutMs)).map(rangeOf);
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    return `the meta index (${error.message})`;
  }
  const hole = firstHole(ranges);
  return hole === undefined ? ranges : `the meta index: who has ${spanText(hole)} is not known`;
}

export async function rowsOf(router: Router, span: Span, timeoutMs: number): Promise<KvRow[]> {
  const rows: KvRow[] = [];
  for await (const batch of router.scan(span, { timeoutMs })) rows.push(...batch);
  return rows;
}

function rangeOf({ value }: KvRow): IndexedRange {
  const { descriptor, leaseholderStoreId, term } = kv.RangeInfo.decode(value);
  return {
    rangeId: descriptor?.rangeId ?? 0,
    startKey: descriptor?.startKey ?? emptyBytes,
    endKey: descriptor?.endKey ?? emptyBytes,
    generation: descriptor?.generation ?? 0,
    term,
    leaseholderStoreId,
    storeIds: (descriptor?.replicas ?? []).map(({ storeId }) => storeId ?? 0),
  };
}

/** A part of the key space that no row tells of, or several: ranges are being cut just now. */
function firstHole(ranges: readonly IndexedRange[]): Span | undefined {
  let from: Uint8Array = emptyBytes;
  for (const { startKey, endKey } of [...ranges].sort((a, b) => compareBytes(a.endKey, b.endKey))) {
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
  index: readonly IndexedRange[] | string,
  status: ClusterStatus,
): StoreDuties {
  const answered = new Map(status.ranges.map((range) => [range.rangeId, range]));
  const indexed = typeof index === 'string' ? [] : index;
  const known = new Map(indexed.map((range) => [range.rangeId, range]));
  const replicas = new Set<number>();
  const leases = new Set<number>();
  const unconfirmed: number[] = [];
  for (const range of indexed) {
    const told = answered.get(range.rangeId);
    if (told === undefined || told.generation <= range.generation)
      if (range.storeIds.includes(storeId)) replicas.add(range.rangeId);
    if (told !== undefined && isConfirmed(range, told)) continue;
    unconfirmed.push(range.rangeId);
    if (range.leaseholderStoreId === storeId) leases.add(range.rangeId);
  }
  for (const told of status.ranges) {
    const isNewest = told.generation >= (known.get(told.rangeId)?.generation ?? 0);
    const isMember = told.replicas.some((replica) => replica.storeId === storeId);
    if (isNewest && isMember) replicas.add(told.rangeId);
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
export function placedOn(
  storeId: number,
  index: readonly IndexedRange[] | string,
): number | undefined {
  if (typeof index === 'string') return undefined;
  return index.filter(({ storeIds }) => storeIds.includes(storeId)).length;
}

/** A store that leads it knows the range as its row does, or newer; if it was cut since, another row is to come. */
function isConfirmed(range: IndexedRange, told: RangeRow): boolean {
  return (
    isLed(told) &&
    told.term >= range.term &&
    told.generation >= range.generation &&
    told.startKey === toHex(range.startKey) &&
    told.endKey === toHex(range.endKey)
  );
}

/** By a lease that nobody else can have meanwhile. */
function isLed({ leaseholderStoreId, lease }: RangeRow): boolean {
  return leaseholderStoreId !== undefined && lease === 'valid';
}

function silentStores(
  index: readonly IndexedRange[],
  rangeIds: ReadonlySet<number>,
  status: ClusterStatus,
): number[] {
  const silent = new Set<number>();
  for (const { rangeId, storeIds } of index)
    if (rangeIds.has(rangeId)) for (const storeId of storeIds) silent.add(storeId);
  for (const { storeId, answers } of status.stores) if (answers) silent.delete(storeId);
  return [...silent].sort((a, b) => a - b);
}

function namesOf(letter: string, ids: readonly number[]): string {
  const named = ids.slice(0, namedMax).map((id) => `${letter}${id}`);
  const others = ids.length - named.length;
  return others === 0 ? named.join(', ') : `${named.join(', ')} and ${others} more`;
}
