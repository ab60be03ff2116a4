/**
 * Bytes of the log's files: segment header, batch header, records. Pure functions over buffers; who reads and writes
 * when is elsewhere. All numbers little-endian. Described for people in the package's README, "Write-ahead log"; a
 * change of any byte here is a new `formatVersion`.
 */
import { asBuffer, crc32c } from '@flotilla/base';

export const formatVersion = 2;
/** Version 1 had no records of installed snapshots and removed groups; otherwise the same. */
export const oldestReadableVersion = 1;
/** Unit of torn writes. Every batch starts on its own sector, so that no acknowledged byte is ever written again. */
export const sectorBytes = 512;
/** Batches of a segment start here; before it, the segment header. */
export const firstBatchOffset: number = sectorBytes;
export const batchHeaderBytes = 64;
/** Length and CRC in front of each record's body. */
export const recordHeaderBytes = 8;

const segmentMagic = 0x4753_4c46; // "FLSG"
const batchMagic = 0x4842_4c46; // "FLBH"
const segmentHeaderBytes = 64;

export function alignToSector(length: number): number {
  return Math.ceil(length / sectorBytes) * sectorBytes;
}

export function segmentFileName(number: number): string {
  return `segment-${String(number).padStart(10, '0')}.wal`;
}

/** The number in a segment's file name; undefined for any other file. */
export function segmentNumberOf(name: string): number | undefined {
  const digits = /^segment-([0-9]{10})\.wal$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

// ---- segment header

export interface SegmentHeader {
  /** 16 bytes, the same in all segments of a log. */
  readonly logId: Uint8Array;
  readonly number: number;
  /** Seed of every CRC in the segment: bytes of another segment never validate here. */
  readonly nonce: number;
  /** Bytes that were preallocated, header included. */
  readonly capacity: number;
}

export type DecodedSegmentHeader =
  | { readonly ok: true; readonly header: SegmentHeader & { readonly version: number } }
  | { readonly ok: false; readonly reason: string };

/** One sector. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(sectorBytes);
  const view = viewOf(bytes);
  view.setUint32(0, segmentMagic, true);
  view.setUint32(4, formatVersion, true);
  bytes.set(header.logId, 8);
  view.setFloat64(24, header.number, true);
  view.setUint32(32, header.nonce, true);
  view.setFloat64(40, header.capacity, true);
  view.setUint32(segmentHeaderBytes - 4, crc32c(bytes.subarray(0, segmentHeaderBytes - 4)), true);
  return bytes;
}

/** Why a file of this version cannot be read, or undefined. */
export function refuseVersion(version: number): string | undefined {
  if (version >= oldestReadableVersion && version <= formatVersion) return undefined;
  return `format version ${version}; this program reads ${oldestReadableVersion} to ${formatVersion}`;
}

export function decodeSegmentHeader(bytes: Uint8Array): DecodedSegmentHeader {
  if (bytes.length < segmentHeaderBytes) return { ok: false, reason: 'shorter than its header' };
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== segmentMagic)
    return { ok: false, reason: 'not a segment of a write-ahead log' };
  const version = view.getUint32(4, true);
  const crc = crc32c(bytes.subarray(0, segmentHeaderBytes - 4));
  if (view.getUint32(segmentHeaderBytes - 4, true) !== crc)
    return { ok: false, reason: 'segment header fails its CRC' };
  const strange = refuseVersion(version);
  if (strange !== undefined) return { ok: false, reason: strange };
  return {
    ok: true,
    header: {
      version,
      logId: bytes.slice(8, 24),
      number: view.getFloat64(24, true),
      nonce: view.getUint32(32, true),
      capacity: view.getFloat64(40, true),
    },
  };
}

// ---- batch header

/** A place in the log. Compared by segment, then offset. */
export interface Position {
  readonly segment: number;
  readonly offset: number;
}

export function isBefore(a: Position, b: Position): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}

export interface BatchHeader {
  /** The first batch of a segment: starts with the metadata of the store and of all groups. */
  readonly opensSegment: boolean;
  /** Consecutive over the life of the log, from 1. */
  readonly number: number;
  /** Everything before it was durable when this batch was written. */
  readonly synced: Position;
  /** CRC of the header of the batch before, 0 for the first: batches of another history do not fit. */
  readonly previousCrc: number;
  readonly recordCount: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
  /** CRC of this header. */
  readonly crc: number;
}

export interface BatchPlace {
  readonly offset: number;
  readonly nonce: number;
}

/** Writes the header in front of a payload that is already in `batch`. Returns the header's CRC. */
export function encodeBatchHeader(
  batch: Uint8Array,
  place: BatchPlace,
  header: Omit<BatchHeader, 'crc' | 'payloadCrc'>,
): number {
  const view = viewOf(batch);
  const payload = batch.subarray(batchHeaderBytes, batchHeaderBytes + header.payloadBytes);
  view.setUint32(0, batchMagic, true);
  view.setUint32(4, place.nonce, true);
  view.setUint32(8, header.opensSegment ? 1 : 0, true);
  view.setUint32(12, place.offset, true);
  view.setFloat64(16, header.number, true);
  view.setFloat64(24, header.synced.segment, true);
  view.setUint32(32, header.synced.offset, true);
  view.setUint32(36, header.payloadBytes, true);
  view.setUint32(40, header.recordCount, true);
  view.setUint32(44, header.previousCrc, true);
  view.setUint32(48, crc32c(payload, place.nonce), true);
  view.setUint32(52, 0, true);
  view.setUint32(56, 0, true);
  const crc = crc32c(batch.subarray(0, batchHeaderBytes - 4), place.nonce);
  view.setUint32(batchHeaderBytes - 4, crc, true);
  return crc;
}

/** The header of a batch that starts at `place`, or undefined if these bytes are none. Says nothing of the payload. */
export function decodeBatchHeader(bytes: Uint8Array, place: BatchPlace): BatchHeader | undefined {
  if (bytes.length < batchHeaderBytes) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== batchMagic) return undefined;
  if (view.getUint32(4, true) !== place.nonce || view.getUint32(12, true) !== place.offset)
    return undefined;
  const crc = crc32c(bytes.subarray(0, batchHeaderBytes - 4), place.nonce);
  if (view.getUint32(batchHeaderBytes - 4, true) !== crc) return undefined;
  return {
    opensSegment: view.getUint32(8, true) === 1,
    number: view.getFloat64(16, true),
    synced: { segment: view.getFloat64(24, true), offset: view.getUint32(32, true) },
    payloadBytes: view.getUint32(36, true),
    recordCount: view.getUint32(40, true),
    previousCrc: view.getUint32(44, true),
    payloadCrc: view.getUint32(48, true),
    crc,
  };
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function isZero(bytes: Uint8Array): boolean {
  const zeros = zeroBlock(bytes.length);
  return asBuffer(bytes).equals(zeros);
}

let zeroCache = new Uint8Array(1 << 16);
function zeroBlock(length: number): Uint8Array {
  if (zeroCache.length < length) zeroCache = new Uint8Array(length);
  return zeroCache.subarray(0, length);
}
