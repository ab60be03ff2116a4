/**
 * Where things lie in the engine. The only file that builds or takes apart engine keys.
 *
 *   d ‖ storageId u32 ‖ key                                     newest version of a key
 *   h ‖ storageId u32 ‖ escaped key ‖ supersededAt u64          an older version, by when it ceased to be the newest
 *   i ‖ storageId u32 ‖ key                                     a transaction's intent on a key
 *   x ‖ storageId u32 ‖ escaped key ‖ transaction id (16)       a transaction's record, or a marker that prevents it
 *   r ‖ rangeId u64 ‖ appliedIndex u64                          a range as of a checkpoint (RangeCheckpoint)
 *   t ‖ rangeId u64                                             least replica id that may live here (tombstone)
 *   s                                                           whose engine this is
 *
 * All numbers big-endian. In the history a key's 00 becomes 00 ff and the key ends with 00 01, so that the rows of one
 * key are neighbours, oldest first.
 */
import { assert } from '@flotilla/base';
import type { EngineSpan } from '../engine/engine.ts';

const dataTag = 0x64;
const historyTag = 0x68;
const intentTag = 0x69;
const rangeTag = 0x72;
const ownerTag = 0x73;
const tombstoneTag = 0x74;
const recordTag = 0x78;
/** What has rows under every storage id. */
const storageTags = [dataTag, historyTag, intentTag, recordTag] as const;

export const ownerRowKey: Buffer = Buffer.of(ownerTag);
/** Everything that a store keeps in its engine. */
export const wholeEngine: EngineSpan = { startKey: Buffer.alloc(0), endKey: Buffer.of(0xff) };
export const allRangeRows: EngineSpan = {
  startKey: Buffer.of(rangeTag),
  endKey: Buffer.of(rangeTag + 1),
};
export const allHistory: EngineSpan = {
  startKey: Buffer.of(historyTag),
  endKey: Buffer.of(historyTag + 1),
};

export const allTombstones: EngineSpan = {
  startKey: Buffer.of(tombstoneTag),
  endKey: Buffer.of(tombstoneTag + 1),
};

/** Bytes before the user's key in a data key, and before the escaped one in a history key. */
export const dataPrefixBytes = 5;
/** Escaped keys end with two bytes, then the time. */
const historySuffixBytes = 10;
export const transactionIdBytes = 16;
/** Escaped keys end with two bytes, then the transaction's id. */
const recordSuffixBytes: number = 2 + transactionIdBytes;

function assertStorageId(storageId: number): void {
  assert(
    Number.isInteger(storageId) && storageId >= 1 && storageId <= 0xffff_ffff,
    'storage id is a u32',
    { storageId },
  );
}

function prefix(tag: number, storageId: number): Buffer {
  assertStorageId(storageId);
  const bytes = Buffer.allocUnsafe(dataPrefixBytes);
  writePrefix(bytes, tag, storageId);
  return bytes;
}

/** By hand: a call for five bytes costs more than they do. */
function writePrefix(bytes: Buffer, tag: number, storageId: number): void {
  bytes[0] = tag;
  bytes[1] = storageId >>> 24;
  bytes[2] = storageId >>> 16;
  bytes[3] = storageId >>> 8;
  bytes[4] = storageId;
}

/** The engine keys of one storage id. Hot: one allocation per key. */
export class StorageSpace {
  private readonly storageId: number;

  constructor(storageId: number) {
    assertStorageId(storageId);
    this.storageId = storageId;
  }

  dataKey(key: Uint8Array): Buffer {
    return dataKeyOf(this.storageId, key);
  }

  dataSpan(startKey: Uint8Array, endKey: Uint8Array): EngineSpan {
    return { startKey: this.dataKey(startKey), endKey: this.dataKey(endKey) };
  }

  /** Everything of the keys of a span, whatever kind of row it is in. */
  spansOf(startKey: Uint8Array, endKey: Uint8Array): readonly EngineSpan[] {
    return [
      this.dataSpan(startKey, endKey),
      this.historySpan(startKey, endKey),
      this.intentSpan(startKey, endKey),
      this.recordSpan(startKey, endKey),
    ];
  }

