/**
 * Moves calls: finds the range and its leaseholder, sends, learns from refusals and silence, retries until the deadline.
 * Where a leaseholder is unknown or suspect, one call per range (the scout) asks the replicas in turn, quickly, and all
 * others wait for what it finds: so an election costs one request per range and round, and ends for all at once.
 * Never retries what may not be retried: writes carry a session and a serial number, which `WriteCall` looks after.
 */
import type { Clock, ErrorCode, Prng } from '@flotilla/base';
import type { ClientLink, Response } from './client-link.ts';
import { FlyingCalls } from './flying-calls.ts';
import type { Jittered, RouterLimits, RouterTimings } from './limits.ts';
import { RangeCache } from './range-cache.ts';
import type { CallPiece, CallRangeState, RangeCall } from './range-call.ts';
import { type IntentPusher, RefusedCalls } from './refused-calls.ts';
import { ReplicaChoice } from './replica-choice.ts';
import { StoreHealth } from './store-health.ts';
import { TimedSet } from './timed-set.ts';

/** Who finds a descriptor for calls that have none. */
export interface DescriptorFinder {
  /** Dispatches the call again when it has learned something, or has failed to. */
  join(call: RangeCall): void;
  leave(call: RangeCall): void;
  /**
   * Looks the range of a key up again in the background; what comes of it is in the cache.
   * @param before the range directly below the key
   */
  refresh(key: Uint8Array, before: boolean): void;
}

export interface DispatcherOptions {
  /** How far away a store is; smaller is nearer. */
  readonly distance?: (storeId: number) => number;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly timings: RouterTimings;
  readonly limits: RouterLimits;
}

/** While searching, every so many requests go to the next replica even if it is suspect. */
const askSuspectEvery = 4;

export class Dispatcher {
  readonly cache: RangeCache<RangeCall>;
  readonly health: StoreHealth;
  /** Every call that is not done is in here, exactly while it waits for anything. */
  readonly timers: TimedSet<RangeCall>;
  readonly clock: Clock;
  readonly timings: RouterTimings;
  readonly limits: RouterLimits;
  private readonly prng: Prng;
  private readonly flying: FlyingCalls;
  private readonly refused: RefusedCalls;
  private readonly replicas: ReplicaChoice;
  private link: ClientLink | undefined;
  private finder: DescriptorFinder | undefined;
  private lateCount = 0;

  constructor(options: DispatcherOptions) {
    this.clock = options.clock;
    this.prng = options.prng;
    this.timings = options.timings;
    this.limits = options.limits;
    this.flying = new FlyingCalls(options.limits.earlierAttemptsMax);
    this.health = new StoreHealth(options.clock, options.timings.suspicionMs);
    const { health } = this;
    this.replicas = new ReplicaChoice({ health, distance: options.distance ?? (() => 0) });
    this.cache = new RangeCache((state) => this.releaseWaiters(state));
    this.timers = new TimedSet(options.clock, (call) => this.onDue(call));
    this.refused = new RefusedCalls(this);
  }

  /** Joins the parts that know each other. Once, before anything is dispatched. */
  wire(link: ClientLink, finder: DescriptorFinder, pusher: IntentPusher): void {
    this.link = link;
    this.finder = finder;
    this.refused.pusher = pusher;
  }

  /** Answers to requests that nobody waits for any more, and doubled ones. */
  get lateResponses(): number {
    return this.lateCount;
  }

  jittered([least, most]: Jittered): number {
    return least + this.prng.nextFloat() * (most - least);
  }

