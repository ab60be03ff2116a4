/**
 * The rows in which the cluster describes itself, all of them in the first range: what each store reports, what operators
 * want of a store, and what happened. Keys and codecs only; used by stores, by commands and by tests.
 *
 *   01 's' storeId     StoreReport, written by the store
 *   01 'i' storeId     StoreIntent, written by commands
 *   01 'e' number      PlacementEvent, written by the allocator; the oldest make room
 *
 * Others are in `protocol/`: what is wanted of spans ('c'), snapshots that are read for long ('p').
 */
import { clusterPrefix, concatBytes, prefixSpan, type Span } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';

export type StoreReport = flotilla.kv.StoreReport;
export type StoreIntent = flotilla.kv.StoreIntent;
export type PlacementEvent = flotilla.kv.PlacementEvent;

const reportPrefix = concatBytes(clusterPrefix, Buffer.from('s'));
const intentPrefix = concatBytes(clusterPrefix, Buffer.from('i'));
const eventPrefix = concatBytes(clusterPrefix, Buffer.from('e'));

export const clusterSpan: Span = prefixSpan(clusterPrefix);
export const reportSpan: Span = prefixSpan(reportPrefix);
export const intentSpan: Span = prefixSpan(intentPrefix);
export const eventSpan: Span = prefixSpan(eventPrefix);

/** Events that are kept: some 2 MB, and more than twice as many as taking all off a store of thousands of replicas makes. */
export const eventsMax = 10_000;
/** Nobody counts so far. */
const eventNumbersEnd = 2 ** 48;

export function reportKey(storeId: number): Uint8Array {
  return concatBytes(reportPrefix, uint32(storeId));
}

export function intentKey(storeId: number): Uint8Array {
  return concatBytes(intentPrefix, uint32(storeId));
}

/** @param number from 1, one more for each event */
export function eventKey(number: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return concatBytes(eventPrefix, bytes);
}

/** The number in an event's key. 0: not the key of an event, nor one that others could come after. */
export function eventNumber(key: Uint8Array): number {
  const bytes = Buffer.from(key.subarray(eventPrefix.length));
  const number = bytes.length === 8 ? Number(bytes.readBigUInt64BE()) : 0;
  return number < eventNumbersEnd ? number : 0;
}

/** The store whose report, or intent, has this key. 0: of none. */
export function storeOfKey(key: Uint8Array): number {
  const bytes = Buffer.from(key.subarray(reportPrefix.length));
  return bytes.length === 4 ? bytes.readUInt32BE() : 0;
}

export function encodeReport(report: flotilla.kv.StoreReport.$Properties): Uint8Array {
  return flotilla.kv.StoreReport.encode(report).finish();
}

/** Undefined: not a report. */
export function decodeReport(bytes: Uint8Array): StoreReport | undefined {
  return decoded(() => flotilla.kv.StoreReport.decode(bytes));
}

export function encodeIntent(intent: flotilla.kv.StoreIntent.$Properties): Uint8Array {
  return flotilla.kv.StoreIntent.encode(intent).finish();
}

export function decodeIntent(bytes: Uint8Array): StoreIntent | undefined {
  return decoded(() => flotilla.kv.StoreIntent.decode(bytes));
}

export function encodeEvent(event: flotilla.kv.PlacementEvent.$Properties): Uint8Array {
  return flotilla.kv.PlacementEvent.encode(event).finish();
}

export function decodeEvent(bytes: Uint8Array): PlacementEvent | undefined {
  return decoded(() => flotilla.kv.PlacementEvent.decode(bytes));
}

/** Whoever may write to the key space may write anything there. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}

function uint32(n: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n >>> 0);
  return bytes;
}
