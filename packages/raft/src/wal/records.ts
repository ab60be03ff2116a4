/**
 * What a batch is made of. `BatchWriter` builds one batch in one reused buffer; `readRecords` takes one apart.
 *
 *   record: u32 body length | u32 CRC-32C of the body, seeded with the segment's nonce | body
 */
import {
  assert,
  crc32c,
  type LogIndex,
  type RangeId,
  type Term,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toTerm,
} from '@flotilla/base';
import type { EntryKind, HardState, LogEntry } from '../messages.ts';
import {
  alignToSector,
  type BatchHeader,
  type BatchPlace,
  batchHeaderBytes,
  encodeBatchHeader,
  recordHeaderBytes,
  viewOf,
} from './format.ts';
import type { Checkpoint, GroupCompaction } from './write-ahead-log.ts';

const kindEntry = 1;
const kindHardState = 2;
const kindCompaction = 3;
const kindGroup = 4;
const kindCheckpoint = 5;
/** An entry that was moved out of an old segment: same index and term, new place. Replaces nothing. */
const kindMovedEntry = 6;
const kindClosed = 7;
const kindOpened = 8;
const kindStore = 9;
// Since version 2.
const kindSnapshot = 10;
const kindRemoved = 11;

const entryKinds: readonly EntryKind[] = ['command', 'noop', 'configuration'];
/** Of an entry's body, before the data: kind, entry kind, range, index, term. */
const entryFixedBytes = 26;

/** One group as a segment's first batch tells it, so that older segments are not needed to know it. */
export interface GroupMetadata {
  readonly rangeId: RangeId;
  readonly hardState: HardState;
  readonly compactedIndex: LogIndex;
  readonly compactedTerm: Term;
  readonly lastIndex: LogIndex;
  readonly checkpointedIndex: LogIndex;
  /** Terms of the entries above the compaction point, by runs: from `firstIndex` on the term is `term`. */
  readonly termRuns: readonly { readonly firstIndex: LogIndex; readonly term: Term }[];
}

export type WalRecord =
  | {
      readonly kind: 'entry' | 'movedEntry';
      readonly rangeId: RangeId;
      readonly index: LogIndex;
      readonly term: Term;
      /** From the start of the payload; `length` includes the record's header. */
      readonly offset: number;
      readonly length: number;
      /** The whole entry, if it is a configuration: these are kept in memory. */
      readonly configuration: LogEntry | undefined;
    }
  | { readonly kind: 'hardState'; readonly rangeId: RangeId; readonly hardState: HardState }
  | { readonly kind: 'compaction' | 'snapshot'; readonly compaction: GroupCompaction }
  | { readonly kind: 'removed'; readonly rangeId: RangeId }
  | { readonly kind: 'group'; readonly metadata: GroupMetadata }
  | { readonly kind: 'store'; readonly groupCount: number }
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'closed' }
  | { readonly kind: 'opened' };

/** A larger buffer than this is given back after its batch. */
const keptBufferBytes = 4 * 1024 * 1024;

export class BatchWriter {
  private bytes: Uint8Array = new Uint8Array(64 * 1024);
  private view: DataView = viewOf(this.bytes);
  private at = batchHeaderBytes;
  private nonce = 0;
  private records = 0;
  /** Where the entries of the batch are, in the order in which they were added; from the start of the batch. */
  readonly entryOffsets: number[] = [];
  readonly entryLengths: number[] = [];

  begin(nonce: number): void {
    if (this.bytes.length > keptBufferBytes) {
      this.bytes = new Uint8Array(64 * 1024);
      this.view = viewOf(this.bytes);
    }
    this.at = batchHeaderBytes;
    this.nonce = nonce;
    this.records = 0;
    this.entryOffsets.length = 0;
    this.entryLengths.length = 0;
  }

  /** Bytes that the batch will take on disk. */
  get alignedBytes(): number {
    return alignToSector(this.at);
  }

