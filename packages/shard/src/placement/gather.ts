/**
 * Makes the picture that placement decides from, at the store that leads the first range: stores' rows and intents from
 * its own engine, the meta index from there too and, where it was split, from the ranges that hold the rest.
 */
import {
  asBuffer,
  type Clock,
  compareBytes,
  metaPrefix,
  prefixSpan,
  type Span,
  type StoreId,
  timestampToWallMs,
  toStoreId,
  toTimestamp,
} from '@flotilla/base';
import type { Engine } from '../engine/engine.ts';
import { configurationSpan, type RangeConfigurations } from '../protocol/range-configuration.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload, storedTimestamp } from '../state/stored-value.ts';
import { decodeIntent, decodeReport, intentSpan, reportSpan, storeOfKey } from './cluster-rows.ts';
import type { IndexCache, IndexRow, StoredRow } from './index-cache.ts';
import {
  type DiskRoom,
  type RangePicture,
  type StorePicture,
  sameStore,
  voterStores,
} from './picture.ts';
import type { RangeFigures } from './range-figures.ts';
import type { Capacity } from './settings.ts';
import type { Sightings } from './sightings.ts';
import { forEachInTurns } from './slices.ts';
import { RangeContact, type RangeInfo, type Row, type StoreClient } from './store-client.ts';

export interface GatherOptions {
  readonly clock: Clock;
  readonly engine: Engine;
  readonly client: StoreClient;
  readonly figures: RangeFigures;
  readonly cache: IndexCache;
  /** Other stores were waited for. Unit: ms. */
  readonly waited: (ms: number) => void;
}

/** Shares of a file system that are in use. A store that has none left stops. */
const fillingShare = 0.85;
const fullShare = 0.95;

/** A store as its row and its operator describe it. */
export interface GatheredStore extends StorePicture {
  /** Since its row was seen to change, or was looked at first. */
  readonly silentMs: number;
}

export interface Gathered {
  /** Those that have a row first. */
  readonly stores: readonly GatheredStore[];
  readonly storesWithRow: number;
  readonly ranges: readonly RangePicture[];
  readonly configurations: RangeConfigurations;
}

const rowsPerStep = 256;
const scanTimeoutMs = 5000;

/**
 * @param times now by the monotonic clock, and by the one that makes timestamps; who was seen when
 * @param known not long ago: taken for the present, with the index unread, if stores and configurations are as they were
 * @returns undefined where a part of the meta index cannot be read now
 */
export async function gather(
  options: GatherOptions,
  first: Replica,
  times: { readonly nowMs: number; readonly wallMs: number; readonly sightings: Sightings },
  known?: Gathered,
): Promise<Gathered | undefined> {
  const { engine } = options;
  const intents = new Map<number, { draining: boolean; decommissioning: boolean }>();
  for (const { key, value } of await rowsOf(engine, first, intentSpan)) {
    const intent = decodeIntent(value);
    const { draining = false, decommissioning = false } = intent ?? {};
    if (intent !== undefined) intents.set(storeOfKey(key), { draining, decommissioning });
  }
  const stores: GatheredStore[] = [];
  for (const row of await rowsOf(engine, first, reportSpan)) {
    const report = decodeReport(row.value);
    // Two rows of one store, seen in turn, would keep it alive for ever.
    if (report === undefined || report.storeId < 1 || report.storeId !== storeOfKey(row.key))
      continue;
    const storeId = toStoreId(report.storeId);
    const ageMs = times.wallMs - timestampToWallMs(toTimestamp(row.timestamp));
    const version = row.timestamp;
    const everyMs = report.reportEveryMs;
    stores.push({
      storeId,
      machine: report.machine,
      zone: report.zone,
      disk: roomOf(report),
      ...times.sightings.look(storeId, { version, ageMs, everyMs }, times.nowMs),
      ...(intents.get(storeId) ?? { draining: false, decommissioning: false }),
    });
  }
  const configurations = options.cache.configurationsOf(
    await storedRowsOf(engine, first, configurationSpan),
  );
  if (known?.configurations === configurations && areAsIn(known, stores)) return known;
  const storesWithRow = stores.length;
  const rows = await metaRows(options, first);
  if (rows === undefined) return undefined;
  const ranges: RangePicture[] = [];
  const members = new Set<StoreId>();
  await forEachInTurns(options.clock, rows, (row) => {
    const range = pictureOf(row, configurations, options.figures);
    if (range === undefined) return;
    ranges.push(range);
    for (const { storeId } of range.descriptor.replicas) members.add(storeId);
  });
  for (const { storeId } of stores) members.delete(storeId);
  // Stores that hold replicas and have no row.
  for (const storeId of members) {
    // It was lost before it ever wrote its row, or is from before there were rows.
    const row = { version: 0, ageMs: Number.POSITIVE_INFINITY, everyMs: 0 };
    stores.push({
      ...{ storeId, machine: `of s${storeId}`, zone: '' },
      ...times.sightings.look(storeId, row, times.nowMs),
      ...(intents.get(storeId) ?? { draining: false, decommissioning: false }),
    });
  }
  return { stores, storesWithRow, ranges, configurations };
}