  /** Sends the call on its way, wherever it has to go or wait now. */
  dispatch(call: RangeCall): void {
    if (call.phase === 'done') return;
    if (call.deadlineAtMs <= this.clock.nowMs()) {
      this.expire(call);
      return;
    }
    if (this.link?.connected !== true) {
      this.leaveSearch(call);
      this.waitIn('offline', call);
      return;
    }
    const piece = this.pieceOf(call);
    if (piece === undefined) {
      this.leaveSearch(call);
      this.waitIn('lookup', call);
      this.finder?.join(call);
      return;
    }
    if (!call.fit(piece)) {
      this.leaveSearch(call);
      return;
    }
    const nearest =
      call.mayFollow && !call.notClosed ? this.replicas.pick(piece.range.storeIds) : 0;
    call.following = nearest !== 0;
    if (nearest !== 0) {
      this.leaveSearch(call);
      this.send(call, piece, nearest);
      return;
    }
    const { state } = piece.range;
    if (call.scouting !== undefined && call.scouting !== state) this.leaveSearch(call);
    const { leaseholder } = state;
    if (leaseholder !== 0 && !this.health.isSuspect(leaseholder)) {
      this.send(call, piece, leaseholder);
      this.leaveSearch(call);
      return;
    }
    if (state.scout !== undefined && state.scout !== call) {
      call.waitingOn = state;
      state.waiters.add(call);
      this.waitIn('search', call);
      return;
    }
    state.scout = call;
    call.scouting = state;
    this.send(call, piece, this.nextReplica(state, piece));
  }

  /** The range that the call has to go to, as far as it is known. */
  pieceOf(call: RangeCall): CallPiece | undefined {
    return call.routeBefore ? this.cache.findBefore(call.routeKey) : this.cache.find(call.routeKey);
  }

  /** Waits in `phase` until the deadline or until somebody dispatches the call. */
  waitIn(phase: RangeCall['phase'], call: RangeCall): void {
    call.phase = phase;
    this.timers.set(call, call.deadlineAtMs);
  }

  /** Dispatches the call again after a while. */
  pause(call: RangeCall, ms: number): void {
    call.tries = 0;
    call.pauses++;
    call.phase = 'paused';
    this.timers.set(call, Math.min(call.deadlineAtMs, this.clock.nowMs() + ms));
  }

  /** Takes the call out of everything. Whoever calls this then says how it ended. */
  finish(call: RangeCall): void {
    if (call.phase === 'done') return;
    if (call.phase === 'lookup') this.finder?.leave(call);
    call.phase = 'done';
    this.timers.remove(call);
    this.flying.forget(call);
    this.leaveSearch(call);
    call.onDone();
  }

  fail(call: RangeCall, code: ErrorCode, message: string): void {
    if (call.phase === 'done') return;
    this.finish(call);
    call.failWith(code, message);
  }

  /** Nobody better was named: the next replica at once, and a pause when all have been asked. */
  retryElsewhere(call: RangeCall): void {
    call.tries++;
    if (call.tries >= (call.range?.storeIds.length ?? 1)) this.pauseSearching(call);
    else this.dispatch(call);
  }

  pauseSearching(call: RangeCall): void {
    const { timings } = this;
    const quick = call.pauses < timings.searchRoundsQuick;
    this.pause(call, this.jittered(quick ? timings.searchPauseMs : timings.searchLaterPauseMs));
    if (call.pauses % timings.searchRoundsPerRefresh === 0)
      this.finder?.refresh(call.routeKey, call.routeBefore);
  }

  onHeard(storeId: number): void {
    if (!this.health.heard(storeId)) return;
    for (const state of this.cache.ledBy(storeId)) this.releaseWaiters(state);
  }

  /** @returns false: nobody here asked for this */
  onResponse(response: Response, fromStore: number): boolean {
    const call = this.flying.find(response.requestId);
    if (call === undefined) {
      this.lateCount++;
      return false;
    }
    const current = call.requestId === response.requestId;
    if (current) this.flying.land(call);
    else this.flying.forgetEarlier(call, response.requestId);
    call.answered = true;
    if (response.refusal) this.refused.take(call, response.refusal, fromStore, current);
    else if (call.accepts(response)) this.onAnswer(call, response, fromStore);
    else if (current) this.retryElsewhere(call);
    return true;
  }

  /** Nobody listens at this store: whatever is under way there goes elsewhere now. */
  onUnreachable(storeId: number): void {
    this.health.suspect(storeId);
    for (const call of this.flying.at(storeId)) {
      this.flying.giveUp(call);
      call.notClosed = false;
      this.retryElsewhere(call);
    }
  }