  /** The batch, padded with zeros, and the CRC of its header. The bytes are valid until `begin`. */
  finish(
    place: BatchPlace,
    header: Pick<BatchHeader, 'opensSegment' | 'number' | 'synced' | 'previousCrc'>,
  ): { readonly bytes: Uint8Array; readonly crc: number } {
    assert(place.nonce === this.nonce, 'a batch is for one segment');
    const length = this.alignedBytes;
    this.reserve(length - this.at);
    this.bytes.fill(0, this.at, length);
    const bytes = this.bytes.subarray(0, length);
    const crc = encodeBatchHeader(bytes, place, {
      ...header,
      payloadBytes: this.at - batchHeaderBytes,
      recordCount: this.records,
    });
    return { bytes, crc };
  }

  entry(rangeId: RangeId, entry: LogEntry): void {
    const { data } = entry;
    const body = this.entryHead(kindEntry, rangeId, entry, data.length);
    this.bytes.set(data, body + entryFixedBytes);
    this.seal(body);
  }

  /** @param entry as `entries` of the group's log returned it */
  movedEntry(rangeId: RangeId, entry: LogEntry): void {
    const body = this.entryHead(kindMovedEntry, rangeId, entry, entry.data.length);
    this.bytes.set(entry.data, body + entryFixedBytes);
    this.seal(body);
  }

  hardState(rangeId: RangeId, hardState: HardState): void {
    const body = this.open(kindHardState, 33);
    this.view.setFloat64(body + 1, rangeId, true);
    this.putHardState(body + 9, hardState);
    this.seal(body);
  }

  compaction(compaction: GroupCompaction): void {
    this.cut(kindCompaction, compaction);
  }

  snapshot(snapshot: GroupCompaction): void {
    this.cut(kindSnapshot, snapshot);
  }

  removed(rangeId: RangeId): void {
    const body = this.open(kindRemoved, 9);
    this.view.setFloat64(body + 1, rangeId, true);
    this.seal(body);
  }

  private cut(kind: number, { rangeId, index, term }: GroupCompaction): void {
    const body = this.open(kind, 25);
    this.view.setFloat64(body + 1, rangeId, true);
    this.view.setFloat64(body + 9, index, true);
    this.view.setFloat64(body + 17, term, true);
    this.seal(body);
  }

  checkpoint({ applied, hlcUpperBound }: Checkpoint): void {
    const body = this.open(kindCheckpoint, 13 + 16 * applied.length);
    this.view.setFloat64(body + 1, hlcUpperBound, true);
    this.view.setUint32(body + 9, applied.length, true);
    let at = body + 13;
    for (const { rangeId, appliedIndex } of applied) {
      this.view.setFloat64(at, rangeId, true);
      this.view.setFloat64(at + 8, appliedIndex, true);
      at += 16;
    }
    this.seal(body);
  }

  group(metadata: GroupMetadata): void {
    const { termRuns } = metadata;
    const body = this.open(kindGroup, 69 + 16 * termRuns.length);
    const { view } = this;
    view.setFloat64(body + 1, metadata.rangeId, true);
    this.putHardState(body + 9, metadata.hardState);
    view.setFloat64(body + 33, metadata.compactedIndex, true);
    view.setFloat64(body + 41, metadata.compactedTerm, true);
    view.setFloat64(body + 49, metadata.lastIndex, true);
    view.setFloat64(body + 57, metadata.checkpointedIndex, true);
    view.setUint32(body + 65, termRuns.length, true);
    let at = body + 69;
    for (const { firstIndex, term } of termRuns) {
      view.setFloat64(at, firstIndex, true);
      view.setFloat64(at + 8, term, true);
      at += 16;
    }
    this.seal(body);
  }

  store(groupCount: number): void {
    const body = this.open(kindStore, 5);
    this.view.setUint32(body + 1, groupCount, true);
    this.seal(body);
  }

