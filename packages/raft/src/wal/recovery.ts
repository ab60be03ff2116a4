/**
 * Reads a log back, then writes what nothing proves to be on disk again. README, "Write-ahead log", has the rules:
 * which segments belong to the log, what a batch header proves, what is a torn tail and what is damage.
 *
 * Reads come from the page cache, which also shows what a killed process had not synced and what a failed sync has lost.
 * A batch header is believed when it says how far the log was synced, because the process that wrote it knew; the last
 * batch or two, of which no header says so, are copied into a fresh segment and synced there before anyone hears of them.
 */
import { assert, crc32c, probe, type RangeId } from '@flotilla/base';
import {
  alignToSector,
  type BatchHeader,
  batchHeaderBytes,
  decodeBatchHeader,
  firstBatchOffset,
  formatVersion,
  isBefore,
  isZero,
  type Position,
  sectorBytes,
} from './format.ts';
import { GroupState, withoutGroup, withSnapshot } from './group-state.ts';
import {
  BatchWriter,
  copyRecords,
  type GroupMetadata,
  readRecords,
  type WalRecord,
  writeMetadata,
} from './records.ts';
import { corrupt, type Segment, type Segments } from './segments.ts';
import type { Checkpoint } from './write-ahead-log.ts';

export interface Recovered {
  readonly groups: Map<RangeId, GroupState>;
  readonly lastCheckpoint: Checkpoint | undefined;
  readonly closedCleanly: boolean;
  /** Where the next batch goes: after the one that opened this life. Everything before it is durable. */
  readonly end: Position;
  /** The last batch of earlier lives that was found, proven or not. 0: none. */
  readonly recoveredBatch: number;
  /** Of the batch that opened this life: not less, or what was told of the log would not hold of its next opening. */
  readonly batchNumber: number;
  readonly headerCrc: number;
  /** Bytes of a torn tail, which are never read again. */
  readonly tornBytes: number;
  /** Bytes of batches that nothing proved to be durable, and that were written again. */
  readonly copiedBytes: number;
}

/** Resolves when all of it is durable, including the batch that opens this life of the log. */
export async function recover(segments: Segments): Promise<Recovered> {
  return new Recovery(segments).run();
}

interface Batch {
  readonly offset: number;
  readonly header: BatchHeader;
  readonly payload: Uint8Array;
}

/** A segment of the log, and where it ends: known for all but the newest, whose successor would say so. */
interface Link {
  readonly segment: Segment;
  readonly end: number | undefined;
}

class Recovery {
  private readonly segments: Segments;
  private readonly groups = new Map<RangeId, GroupState>();
  private lastCheckpoint: Checkpoint | undefined;
  private closed = false;
  /** The last batch that was read, and the last that was replayed. */
  private read: BatchHeader | undefined;
  private replayed: BatchHeader | undefined;
  /** Everything before it is durable. */
  private proven: Position;

  constructor(segments: Segments) {
    this.segments = segments;
    this.proven = { segment: segments.firstNumber, offset: firstBatchOffset };
  }

  async run(): Promise<Recovered> {
    const { segments } = this;
    for (let n = segments.firstNumber; n <= segments.lastNumber; n++) await segments.open(n);
    const links = this.findLinks();
    const newest = links.pop();
    if (newest === undefined && segments.firstNumber > 1)
      // Older segments were dropped, which happens only after a checkpoint in one that is kept.
      throw this.damaged(segments.get(segments.firstNumber), firstBatchOffset);
    for (const { segment, end } of links) this.replayWhole(segment, end ?? firstBatchOffset);
    const from = { segment: segments.firstNumber, offset: firstBatchOffset };
    const { end, unproven } =
      newest === undefined ? { end: from, unproven: [] } : this.replayNewest(newest.segment);
    const tornBytes = this.refuseIfAcknowledged(end);
    if (tornBytes > 0) probe('walTornTail');
    for (const { payload } of unproven) this.noteClosing(payload, end.segment);
    const closedCleanly = this.closed && tornBytes === 0;
    // A batch says of the one before it that it was synced, so that one at most is not proven.
    assert(unproven.length <= 1, 'batch numbers never fall', { unproven: unproven.length });
    const recoveredBatch = this.read?.number ?? 0;
    await segments.secureManifest();
    const opening = await this.writeOpening(end.segment, unproven);
    this.checkNothingMissing();
    return {
      groups: this.groups,
      lastCheckpoint: this.lastCheckpoint,
      closedCleanly,
      end: opening,
      recoveredBatch,
      batchNumber: this.replayed?.number ?? 0,
      headerCrc: this.replayed?.crc ?? 0,
      tornBytes,
      copiedBytes: unproven.reduce((sum, { payload }) => sum + payload.length, 0),
    };
  }

