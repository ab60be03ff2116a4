/**
 * What a call does that was refused: learns what the refusal says, follows whoever it names, waits, asks who is in the way,
 * or ends. Called by the dispatcher, which moves calls.
 */
import type { Clock, ErrorCode } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Jittered, RouterTimings } from './limits.ts';
import { isSame, type RangeCache } from './range-cache.ts';
import type { BlockingIntent, CallPiece, RangeCall, Refusal } from './range-call.ts';
import type { StoreHealth } from './store-health.ts';
import { finalRefusal } from './transaction/refusals.ts';

/** Who finds out what became of transactions whose intents are in the way. */
export interface IntentPusher {
  /** Resolves when it is worth asking again. Never rejects. */
  push(intent: BlockingIntent): Promise<void>;
}

/** The dispatcher, as far as it is needed here. */
interface Mover {
  readonly cache: RangeCache<RangeCall>;
  readonly health: StoreHealth;
  readonly clock: Clock;
  readonly timings: RouterTimings;
  jittered(between: Jittered): number;
  dispatch(call: RangeCall): void;
  pieceOf(call: RangeCall): CallPiece | undefined;
  waitIn(phase: RangeCall['phase'], call: RangeCall): void;
  pause(call: RangeCall, ms: number): void;
  retryElsewhere(call: RangeCall): void;
  pauseSearching(call: RangeCall): void;
  finish(call: RangeCall): void;
  fail(call: RangeCall, code: ErrorCode, message: string): void;
}

const { RefusalReason } = kv;
/** Refusals by which a store says that it does not hold the lease. */
const disowns: ReadonlySet<number> = new Set([
  RefusalReason.NOT_LEASEHOLDER,
  RefusalReason.UNKNOWN_OUTCOME,
  RefusalReason.STOPPING,
  RefusalReason.RANGE_NOT_FOUND,
]);
/** Refusals of a replica that was asked because any may be: the leaseholder is asked then. */
const sendsOn: ReadonlySet<number> = new Set([
  ...disowns,
  RefusalReason.NOT_CLOSED,
  RefusalReason.RANGE_KEY_MISMATCH,
  RefusalReason.BUSY,
]);
/** Redirects followed at once, before a pause. */
const redirectsMax = 4;
/** An answer to whoever waits for a lock that comes sooner than this did not wait at the store. Unit: ms. */
const lockAnswerMs = 20;

export class RefusedCalls {
  /** Undefined: not wired yet. */
  pusher: IntentPusher | undefined;
  private readonly mover: Mover;

  constructor(mover: Mover) {
    this.mover = mover;
  }

