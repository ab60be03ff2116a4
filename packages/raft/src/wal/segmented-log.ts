/**
 * The running log: batches in, one write and one sync each. Everything in memory changes only after the sync. The first
 * failure of any write or sync is the last thing that happens: the state of the file is unknown from then on.
 */
import {
  assert,
  type Clock,
  type DirectoryLock,
  FatalError,
  fatalDiskError,
  InvariantViolation,
  type LogIndex,
  present,
  type RangeId,
} from '@flotilla/base';
import { firstBatchOffset, type Position, sectorBytes } from './format.ts';
import { GroupState, settleCheckpoint, withoutGroup, withSnapshot } from './group-state.ts';
import { BatchWriter, writeMetadata } from './records.ts';
import type { Recovered } from './recovery.ts';
import type { Segment, Segments } from './segments.ts';
import type {
  Checkpoint,
  GroupCompaction,
  GroupLog,
  GroupWrite,
  WriteAheadLog,
} from './write-ahead-log.ts';

/** How long the log must be quiet before it notes how far it was synced. Unit: ms. */
const idleMarkerMs = 50;
/** Data that a checkpoint may move out of old segments, and the part of a segment it may be. Keeps its pause short. */
const movedBytesMax = 4 * 1024 * 1024;
const movedSegmentShare = 0.25;

export interface SegmentedLogOptions {
  readonly clock: Clock;
  readonly segments: Segments;
  readonly recovered: Recovered;
  readonly lock: DirectoryLock;
}

/** What goes into a batch, and what it means once it is durable. */
interface Batch {
  /** Called again if the batch turns out to open a segment. */
  fill(writer: BatchWriter): void;
  /** @param base offset of the batch in its segment; the writer's `entryOffsets` are relative to it */
  onDurable(segment: number, base: number): void;
}

export class SegmentedLog implements WriteAheadLog {
  readonly closedCleanly: boolean;
  readonly recoveredBatch: number;
  private readonly clock: Clock;
  private readonly segments: Segments;
  private readonly lock: DirectoryLock;
  private readonly groups: Map<RangeId, GroupState>;
  private checkpointed: Checkpoint | undefined;
  private readonly writer = new BatchWriter();

  private current: Segment;
  /** In the current segment: where the next batch goes. */
  private offset: number;
  /** Everything before it is durable. */
  private synced: Position;
  private batchNumber: number;
  private durableNumber: number;
  private headerCrc: number;

  private next: Promise<Segment | undefined> | undefined;
  /** A preparation that waits until the current segment has filled up some more. */
  private paused: { readonly doneBytes: number; readonly goOn: (go: boolean) => void } | undefined;
  private maintenance: Promise<void> = Promise.resolve();
  /** What to tell the preparation: a batch waits for it; the log closes without it. */
  private hurry = false;
  private abandon = false;
  private busy = false;
  private busySinceMs = 0;
  private syncCount = 0;
  private closing = false;
  private closed = false;
  private failure: Error | undefined;
  /** Some caller has heard of the failure. */
  private failureTold = false;

  private idleTimerArmed = false;
  private lastWorkMs = 0;
  private markerDue = false;
  private markerWrite: Promise<void> | undefined;

  constructor({ clock, segments, recovered, lock }: SegmentedLogOptions) {
    this.clock = clock;
    this.segments = segments;
    this.lock = lock;
    this.groups = recovered.groups;
    this.checkpointed = recovered.lastCheckpoint;
    this.closedCleanly = recovered.closedCleanly;
    this.current = segments.get(recovered.end.segment);
    this.offset = recovered.end.offset;
    this.synced = recovered.end;
    this.recoveredBatch = recovered.recoveredBatch;
    this.batchNumber = recovered.batchNumber;
    this.durableNumber = recovered.batchNumber;
    this.headerCrc = recovered.headerCrc;
    this.prepareNext();
    this.noteWork();
  }

