/**
 * A write-ahead log in memory whose syncs a test completes by hand. Keeps what was synced apart from what was not, so
 * that a crash can lose the rest. Passes the same suite as the real log (`wal-suite.ts`); of disks it knows nothing.
 */
import { assert, type LogIndex, type RangeId, type Term, toLogIndex, toTerm } from '@flotilla/base';
import type { HardState, LogEntry } from '../messages.ts';
import { settleCheckpoint, withoutGroup, withSnapshot } from '../wal/group-state.ts';
import type {
  Checkpoint,
  GroupCompaction,
  GroupLog,
  GroupWrite,
  WriteAheadLog,
} from '../wal/write-ahead-log.ts';

class MemoryGroupLog implements GroupLog {
  readonly rangeId: RangeId;
  entriesHeld: LogEntry[] = [];
  compacted: { index: LogIndex; term: Term } = { index: toLogIndex(0), term: toTerm(0) };
  hard: HardState = { currentTerm: toTerm(0), votedFor: undefined, commitIndex: toLogIndex(0) };
  checkpointed: LogIndex = toLogIndex(0);

  constructor(rangeId: RangeId) {
    this.rangeId = rangeId;
  }

  hardState(): HardState {
    return this.hard;
  }
  checkpointedIndex(): LogIndex {
    return this.checkpointed;
  }
  firstIndex(): LogIndex {
    return toLogIndex(this.compacted.index + 1);
  }
  lastIndex(): LogIndex {
    return toLogIndex(this.compacted.index + this.entriesHeld.length);
  }
  configurations(): readonly LogEntry[] {
    return this.entriesHeld.filter(({ kind }) => kind === 'configuration');
  }
  bytes(): number {
    return this.entriesHeld.reduce((sum, { data }) => sum + data.length, 0);
  }
  holds(index: LogIndex, term: Term): boolean {
    return index >= this.compacted.index && index <= this.lastIndex() && this.term(index) === term;
  }
  term(index: LogIndex): Term {
    if (index === this.compacted.index) return this.compacted.term;
    const entry = this.entriesHeld[index - this.compacted.index - 1];
    assert(entry !== undefined, 'index is in the log', { index });
    return entry.term;
  }
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly LogEntry[] {
    const base = this.compacted.index + 1;
    assert(from >= base && from < to && to <= this.lastIndex() + 1, 'range is here', { from, to });
    const found: LogEntry[] = [];
    let bytes = 0;
    for (const entry of this.entriesHeld.slice(from - base, to - base)) {
      bytes += entry.data.length;
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  write(write: GroupWrite): void {
    const { snapshot } = write;
    if (snapshot !== undefined) {
      if (!this.holds(snapshot.index, snapshot.term)) this.entriesHeld = [];
      this.compact(snapshot);
      this.checkpointed = snapshot.index;
    }
    if (write.hardState !== undefined) this.hard = write.hardState;
    const first = write.entries[0];
    if (first === undefined) return;
    const at = first.index - this.compacted.index - 1;
    assert(at >= 0 && at <= this.entriesHeld.length, 'entries are contiguous');
    this.entriesHeld.splice(at, this.entriesHeld.length - at, ...write.entries);
  }

  compact({ index, term }: { readonly index: LogIndex; readonly term: Term }): void {
    assert(index >= this.compacted.index, 'compaction goes forward');
    this.entriesHeld.splice(0, index - this.compacted.index);
    this.compacted = { index, term };
  }
}

export class MemoryLog implements WriteAheadLog {
  /** True if the log that this one came from was closed. */
  closedCleanly = false;
  recoveredBatch = 0;
  lastCheckpoint: Checkpoint | undefined;
  /** Batches of `append`, as they came. */
  readonly batches: (readonly GroupWrite[])[] = [];
  /** Set: syncs wait for `completeSync`. */
  manual = false;
  failNext: Error | undefined;
  private readonly groups = new Map<RangeId, MemoryGroupLog>();
  private readonly clock: { nowMs(): number };
  private syncCount = 0;
  /** Opening a log writes a batch too. */
  private durableNumber = 1;
  private closed = false;
  private pending: { since: number; done: () => void } | undefined;

  constructor(clock: { nowMs(): number }) {
    this.clock = clock;
  }

  append(writes: readonly GroupWrite[]): Promise<void> {
    assert(this.pending === undefined, 'one append is outstanding');
    this.batches.push(writes);
    return this.sync(() => {
      for (const write of writes) {
        if (write.removed === true) this.remove(write.rangeId);
        else this.of(write.rangeId).write(write);
        if (write.snapshot !== undefined)
          this.lastCheckpoint = withSnapshot(
            this.lastCheckpoint,
            write.rangeId,
            write.snapshot.index,
          );
      }
    });
  }

  checkpoint(checkpoint: Checkpoint, compactions: readonly GroupCompaction[]): Promise<void> {
    assert(this.pending === undefined, 'one append is outstanding');
    return this.sync(() => {
      for (const { rangeId, index, term } of compactions) {
        const log = this.of(rangeId);
        if (index > log.compacted.index) log.compact({ index, term });
      }
      const settled = settleCheckpoint(checkpoint, this.groups, new Map());
      for (const { rangeId, appliedIndex } of settled.applied)
        this.of(rangeId).checkpointed = appliedIndex;
      this.lastCheckpoint = settled;
    });
  }

  /** Finishes the sync that is under way. */
  completeSync(): void {
    const { pending } = this;
    this.pending = undefined;
    pending?.done();
  }

  /** The process dies: what was not synced is gone, and nobody hears of it. */
  crash(): MemoryLog {
    this.pending = undefined;
    const survivor = new MemoryLog(this.clock);
    survivor.lastCheckpoint = this.lastCheckpoint;
    survivor.closedCleanly = this.closed;
    survivor.recoveredBatch = this.durableNumber;
    survivor.durableNumber = this.durableNumber + 1;
    for (const [rangeId, log] of this.groups) {
      const copy = survivor.of(rangeId);
      copy.entriesHeld = [...log.entriesHeld];
      copy.compacted = log.compacted;
      copy.hard = log.hard;
      copy.checkpointed = log.checkpointed;
    }
    return survivor;
  }

  group(rangeId: RangeId): GroupLog {
    return this.of(rangeId);
  }
  rangeIds(): readonly RangeId[] {
    return [...this.groups.keys()].sort((a, b) => a - b);
  }
  durableBatch(): number {
    return this.durableNumber;
  }
  sizeBytes(): number {
    let bytes = 0;
    for (const group of this.groups.values()) bytes += group.bytes();
    return bytes;
  }
  syncs(): number {
    return this.syncCount;
  }
  pendingSyncMs(now: number): number {
    return this.pending === undefined ? 0 : now - this.pending.since;
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  private sync(effect: () => void): Promise<void> {
    if (this.failNext !== undefined) {
      const error = this.failNext;
      this.failNext = undefined;
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.syncCount++;
        this.durableNumber++;
        try {
          effect();
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      this.pending = { since: this.clock.nowMs(), done };
      if (!this.manual) queueMicrotask(() => this.completeSync());
    });
  }

  private remove(rangeId: RangeId): void {
    this.groups.delete(rangeId);
    this.lastCheckpoint = withoutGroup(this.lastCheckpoint, rangeId);
  }

  private of(rangeId: RangeId): MemoryGroupLog {
    let log = this.groups.get(rangeId);
    if (log === undefined) {
      log = new MemoryGroupLog(rangeId);
      this.groups.set(rangeId, log);
    }
    return log;
  }
}