  /** @param current of the newest attempt */
  take(call: RangeCall, refusal: Refusal, from: number, current: boolean): void {
    const { mover } = this;
    const reason = refusal.reason ?? RefusalReason.UNSPECIFIED;
    if (reason !== RefusalReason.UNKNOWN_OUTCOME) call.onAttemptRefused();
    if (current && disowns.has(reason) && call.range !== undefined)
      mover.cache.forgetLeaseholder(call.range.state, from);
    // Learning may release other calls, and through them this one's range may change hands.
    for (const info of refusal.ranges ?? []) mover.cache.learn(info);
    if (!current || call.phase === 'done') return;
    if (call.following && sendsOn.has(reason)) {
      call.notClosed = true;
      mover.dispatch(call);
      return;
    }
    switch (reason) {
      case RefusalReason.NOT_LEASEHOLDER:
      case RefusalReason.UNKNOWN_OUTCOME:
      case RefusalReason.STOPPING:
        this.onNotLeaseholder(call);
        return;
      case RefusalReason.RANGE_KEY_MISMATCH:
        if (this.hasMoved(call)) this.follow(call);
        else mover.retryElsewhere(call);
        return;
      case RefusalReason.RANGE_NOT_FOUND:
        this.onRangeNotFound(call);
        return;
      case RefusalReason.BUSY: {
        const wait = Math.min(1000, Math.max(1, refusal.retryAfterMs ?? 0));
        mover.pause(call, mover.jittered([wait, 2 * wait]));
        return;
      }
      case RefusalReason.SESSION_EXPIRED:
        if (call.onSessionExpired()) mover.dispatch(call);
        else
          mover.fail(call, 'OUTCOME_UNKNOWN', 'the session expired while the write was in doubt');
        return;
      case RefusalReason.ALREADY_ANSWERED:
        mover.fail(call, 'OUTCOME_UNKNOWN', 'the result of the write is no longer kept');
        return;
      case RefusalReason.INVALID:
        mover.fail(call, 'INVALID_ARGUMENT', refusal.message || 'the store refused the request');
        return;
      case RefusalReason.TOO_LARGE:
        mover.fail(call, 'TOO_LARGE', refusal.message || 'the request is too large');
        return;
      case RefusalReason.WRONG_CLUSTER:
        mover.fail(call, 'UNAVAILABLE', `store ${from} belongs to another cluster`);
        return;
      case RefusalReason.BLOCKED:
        this.onBlocked(call, refusal);
        return;
      case RefusalReason.LOCK_WAITING: {
        const error = call.onLockWaiting(refusal);
        if (error !== undefined) this.refuse(call, error);
        // The store has let it wait already; one that did not is not asked in a loop.
        else if (mover.clock.nowMs() - call.sentAtMs >= lockAnswerMs) mover.dispatch(call);
        else mover.pause(call, mover.jittered([lockAnswerMs, 2 * lockAnswerMs]));
        return;
      }
      default: {
        const error = finalRefusal(refusal);
        if (error !== undefined) this.refuse(call, error);
        // DEADLINE, NOT_BOOTSTRAPPED, and reasons of newer stores.
        else mover.retryElsewhere(call);
      }
    }
  }

  private onBlocked(call: RangeCall, refusal: Refusal): void {
    const { mover } = this;
    const { blocked } = refusal;
    if (!blocked || this.pusher === undefined) {
      mover.retryElsewhere(call);
      return;
    }
    const error = call.onBlocked(blocked);
    if (error !== undefined) {
      this.refuse(call, error);
      return;
    }
    mover.waitIn('blocked', call);
    void this.pusher.push(blocked).then(() => {
      if (call.phase === 'blocked') mover.dispatch(call);
    });
  }

  private refuse(call: RangeCall, error: Error): void {
    const { mover } = this;
    if (call.phase === 'done') return;
    if (call.onFinalRefusal(error)) {
      mover.dispatch(call);
      return;
    }
    mover.finish(call);
    call.refuseWith(error);
  }

  private onNotLeaseholder(call: RangeCall): void {
    const { mover } = this;
    const leaseholder = call.range?.state.leaseholder ?? 0;
    if (leaseholder !== 0 && !mover.health.isSuspect(leaseholder)) this.follow(call);
    else mover.retryElsewhere(call);
  }

  private onRangeNotFound(call: RangeCall): void {
    const { mover } = this;
    const { range } = call;
    call.notFound++;
    if (range !== undefined && call.notFound >= range.storeIds.length) {
      // No store that should have it has it: what we know is wrong. One that lags behind does not get us here.
      call.notFound = 0;
      mover.cache.evict(range);
      mover.pause(call, mover.jittered(mover.timings.searchPauseMs));
    } else {
      mover.retryElsewhere(call);
    }
  }

  private hasMoved(call: RangeCall): boolean {
    const { mover } = this;
    const piece = mover.pieceOf(call);
    if (piece === undefined || call.range === undefined) return true;
    return !isSame(piece.range, call.range);
  }

  /** Somebody else was named: go there at once, but not for ever. */
  private follow(call: RangeCall): void {
    const { mover } = this;
    call.tries++;
    if (call.tries > redirectsMax) mover.pauseSearching(call);
    else mover.dispatch(call);
  }
}