  // ---- which segments, and where they end

  /**
   * From the newest segment whose first batch is whole back through the segments that each first batch names. What lies
   * between was given up: a life that never got as far as one durable batch.
   */
  private findLinks(): Link[] {
    const { segments } = this;
    const links: Link[] = [];
    let end: number | undefined;
    for (let number = segments.lastNumber; number >= segments.firstNumber; ) {
      const segment = segments.get(number);
      const opening = new WindowReader(segment).batch(firstBatchOffset);
      if (opening === undefined) {
        if (end !== undefined) throw this.damaged(segment, firstBatchOffset);
        number -= 1; // never written to, or the write was torn
        continue;
      }
      links.unshift({ segment, end });
      const { synced } = opening.header;
      // The first life of all has nothing before it.
      if (synced.segment >= number || synced.offset === firstBatchOffset) break;
      number = synced.segment;
      end = synced.offset;
    }
    return links;
  }

  /** Everything in it was durable when the next segment was opened. */
  private replayWhole(segment: Segment, end: number): void {
    const reader = new WindowReader(segment);
    let offset = firstBatchOffset;
    while (offset < end) {
      const batch = reader.batch(offset);
      if (batch === undefined) throw this.damaged(segment, offset);
      this.checkFollows(segment, batch);
      this.replayBatch(segment, batch);
      offset = endOf(batch);
    }
    if (offset !== end) throw this.damaged(segment, offset);
    this.proven = { segment: segment.number, offset: end };
  }

  /** Replays what is proven; returns what is not, and where the bytes make no batch any more. */
  private replayNewest(segment: Segment): { end: Position; unproven: Batch[] } {
    const reader = new WindowReader(segment);
    const unproven: Batch[] = [];
    let offset = firstBatchOffset;
    const replayProven = (): void => {
      for (;;) {
        const [first] = unproven;
        if (first === undefined) return;
        const at = { segment: segment.number, offset: first.offset };
        if (!isBefore(at, this.proven)) return;
        unproven.shift();
        this.replayBatch(segment, first);
      }
    };
    for (;;) {
      const batch = reader.batch(offset);
      if (batch === undefined) return { end: { segment: segment.number, offset }, unproven };
      this.checkFollows(segment, batch);
      const { synced } = batch.header;
      unproven.push(batch);
      offset = endOf(batch);
      if (batch.header.opensSegment && synced.segment < this.segments.firstNumber)
        // Older segments were dropped, which happens only after a checkpoint that this batch holds or precedes.
        this.proven = { segment: segment.number, offset };
      else if (isBefore(this.proven, synced)) this.proven = synced;
      replayProven();
    }
  }

  /** @returns bytes after `end`: of a batch that was never acknowledged, since nothing says that it was */
  private refuseIfAcknowledged(end: Position): number {
    let tornBytes = 0;
    for (let number = end.segment; number <= this.segments.lastNumber; number++) {
      const segment = this.segments.get(number);
      const reader = new WindowReader(segment);
      const from = number === end.segment ? end.offset : firstBatchOffset;
      const size = segment.file.size();
      for (let start = from; start < size; start += windowBytes) {
        const length = Math.min(windowBytes, size - start);
        if (isZero(reader.bytes(start, length))) continue;
        for (let at = start; at < start + length; at += sectorBytes) {
          const sector = reader.bytes(at, Math.min(sectorBytes, start + length - at));
          if (isZero(sector)) continue;
          tornBytes += sector.length;
          const witness = reader.batchHeader(at);
          if (witness === undefined || !isBefore(end, witness.synced)) continue;
          throw this.damaged(this.segments.get(end.segment), end.offset, {
            witness: `${segment.path} at ${at}`,
            syncedSegment: witness.synced.segment,
            syncedOffset: witness.synced.offset,
          });
        }
      }
    }
    return tornBytes;
  }

  private damaged(
    segment: Segment,
    offset: number,
    facts: Readonly<Record<string, unknown>> = {},
  ): Error {
    return corrupt(segment.path, offset, 'an acknowledged batch is damaged', facts);
  }

  // ---- this life's first batch

