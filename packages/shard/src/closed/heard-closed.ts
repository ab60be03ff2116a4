/**
 * What other stores have closed in ranges that they lead. A claim is (index, timestamp): whoever has applied the range's log
 * up to the index has everything at or below the timestamp, but for what intents will become. It is about a position in the
 * log and not about a replica, so every question names how far that replica has applied: one that was made anew from a
 * snapshot, or that lags behind, is not served by what another had. In memory only: a process that starts knows nothing.
 */
import { type HybridLogicalClock, probe, type StoreId, toTimestamp } from '@flotilla/base';
import type { ClosedMessage } from './told-ranges.ts';

interface Claim {
  /** Infinity: the store says nothing more of the range. */
  readonly index: number;
  /** The claim before this index: a replica that is a moment behind can go on serving by it. */
  readonly before: { readonly index: number; readonly timestamp: number } | undefined;
}

/** What one process has said. */
interface Session {
  readonly incarnation: number;
  sequence: number;
  /** Closed in every range of `claims`, as of their indexes. */
  timestamp: number;
  readonly claims: Map<number, Claim>;
}

/** `missed`: something is missing before it, and everything has to be said again. */
export type HeardResult = 'taken' | 'ignored' | 'missed';

export class HeardClosed {
  private readonly hlc: HybridLogicalClock;
  private readonly sessions = new Map<StoreId, Session>();

  constructor(hlc: HybridLogicalClock) {
    this.hlc = hlc;
  }

  receive(from: StoreId, message: ClosedMessage): HeardResult {
    const incarnation = message.incarnation ?? 0;
    const sequence = message.sequence ?? 0;
    const base = message.base ?? 0;
    const timestamp = message.closedTimestamp ?? 0;
    const numbers = [incarnation, sequence, base, timestamp];
    if (!numbers.every((each) => Number.isSafeInteger(each) && each >= 0)) return 'ignored';
    const known = this.sessions.get(from);
    if (known !== undefined) {
      if (incarnation < known.incarnation) return 'ignored';
      if (incarnation === known.incarnation && sequence <= known.sequence) return 'ignored';
    }
    const session = this.continued(from, known, { incarnation, base });
    if (session === undefined) return 'missed';
    session.sequence = sequence;
    takeChanges(session, message);
    // Nobody can have closed what is still to come here: one of the clocks is wrong.
    if (timestamp > session.timestamp && this.hlc.observe(toTimestamp(timestamp)).ok)
      session.timestamp = timestamp;
    return 'taken';
  }

  private continued(
    from: StoreId,
    known: Session | undefined,
    { incarnation, base }: { readonly incarnation: number; readonly base: number },
  ): Session | undefined {
    if (base === 0) {
      const session = { incarnation, sequence: 0, timestamp: 0, claims: new Map() };
      this.sessions.set(from, session);
      return session;
    }
    if (known?.incarnation === incarnation && known.sequence === base) return known;
    probe('closedTimestampsMissed');
    return undefined;
  }

  /** @param appliedIndex how far the replica that asks has applied, visibly. @returns 0: nothing is known to be closed */
  closedAt(rangeId: number, appliedIndex: number): number {
    let closed = 0;
    for (const { claims, timestamp } of this.sessions.values()) {
      const claim = claims.get(rangeId);
      if (claim === undefined) continue;
      if (claim.index <= appliedIndex) closed = Math.max(closed, timestamp);
      else if (claim.before !== undefined && claim.before.index <= appliedIndex)
        closed = Math.max(closed, claim.before.timestamp);
    }
    return closed;
  }
}

function takeChanges(session: Session, message: ClosedMessage): void {
  const { claims, timestamp } = session;
  const indexes = message.indexes ?? [];
  for (const [at, rangeId] of (message.rangeIds ?? []).entries()) {
    const index = indexes[at] ?? 0;
    const known = claims.get(rangeId);
    if (!Number.isSafeInteger(index) || index <= 0) claims.delete(rangeId);
    else claims.set(rangeId, { index, before: lastOf(known, timestamp) });
  }
  // Nothing more is said of them; what was said stays true.
  for (const rangeId of message.removedRangeIds ?? []) {
    const before = lastOf(claims.get(rangeId), timestamp);
    if (before === undefined) claims.delete(rangeId);
    else claims.set(rangeId, { index: Number.POSITIVE_INFINITY, before });
  }
}

/** What a claim says as of a timestamp, so that it can be kept when the timestamp moves on. */
function lastOf(claim: Claim | undefined, timestamp: number): Claim['before'] {
  if (claim === undefined) return undefined;
  return claim.index === Number.POSITIVE_INFINITY
    ? claim.before
    : { index: claim.index, timestamp };
}
