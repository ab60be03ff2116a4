/**
 * One group's log as the write-ahead log knows it: hard state, compaction point, where each entry lies, terms by runs.
 * Holds no entry data; reads go to the segment files. Changes only when what it says is durable, or during recovery.
 */
import {
  assert,
  type LogIndex,
  present,
  type RangeId,
  type Term,
  toLogIndex,
  toTerm,
} from '@flotilla/base';
import type { HardState, LogEntry } from '../messages.ts';
import { EntryLocations } from './entry-locations.ts';
import type { GroupMetadata } from './records.ts';
import type { Checkpoint, GroupLog, GroupWrite } from './write-ahead-log.ts';

/** A segment number for entries whose segment is gone. During recovery only. */
const nowhere = 0;

/** What a group needs of the segments: their bytes, and someone who counts what is still needed of them. */
export interface SegmentStore {
  /** Reads the records at these places of one segment. Throws FatalError if one is damaged. */
  readEntries(
    rangeId: RangeId,
    segment: number,
    places: readonly { readonly offset: number; readonly length: number }[],
  ): LogEntry[];
  /** `count` entries of `bytes` in total are needed (or, if negative, no longer needed) of a segment. */
  addLive(segment: number, count: number, bytes: number): void;
}

interface TermRun {
  readonly firstIndex: LogIndex;
  readonly term: Term;
}

const freshHardState: HardState = {
  currentTerm: toTerm(0),
  votedFor: undefined,
  commitIndex: toLogIndex(0),
};

export class GroupState implements GroupLog {
  readonly rangeId: RangeId;
  private readonly store: SegmentStore;
  private hard: HardState = freshHardState;
  private compactedIndex: LogIndex = toLogIndex(0);
  private compactedTerm: Term = toTerm(0);
  private checkpointed: LogIndex = toLogIndex(0);
  private readonly locations = new EntryLocations();
  /** Of the entries above the compaction point; ascending. */
  private runs: TermRun[] = [];
  /** Never changed, only replaced. Ascending. */
  private configured: readonly LogEntry[] = [];
  private liveBytes = 0;
  /** Compaction point and last index as the batch under way will leave them. */
  private stagedCompacted = 0;
  private stagedLast = 0;

  constructor(rangeId: RangeId, store: SegmentStore) {
    this.rangeId = rangeId;
    this.store = store;
  }

  // ---- GroupLog

  hardState(): HardState {
    return this.hard;
  }
  checkpointedIndex(): LogIndex {
    return this.checkpointed;
  }
  configurations(): readonly LogEntry[] {
    return this.configured;
  }
  bytes(): number {
    return this.liveBytes;
  }
  firstIndex(): LogIndex {
    return toLogIndex(this.compactedIndex + 1);
  }
  lastIndex(): LogIndex {
    return toLogIndex(this.compactedIndex + this.locations.size);
  }