  /** What was under way when the connection went may be lost; everything starts again when it is back. */
  onConnection(connected: boolean): void {
    if (!connected) return;
    for (const call of this.timers.snapshot()) {
      if (call.phase === 'flying') this.flying.giveUp(call);
      else if (call.phase !== 'offline') continue;
      this.dispatch(call);
    }
  }

  closeAll(code: ErrorCode, message: string): void {
    for (const call of this.timers.snapshot()) this.fail(call, code, message);
    this.timers.close();
  }

  private onDue(call: RangeCall): void {
    if (call.deadlineAtMs <= this.clock.nowMs()) this.expire(call);
    else if (call.phase === 'flying') this.onSilence(call);
    else this.dispatch(call);
  }

  private expire(call: RangeCall): void {
    const code = call.answered ? 'TIMEOUT' : 'UNAVAILABLE';
    const what = call.answered ? 'no final answer' : 'no store answered';
    this.fail(call, code, `${what} before the deadline (${describe(call)})`);
  }

  private send(call: RangeCall, piece: CallPiece, storeId: number): void {
    const { link, timings } = this;
    if (link === undefined) return;
    const now = this.clock.nowMs();
    const requestId = link.nextRequestId();
    this.flying.take(call, requestId, storeId);
    call.sentAtMs = now;
    call.extended = false;
    call.range = piece.range;
    call.phase = 'flying';
    link.send(storeId, call.encode(requestId, Math.ceil(call.deadlineAtMs - now), piece));
    call.onAttempt();
    const wait = call.scouting === undefined ? timings.attemptTimeoutMs : timings.searchTimeoutMs;
    this.timers.set(call, Math.min(call.deadlineAtMs, now + this.jittered(wait)));
  }

  private onSilence(call: RangeCall): void {
    const { health, timings } = this;
    if (health.heardSince(call.storeId, call.sentAtMs)) {
      if (!call.extended && call.scouting === undefined) {
        call.extended = true;
        const until = call.sentAtMs + this.jittered(timings.slowAttemptTimeoutMs);
        this.timers.set(call, Math.min(call.deadlineAtMs, until));
        return;
      }
    } else {
      health.suspect(call.storeId);
    }
    this.flying.giveUp(call);
    call.notClosed = false;
    this.retryElsewhere(call);
  }

  private onAnswer(call: RangeCall, response: Response, fromStore: number): void {
    const state = call.following ? undefined : call.range?.state;
    this.finish(call);
    if (state !== undefined && fromStore !== 0 && state.leaseholder !== fromStore) {
      // It answered as the leaseholder, where nobody else is known to be.
      if (state.leaseholder === 0 || this.health.isSuspect(state.leaseholder))
        this.cache.found(state, fromStore);
    }
    call.complete(response, fromStore);
  }

  private nextReplica(state: CallRangeState, piece: CallPiece): number {
    const { storeIds } = piece.range;
    const start = state.nextReplica++;
    const evenSuspects = start % askSuspectEvery === askSuspectEvery - 1;
    for (let i = 0; i < storeIds.length; i++) {
      const storeId = storeIds[(start + i) % storeIds.length] ?? 0;
      if (evenSuspects || !this.health.isSuspect(storeId)) return storeId;
      state.nextReplica++;
    }
    return storeIds[start % storeIds.length] ?? 0;
  }

  private leaveSearch(call: RangeCall): void {
    const { scouting, waitingOn } = call;
    if (waitingOn !== undefined) {
      waitingOn.waiters.delete(call);
      call.waitingOn = undefined;
    }
    if (scouting === undefined) return;
    call.scouting = undefined;
    if (scouting.scout !== call) return;
    scouting.scout = undefined;
    this.releaseWaiters(scouting);
  }

  private releaseWaiters(state: CallRangeState): void {
    if (state.waiters.size === 0) return;
    const waiting = [...state.waiters];
    state.waiters.clear();
    for (const call of waiting) {
      call.waitingOn = undefined;
      if (call.phase === 'search') this.dispatch(call);
    }
  }
}

function describe(call: RangeCall): string {
  const { range } = call;
  return range === undefined
    ? 'no range found'
    : `r${range.rangeId}, stores ${range.storeIds.join(', ')}`;
}
