/**
 * Spreads leaders over stores: every range has a preferred store, the same in everybody's eyes, and whoever leads it
 * elsewhere hands it over when that store is well and has the log. One transfer at a time, and a range that comes back
 * is left alone for longer and longer.
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
}

/** Unit: ms. */
const roundMs = 200;
const heardWithinMs = 600;
const firstPauseMs = 5000;
const longestPauseMs = 5 * 60_000;
/** Entries the target may lack: it gets them before it is asked to campaign. */
const lagMax = 64;

interface Attempt {
  readonly notBeforeMs: number;
  readonly pauseMs: number;
}

export class LeaseBalancer {
  private readonly options: LeaseBalancerOptions;
  private readonly attempts = new Map<RangeId, Attempt>();
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: LeaseBalancerOptions) {
    this.options = options;
  }

  start(): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(roundMs, () => {
      this.round();
      this.start();
    });
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** Begins at most one transfer. */
  private round(): void {
    const { clock, replicas, storeId } = this.options;
    const now = clock.nowMs();
    for (const replica of replicas.values()) {
      if (replica.leaseholder?.isReady !== true) continue;
      const preferred = preferredLeader(replica.descriptor);
      if (preferred === storeId) continue;
      const attempt = this.attempts.get(replica.rangeId);
      if (attempt !== undefined && now < attempt.notBeforeMs) continue;
      const target = replicaOnStore(replica.descriptor, preferred);
      if (target === undefined || !this.isWell(replica.rangeId, target.replicaId, now)) continue;
      const pauseMs = Math.min(longestPauseMs, (attempt?.pauseMs ?? firstPauseMs / 2) * 2);
      this.attempts.set(replica.rangeId, { notBeforeMs: now + pauseMs, pauseMs });
      if (this.options.transfer(replica.rangeId, target.replicaId).ok) return;
    }
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
