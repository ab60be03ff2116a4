/** The border of the bulk channel: bytes from other stores in, checked messages out. Never throws. */
import { asBuffer } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';

export type SnapshotOutcome = flotilla.kv.SnapshotOutcome;
export const SnapshotOutcome: typeof flotilla.kv.SnapshotOutcome = flotilla.kv.SnapshotOutcome;

export interface Offer {
  readonly kind: 'offer';
  readonly snapshotId: number;
  readonly rangeId: number;
  readonly fromReplicaId: number;
  readonly toReplicaId: number;
  readonly term: number;
  /** The snapshot will be of this index or a later one. */
  readonly index: number;
  readonly indexTerm: number;
  readonly descriptor: RangeDescriptor;
  /** It holds little, as far as the sender knows. */
  readonly small: boolean;
}

export interface Pull {
  readonly kind: 'pull';
  readonly snapshotId: number;
  readonly next: number;
  readonly upTo: number;
  readonly again: boolean;
  readonly installing: boolean;
}

export interface Chunk {
  readonly kind: 'chunk';
  readonly snapshotId: number;
  readonly sequence: number;
  readonly crc: number;
  readonly bytes: Buffer;
  readonly summary: Summary | undefined;
}

export interface Summary {
  readonly rows: number;
  readonly bytes: number;
  readonly digest: number;
}

export interface End {
  readonly kind: 'end';
  readonly snapshotId: number;
  readonly outcome: SnapshotOutcome;
  readonly index: number;
  readonly reason: string;
}

export type BulkMessage = Offer | Pull | Chunk | End;

export function encodeBulk(message: BulkMessage): Uint8Array {
  const { kind, snapshotId, ...body } = message;
  return flotilla.kv.BulkMessage.encode({ snapshotId, [kind]: body }).finish();
}

/** @returns undefined for bytes that are no such message */
export function decodeBulk(bytes: Uint8Array): BulkMessage | undefined {
  let raw: flotilla.kv.BulkMessage;
  try {
    raw = flotilla.kv.BulkMessage.decode(asBuffer(bytes));
  } catch {
    return undefined;
  }
  const { snapshotId } = raw;
  if (!areCounts(snapshotId) || snapshotId === 0) return undefined;
  if (raw.offer) return checkOffer(snapshotId, raw.offer);
  if (raw.pull) {
    const { next = 0, upTo = 0, again = false, installing = false } = plain(raw.pull);
    if (!areCounts(next, upTo)) return undefined;
    return { kind: 'pull', snapshotId, next, upTo, again, installing };
  }
  if (raw.chunk) return checkChunk(snapshotId, raw.chunk);
  if (raw.end) {
    const { outcome = SnapshotOutcome.SNAPSHOT_FAILED, index = 0, reason = '' } = plain(raw.end);
    if (!areCounts(index)) return undefined;
    return { kind: 'end', snapshotId, outcome, index, reason };
  }
  return undefined;
}

function checkOffer(
  snapshotId: number,
  raw: flotilla.kv.SnapshotOffer.$Properties,
): Offer | undefined {
  const checked = checkDescriptor(raw.descriptor ?? {});
  const {
    rangeId = 0,
    fromReplicaId = 0,
    toReplicaId = 0,
    term = 0,
    index = 0,
    indexTerm = 0,
    small = false,
  } = plain(raw);
  if (!checked.ok || checked.descriptor.rangeId !== rangeId) return undefined;
  if (!areCounts(fromReplicaId, toReplicaId, term, index, indexTerm)) return undefined;
  if (fromReplicaId === 0 || toReplicaId === 0) return undefined;
  return {
    kind: 'offer',
    snapshotId,
    rangeId,
    fromReplicaId,
    toReplicaId,
    term,
    index,
    indexTerm,
    small,
    descriptor: checked.descriptor,
  };
}

function checkChunk(
  snapshotId: number,
  raw: flotilla.kv.SnapshotChunk.$Properties,
): Chunk | undefined {
  const { sequence = 0, crc = 0 } = plain(raw);
  const { rows = 0, bytes = 0, digest = 0 } = plain(raw.summary ?? {});
  if (!areCounts(sequence, crc, rows, bytes, digest)) return undefined;
  return {
    kind: 'chunk',
    snapshotId,
    sequence,
    crc,
    bytes: asBuffer(raw.bytes ?? new Uint8Array(0)),
    summary: raw.summary ? { rows, bytes, digest } : undefined,
  };
}

/** protobufjs types allow null where a field is absent. */
type Plain<T> = { [Key in keyof T]: Exclude<T[Key], null> };

function plain<T extends object>(raw: T): Plain<T> {
  return raw as Plain<T>;
}

function areCounts(...numbers: readonly number[]): boolean {
  return numbers.every((n) => Number.isSafeInteger(n) && n >= 0);
}