  /** @param supersededAt timestamp of the command that replaced or deleted this version */
  historyKey(key: Uint8Array, supersededAt: number): Buffer {
    const escaped = escapedLength(key);
    const bytes = Buffer.allocUnsafe(dataPrefixBytes + escaped + historySuffixBytes);
    writePrefix(bytes, historyTag, this.storageId);
    let at = writeEscaped(bytes, key, escaped);
    bytes[at++] = 0x00;
    bytes[at++] = 0x01;
    writeU64(bytes, at, supersededAt);
    return bytes;
  }

  /** The history of all keys of a span. */
  historySpan(startKey: Uint8Array, endKey: Uint8Array): EngineSpan {
    return {
      startKey: escapedBound(historyTag, this.storageId, startKey),
      endKey: escapedBound(historyTag, this.storageId, endKey),
    };
  }

  /** The history of one key that was superseded after `timestamp`: the first row is the version that was newest then. */
  historyOf(key: Uint8Array, timestamp: number): EngineSpan {
    const endKey = this.historyKey(key, 0);
    // 00 01 ends the rows of a key: 00 02 is after all of them, and before those of the key with a 00 more.
    endKey[endKey.length - historySuffixBytes + 1] = 0x02;
    return { startKey: this.historyKey(key, timestamp + 1), endKey };
  }

  intentKey(key: Uint8Array): Buffer {
    return prefixed(intentTag, this.storageId, key);
  }

  intentSpan(startKey: Uint8Array, endKey: Uint8Array): EngineSpan {
    return { startKey: this.intentKey(startKey), endKey: this.intentKey(endKey) };
  }

  /** @param transactionId 16 bytes */
  recordKey(key: Uint8Array, transactionId: Uint8Array): Buffer {
    const escaped = escapedLength(key);
    const bytes = Buffer.allocUnsafe(dataPrefixBytes + escaped + recordSuffixBytes);
    writePrefix(bytes, recordTag, this.storageId);
    const at = writeEscaped(bytes, key, escaped);
    bytes[at] = 0x00;
    bytes[at + 1] = 0x01;
    bytes.set(transactionId, at + 2);
    return bytes;
  }

  recordSpan(startKey: Uint8Array, endKey: Uint8Array): EngineSpan {
    return {
      startKey: escapedBound(recordTag, this.storageId, startKey),
      endKey: escapedBound(recordTag, this.storageId, endKey),
    };
  }

  /** A record's key of any storage id, in this one. */
  adoptRecordKey(suffix: Uint8Array): Buffer {
    return prefixed(recordTag, this.storageId, suffix);
  }

  /** A history key of any storage id, in this one. */
  adoptHistoryKey(suffix: Uint8Array): Buffer {
    return prefixed(historyTag, this.storageId, suffix);
  }
}

/** As `StorageSpace.dataKey`. */
export function dataKeyOf(storageId: number, key: Uint8Array): Buffer {
  return prefixed(dataTag, storageId, key);
}

function prefixed(tag: number, storageId: number, rest: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(dataPrefixBytes + rest.length);
  writePrefix(bytes, tag, storageId);
  bytes.set(rest, dataPrefixBytes);
  return bytes;
}

/** Before every row of `key` and of what follows it, after every row of what is before it. */
function escapedBound(tag: number, storageId: number, key: Uint8Array): Buffer {
  const escaped = escapedLength(key);
  const bytes = Buffer.allocUnsafe(dataPrefixBytes + escaped);
  writePrefix(bytes, tag, storageId);
  writeEscaped(bytes, key, escaped);
  return bytes;
}

/** Behind the prefix. @returns where the next byte goes */
function writeEscaped(bytes: Buffer, key: Uint8Array, escaped: number): number {
  let at = dataPrefixBytes;
  if (escaped === key.length) {
    bytes.set(key, at);
    return at + key.length;
  }
  for (let i = 0; i < key.length; i++) {
    const byte = key[i] ?? 0;
    bytes[at++] = byte;
    if (byte === 0) bytes[at++] = 0xff;
  }
  return at;
}

