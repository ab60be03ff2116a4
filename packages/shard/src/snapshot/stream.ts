/**
 * The bytes of a snapshot: records one after the other, cut into chunks at any byte.
 *
 *   u8 kind | u32 length of key | u32 length of value | key | value            (big-endian)
 *
 * First the header, a RangeCheckpoint without replica and storage id; then the rows of the range as they lie in the
 * engine, without the storage id: data and intents under their key, history under its escaped key and time, records of
 * transactions under theirs and the transaction. Values are in stored form, checksum included. What comes in is checked here and refused with a reason, never asserted on.
 */
import { crc32c, keyBytesMax, valueBytesMax } from '@flotilla/base';
import { partsOfRecord, userKeyOfHistory } from '../state/storage-keys.ts';
import { storedOverheadBytes } from '../state/stored-value.ts';

export const recordKind = { header: 1, data: 2, history: 3, intent: 4, record: 5 } as const;
export type RecordKind = (typeof recordKind)[keyof typeof recordKind];

export interface SnapshotRecord {
  readonly kind: RecordKind;
  /** Views of what came in. */
  readonly key: Buffer;
  readonly value: Buffer;
}

export const recordPrefixBytes = 9;
/** The session table is in the header. */
const headerBytesMax = 128 * 1024 * 1024;
/** Escaping may double a key. */
const rowKeyBytesMax = 2 * keyBytesMax + 18;
/** An intent adds two ids and a key to its value; a record holds the keys of one command and more. */
const rowValueBytesMax = 4 * valueBytesMax + storedOverheadBytes;

/** Which of the range's keys a row belongs to; undefined: its key is not of the form that its kind has. */
export function userKeyOfRecord(kind: RecordKind, key: Buffer): Buffer | undefined {
  switch (kind) {
    case recordKind.history:
      return userKeyOfHistory(key);
    case recordKind.record:
      return partsOfRecord(key)?.key;
    default:
      return key;
  }
}

/** What goes before a record's key and value. */
export function recordPrefix(kind: RecordKind, keyLength: number, valueLength: number): Buffer {
  const prefix = Buffer.allocUnsafe(recordPrefixBytes);
  prefix[0] = kind;
  prefix.writeUInt32BE(keyLength, 1);
  prefix.writeUInt32BE(valueLength, 5);
  return prefix;
}

/** What both ends count, to compare when the stream is over. */
export class StreamTotals {
  rows = 0;
  bytes = 0;
  digest = 0;

  add(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.digest = crc32c(bytes, this.digest);
  }
}

export type ReadRecords =
  | { readonly ok: true; readonly records: readonly SnapshotRecord[] }
  | { readonly ok: false; readonly reason: string };

/** Puts the records of a stream together again. */
export class RecordReader {
  /** The beginning of a record whose end has not come. */
  private pieces: Buffer[] = [];
  private length = 0;
  /** Of that record, as far as known. */
  private needs = recordPrefixBytes;

  /** True between two records. */
  get isEmpty(): boolean {
    return this.length === 0;
  }

  /** @returns the records that `bytes` completes */
  push(bytes: Buffer): ReadRecords {
    if (this.length > 0) {
      this.pieces.push(bytes);
      this.length += bytes.length;
      if (this.length < this.needs) return { ok: true, records: [] };
      return this.cut(Buffer.concat(this.pieces));
    }
    return this.cut(bytes);
  }

  private cut(bytes: Buffer): ReadRecords {
    const records: SnapshotRecord[] = [];
    let at = 0;
    this.needs = recordPrefixBytes;
    while (bytes.length - at >= recordPrefixBytes) {
      const kind = bytes[at] ?? 0;
      const keyLength = bytes.readUInt32BE(at + 1);
      const valueLength = bytes.readUInt32BE(at + 5);
      const reason = badSizes(kind, keyLength, valueLength);
      if (reason !== undefined) return { ok: false, reason };
      const end = at + recordPrefixBytes + keyLength + valueLength;
      if (end > bytes.length) {
        this.needs = end - at;
        break;
      }
      const value = at + recordPrefixBytes + keyLength;
      records.push({
        kind: kind as RecordKind,
        key: bytes.subarray(at + recordPrefixBytes, value),
        value: bytes.subarray(value, end),
      });
      at = end;
    }
    const rest = bytes.subarray(at);
    this.pieces = rest.length === 0 ? [] : [rest];
    this.length = rest.length;
    return { ok: true, records };
  }
}

function badSizes(kind: number, keyLength: number, valueLength: number): string | undefined {
  switch (kind) {
    case recordKind.header:
      return keyLength > 0 || valueLength > headerBytesMax ? 'header too large' : undefined;
    case recordKind.data:
    case recordKind.history:
    case recordKind.intent:
    case recordKind.record:
      if (keyLength > rowKeyBytesMax) return 'key too long';
      return valueLength > rowValueBytesMax ? 'value too long' : undefined;
    default:
      return `unknown record ${kind}`;
  }
}
