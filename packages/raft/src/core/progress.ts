/**
 * Leader's view of one member: what it surely has, what to send next, how much may be in flight, and what it echoed.
 * Called only by leader-side code. Holds no messages, sends nothing, knows no clock. Raft Fig. 2 (leaders), §5.3.
 */
import { assert, type LogIndex, type ReplicaId, toLogIndex } from '@flotilla/base';
import type { Coverage, ProgressState, RaftLimits } from './raft-core.ts';

/** Requests on their way to one follower: the last index and the data bytes of each, in the order of sending. */
export class Inflights {
  private lastIndexes: number[] = [];
  private sizes: number[] = [];
  private head = 0;
  private totalBytes = 0;

  get count(): number {
    return this.lastIndexes.length - this.head;
  }
  get bytes(): number {
    return this.totalBytes;
  }

  add(lastIndex: number, bytes: number): void {
    this.lastIndexes.push(lastIndex);
    this.sizes.push(bytes);
    this.totalBytes += bytes;
  }

  /** Forgets every request whose last index is at most `index`. Amortised O(1). */
  freeTo(index: number): void {
    const { lastIndexes, sizes } = this;
    while (this.head < lastIndexes.length && (lastIndexes[this.head] as number) <= index) {
      this.totalBytes -= sizes[this.head] as number;
      this.head++;
    }
    if (this.head === lastIndexes.length) this.clear();
    else if (this.head > 64 && this.head * 2 > lastIndexes.length) {
      lastIndexes.splice(0, this.head);
      sizes.splice(0, this.head);
      this.head = 0;
    }
  }

  clear(): void {
    this.lastIndexes.length = 0;
    this.sizes.length = 0;
    this.head = 0;
    this.totalBytes = 0;
  }
}

export class Progress {
  readonly replicaId: ReplicaId;
  /** The leader's own record: it has heard itself, echoed itself and acknowledged itself, always and now. */
  readonly isSelf: boolean;
  state: ProgressState = 'probe';
  /** Highest index known to be durable there. 0 <= matchIndex < nextIndex. Never falls. */
  matchIndex = 0;
  /** First index that was not sent yet. */
  nextIndex: number;
  /** A probe with entries is out; until an answer or a heartbeat nothing else is sent. */
  probeOut = false;
  readonly inflights: Inflights = new Inflights();
  /** The newest commit index that it said it knows, and the newest replicated index that it was told. */
  commitIndex = 0;
  sentReplicatedIndex = 0;
  /** Who speaks for it: `liveness.ts`. */
  coverage: Coverage = 'none';
  /** When the last answer of this term arrived: CheckQuorum. */
  lastHeardMs: number;
  /** When the last append left for it. */
  sentAtMs: number = -Infinity;
  /** The newest own send time that was echoed: leases. */
  ackedSentAtMs: number;
  /** The newest commit index that it was sent, and that a read of its own waits for. */
  sentCommitIndex = 0;
  wantedCommitIndex = 0;
  /** A snapshot was asked for and nobody has said yet what became of it. */
  snapshotOut = false;
  /** No attempt before this moment; it follows a failed one by `snapshotBackoffMs`. */
  snapshotDueMs: number = -Infinity;
  snapshotBackoffMs = 0;
  /** The newest ReadIndex round that was sent, and that was echoed. */
  sentReadSequence = 0;
  ackedReadSequence: number;

  constructor(options: { replicaId: ReplicaId; isSelf: boolean; nextIndex: number; now: number }) {
    this.replicaId = options.replicaId;
    this.isSelf = options.isSelf;
    this.nextIndex = options.nextIndex;
    this.lastHeardMs = options.isSelf ? Infinity : options.now;
    this.ackedSentAtMs = options.isSelf ? Infinity : -Infinity;
    this.ackedReadSequence = options.isSelf ? Infinity : 0;
  }

  /** True if a request with entries may leave now. The byte window may be passed by one request. */
  maySendEntries(limits: RaftLimits): boolean {
    if (this.state === 'snapshot') return false;
    if (this.state === 'probe') return !this.probeOut;
    return (
      this.inflights.count < limits.inflightMessagesMax &&
      this.inflights.bytes < limits.inflightBytesMax
    );
  }

  /** A request with entries up to `lastIndex` leaves. */
  onSentEntries(lastIndex: number, bytes: number): void {
    assert(lastIndex >= this.nextIndex, 'sent entries are new');
    assert(this.state !== 'snapshot', 'no entries before the snapshot');
    if (this.state === 'probe') {
      this.probeOut = true;
      return;
    }
    this.nextIndex = lastIndex + 1;
    this.inflights.add(lastIndex, bytes);
  }

  /** What it needs is not in the log any more, or nothing can be appended there. */
  becomeSnapshot(): void {
    this.state = 'snapshot';
    this.probeOut = false;
    this.inflights.clear();
    this.nextIndex = this.matchIndex + 1;
  }

  /** A snapshot is said to have arrived: finds out whether the log goes on at `nextIndex`. */
  becomeProbe(nextIndex: number): void {
    assert(nextIndex > this.matchIndex, 'matchIndex < nextIndex');
    this.state = 'probe';
    this.probeOut = false;
    this.nextIndex = nextIndex;
  }

  /**
   * An answer says that everything up to `index` matches and is durable. True if that is news.
   * @param firstIndex of the leader's log: a member that ends before it still needs a snapshot
   */
  onMatched(index: LogIndex, firstIndex: LogIndex): boolean {
    const news = index > this.matchIndex;
    if (news) this.matchIndex = index;
    if (this.state !== 'replicate') {
      this.nextIndex = this.matchIndex + 1;
      if (this.state === 'snapshot' && this.nextIndex < firstIndex) return news;
      this.state = 'replicate';
      this.probeOut = false;
      this.inflights.clear();
      return news;
    }
    this.inflights.freeTo(index);
    if (this.nextIndex <= this.matchIndex) this.nextIndex = this.matchIndex + 1;
    return news;
  }

  /**
   * A request whose prevLogIndex was `rejectedIndex` was refused; sending should go on at `hint`. Answers to requests
   * that newer knowledge has overtaken are ignored. True if `nextIndex` was moved.
   */
  onRejected(rejectedIndex: LogIndex, hint: number): boolean {
    if (rejectedIndex <= this.matchIndex || this.state === 'snapshot') return false;
    if (this.state === 'replicate') {
      if (rejectedIndex >= this.nextIndex) return false;
      this.state = 'probe';
      this.inflights.clear();
    } else if (rejectedIndex !== this.nextIndex - 1) {
      return false;
    }
    this.probeOut = false;
    this.nextIndex = Math.max(this.matchIndex + 1, Math.min(hint, rejectedIndex));
    return true;
  }

  /** For status and invariants. */
  get match(): LogIndex {
    return toLogIndex(this.matchIndex);
  }
}
