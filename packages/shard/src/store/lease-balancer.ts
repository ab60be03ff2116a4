/**
 * Spreads leaders over stores: every range has a preferred store, the same in everybody's eyes, and whoever leads it
 * elsewhere hands it over when that store is well and has the log. A few at a time; a range that has just come is
 * left alone for a moment, and one that comes back for longer and longer.
 */
import type { Clock, RangeId, ReplicaId, StoreId, Timer } from '@flotilla/base';
import type { RaftStatus, TransferResult } from '@flotilla/raft';
import { preferredLeader } from '../initial-ranges.ts';
import { replicaOnStore } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';

export interface LeaseBalancerOptions {
  readonly clock: Clock;
  readonly storeId: StoreId;
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly status: (rangeId: RangeId) => RaftStatus | undefined;
  readonly transfer: (rangeId: RangeId, target: ReplicaId) => TransferResult;
  /** The range's members are changing, carried out by this leaseholder. */
  readonly isChanging: (rangeId: RangeId) => boolean;
}

/** Unit: ms. Between rounds, and after one that found nothing to do. */
const roundMs = 200;
const calmRoundMs = 1000;
/** Somebody may have asked for the range to be led here. */
const restMs = 3000;
const heardWithinMs = 600;
const firstPauseMs = 5000;
const longestPauseMs = 5 * 60_000;
/** Per round: each stops the writes of its range for a moment. */
const transfersPerRound = 4;
/** Entries the target may lack: it gets them before it is asked to campaign. */
const lagMax = 64;

interface Attempt {
  /** In which this store led the range. */
  readonly term: number;
  readonly notBeforeMs: number;
  readonly pauseMs: number;
}

export class LeaseBalancer {
  private readonly options: LeaseBalancerOptions;
  private readonly attempts = new Map<RangeId, Attempt>();
  private timer: Timer | undefined;
  private calm = false;
  private stopped = false;

  constructor(options: LeaseBalancerOptions) {
    this.options = options;
  }

  start(): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(this.calm ? calmRoundMs : roundMs, () => {
      this.calm = !this.round();
      this.start();
    });
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** Begins a few transfers. @returns true if a range is not where it belongs */
  private round(): boolean {
    const { clock, replicas, storeId } = this.options;
    const now = clock.nowMs();
    let astray = false;
    let begun = 0;
    for (const replica of replicas.values()) {
      if (replica.leaseholder?.isReady !== true) continue;
      if (this.options.isChanging(replica.rangeId)) continue;
      const preferred = preferredLeader(replica.descriptor);
      if (preferred === storeId) continue;
      astray = true;
      const attempt = this.attemptOf(replica, now);
      if (now < attempt.notBeforeMs) continue;
      const target = replicaOnStore(replica.descriptor, preferred);
      if (target === undefined || !this.isWell(replica.rangeId, target.replicaId, now)) continue;
      const pauseMs = Math.min(longestPauseMs, attempt.pauseMs * 2);
      this.attempts.set(replica.rangeId, { ...attempt, notBeforeMs: now + pauseMs, pauseMs });
      if (!this.options.transfer(replica.rangeId, target.replicaId).ok) continue;
      if (++begun === transfersPerRound) break;
    }
    return astray;
  }

  private attemptOf({ rangeId, term }: Replica, now: number): Attempt {
    const last = this.attempts.get(rangeId);
    if (last?.term === term) return last;
    const notBeforeMs = Math.max(last?.notBeforeMs ?? 0, now + restMs);
    const attempt = { term, notBeforeMs, pauseMs: last?.pauseMs ?? firstPauseMs / 2 };
    this.attempts.set(rangeId, attempt);
    return attempt;
  }

  private isWell(rangeId: RangeId, target: ReplicaId, now: number): boolean {
    const status = this.options.status(rangeId);
    const progress = status?.progress.find((each) => each.replicaId === target);
    return (
      status !== undefined &&
      progress !== undefined &&
      now - progress.lastHeardMs < heardWithinMs &&
      status.lastIndex - progress.matchIndex <= lagMax
    );
  }
}
