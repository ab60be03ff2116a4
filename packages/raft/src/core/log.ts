/**
 * One replica's log: a cached suffix in memory in front of the part on disk (`LogStorage`). Everything that is not yet
 * durable is in the cache; durable and applied entries stay there up to a budget while a follower lags, and leave at once
 * when everybody has them: a store of many groups that are all in step holds next to nothing, and entries die young.
 * Knows terms, indexes and bytes; knows no roles, messages or clocks. Raft §5.3.
 *
 *   compactedIndex < firstIndex <= … storage … < cacheStart <= … cache … <= lastIndex
 */
import { assert, type LogIndex, type Term, toLogIndex, toTerm } from '@flotilla/base';
import type { LogEntry } from '../messages.ts';
import type { LogStorage } from './raft-core.ts';

/** Dropped cache slots are given back in chunks of at least this many. Unit: entries. */
const evictedSlotsMax = 32;
const noEntries: readonly LogEntry[] = [];

export class RaftLog {
  private readonly storage: LogStorage;
  private readonly cachedBytesMax: number;
  /** `cache[head]` is the entry at `cacheStart`; slots below `head` are evicted, and empty. */
  private cache: (LogEntry | undefined)[] = [];
  private head = 0;
  private cacheStart: number;
  private last: LogIndex;
  private lastEntryTerm: Term;
  private compacted: LogIndex;
  private compactedTerm: Term;
  /** Entries in [cacheStart, evictableIndex] are durable and applied; `evictableBytes` is their data. */
  private evictableIndex: number;
  private evictableBytes = 0;
  /** The last slice that was sent: followers side by side get the same array. */
  private sliceFrom = 0;
  private sliceTo = 0;
  private sliceBytesMax = 0;
  private sliceEntries: readonly LogEntry[] = noEntries;

  constructor(storage: LogStorage, options: { cachedBytesMax: number; appliedIndex: LogIndex }) {
    this.storage = storage;
    this.cachedBytesMax = options.cachedBytesMax;
    this.last = storage.lastIndex();
    this.compacted = toLogIndex(storage.firstIndex() - 1);
    assert(this.compacted <= this.last, 'the log ends at or after its compaction point');
    assert(options.appliedIndex >= this.compacted, 'only applied entries were compacted', {
      applied: options.appliedIndex,
      compacted: this.compacted,
    });
    assert(options.appliedIndex <= this.last, 'only entries of the log were applied', {
      applied: options.appliedIndex,
      last: this.last,
    });
    this.compactedTerm = storage.term(this.compacted);
    this.lastEntryTerm = storage.term(this.last);
    this.cacheStart = this.last + 1;
    this.evictableIndex = options.appliedIndex;
  }

  /** The first entry that can be read; `firstIndex - 1` is the compaction point, whose term is known. */
  get firstIndex(): LogIndex {
    return toLogIndex(this.compacted + 1);
  }
  /** 0 = empty and never compacted. */
  get lastIndex(): LogIndex {
    return this.last;
  }
  get lastTerm(): Term {
    return this.lastEntryTerm;
  }
  get compactedIndex(): LogIndex {
    return this.compacted;
  }
  /** Data bytes of cached entries that may be evicted. Never above `cachedBytesMax`. */
  get cachedAppliedBytes(): number {
    return this.evictableBytes;
  }
  /** The first index that is read from memory. */
  get cacheStartIndex(): number {
    return this.cacheStart;
  }

  /** @param index in [firstIndex - 1, lastIndex] */
  term(index: number): Term {
    if (index === this.last) return this.lastEntryTerm;
    if (index >= this.cacheStart) {
      const entry = this.cache[this.head + index - this.cacheStart];
      assert(entry !== undefined, 'index is in the log');
      return entry.term;
    }
    if (index === this.compacted) return this.compactedTerm;
    assert(index > this.compacted && index < this.last, 'index is in the log');
    return this.storage.term(toLogIndex(index));
  }

  /** True if there is an entry (or the compaction point) at `index` with this term: the AppendEntries check. */
  matches(index: number, term: Term): boolean {
    if (index < this.compacted || index > this.last) return false;
    return this.term(index) === term;
  }

  /** Raft §5.4.1: the later last term wins, then the longer log; equal is up to date. */
  isUpToDate(lastLogIndex: LogIndex, lastLogTerm: Term): boolean {
    if (lastLogTerm !== this.lastEntryTerm) return lastLogTerm > this.lastEntryTerm;
    return lastLogIndex >= this.last;
  }

  /** Adds one entry at the end. Its index must follow the last, its term must not fall. O(1). */
  append(entry: LogEntry): void {
    assert(entry.index === this.last + 1, 'entries are contiguous');
    assert(entry.term >= this.lastEntryTerm, 'terms do not fall along the log');
    this.cache.push(entry);
    this.last = entry.index;
    this.lastEntryTerm = entry.term;
  }

  /** Forgets every entry at or above `index`, which must not be applied (the caller checks the commit index). */
  truncateFrom(index: number): void {
    assert(index > this.evictableIndex, 'applied entries are never truncated');
    assert(index > this.compacted && index <= this.last, 'index is in the log');
    this.lastEntryTerm = toTerm(this.term(index - 1));
    if (index <= this.cacheStart) {
      this.cache = [];
      this.head = 0;
      this.cacheStart = index;
    } else {
      this.cache.length = this.head + index - this.cacheStart;
    }
    this.last = toLogIndex(index - 1);
    this.forgetSlice();
  }