  term(index: LogIndex): Term {
    if (index === this.compactedIndex) return this.compactedTerm;
    assert(index > this.compactedIndex && index <= this.lastIndex(), 'index is in the log', {
      range: this.rangeId,
      index,
    });
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.runs[middle]?.firstIndex ?? 0) <= index) low = middle;
      else high = middle - 1;
    }
    return this.runs[low]?.term ?? toTerm(0);
  }

  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly LogEntry[] {
    assert(from > this.compactedIndex && from < to && to <= this.lastIndex() + 1, 'range is here', {
      range: this.rangeId,
      from,
      to,
    });
    const found: LogEntry[] = [];
    const end = to - this.compactedIndex - 1;
    let bytes = 0;
    for (let i = from - this.compactedIndex - 1; i < end; ) {
      // One read for what lies in one segment.
      const segment = this.locations.segment(i);
      const places: { offset: number; length: number }[] = [];
      for (; i < end && this.locations.segment(i) === segment; i++) {
        const length = this.locations.length(i);
        if (bytes > 0 && bytes + length > bytesMax) break;
        bytes += length;
        places.push({ offset: this.locations.offset(i), length });
      }
      if (places.length === 0) break;
      for (const entry of this.store.readEntries(this.rangeId, segment, places)) {
        const index = from + found.length;
        assert(entry.index === index, 'the entry is the one that was written', { index });
        found.push(entry);
      }
      if (bytes >= bytesMax) break;
    }
    return found;
  }

  // ---- changes

  /** True if there is nothing to tell about it. */
  get pristine(): boolean {
    return this.hard === freshHardState && this.compactedIndex === 0 && this.locations.size === 0;
  }

  setHardState(hardState: HardState): void {
    this.hard = hardState;
  }

  /** Never goes back: a flush point may be older than a snapshot that was installed meanwhile. */
  setCheckpointed(index: LogIndex): void {
    if (index > this.checkpointed) this.checkpointed = index;
  }

  /** A batch that may hold writes of this group begins. */
  beginBatch(): void {
    this.stagedCompacted = this.compactedIndex;
    this.stagedLast = this.lastIndex();
  }

  /** Checks what is about to be written; several writes of one batch build on each other. `writes[at]` is this group's. */
  stage(writes: readonly GroupWrite[], at: number): void {
    const write = present(writes[at], 'write');
    const { entries, snapshot } = write;
    if (write.removed === true) {
      const alone = entries.length === 0 && snapshot === undefined && write.hardState === undefined;
      assert(alone, 'a removal stands alone in its write', { range: this.rangeId });
      this.stagedCompacted = 0;
      this.stagedLast = 0;
    }
    if (snapshot !== undefined) {
      const { index, term } = snapshot;
      const compacted = this.stagedCompacted;
      assert(index >= compacted, 'a snapshot is not older than what is compacted', {
        range: this.rangeId,
        index,
        compacted,
      });
      if (this.stagedTerm(index, writes, at) !== term) this.stagedLast = index;
      this.stagedCompacted = index;
    }
    const first = entries[0];
    if (first === undefined) return;
    const { stagedCompacted: compacted, stagedLast: last } = this;
    assert(first.index > compacted && first.index <= last + 1, 'entries fit the log', {
      range: this.rangeId,
      first: first.index,
      compacted,
      last,
    });
    for (let i = 1; i < entries.length; i++)
      assert(entries[i]?.index === first.index + i, 'entries are contiguous');
    this.stagedLast = first.index + entries.length - 1;
  }

  /** Term of the entry that the log will hold at `index` after `writes` before `end`; undefined if it will hold none. */
  private stagedTerm(
    index: LogIndex,
    writes: readonly GroupWrite[],
    end: number,
  ): Term | undefined {
    for (let i = end - 1; i >= 0; i--) {
      const write = writes[i];
      if (write?.rangeId !== this.rangeId) continue;
      const { entries, snapshot } = write;
      const first = entries[0];
      if (first !== undefined && index >= first.index) return entries[index - first.index]?.term;
      if (snapshot !== undefined) {
        if (index === snapshot.index) return snapshot.term;
        if (index < snapshot.index) return undefined;
        if (this.stagedTerm(snapshot.index, writes, i) !== snapshot.term) return undefined;
      }
      if (write.removed === true) return index === 0 ? toTerm(0) : undefined;
    }
    const held = index >= this.compactedIndex && index <= this.lastIndex();
    return held ? this.term(index) : undefined;
  }

  /** True if an entry at this index may be written: it continues or replaces. */
  accepts(index: LogIndex): boolean {
    return index > this.compactedIndex && index <= this.lastIndex() + 1;
  }

  /** An entry was written; those at its index and above are gone. */
  append(index: LogIndex, term: Term, segment: number, offset: number, length: number): void {
    assert(this.accepts(index), 'entries continue or replace', { range: this.rangeId, index });
    const kept = index - this.compactedIndex - 1;
    if (kept < this.locations.size) this.truncate(kept);
    this.locations.push(segment, offset, length);
    this.need(segment, length);
    const last = this.runs[this.runs.length - 1];
    if (last === undefined || last.term !== term) this.runs.push({ firstIndex: index, term });
  }

  /** The same entry lies elsewhere now. False if there is no such entry. */
  move(index: LogIndex, term: Term, segment: number, offset: number, length: number): boolean {
    if (index <= this.compactedIndex || index > this.lastIndex()) return false;
    if (this.term(index) !== term) return false;
    const i = index - this.compactedIndex - 1;
    this.forget(i);
    this.locations.set(i, segment, offset, length);
    this.need(segment, length);
    return true;
  }

  /** The entry that was just appended or moved is a configuration. Keeps it; its data must be nobody else's. */
  keepConfiguration(entry: LogEntry): void {
    const others = this.configured.filter(({ index }) => index !== entry.index);
    this.configured = [...others, entry].sort((a, b) => a.index - b.index);
  }

  /** The log starts after `index`; what is above stays if the log holds exactly this entry. */
  installSnapshot(index: LogIndex, term: Term): void {
    assert(index >= this.compactedIndex, 'a snapshot is not older than what is compacted', {
      range: this.rangeId,
      index,
    });
    if (index > this.lastIndex() || this.term(index) !== term) this.truncate(0);
    this.compact(index, term);
    this.compactedTerm = term;
    this.setCheckpointed(index);
  }

  /** The group is gone. */
  forgetAll(): void {
    this.truncate(0);
    this.hard = freshHardState;
    this.compactedIndex = toLogIndex(0);
    this.compactedTerm = toTerm(0);
    this.checkpointed = toLogIndex(0);
  }

  /** Entries up to `index` are gone; above the last one, the log starts anew after `index`. */
  compact(index: LogIndex, term: Term): void {
    if (index <= this.compactedIndex) return;
    const count = Math.min(index - this.compactedIndex, this.locations.size);
    for (let i = 0; i < count; i++) this.forget(i);
    this.locations.dropFirst(count);
    this.compactedIndex = index;
    this.compactedTerm = term;
    if ((this.configured[0]?.index ?? index + 1) <= index)
      this.configured = this.configured.filter((entry) => entry.index > index);
    // The run that `index + 1` belongs to starts there from now on.
    let firstKept = this.runs.findIndex((run) => run.firstIndex > index + 1);
    if (firstKept < 0) firstKept = this.runs.length;
    const covering = this.locations.size > 0 ? this.runs[firstKept - 1] : undefined;
    this.runs.splice(0, firstKept);
    if (covering !== undefined)
      this.runs.unshift({ firstIndex: toLogIndex(index + 1), term: covering.term });
  }

  /** Entries above `above` that lie in `segment`: their indices and the bytes of their records. */
  entriesIn(segment: number, above: number): { indices: LogIndex[]; bytes: number } {
    const indices: LogIndex[] = [];
    let bytes = 0;
    const from = Math.max(0, above - this.compactedIndex);
    for (let i = from; i < this.locations.size; i++) {
      if (this.locations.segment(i) !== segment) continue;
      indices.push(toLogIndex(this.compactedIndex + 1 + i));
      bytes += this.locations.length(i);
    }
    return { indices, bytes };
  }

  // ---- metadata

  metadata(): GroupMetadata {
    return {
      rangeId: this.rangeId,
      hardState: this.hard,
      compactedIndex: this.compactedIndex,
      compactedTerm: this.compactedTerm,
      lastIndex: this.lastIndex(),
      checkpointedIndex: this.checkpointed,
      termRuns: this.runs,
    };
  }

  /** Recovery: the group as the oldest segment tells it. Its entries lie nowhere until they are dropped or moved. */
  restore(metadata: GroupMetadata): void {
    assert(this.pristine, 'a group is restored once', { range: this.rangeId });
    this.hard = metadata.hardState;
    this.compactedIndex = metadata.compactedIndex;
    this.compactedTerm = metadata.compactedTerm;
    this.checkpointed = metadata.checkpointedIndex;
    this.runs = [...metadata.termRuns];
    for (let i = metadata.compactedIndex; i < metadata.lastIndex; i++)
      this.locations.push(nowhere, 0, 0);
  }

  /** Recovery: the first entry that no segment holds, or undefined if all are there. */
  firstMissing(): LogIndex | undefined {
    return this.entriesIn(nowhere, this.compactedIndex).indices[0];
  }

  private truncate(kept: number): void {
    for (let i = kept; i < this.locations.size; i++) this.forget(i);
    this.locations.dropLast(this.locations.size - kept);
    const last = this.compactedIndex + kept;
    while ((this.runs[this.runs.length - 1]?.firstIndex ?? 0) > last) this.runs.pop();
    if ((this.configured[this.configured.length - 1]?.index ?? 0) > last)
      this.configured = this.configured.filter((entry) => entry.index <= last);
  }

  private need(segment: number, length: number): void {
    this.liveBytes += length;
    this.store.addLive(segment, 1, length);
  }

  private forget(i: number): void {
    const segment = this.locations.segment(i);
    if (segment === nowhere) return;
    const length = this.locations.length(i);
    this.liveBytes -= length;
    this.store.addLive(segment, -1, -length);
  }
}

