/**
 * Reads a log back: every batch of every segment in order, until the bytes make no batch. Then the question that
 * matters: was that batch never acknowledged (a torn tail, cut off) or is it damaged (refused)? It is damaged if any
 * batch after it says that the log was durable beyond this point. README, "Write-ahead log", has the rules.
 */
import { assert, crc32c, probe, type RangeId } from '@flotilla/base';
import {
  alignToSector,
  type BatchHeader,
  batchHeaderBytes,
  decodeBatchHeader,
  firstBatchOffset,
  isBefore,
  isZero,
  type Position,
  sectorBytes,
} from './format.ts';
import { GroupState, withoutGroup, withSnapshot } from './group-state.ts';
import { type GroupMetadata, readRecords, type WalRecord } from './records.ts';
import { corrupt, type Segment, type Segments } from './segments.ts';
import type { Checkpoint } from './write-ahead-log.ts';

export interface Recovered {
  readonly groups: Map<RangeId, GroupState>;
  readonly lastCheckpoint: Checkpoint | undefined;
  readonly closedCleanly: boolean;
  /** Where the next batch goes. */
  readonly end: Position;
  /** Of the last batch; 0 and 0 if there is none. */
  readonly batchNumber: number;
  readonly headerCrc: number;
  /** Bytes of a torn tail that were zeroed. */
  readonly cutBytes: number;
}

export async function recover(segments: Segments): Promise<Recovered> {
  return new Recovery(segments).run();
}

class Recovery {
  private readonly segments: Segments;
  private readonly groups = new Map<RangeId, GroupState>();
  private lastCheckpoint: Checkpoint | undefined;
  private closed = false;
  private previous: BatchHeader | undefined;

  constructor(segments: Segments) {
    this.segments = segments;
  }

  async run(): Promise<Recovered> {
    const { firstNumber, lastNumber } = this.segments;
    for (let number = firstNumber; number <= lastNumber; number++) await this.segments.open(number);
    let number = firstNumber;
    let offset = this.replaySegment(number);
    while (number < lastNumber && this.continues({ segment: number, offset })) {
      number += 1;
      offset = this.replaySegment(number);
    }
    const end = { segment: number, offset };
    this.refuseIfAcknowledged(end);
    const cutBytes = await this.cut(end);
    if (cutBytes > 0) probe('walTornTail');
    await this.secure(end);
    this.checkNothingMissing();
    return {
      groups: this.groups,
      lastCheckpoint: this.lastCheckpoint,
      closedCleanly: this.closed && cutBytes === 0,
      end,
      batchNumber: this.previous?.number ?? 0,
      headerCrc: this.previous?.crc ?? 0,
      cutBytes,
    };
  }

  /** Replays batches until there is none; returns the offset at which there is none. */
  private replaySegment(number: number): number {
    const segment = this.segments.get(number);
    const reader = new WindowReader(segment);
    let offset = firstBatchOffset;
    for (;;) {
      const header = reader.batchHeader(offset);
      if (header === undefined) return offset;
      const payload = reader.payload(offset, header);
      if (payload === undefined) return offset;
      this.replayBatch(segment, offset, header, payload);
      offset += alignToSector(batchHeaderBytes + header.payloadBytes);
    }
  }

  /** True if the next segment's first batch is whole and was written when the log ended exactly here. */
  private continues(end: Position): boolean {
    const reader = new WindowReader(this.segments.get(end.segment + 1));
    const header = reader.batchHeader(firstBatchOffset);
    if (header === undefined) return false;
    const { synced } = header;
    if (synced.segment !== end.segment || synced.offset !== end.offset) return false;
    return reader.payload(firstBatchOffset, header) !== undefined;
  }

  private refuseIfAcknowledged(end: Position): void {
    for (let number = end.segment; number <= this.segments.lastNumber; number++) {
      const segment = this.segments.get(number);
      const reader = new WindowReader(segment);
      const from = number === end.segment ? end.offset : firstBatchOffset;
      for (let at = from; at + sectorBytes <= segment.file.size(); at += sectorBytes) {
        const witness = reader.batchHeader(at);
        if (witness === undefined || !isBefore(end, witness.synced)) continue;
        const damaged = this.segments.get(end.segment);
        throw corrupt(damaged.path, end.offset, 'an acknowledged batch is damaged', {
          witness: `${segment.path} at ${at}`,
          syncedSegment: witness.synced.segment,
          syncedOffset: witness.synced.offset,
        });
      }
    }
  }

