/**
 * The durable part of one replica in memory: hard state and log, as a `LogStorage`. `write` is what a disk does when a
 * sync completes; nothing else changes it, so that a crash in a test loses exactly what was not written.
 */
import { assert, type LogIndex, type Term, toLogIndex, toTerm } from '@flotilla/base';
import type { LogStorage, Ready } from '../core/raft-core.ts';
import type { HardState, LogEntry, SnapshotPoint } from '../messages.ts';

export class MemoryLogStorage implements LogStorage {
  hardState: HardState = {
    currentTerm: toTerm(0),
    votedFor: undefined,
    commitIndex: toLogIndex(0),
  };
  private compactedIndex = 0;
  private compactedTerm = toTerm(0);
  private log: LogEntry[] = [];

  firstIndex(): LogIndex {
    return toLogIndex(this.compactedIndex + 1);
  }

  lastIndex(): LogIndex {
    return toLogIndex(this.compactedIndex + this.log.length);
  }

  term(index: LogIndex): Term {
    if (index === this.compactedIndex) return this.compactedTerm;
    return this.entry(index).term;
  }

  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly LogEntry[] {
    assert(from > this.compactedIndex && from < to && to <= this.lastIndex() + 1, 'range is here');
    const found: LogEntry[] = [];
    let bytes = 0;
    for (let i: number = from; i < to; i++) {
      const entry = this.entry(i);
      bytes += entry.data.length;
      if (bytes > bytesMax && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  configurations(): readonly LogEntry[] {
    return this.log.filter((entry) => entry.kind === 'configuration');
  }

  entry(index: number): LogEntry {
    const entry = this.log[index - this.compactedIndex - 1];
    assert(entry !== undefined, 'entry is here', { index });
    return entry;
  }

  /** Makes a Ready durable: its entries replace everything at or above the first of them. */
  write(ready: Pick<Ready, 'hardState' | 'entries'> & Partial<Pick<Ready, 'snapshot'>>): void {
    if (ready.hardState !== undefined) this.hardState = ready.hardState;
    if (ready.snapshot !== undefined) this.restart(ready.snapshot);
    const first = ready.entries[0];
    if (first === undefined) return;
    assert(first.index > this.compactedIndex, 'compacted entries are not replaced');
    assert(first.index <= this.lastIndex() + 1, 'entries leave no hole', { first: first.index });
    this.log.length = first.index - this.compactedIndex - 1;
    for (const entry of ready.entries) this.log.push(entry);
  }

  /** The log goes on after a snapshot: with what follows it here, if its entry is. */
  private restart({ lastIncludedIndex, lastIncludedTerm }: SnapshotPoint): void {
    assert(lastIncludedIndex > this.compactedIndex, 'a snapshot moves forward');
    const isHere = lastIncludedIndex <= this.lastIndex();
    if (isHere && this.term(lastIncludedIndex) === lastIncludedTerm) {
      this.compact(lastIncludedIndex);
      return;
    }
    this.log = [];
    this.compactedIndex = lastIncludedIndex;
    this.compactedTerm = lastIncludedTerm;
  }

  compact(index: LogIndex): void {
    if (index <= this.compactedIndex) return;
    const term = this.term(index);
    this.log.splice(0, index - this.compactedIndex);
    this.compactedIndex = index;
    this.compactedTerm = term;
  }
}
