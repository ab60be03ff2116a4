/**
 * Hybrid logical clock: 41 bits of milliseconds since 2020 and a 12-bit counter in one safe integer (Kulkarni et al.,
 * "Logical Physical Clocks"). Follows the wall clock, never goes back, moves past every timestamp it is shown.
 */
import { assert } from './assert.ts';
import type { Clock } from './clock.ts';
import { type Timestamp, toTimestamp } from './ids.ts';

export const hlcEpochMs: number = Date.UTC(2020, 0, 1);
const countersPerMs = 4096;

export function timestampFromWallMs(wallMs: number): Timestamp {
  return toTimestamp(Math.max(0, Math.floor(wallMs) - hlcEpochMs) * countersPerMs);
}

/** How far apart timestamps are whose wall clocks are `ms` apart. */
export function timestampSpan(ms: number): number {
  return ms * countersPerMs;
}

export function timestampToWallMs(timestamp: Timestamp): number {
  return Math.floor(timestamp / countersPerMs) + hlcEpochMs;
}

export type ObserveResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly aheadMs: number };

export class HybridLogicalClock {
  private readonly clock: Clock;
  private readonly maxOffsetMs: number;
  private last: number;

  /** @param floor nothing at or below it is ever issued: the persisted upper bound of an earlier life */
  constructor(clock: Clock, options: { maxOffsetMs: number; floor?: Timestamp }) {
    assert(options.maxOffsetMs > 0, 'maxOffsetMs is positive');
    this.clock = clock;
    this.maxOffsetMs = options.maxOffsetMs;
    this.last = options.floor ?? 0;
  }

  /** A timestamp greater than every one issued or observed before. */
  now(): Timestamp {
    const physical = timestampFromWallMs(this.clock.wallMs());
    this.last = physical > this.last ? physical : this.last + 1;
    return toTimestamp(this.last);
  }

  /** Of the clock below. Unit: ms since 1970. */
  wallMs(): number {
    return this.clock.wallMs();
  }

  /** The greatest timestamp issued or observed, without issuing one. */
  peek(): Timestamp {
    return toTimestamp(this.last);
  }

  /** Moves past a timestamp that comes from this clock's own past: also if the wall clock was set back since. */
  advanceTo(timestamp: Timestamp): void {
    if (timestamp > this.last) this.last = timestamp;
  }

  /** Moves past a peer's timestamp, or refuses one that is further ahead than clocks may differ. */
  observe(remote: Timestamp): ObserveResult {
    if (remote <= this.last) return { ok: true };
    const aheadMs = timestampToWallMs(remote) - this.clock.wallMs();
    if (aheadMs > this.maxOffsetMs) return { ok: false, aheadMs };
    this.last = remote;
    return { ok: true };
  }
}