  /** The entry at a cached index. */
  cached(index: number): LogEntry {
    const entry = this.cache[this.head + index - this.cacheStart];
    assert(index >= this.cacheStart && entry !== undefined, 'index is cached');
    return entry;
  }

  /**
   * Entries in [from, to): at least one, then as many as fit `bytesMax` of data. From memory where they are there,
   * otherwise from storage. The array must not be changed.
   */
  slice(from: number, to: number, bytesMax: number): readonly LogEntry[] {
    assert(from > this.compacted && from < to && to <= this.last + 1, 'slice is in the log');
    if (from < this.cacheStart)
      return this.storage.entries(
        toLogIndex(from),
        toLogIndex(Math.min(to, this.cacheStart)),
        bytesMax,
      );
    if (from === this.sliceFrom && to === this.sliceTo && bytesMax === this.sliceBytesMax)
      return this.sliceEntries;
    const start = this.head + from - this.cacheStart;
    const limit = this.head + to - this.cacheStart;
    let end = start;
    let bytes = 0;
    for (; end < limit; end++) {
      bytes += (this.cache[end] as LogEntry).data.length;
      if (bytes > bytesMax && end > start) break;
    }
    const entries = this.cache.slice(start, end) as LogEntry[];
    this.sliceFrom = from;
    this.sliceTo = to;
    this.sliceBytesMax = bytesMax;
    this.sliceEntries = entries;
    return entries;
  }

  /**
   * The greatest index <= `from` whose term is <= `term`; the compaction point if there is none above it. Terms do not
   * fall along the log, so this is a binary search: thesis §3.5, fast backtracking.
   */
  lastIndexWithTermAtMost(term: Term, from: number): number {
    let low = this.compacted as number;
    let high = Math.min(from, this.last);
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      if (this.term(middle) <= term) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The first index above `floor` that has the term of the entry at `index`. */
  firstIndexOfTermAt(index: number, floor: number): number {
    const term = this.term(index);
    let low = Math.max(floor, this.compacted) + 1;
    let high = index;
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      if (this.term(middle) >= term) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Entries up to `index` are durable and applied: they may leave the cache when the budget is full. */
  setEvictable(index: LogIndex): void {
    assert(index <= this.last, 'evictable entries are in the log');
    if (index <= this.evictableIndex) return; // a snapshot has overtaken what was being applied
    for (let i = Math.max(this.evictableIndex + 1, this.cacheStart); i <= index; i++)
      this.evictableBytes += this.cached(i).data.length;
    this.evictableIndex = index;
    while (this.evictableBytes > this.cachedBytesMax) this.evictFirst();
  }

  /** Every member has the entries up to `index`: those of them that may be evicted are not kept. */
  release(index: LogIndex): void {
    const upTo = Math.min(index, this.evictableIndex);
    while (this.cacheStart <= upTo) this.evictFirst();
  }

  /** Forgets entries up to `index`; the caller guarantees that nobody needs them. Returns the term at `index`. */
  compact(index: LogIndex): Term {
    assert(index <= this.evictableIndex, 'only applied entries are compacted');
    assert(index >= this.compacted, 'compaction moves forward');
    this.compactedTerm = this.term(index);
    this.compacted = index;
    while (this.cacheStart <= index) this.evictFirst();
    this.forgetSlice();
    return this.compactedTerm;
  }

  /**
   * A snapshot replaces everything up to `index`. What follows stays if the entry (index, term) is here, else the log is
   * empty after it. True if it stays.
   */
  installSnapshot(index: LogIndex, term: Term): boolean {
    assert(index > this.evictableIndex, 'a snapshot is ahead of what is applied');
    const keepsTail = this.matches(index, term);
    if (!keepsTail) {
      this.cache = [];
      this.cacheStart = index + 1;
      this.last = index;
      this.lastEntryTerm = term;
    } else if (this.cacheStart <= index) {
      this.cache = this.cache.slice(this.head + index + 1 - this.cacheStart);
      this.cacheStart = index + 1;
    } else {
      this.cache = this.cache.slice(this.head);
    }
    this.head = 0;
    this.compacted = index;
    this.compactedTerm = term;
    this.evictableIndex = index;
    this.evictableBytes = 0;
    this.forgetSlice();
    return keepsTail;
  }

  private forgetSlice(): void {
    this.sliceTo = 0;
    this.sliceEntries = noEntries;
  }

  private evictFirst(): void {
    const entry = this.cache[this.head];
    assert(entry !== undefined && entry.index <= this.evictableIndex, 'first entry may be evicted');
    this.evictableBytes -= entry.data.length;
    this.cache[this.head] = undefined;
    this.head++;
    this.cacheStart++;
    if (this.cacheStart > this.sliceFrom) this.forgetSlice();
    if (this.head >= evictedSlotsMax && this.head * 2 >= this.cache.length) {
      this.cache = this.cache.slice(this.head);
      this.head = 0;
    }
  }
}