  /** Metadata as of the proven end of the log, then what is not proven, then the mark; one write, one sync, then replay. */
  private async writeOpening(newest: number, unproven: readonly Batch[]): Promise<Position> {
    const segment = await this.freshSegment(newest);
    const writer = new BatchWriter();
    writer.begin(segment.nonce);
    writeMetadata(writer, this.groups.values(), this.lastCheckpoint);
    for (const { payload } of unproven) copyRecords(writer, payload);
    writer.mark('opened');
    const place = { offset: firstBatchOffset, nonce: segment.nonce };
    const { bytes } = writer.finish(place, {
      opensSegment: true,
      number: (this.replayed?.number ?? 0) + 1,
      synced: this.proven,
      previousCrc: this.replayed?.crc ?? 0,
    });
    await segment.file.writeAndSync(firstBatchOffset, bytes);
    const batch = new WindowReader(segment).batch(firstBatchOffset);
    assert(batch !== undefined, 'the batch that was written can be read');
    this.read = this.replayed;
    this.checkFollows(segment, batch);
    this.replayBatch(segment, batch);
    return { segment: segment.number, offset: endOf(batch) };
  }

  /** The segment that was prepared last, if nobody ever wrote to it; otherwise a new one. */
  private async freshSegment(newest: number): Promise<Segment> {
    const { segments } = this;
    const last = segments.get(segments.lastNumber);
    const unused =
      (last.number > newest || this.read === undefined) &&
      last.version === formatVersion &&
      isUntouched(last);
    if (unused) return last;
    const made = await segments.prepare(async () => true, openingBytes(segments.segmentBytes));
    assert(made !== undefined, 'a preparation without pauses is finished');
    return made;
  }

  // ---- replay

  private checkFollows(segment: Segment, { offset, header }: Batch): void {
    const { read } = this;
    this.read = header;
    if (header.opensSegment !== (offset === firstBatchOffset))
      throw bad(segment, offset, header, 'a segment is opened by its first batch alone');
    if (read === undefined) return;
    if (header.number !== read.number + 1 || header.previousCrc !== read.crc)
      throw bad(segment, offset, header, `does not follow batch ${read.number}`);
  }

  private noteClosing(payload: Uint8Array, segment: number): void {
    for (const record of readRecords(payload, this.segments.get(segment).nonce))
      this.closed = record.kind === 'closed';
  }

  private replayBatch(segment: Segment, { offset, header, payload }: Batch): void {
    const fail = (what: string): Error => bad(segment, offset, header, what);
    let records: WalRecord[];
    try {
      records = readRecords(payload, segment.nonce);
    } catch (error) {
      throw fail(`a record cannot be read: ${error instanceof Error ? error.message : error}`);
    }
    if (records.length !== header.recordCount) throw fail('records are missing');
    if (header.opensSegment) this.replayMetadata(records, this.replayed === undefined, fail);
    for (const record of records)
      if (!this.replayRecord(record, segment.number, offset + batchHeaderBytes))
        throw fail(`a record (${record.kind}) contradicts those before it`);
    this.replayed = header;
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

function endOf({ offset, header }: Batch): number {
  return offset + alignToSector(batchHeaderBytes + header.payloadBytes);
}

function bad(segment: Segment, offset: number, { number }: BatchHeader, what: string): Error {
  return corrupt(segment.path, offset, `batch ${number}: ${what}`, { batch: number });
}

function isUntouched(segment: Segment): boolean {
  const reader = new WindowReader(segment);
  const size = segment.file.size();
  for (let at = firstBatchOffset; at < size; at += windowBytes)
    if (!isZero(reader.bytes(at, Math.min(windowBytes, size - at)))) return false;
  return true;
}

/** A life that ends at once must not leave 64 MiB behind: the segment it starts with is smaller. */
function openingBytes(segmentBytes: number): number {
  return alignToSector(Math.max(segmentBytes / 8, Math.min(segmentBytes, 64 * 1024)));
}

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

  /** The batch at `offset`, if all of it is there and undamaged. */
  batch(offset: number): Batch | undefined {
    const header = this.batchHeader(offset);
    if (header === undefined) return undefined;
    const payload = this.payload(offset, header);
    return payload && { offset, header, payload };
  }

  private payload(offset: number, header: BatchHeader): Uint8Array | undefined {
    const from = offset + batchHeaderBytes;
    if (from + header.payloadBytes > this.segment.file.size()) return undefined;
    const payload = this.bytes(from, header.payloadBytes);
    return crc32c(payload, this.segment.nonce) === header.payloadCrc ? payload : undefined;
  }
}
