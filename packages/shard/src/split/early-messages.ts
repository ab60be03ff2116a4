/**
 * Messages for replicas that a split is about to make: the candidate on the left leader's store is a little ahead of its
 * voters, and its first request would otherwise be lost until it tries again. Kept for a moment and in small number;
 * everything in here could as well have been lost on the way. Owned by the replicas' lifecycle.
 */
import type { Clock, RangeId, StoreId } from '@flotilla/base';
import type { RaftMessage } from '@flotilla/raft';

interface Early {
  readonly from: StoreId;
  readonly message: RaftMessage;
  readonly atMs: number;
}

const rangesMax = 64;
/** Per range: a request of each of a few candidates. */
const messagesMax = 4;
/** Longer than a follower takes to apply what its leader has applied, shorter than an election timeout. Unit: ms. */
const keptMs = 500;

export class EarlyMessages {
  private readonly clock: Clock;
  /** By range, oldest range first. */
  private readonly kept = new Map<RangeId, Early[]>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  keep(from: StoreId, message: RaftMessage): void {
    if (message.kind !== 'requestVoteRequest' && message.kind !== 'preVoteRequest') return;
    const { rangeId } = message;
    const early = this.kept.get(rangeId) ?? [];
    this.kept.delete(rangeId);
    this.kept.set(rangeId, early);
    early.push({ from, message, atMs: this.clock.nowMs() });
    if (early.length > messagesMax) early.shift();
    const [oldest] = this.kept.keys();
    if (this.kept.size > rangesMax && oldest !== undefined) this.kept.delete(oldest);
  }

  /** What came lately for the range, in order. It is forgotten here. */
  take(rangeId: RangeId): readonly Early[] {
    const early = this.kept.get(rangeId) ?? [];
    this.kept.delete(rangeId);
    const since = this.clock.nowMs() - keptMs;
    return early.filter(({ atMs }) => atMs >= since);
  }
}
