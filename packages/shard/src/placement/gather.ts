/**
 * Makes the picture that placement decides from, at the store that leads the first range: stores' rows and intents from
 * its own engine, the meta index from there too and, where it was split, from the ranges that hold the rest.
 */
import {
  asBuffer,
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
import { kv } from '../protocol/index.ts';
import {
  configurationSpan,
  decodeConfigurationRow,
  RangeConfigurations,
} from '../protocol/range-configuration.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload, storedTimestamp } from '../state/stored-value.ts';
import { decodeIntent, decodeReport, intentSpan, reportSpan } from './cluster-rows.ts';
import { type RangePicture, type StorePicture, voterStores } from './picture.ts';
import type { RangeFigures } from './range-figures.ts';
import type { Sightings } from './sightings.ts';
import { RangeContact, type RangeInfo, type StoreClient } from './store-client.ts';

export interface GatherOptions {
  readonly engine: Engine;
  readonly client: StoreClient;
  readonly figures: RangeFigures;
}

/** A store as its row and its operator describe it. */
export interface GatheredStore extends StorePicture {
  /** Since its row was seen to change, or was looked at first. */
  readonly silentMs: number;
}

export interface Gathered {
  readonly stores: readonly GatheredStore[];
  readonly ranges: readonly RangePicture[];
}

const rowsPerStep = 256;
const scanTimeoutMs = 5000;

/**
 * @param times now by the monotonic clock, and by the one that makes timestamps; who was seen when
 * @returns undefined where a part of the meta index cannot be read now
 */
export async function gather(
  options: GatherOptions,
  first: Replica,
  times: { readonly nowMs: number; readonly wallMs: number; readonly sightings: Sightings },
): Promise<Gathered | undefined> {
  const { engine } = options;
  const intents = new Map<number, { draining: boolean; decommissioning: boolean }>();
  for (const { key, value } of await rowsOf(engine, first, intentSpan)) {
    const intent = decodeIntent(value);
    const { draining = false, decommissioning = false } = intent ?? {};
    if (intent !== undefined)
      intents.set(key.readUInt32BE(key.length - 4), { draining, decommissioning });
  }
  const stores: GatheredStore[] = [];
  for (const row of await rowsOf(engine, first, reportSpan)) {
    const report = decodeReport(row.value);
    if (report === undefined || !Number.isSafeInteger(report.storeId) || report.storeId < 1)
      continue;
    const storeId = toStoreId(report.storeId);
    const ageMs = times.wallMs - timestampToWallMs(toTimestamp(row.timestamp));
    const version = row.timestamp;
    stores.push({
      storeId,
      machine: report.machine,
      zone: report.zone,
      ...times.sightings.look(storeId, { version, ageMs }, times.nowMs),
      ...(intents.get(storeId) ?? { draining: false, decommissioning: false }),
    });
  }
  const rows = await rowsOf(engine, first, configurationSpan);
  const configurations = new RangeConfigurations(
    rows.flatMap(({ value }) => decodeConfigurationRow(value) ?? []),
  );
  const infos = await metaRows(options, first);
  if (infos === undefined) return undefined;
  const ranges: RangePicture[] = [];
  for (const info of infos) {
    const checked = checkDescriptor(info.descriptor ?? {});
    if (!checked.ok) continue;
    const { leaseholderStoreId } = info;
    const leaseholder: StoreId | undefined = leaseholderStoreId
      ? toStoreId(leaseholderStoreId)
      : undefined;
    const { descriptor } = checked;
    const { bytes = 0, requestsPerSecond = 0 } = options.figures.of(descriptor.rangeId) ?? {};
    const wanted = wishesFor(configurations, descriptor);
    ranges.push({ descriptor, leaseholder, bytes, requests: requestsPerSecond, ...wanted });
  }
  for (const storeId of membersWithout(stores, ranges)) {
    // It was lost before it ever wrote its row, or is from before there were rows.
    const row = { version: 0, ageMs: Number.POSITIVE_INFINITY };
    stores.push({
      ...{ storeId, machine: `of s${storeId}`, zone: '' },
      ...times.sightings.look(storeId, row, times.nowMs),
      ...(intents.get(storeId) ?? { draining: false, decommissioning: false }),
    });
  }
  return { stores, ranges };
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

/** Stores that hold replicas and have no row. */
function membersWithout(
  stores: readonly GatheredStore[],
  ranges: readonly RangePicture[],
): Set<StoreId> {
  const members = new Set<StoreId>();
  for (const { descriptor } of ranges)
    for (const { storeId } of descriptor.replicas) members.add(storeId);
  for (const { storeId } of stores) members.delete(storeId);
  return members;
}

interface LocalRow {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly timestamp: number;
}

/** Rows of the part of `span` that the first range holds. */
async function rowsOf(engine: Engine, first: Replica, span: Span): Promise<LocalRow[]> {
  const { endKey } = first.descriptor;
  const end = compareBytes(endKey, span.endKey) < 0 ? endKey : span.endKey;
  if (compareBytes(span.startKey, end) >= 0) return [];
  const found: LocalRow[] = [];
  const iterator = engine.iterate(first.space.dataSpan(span.startKey, end));
  try {
    for (;;) {
      const rows = await iterator.next(rowsPerStep);
      if (rows.length === 0) return found;
      for (const row of rows) {
        const key = userKeyOf(row.key);
        const stored = checkStored(key, asBuffer(row.value));
        found.push({ key, value: storedPayload(stored), timestamp: storedTimestamp(stored) });
      }
    }
  } finally {
    await iterator.close();
  }
}

async function metaRows(options: GatherOptions, first: Replica): Promise<RangeInfo[] | undefined> {
  const span = prefixSpan(metaPrefix);
  const infos: RangeInfo[] = (await rowsOf(options.engine, first, span)).map(({ value }) =>
    kv.RangeInfo.decode(value),
  );
  const rest = await restOfIndex(options.client, infos, first.descriptor.endKey);
  return rest === undefined ? undefined : [...infos, ...rest];
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
): Promise<RangeInfo[] | undefined> {
  const span = prefixSpan(metaPrefix);
  const rest: RangeInfo[] = [];
  for (const info of infos) {
    const { startKey, endKey: partEnd, rangeId = 0 } = info.descriptor ?? {};
    if (!startKey || !partEnd || compareBytes(startKey, endKey) < 0) continue;
    if (compareBytes(startKey, span.endKey) >= 0) continue;
    const last = compareBytes(partEnd, span.endKey) < 0 ? partEnd : span.endKey;
    const contact = new RangeContact(client, rangeId ?? 0, () => info);
    const rows = await contact.scan({ startKey, endKey: last }, scanTimeoutMs);
    if (rows === undefined) return undefined;
    for (const { value } of rows) rest.push(kv.RangeInfo.decode(value ?? new Uint8Array(0)));
  }
  return rest;
}