/** The checkpoint, no longer naming a group that was removed. */
export function withoutGroup(
  checkpoint: Checkpoint | undefined,
  rangeId: RangeId,
): Checkpoint | undefined {
  if (checkpoint?.applied.some((each) => each.rangeId === rangeId) !== true) return checkpoint;
  const applied = checkpoint.applied.filter((each) => each.rangeId !== rangeId);
  return { ...checkpoint, applied };
}

/** The checkpoint, saying what a snapshot that was installed after it says. */
export function withSnapshot(
  checkpoint: Checkpoint | undefined,
  rangeId: RangeId,
  appliedIndex: LogIndex,
): Checkpoint | undefined {
  const without = withoutGroup(checkpoint, rangeId);
  if (without === undefined) return undefined;
  return { ...without, applied: [...without.applied, { rangeId, appliedIndex }] };
}

/**
 * The checkpoint as the log takes it: a flush may have begun before a snapshot was installed or a group was removed, and
 * what it says of that group is about state that is gone. Of a group that began meanwhile it says nothing: that one stays
 * where it began, because a checkpoint without it would tell the next life that it has no state here.
 */
export function settleCheckpoint(
  checkpoint: Checkpoint,
  groups: ReadonlyMap<RangeId, GroupLog>,
  compactedTo: ReadonlyMap<RangeId, number>,
): Checkpoint {
  const wanted = new Map(checkpoint.applied.map((each) => [each.rangeId, each.appliedIndex]));
  const applied: { rangeId: RangeId; appliedIndex: LogIndex }[] = [];
  for (const [rangeId, log] of groups) {
    const known = log.checkpointedIndex();
    const asked = wanted.get(rangeId);
    if (asked === undefined && known === 0) continue;
    const last = Math.max(log.lastIndex(), compactedTo.get(rangeId) ?? 0);
    const index = asked !== undefined && asked <= last ? asked : 0;
    applied.push({ rangeId, appliedIndex: toLogIndex(Math.max(index, known)) });
  }
  applied.sort((a, b) => a.rangeId - b.rangeId);
  return { ...checkpoint, applied };
}