  /** @param body of a record of another batch */
  copy(body: Uint8Array): void {
    const at = this.open(body[0] ?? 0, body.length);
    this.bytes.set(body, at);
    this.seal(at);
  }

  mark(kind: 'closed' | 'opened'): void {
    this.seal(this.open(kind === 'closed' ? kindClosed : kindOpened, 1));
  }

  private entryHead(kind: number, rangeId: RangeId, entry: LogEntry, dataBytes: number): number {
    const body = this.open(kind, entryFixedBytes + dataBytes);
    this.entryOffsets.push(body - recordHeaderBytes);
    this.entryLengths.push(recordHeaderBytes + entryFixedBytes + dataBytes);
    const { view } = this;
    view.setUint8(body + 1, entryKinds.indexOf(entry.kind));
    view.setFloat64(body + 2, rangeId, true);
    view.setFloat64(body + 10, entry.index, true);
    view.setFloat64(body + 18, entry.term, true);
    return body;
  }

  private putHardState(at: number, hardState: HardState): void {
    this.view.setFloat64(at, hardState.currentTerm, true);
    this.view.setFloat64(at + 8, hardState.votedFor ?? 0, true);
    this.view.setFloat64(at + 16, hardState.commitIndex, true);
  }

  /** Makes room for a record; returns where its body starts. */
  private open(kind: number, bodyBytes: number): number {
    this.reserve(recordHeaderBytes + bodyBytes);
    const body = this.at + recordHeaderBytes;
    this.view.setUint32(this.at, bodyBytes, true);
    this.view.setUint8(body, kind);
    this.at = body + bodyBytes;
    this.records += 1;
    return body;
  }

  private seal(body: number): void {
    this.view.setUint32(body - 4, crc32c(this.bytes.subarray(body, this.at), this.nonce), true);
  }

  private reserve(more: number): void {
    if (this.at + more <= this.bytes.length) return;
    const larger = new Uint8Array(alignToSector(Math.max(this.bytes.length * 2, this.at + more)));
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
    this.view = viewOf(larger);
  }
}

/** What a segment's first batch starts with: all that older segments say, apart from entries, so that they can go. */
export function writeMetadata(
  writer: BatchWriter,
  groups: Iterable<{ readonly pristine: boolean; metadata(): GroupMetadata }>,
  checkpoint: Checkpoint | undefined,
): void {
  const known = [...groups].filter((group) => !group.pristine);
  writer.store(known.length);
  for (const group of known) writer.group(group.metadata());
  if (checkpoint !== undefined) writer.checkpoint(checkpoint);
}

/** Copies what a batch changed: not its metadata, not its marks. */
export function copyRecords(writer: BatchWriter, payload: Uint8Array): void {
  const view = viewOf(payload);
  for (let at = 0; at < payload.length; ) {
    const body = at + recordHeaderBytes;
    const end = body + view.getUint32(at, true);
    const kind = view.getUint8(body);
    if (kind !== kindStore && kind !== kindGroup && kind !== kindOpened && kind !== kindClosed)
      writer.copy(payload.subarray(body, end));
    at = end;
  }
}

/** Takes a payload apart. Throws RangeError for bytes that are no records: the caller has already checked its CRC. */
export function readRecords(payload: Uint8Array, nonce: number): WalRecord[] {
  const view = viewOf(payload);
  const records: WalRecord[] = [];
  for (let at = 0; at < payload.length; ) {
    const length = view.getUint32(at, true);
    const body = at + recordHeaderBytes;
    if (length < 1 || body + length > payload.length) throw new RangeError('record length');
    if (view.getUint32(at + 4, true) !== crc32c(payload.subarray(body, body + length), nonce))
      throw new RangeError('record CRC');
    records.push(readRecord(payload, view, body, length));
    at = body + length;
  }
  return records;
}

