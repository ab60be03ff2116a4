/**
 * What of the log and the hard state is on disk, while several Readys are on their way there. Answers one question:
 * up to which index is *this* log durable. An entry that was replaced before its write finished does not count, not
 * even if a later leader brings the same entry back (ABA): every truncation clips the claims of all Readys in flight.
 */
import { assert, type LogIndex, type ReplicaId, type Term, toLogIndex } from '@flotilla/base';
import type { HardState } from '../messages.ts';
import type { Ready } from './raft-core.ts';

interface InFlight {
  readonly ready: Ready;
  /** The last index that this write makes durable, less what was truncated since. */
  claimedIndex: number;
}

export class Persistence {
  /** Entries up to it are durable here. */
  private durable: LogIndex;
  /** Entries up to it were handed out in a Ready. */
  private taken: LogIndex;
  private inFlight: InFlight[] = [];
  private snapshotIndex = 0;
  private takenTerm: Term;
  private takenVote: ReplicaId | undefined;

  constructor(lastIndex: LogIndex, hardState: HardState) {
    this.durable = lastIndex;
    this.taken = lastIndex;
    this.takenTerm = hardState.currentTerm;
    this.takenVote = hardState.votedFor;
  }

  get persistedIndex(): LogIndex {
    return this.durable;
  }
  get takenIndex(): LogIndex {
    return this.taken;
  }
  /** The index of a snapshot that is not durable yet; 0 = none. */
  get pendingSnapshotIndex(): number {
    return this.snapshotIndex;
  }
  /** Readys that were taken and not advanced. */
  get inFlightCount(): number {
    return this.inFlight.length;
  }

  /** True if term or vote differ from what the last Ready said. */
  voteOrTermChanged(term: Term, votedFor: ReplicaId | undefined): boolean {
    return term !== this.takenTerm || votedFor !== this.takenVote;
  }

  /** Entries at or above `index` were removed from the log. */
  onTruncated(index: number): void {
    const before = toLogIndex(index - 1);
    if (this.durable > before) this.durable = before;
    if (this.taken > before) this.taken = before;
    for (const flight of this.inFlight)
      if (flight.claimedIndex > before) flight.claimedIndex = before;
  }

  /**
   * The log up to `index` is replaced by a snapshot. What follows is kept, with all claims on it, or is gone; then
   * nothing that was written before makes an entry of this log durable.
   */
  onSnapshotInstalled(index: LogIndex, keptTail: boolean): void {
    assert(this.snapshotIndex === 0, 'one snapshot at a time');
    this.snapshotIndex = index;
    if (!keptTail) this.onTruncated(index);
    if (this.taken < index) this.taken = index;
  }

  /** A Ready with something to write leaves. */
  onTaken(ready: Ready): void {
    const lastEntry = ready.entries[ready.entries.length - 1];
    if (lastEntry !== undefined) {
      assert(lastEntry.index > this.taken, 'entries are handed out once');
      this.taken = lastEntry.index;
    }
    if (ready.hardState !== undefined) {
      this.takenTerm = ready.hardState.currentTerm;
      this.takenVote = ready.hardState.votedFor;
    }
    this.inFlight.push({ ready, claimedIndex: lastEntry?.index ?? 0 });
  }

  /** The oldest Ready in flight is on disk. True if `persistedIndex` moved. */
  onPersisted(ready: Ready): boolean {
    const flight = this.inFlight.shift();
    assert(flight?.ready === ready, 'Readys are advanced in the order they were taken');
    assert(flight.claimedIndex <= this.taken, 'only handed out entries become durable');
    const before = this.durable;
    if (flight.claimedIndex > before) this.durable = toLogIndex(flight.claimedIndex);
    const { snapshot } = ready;
    if (snapshot !== undefined) {
      assert(snapshot.lastIncludedIndex === this.snapshotIndex, 'the snapshot is the pending one');
      this.snapshotIndex = 0;
      if (snapshot.lastIncludedIndex > this.durable) this.durable = snapshot.lastIncludedIndex;
    }
    return this.durable > before;
  }
}