  /**
   * A process killed between a write and its sync leaves a batch that can be read and would not survive the machine.
   * From here on it counts as durable, and the next batch, whose sync would make it so, may go into another file.
   */
  private async secure(end: Position): Promise<void> {
    await this.segments.get(end.segment).file.datasync();
  }

  /** Zeroes what is left of a torn tail, so that it can never be taken for part of what is written over it. */
  private async cut(end: Position): Promise<number> {
    let cutBytes = 0;
    for (let number = end.segment; number <= this.segments.lastNumber; number++) {
      const segment = this.segments.get(number);
      const reader = new WindowReader(segment);
      const { file } = segment;
      let changed = false;
      const from = number === end.segment ? end.offset : firstBatchOffset;
      for (let at = from; at < file.size(); at += windowBytes) {
        const length = Math.min(windowBytes, file.size() - at);
        if (isZero(reader.bytes(at, length))) continue;
        await file.write(at, new Uint8Array(length));
        changed = true;
        cutBytes += length;
      }
      if (changed) await file.datasync();
    }
    return cutBytes;
  }

  // ---- replay

  private replayBatch(
    segment: Segment,
    offset: number,
    header: BatchHeader,
    payload: Uint8Array,
  ): void {
    const { previous } = this;
    const bad = (what: string) => corrupt(segment.path, offset, what, { batch: header.number });
    if (previous !== undefined) {
      if (header.number !== previous.number + 1 || header.previousCrc !== previous.crc)
        throw bad(`batch ${header.number} does not follow batch ${previous.number}`);
    }
    if (header.opensSegment !== (offset === firstBatchOffset))
      throw bad('a segment is opened by its first batch alone');
    let records: WalRecord[];
    try {
      records = readRecords(payload, segment.nonce);
    } catch (error) {
      throw bad(`a record cannot be read: ${error instanceof Error ? error.message : error}`);
    }
    if (records.length !== header.recordCount) throw bad('records are missing');
    if (header.opensSegment) this.replayMetadata(records, previous === undefined, bad);
    for (const record of records)
      if (!this.replayRecord(record, segment.number, offset + batchHeaderBytes))
        throw bad(`a record (${record.kind}) contradicts those before it`);
    this.previous = header;
  }

  /**
   * The oldest segment's metadata is where the groups start from; a later one's must say what replay has found. The
   * segment's own last checkpoint stands among the metadata and is replayed like any other.
   */
  private replayMetadata(
    records: readonly WalRecord[],
    oldest: boolean,
    bad: (what: string) => Error,
  ): void {
    const [store] = records;
    if (store?.kind !== 'store') throw bad('a segment opens without metadata');
    const metadata = records.flatMap((record) =>
      record.kind === 'group' ? [record.metadata] : [],
    );
    if (metadata.length !== store.groupCount) throw bad('metadata of groups is missing');
    if (oldest) {
      for (const each of metadata) this.group(each.rangeId).restore(each);
      return;
    }
    const known = [...this.groups.values()].filter((group) => !group.pristine);
    if (known.length !== metadata.length) throw bad('metadata names other groups than replay');
    for (const each of metadata)
      if (!sameMetadata(each, this.group(each.rangeId).metadata()))
        throw bad(`metadata of r${each.rangeId} contradicts replay`);
  }