function readRecord(payload: Uint8Array, view: DataView, body: number, length: number): WalRecord {
  const kind = view.getUint8(body);
  const rangeId = (): RangeId => toRangeId(view.getFloat64(body + 1, true));
  const index = (at: number): LogIndex => toLogIndex(view.getFloat64(at, true));
  const term = (at: number): Term => toTerm(view.getFloat64(at, true));
  switch (kind) {
    case kindEntry:
    case kindMovedEntry:
      return {
        kind: kind === kindEntry ? 'entry' : 'movedEntry',
        rangeId: toRangeId(view.getFloat64(body + 2, true)),
        index: index(body + 10),
        term: term(body + 18),
        offset: body - recordHeaderBytes,
        length: length + recordHeaderBytes,
        configuration:
          entryKinds[view.getUint8(body + 1)] === 'configuration'
            ? {
                index: index(body + 10),
                term: term(body + 18),
                kind: 'configuration',
                // A copy, also of a Buffer, whose `slice` would hold on to the whole payload.
                data: new Uint8Array(payload.subarray(body + entryFixedBytes, body + length)),
              }
            : undefined,
      };
    case kindHardState:
      return { kind: 'hardState', rangeId: rangeId(), hardState: readHardState(view, body + 9) };
    case kindRemoved:
      return { kind: 'removed', rangeId: rangeId() };
    case kindCompaction:
    case kindSnapshot:
      return {
        kind: kind === kindCompaction ? 'compaction' : 'snapshot',
        compaction: { rangeId: rangeId(), index: index(body + 9), term: term(body + 17) },
      };
    case kindCheckpoint: {
      const count = view.getUint32(body + 9, true);
      const applied = Array.from({ length: count }, (_, i) => ({
        rangeId: toRangeId(view.getFloat64(body + 13 + 16 * i, true)),
        appliedIndex: index(body + 21 + 16 * i),
      }));
      return {
        kind: 'checkpoint',
        checkpoint: { applied, hlcUpperBound: view.getFloat64(body + 1, true) },
      };
    }
    case kindGroup: {
      const count = view.getUint32(body + 65, true);
      return {
        kind: 'group',
        metadata: {
          rangeId: rangeId(),
          hardState: readHardState(view, body + 9),
          compactedIndex: index(body + 33),
          compactedTerm: term(body + 41),
          lastIndex: index(body + 49),
          checkpointedIndex: index(body + 57),
          termRuns: Array.from({ length: count }, (_, i) => ({
            firstIndex: index(body + 69 + 16 * i),
            term: term(body + 77 + 16 * i),
          })),
        },
      };
    }
    case kindStore:
      return { kind: 'store', groupCount: view.getUint32(body + 1, true) };
    case kindClosed:
      return { kind: 'closed' };
    case kindOpened:
      return { kind: 'opened' };
    default:
      throw new RangeError(`record kind ${kind}`);
  }
}

function readHardState(view: DataView, at: number): HardState {
  const votedFor = view.getFloat64(at + 8, true);
  return {
    currentTerm: toTerm(view.getFloat64(at, true)),
    votedFor: votedFor === 0 ? undefined : toReplicaId(votedFor),
    commitIndex: toLogIndex(view.getFloat64(at + 16, true)),
  };
}

/** The entry in a record read back from disk, or undefined if the bytes are damaged. Data shares their memory. */
export function readEntry(
  record: Uint8Array,
  nonce: number,
  rangeId: RangeId,
): LogEntry | undefined {
  const view = viewOf(record);
  const body = recordHeaderBytes;
  if (record.length < body + entryFixedBytes) return undefined;
  if (view.getUint32(0, true) !== record.length - body) return undefined;
  if (view.getUint32(4, true) !== crc32c(record.subarray(body), nonce)) return undefined;
  const kind = entryKinds[view.getUint8(body + 1)];
  if (kind === undefined || view.getFloat64(body + 2, true) !== rangeId) return undefined;
  return {
    index: toLogIndex(view.getFloat64(body + 10, true)),
    term: toTerm(view.getFloat64(body + 18, true)),
    kind,
    data: record.subarray(body + entryFixedBytes),
  };
}