  // ---- WriteAheadLog

  append(writes: readonly GroupWrite[]): Promise<void> {
    const groups = writes.map(({ rangeId }) => this.state(rangeId));
    return this.commit({
      fill: (writer) => {
        for (const group of groups) group.beginBatch();
        for (let at = 0; at < writes.length; at++) {
          const write = present(writes[at], 'write');
          const { rangeId, snapshot, hardState, entries } = write;
          groups[at]?.stage(writes, at);
          if (write.removed === true) writer.removed(rangeId);
          if (snapshot !== undefined) writer.snapshot({ rangeId, ...snapshot });
          if (hardState !== undefined) writer.hardState(rangeId, hardState);
          for (const entry of entries) writer.entry(rangeId, entry);
        }
      },
      onDurable: (segment, base) => {
        const { entryOffsets, entryLengths } = this.writer;
        let i = 0;
        let someRemoved = false;
        for (let at = 0; at < writes.length; at++) {
          const write = present(writes[at], 'write');
          const { rangeId, snapshot, hardState, entries } = write;
          if (write.removed === true) {
            this.remove(rangeId);
            someRemoved = true;
            continue;
          }
          // A group that begins again after its removal is another.
          const known = someRemoved ? undefined : groups[at];
          const group = known ?? this.state(rangeId);
          if (snapshot !== undefined) {
            group.installSnapshot(snapshot.index, snapshot.term);
            this.checkpointed = withSnapshot(this.checkpointed, rangeId, snapshot.index);
          }
          if (hardState !== undefined) group.setHardState(hardState);
          for (const entry of entries) {
            const { index, term } = entry;
            group.append(index, term, segment, base + (entryOffsets[i] ?? 0), entryLengths[i] ?? 0);
            if (entry.kind === 'configuration')
              group.keepConfiguration({ ...entry, data: new Uint8Array(entry.data) });
            i++;
          }
        }
      },
    });
  }

  async checkpoint(wanted: Checkpoint, compactions: readonly GroupCompaction[]): Promise<void> {
    const compactedTo = new Map(compactions.map(({ rangeId, index }) => [rangeId, index]));
    const moved = this.failure === undefined ? this.coldEntries(compactedTo) : [];
    const checkpoint = settleCheckpoint(wanted, this.groups, compactedTo);
    await this.commit({
      fill: (writer) => {
        for (const compaction of compactions) writer.compaction(compaction);
        for (const { group, from } of moved) {
          for (const index of from)
            for (const entry of group.entries(index, (index + 1) as LogIndex, 0))
              writer.movedEntry(group.rangeId, entry);
        }
        writer.checkpoint(checkpoint);
      },
      onDurable: (segment, base) => {
        const { entryOffsets, entryLengths } = this.writer;
        for (const { rangeId, index, term } of compactions)
          this.state(rangeId).compact(index, term);
        let i = 0;
        for (const { group, from } of moved) {
          for (const index of from) {
            const offset = base + (entryOffsets[i] ?? 0);
            const did = group.move(index, group.term(index), segment, offset, entryLengths[i] ?? 0);
            assert(did, 'a moved entry is still there', { range: group.rangeId, index });
            i++;
          }
        }
        for (const { rangeId, appliedIndex } of checkpoint.applied)
          this.state(rangeId).setCheckpointed(appliedIndex);
        this.checkpointed = checkpoint;
      },
    });
    const unneeded = this.segments.takeUnneeded(this.current.number);
    if (unneeded.length > 0) this.inBackground(() => this.segments.remove(unneeded));
  }

  group(rangeId: RangeId): GroupLog {
    return this.state(rangeId);
  }

  rangeIds(): readonly RangeId[] {
    return [...this.groups.keys()].sort((a, b) => a - b);
  }

  get lastCheckpoint(): Checkpoint | undefined {
    return this.checkpointed;
  }

  durableBatch(): number {
    return this.durableNumber;
  }