  private replayRecord(record: WalRecord, segment: number, payloadOffset: number): boolean {
    this.closed = record.kind === 'closed';
    switch (record.kind) {
      case 'entry': {
        const group = this.group(record.rangeId);
        if (!group.accepts(record.index)) return false;
        const offset = payloadOffset + record.offset;
        group.append(record.index, record.term, segment, offset, record.length);
        if (record.configuration !== undefined) group.keepConfiguration(record.configuration);
        return true;
      }
      case 'movedEntry': {
        const offset = payloadOffset + record.offset;
        const group = this.group(record.rangeId);
        if (!group.move(record.index, record.term, segment, offset, record.length)) return false;
        if (record.configuration !== undefined) group.keepConfiguration(record.configuration);
        return true;
      }
      case 'hardState':
        this.group(record.rangeId).setHardState(record.hardState);
        return true;
      case 'compaction': {
        const { rangeId, index, term } = record.compaction;
        this.group(rangeId).compact(index, term);
        return true;
      }
      case 'snapshot': {
        const { rangeId, index, term } = record.compaction;
        const group = this.group(rangeId);
        if (index < group.firstIndex() - 1) return false;
        group.installSnapshot(index, term);
        this.lastCheckpoint = withSnapshot(this.lastCheckpoint, rangeId, index);
        return true;
      }
      case 'removed':
        this.group(record.rangeId).forgetAll();
        this.groups.delete(record.rangeId);
        this.lastCheckpoint = withoutGroup(this.lastCheckpoint, record.rangeId);
        return true;
      case 'checkpoint':
        this.lastCheckpoint = record.checkpoint;
        for (const { rangeId, appliedIndex } of record.checkpoint.applied)
          this.group(rangeId).setCheckpointed(appliedIndex);
        return true;
      case 'group':
      case 'store':
      case 'opened':
      case 'closed':
        return true;
    }
  }

  /** Entries that the oldest segment's metadata promised and that nothing has dropped, replaced or moved since. */
  private checkNothingMissing(): void {
    for (const group of this.groups.values()) {
      const index = group.firstMissing();
      if (index === undefined) continue;
      const { path } = this.segments.get(this.segments.firstNumber);
      throw corrupt(path, 0, `i${index} of r${group.rangeId} lies in no segment`, {
        range: group.rangeId,
        index,
      });
    }
  }

  private group(rangeId: RangeId): GroupState {
    let group = this.groups.get(rangeId);
    if (group === undefined) {
      group = new GroupState(rangeId, this.segments);
      this.groups.set(rangeId, group);
    }
    return group;
  }
}

function sameMetadata(a: GroupMetadata, b: GroupMetadata): boolean {
  return (
    a.hardState.currentTerm === b.hardState.currentTerm &&
    a.hardState.votedFor === b.hardState.votedFor &&
    a.hardState.commitIndex === b.hardState.commitIndex &&
    a.compactedIndex === b.compactedIndex &&
    a.compactedTerm === b.compactedTerm &&
    a.lastIndex === b.lastIndex &&
    a.checkpointedIndex === b.checkpointedIndex &&
    a.termRuns.length === b.termRuns.length &&
    a.termRuns.every((run, i) => {
      const other = b.termRuns[i];
      return run.firstIndex === other?.firstIndex && run.term === other.term;
    })
  );
}

const windowBytes = 256 * 1024;

/** Sequential reads of one file, a window at a time. What it returns is valid for good: windows are not reused. */
class WindowReader {
  private readonly segment: Segment;
  private window: Uint8Array = new Uint8Array(0);
  private start = 0;

  constructor(segment: Segment) {
    this.segment = segment;
  }

  bytes(offset: number, length: number): Uint8Array {
    const { file } = this.segment;
    assert(offset + length <= file.size(), 'reads stay in the file', { offset, length });
    const at = offset - this.start;
    if (at >= 0 && at + length <= this.window.length) return this.window.subarray(at, at + length);
    this.start = offset;
    this.window = file.readSync(
      offset,
      Math.min(Math.max(length, windowBytes), file.size() - offset),
    );
    return this.window.subarray(0, length);
  }

  batchHeader(offset: number): BatchHeader | undefined {
    if (offset + sectorBytes > this.segment.file.size()) return undefined;
    const { nonce } = this.segment;
    return decodeBatchHeader(this.bytes(offset, batchHeaderBytes), { offset, nonce });
  }

  /** The payload, if all of it is there and undamaged. */
  payload(offset: number, header: BatchHeader): Uint8Array | undefined {
    const from = offset + batchHeaderBytes;
    if (from + header.payloadBytes > this.segment.file.size()) return undefined;
    const payload = this.bytes(from, header.payloadBytes);
    return crc32c(payload, this.segment.nonce) === header.payloadCrc ? payload : undefined;
  }
}