function escapedLength(key: Uint8Array): number {
  let zeros = 0;
  for (let i = 0; i < key.length; i++) if (key[i] === 0) zeros++;
  return key.length + zeros;
}

/** Everything under one storage id: data, history, intents, records. */
export function spansOfStorage(storageId: number): readonly EngineSpan[] {
  return storageTags.map((tag) => ({
    startKey: prefix(tag, storageId),
    endKey: storageId === 0xffff_ffff ? Buffer.of(tag + 1) : prefix(tag, storageId + 1),
  }));
}

/** The user's key of a history key without its first `dataPrefixBytes`; undefined: not of that form. */
export function userKeyOfHistory(suffix: Uint8Array): Buffer | undefined {
  return unescaped(suffix, suffix.length - historySuffixBytes);
}

/** Key and transaction of a record's key without its first `dataPrefixBytes`; undefined: not of that form. */
export function partsOfRecord(
  suffix: Uint8Array,
): { readonly key: Buffer; readonly transactionId: Buffer } | undefined {
  const key = unescaped(suffix, suffix.length - recordSuffixBytes);
  if (key === undefined) return undefined;
  return { key, transactionId: Buffer.from(suffix.subarray(suffix.length - transactionIdBytes)) };
}

/** @param end of the escaped key, where 00 01 stands */
function unescaped(suffix: Uint8Array, end: number): Buffer | undefined {
  if (end < 0 || suffix[end] !== 0x00 || suffix[end + 1] !== 0x01) return undefined;
  const key = Buffer.allocUnsafe(end);
  let length = 0;
  for (let i = 0; i < end; i++) {
    const byte = suffix[i] ?? 0;
    key[length++] = byte;
    if (byte !== 0) continue;
    if (i + 1 >= end || suffix[++i] !== 0xff) return undefined;
  }
  return key.subarray(0, length);
}

/** Of any key under a storage id. */
export function storageIdOf(engineKey: Buffer): number {
  return engineKey.readUInt32BE(1);
}

/** The first key of each kind that belongs to `storageId` or a later one. */
export function storageSpansFrom(storageId: number): readonly EngineSpan[] {
  return storageTags.map((tag) => ({
    startKey: prefix(tag, storageId),
    endKey: Buffer.of(tag + 1),
  }));
}

export function tombstoneKey(rangeId: number): Buffer {
  const bytes = Buffer.allocUnsafe(9);
  bytes[0] = tombstoneTag;
  writeU64(bytes, 1, rangeId);
  return bytes;
}

export function rangeIdOfTombstone(key: Buffer): number {
  assert(key.length === 9 && key[0] === tombstoneTag, 'a tombstone key has 9 bytes');
  return readU64(key, 1);
}

/** The user's key inside a data key: a view. */
export function userKeyOf(dataKey: Buffer): Buffer {
  return dataKey.subarray(dataPrefixBytes);
}

export function isHistory(engineKey: Buffer): boolean {
  return engineKey[0] === historyTag;
}

export function supersededAtOf(historyKey: Buffer): number {
  return readU64(historyKey, historyKey.length - 8);
}

export function rangeRowKey(rangeId: number, appliedIndex: number): Buffer {
  const bytes = Buffer.allocUnsafe(17);
  bytes[0] = rangeTag;
  writeU64(bytes, 1, rangeId);
  writeU64(bytes, 9, appliedIndex);
  return bytes;
}

export function parseRangeRowKey(key: Buffer): { rangeId: number; appliedIndex: number } {
  assert(key.length === 17 && key[0] === rangeTag, 'a range row key has 17 bytes');
  return { rangeId: readU64(key, 1), appliedIndex: readU64(key, 9) };
}

export function writeU64(bytes: Buffer, at: number, n: number): void {
  bytes.writeUInt32BE(Math.floor(n / 0x1_0000_0000), at);
  bytes.writeUInt32BE(n % 0x1_0000_0000, at + 4);
}

export function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}