  sizeBytes(): number {
    return this.segments.sizeBytes();
  }

  syncs(): number {
    return this.syncCount;
  }

  pendingSyncMs(now: number): number {
    return this.busy ? Math.max(0, now - this.busySinceMs) : 0;
  }

  async close(): Promise<void> {
    if (this.closing) return;
    assert(!this.busy, 'nothing is outstanding when the log closes');
    this.closing = true;
    try {
      await this.markerWrite;
      if (this.failure === undefined)
        await this.commit({ fill: (writer) => writer.mark('closed'), onDurable: () => {} });
      this.abandon = true;
      this.resumePreparation();
      await this.next?.catch(() => {}); // its failure is in `failure`
      await this.maintenance;
      if (this.failure !== undefined && !this.failureTold) throw this.failure;
    } finally {
      this.closed = true;
      await this.segments.close();
      await this.lock.release();
    }
  }

  // ---- one batch

  private async commit(batch: Batch): Promise<void> {
    if (this.failure !== undefined) throw this.tell(this.failure);
    assert(!this.closed, 'the log is open');
    assert(!this.busy, 'one append or checkpoint is outstanding');
    this.busy = true;
    this.busySinceMs = this.clock.nowMs();
    try {
      if (this.markerWrite !== undefined) await this.markerWrite;
      if (this.failure !== undefined) throw this.failure;
      this.fill(batch);
      const full = this.offset + this.writer.alignedBytes > this.current.capacity;
      if (full && this.offset > firstBatchOffset) {
        await this.rotate();
        this.fill(batch);
      }
      const opens = this.offset === firstBatchOffset;
      const { current: segment, offset } = this;
      const bytes = this.seal();
      await segment.file.writeAndSync(offset, bytes);
      this.syncCount += 1;
      this.noteSynced(segment);
      batch.onDurable(segment.number, offset);
      if (opens) this.prepareNext();
    } catch (error) {
      throw this.tell(this.fail(error));
    } finally {
      this.busy = false;
    }
    this.resumePreparation();
    this.noteWork();
  }

  private fill(batch: Batch): void {
    const { writer } = this;
    writer.begin(this.current.nonce);
    if (this.offset === firstBatchOffset)
      writeMetadata(writer, this.groups.values(), this.checkpointed);
    batch.fill(writer);
  }

  /** Finishes the batch in the writer as the log's next one. */
  private seal(): Uint8Array {
    const { nonce } = this.current;
    const place = { offset: this.offset, nonce };
    const { bytes, crc } = this.writer.finish(place, {
      opensSegment: this.offset === firstBatchOffset,
      number: this.batchNumber + 1,
      synced: this.synced,
      previousCrc: this.headerCrc,
    });
    this.batchNumber += 1;
    this.headerCrc = crc;
    this.offset += bytes.length;
    return bytes;
  }

  /** The batch that was sealed last is durable, and so is everything before it. */
  private noteSynced(segment: Segment): void {
    this.synced = { segment: segment.number, offset: this.offset };
    this.durableNumber = this.batchNumber;
  }

  // ---- segments

  private async rotate(): Promise<void> {
    const { current } = this;
    if (this.next === undefined) this.prepareNext();
    this.hurry = true;
    this.resumePreparation();
    const next = await this.next;
    this.hurry = false;
    assert(next?.number === current.number + 1, 'the next segment is the next');
    this.next = undefined;
    this.current = next;
    this.offset = firstBatchOffset;
  }

  private prepareNext(): void {
    const next = this.segments.prepare((doneBytes) => this.pace(doneBytes));
    this.next = next;
    next.catch((error: unknown) => this.fail(error)); // whoever waits for it hears of it too
  }

  /** Zeros are written twice as fast as the current segment fills up: no burst that batches would have to wait for. */
  private pace(doneBytes: number): Promise<boolean> {
    return new Promise((goOn) => {
      this.paused = { doneBytes, goOn };
      this.resumePreparation();
    });
  }

