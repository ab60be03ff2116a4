/**
 * Two reasons to distrust a lease that the core believes in: a disk that makes no progress (rule L8: heartbeats prove
 * nothing about the log) and a monotonic clock that stood still while the world went on (host suspend). Neither harms
 * ReadIndex.
 */

import { probe } from '@flotilla/base';

/** Wall and monotonic clock may drift apart by this much between two looks. NTP slews 0.5 ms a second at most. */
const clockDivergenceMsMax = 50;

export class ClockGuard {
  private lastNow: number;
  private lastWall: number;
  private distrustUntil = Number.NEGATIVE_INFINITY;
  private readonly leaseDurationMs: number;

  constructor(now: number, wall: number, leaseDurationMs: number) {
    this.lastNow = now;
    this.lastWall = wall;
    this.leaseDurationMs = leaseDurationMs;
  }

  /** Looks at both clocks; true if leases may be trusted. After a jump none may until all that were granted before
   *  it have run out. Stepping the wall clock costs a lease's length of ReadIndex reads, never a stale one. */
  trusted(now: number, wall: number): boolean {
    const divergence = Math.abs(wall - this.lastWall - (now - this.lastNow));
    if (divergence > clockDivergenceMsMax) {
      probe('leaseDroppedByClock');
      this.distrustUntil = now + this.leaseDurationMs;
    }
    this.lastNow = now;
    this.lastWall = wall;
    return now >= this.distrustUntil;
  }
}