function roomOf({ capacityBytes, usedBytes }: Capacity): DiskRoom | undefined {
  if (!(capacityBytes > 0)) return undefined;
  const share = usedBytes / capacityBytes;
  if (share >= fullShare) return 'full';
  return share >= fillingShare ? 'filling' : 'roomy';
}

/** @param stores those that have a row */
function areAsIn(known: Gathered, stores: readonly StorePicture[]): boolean {
  return (
    known.storesWithRow === stores.length &&
    stores.every((store, i) => sameStore(store, known.stores[i]))
  );
}

/** The one that the row had before, if nothing has changed. Undefined: it is not the row of a range. */
export function pictureOf(
  row: IndexRow,
  configurations: RangeConfigurations,
  figures: RangeFigures,
): RangePicture | undefined {
  const { descriptor, picture } = row;
  if (descriptor === undefined) return undefined;
  const figure = figures.of(descriptor.rangeId);
  const { bytes = 0, requestsPerSecond: requests = 0, askerStoreId } = figure ?? {};
  const asker = askerStoreId ? toStoreId(askerStoreId) : undefined;
  if (
    picture !== undefined &&
    row.configurations === configurations &&
    picture.bytes === bytes &&
    picture.requests === requests &&
    picture.asker === asker &&
    picture.unmeasured === (figure === undefined)
  )
    return picture;
  const { leaseholderStoreId } = row.info;
  const leaseholder = leaseholderStoreId ? toStoreId(leaseholderStoreId) : undefined;
  const made = {
    descriptor,
    leaseholder,
    bytes,
    requests,
    asker,
    unmeasured: figure === undefined,
    ...wishesFor(configurations, descriptor),
  };
  row.picture = made;
  row.configurations = configurations;
  return made;
}

/** What is wanted of the range. One that is about to be cut, because its parts are wanted otherwise, stays as it is. */
function wishesFor(
  configurations: RangeConfigurations,
  descriptor: RangeDescriptor,
): Pick<RangePicture, 'replicas' | 'leasePreference'> {
  const { replicas, leasePreference } = configurations.at(descriptor.startKey);
  if (configurations.boundaryIn(descriptor) === undefined) return { replicas, leasePreference };
  const { length } = voterStores(descriptor);
  return { replicas: length % 2 === 1 ? length : undefined };
}

interface LocalRow {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly timestamp: number;
}

async function rowsOf(engine: Engine, first: Replica, span: Span): Promise<LocalRow[]> {
  return (await storedRowsOf(engine, first, span)).map(({ key, stored }) => {
    checkStored(key, stored);
    return { key, value: storedPayload(stored), timestamp: storedTimestamp(stored) };
  });
}

/** Rows of the part of `span` that the first range holds. */
async function storedRowsOf(engine: Engine, first: Replica, span: Span): Promise<StoredRow[]> {
  const { endKey } = first.descriptor;
  const end = compareBytes(endKey, span.endKey) < 0 ? endKey : span.endKey;
  if (compareBytes(span.startKey, end) >= 0) return [];
  const found: StoredRow[] = [];
  const iterator = engine.iterate(first.space.dataSpan(span.startKey, end));
  try {
    for (;;) {
      const rows = await iterator.next(rowsPerStep);
      if (rows.length === 0) return found;
      for (const { key, value } of rows)
        found.push({ key: userKeyOf(key), stored: asBuffer(value) });
    }
  } finally {
    await iterator.close();
  }
}

async function metaRows(options: GatherOptions, first: Replica): Promise<IndexRow[] | undefined> {
  const { cache, client, engine, clock } = options;
  const stored = await storedRowsOf(engine, first, prefixSpan(metaPrefix));
  const rows: IndexRow[] = [];
  await forEachInTurns(clock, stored, (row) => rows.push(cache.local(row)));
  const infos = rows.map(({ info }) => info);
  const askedAtMs = clock.nowMs();
  const rest = await restOfIndex(client, infos, first.descriptor.endKey);
  options.waited(clock.nowMs() - askedAtMs);
  if (rest === undefined) return undefined;
  await forEachInTurns(clock, rest, ({ key, value }) => rows.push(cache.remote(key, value)));
  cache.endRound();
  return rows;
}

/**
 * Rows of the meta index that the first range, which ends at `endKey`, does not hold.
 * @param infos its own rows: they tell where the others are
 * @returns undefined: not in time
 */
export async function restOfIndex(
  client: StoreClient,
  infos: readonly RangeInfo[],
  endKey: Uint8Array,
): Promise<Row[] | undefined> {
  const span = prefixSpan(metaPrefix);
  const rest: Row[] = [];
  for (const info of infos) {
    const { startKey, endKey: partEnd, rangeId = 0 } = info.descriptor ?? {};
    if (!startKey || !partEnd || compareBytes(startKey, endKey) < 0) continue;
    if (compareBytes(startKey, span.endKey) >= 0) continue;
    const last = compareBytes(partEnd, span.endKey) < 0 ? partEnd : span.endKey;
    const contact = new RangeContact(client, rangeId ?? 0, () => info);
    const rows = await contact.scan({ startKey, endKey: last }, scanTimeoutMs);
    if (rows === undefined) return undefined;
    rest.push(...rows);
  }
  return rest;
}
