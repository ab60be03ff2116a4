/**
 * Snapshots that are read for longer than others, as rows among the cluster's own: what they need of history is kept for as
 * long as somebody renews the row. Codec, and the two rules that make it safe without anybody's consent:
 *
 * Stores forget by what they have last seen of these rows, at most up to then less the time to live. A row that came later
 * protects nothing that was older than most of that time when it was written, or counts for nothing. And a row is not taken
 * away before it has expired, so that nobody who saw it serves what others, who no longer do, have forgotten.
 *
 *   01 'p' id     SnapshotProtection, written by who reads the snapshot; id: 16 bytes
 */
import {
  asBuffer,
  clusterPrefix,
  concatBytes,
  prefixSpan,
  type Span,
  timestampFromWallMs,
  timestampSpan,
} from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';

export interface SnapshotProtection {
  readonly timestamp: number;
  /** When the row was written first, by the store that took it. */
  readonly createdAt: number;
  /** Since 1970. Unit: ms. */
  readonly expiresAtMs: number;
}

/** Of the time to live: how old a snapshot may be when its protection begins. */
const youthShare = 0.8;
/** Wall clocks are closer to each other than this. Unit: ms. */
const graceMs = 10_000;

const prefix = concatBytes(clusterPrefix, Buffer.from('p'));
export const protectionSpan: Span = prefixSpan(prefix);

export function protectionKey(id: Uint8Array): Uint8Array {
  return concatBytes(prefix, id);
}

/** @param createdAt 0: it is written now */
export function encodeProtection({
  timestamp,
  createdAt,
  expiresAtMs,
}: SnapshotProtection): Uint8Array {
  const row = { timestamp, createdAt, expiresAtMs };
  return flotilla.kv.SnapshotProtection.encode(row).finish();
}

/** Undefined: not one. */
export function decodeProtection(row: {
  readonly value: Uint8Array;
  readonly timestamp: number;
}): SnapshotProtection | undefined {
  try {
    const found = flotilla.kv.SnapshotProtection.decode(asBuffer(row.value));
    const { timestamp = 0, createdAt = 0, expiresAtMs = 0 } = found;
    if (timestamp <= 0 || expiresAtMs <= 0) return undefined;
    return { timestamp, createdAt: createdAt > 0 ? createdAt : row.timestamp, expiresAtMs };
  } catch {
    return undefined; // Whoever may write to the key space may write anything there.
  }
}

/** All of them, as they were read once. */
export class ProtectedSnapshots {
  private readonly protections: readonly SnapshotProtection[];
  private readonly readAtMs: number;

  /** @param readAtMs wall clock before they were read */
  constructor(protections: readonly SnapshotProtection[], readAtMs: number) {
    this.protections = protections;
    this.readAtMs = readAtMs;
  }

  /** What was replaced before this timestamp nobody may read any more. */
  horizon(ttlMs: number): number {
    const { readAtMs, protections } = this;
    let horizon: number = timestampFromWallMs(readAtMs - ttlMs);
    for (const { timestamp, expiresAtMs } of protections)
      if (expiresAtMs + graceMs > readAtMs) horizon = Math.min(horizon, timestamp);
    return horizon;
  }

  /** Whether history surely reaches back to the timestamp, though it is older than the time to live. */
  covers(readTimestamp: number, nowMs: number, ttlMs: number): boolean {
    return this.protections.some(
      ({ timestamp, createdAt, expiresAtMs }) =>
        timestamp <= readTimestamp &&
        nowMs < expiresAtMs &&
        timestamp >= createdAt - timestampSpan(youthShare * ttlMs),
    );
  }
}