  private resumePreparation(): void {
    const { paused } = this;
    if (paused === undefined) return;
    const done = paused.doneBytes / this.segments.segmentBytes;
    if (!this.abandon && !this.hurry && done > (2 * this.offset) / this.current.capacity) return;
    this.paused = undefined;
    paused.goOn(!this.abandon);
  }

  private inBackground(work: () => Promise<void>): void {
    this.maintenance = this.maintenance.then(work).catch((error: unknown) => {
      this.fail(error);
    });
  }

  /**
   * The few live entries of the oldest segments, which a checkpoint writes again so that the segments can go: a group
   * that nobody writes to must not hold on to everybody's history. None while the oldest segment is well used.
   */
  private coldEntries(
    compactedTo: ReadonlyMap<RangeId, LogIndex>,
  ): { readonly group: GroupState; readonly from: readonly LogIndex[] }[] {
    const moved: { group: GroupState; from: LogIndex[] }[] = [];
    let room = Math.min(movedBytesMax, this.current.capacity * movedSegmentShare);
    for (let n = this.segments.oldestNumber; n < this.current.number - 1; n++) {
      const found: { group: GroupState; from: LogIndex[] }[] = [];
      for (const group of this.groups.values()) {
        const above = Math.max(compactedTo.get(group.rangeId) ?? 0, group.firstIndex() - 1);
        const { indices, bytes } = group.entriesIn(n, above);
        room -= bytes;
        if (room < 0) return moved;
        if (indices.length > 0) found.push({ group, from: indices });
      }
      moved.push(...found);
    }
    return moved;
  }

  // ---- the idle marker

  private noteWork(): void {
    this.lastWorkMs = this.clock.nowMs();
    this.markerDue = true;
    if (!this.idleTimerArmed) this.armIdleTimer(idleMarkerMs);
  }

  private armIdleTimer(delayMs: number): void {
    this.idleTimerArmed = true;
    this.clock.setTimer(delayMs, () => {
      this.idleTimerArmed = false;
      if (this.closing || this.failure !== undefined || !this.markerDue) return;
      const quietMs = this.clock.nowMs() - this.lastWorkMs;
      if (this.busy) return; // the end of this batch arms it again
      // A timer may come a rounding error early: at least 1 ms more, or it would come again at this very moment.
      if (quietMs < idleMarkerMs) this.armIdleTimer(Math.max(1, idleMarkerMs - quietMs));
      else this.writeMarker();
    });
  }

  /** An empty batch: it says that the last one was acknowledged, which nothing else says until the next. */
  private writeMarker(): void {
    this.markerDue = false;
    if (this.offset + sectorBytes > this.current.capacity || this.offset === firstBatchOffset)
      return;
    this.writer.begin(this.current.nonce);
    const { current, offset } = this;
    const bytes = this.seal();
    this.markerWrite = current.file
      .writeAndSync(offset, bytes)
      .then(() => this.noteSynced(current))
      .catch((error: unknown) => {
        this.fail(error);
      })
      .finally(() => {
        this.markerWrite = undefined;
      });
  }

  // ---- plumbing

  private state(rangeId: RangeId): GroupState {
    let group = this.groups.get(rangeId);
    if (group === undefined) {
      group = new GroupState(rangeId, this.segments);
      this.groups.set(rangeId, group);
    }
    return group;
  }

  private remove(rangeId: RangeId): void {
    this.state(rangeId).forgetAll();
    this.groups.delete(rangeId);
    this.checkpointed = withoutGroup(this.checkpointed, rangeId);
  }

  private fail(error: unknown): Error {
    this.failure ??=
      error instanceof FatalError || error instanceof InvariantViolation
        ? error
        : fatalDiskError('write-ahead log', error);
    return this.failure;
  }

  private tell(failure: Error): Error {
    this.failureTold = true;
    return failure;
  }
}
