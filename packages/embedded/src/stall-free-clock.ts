/**
 * Time that stands still while the process does. Client and store are one process here: when it was stopped, by a debugger or
 * by a machine that has no time for it, nobody has been silent, and no deadline is to pass because of it. A beat tells a
 * stall from idleness.
 */
import type { Clock, Timer } from '@flotilla/base';

/** Unit: ms. */
const beatMs = 200;
/** A beat that is later than this was not late by itself. Unit: ms. */
const stallMs = 1000;

export class StallFreeClock implements Clock {
  private readonly clock: Clock;
  private beatAtMs: number;
  private stalledMs = 0;
  /** What was answered last. */
  private lastMs = Number.NEGATIVE_INFINITY;
  private beating: Timer;

  constructor(clock: Clock) {
    this.clock = clock;
    this.beatAtMs = clock.nowMs();
    this.beating = clock.setTimer(beatMs, this.beat);
  }

  nowMs(): number {
    const now = this.clock.nowMs();
    const sinceBeatMs = now - this.beatAtMs;
    if (sinceBeatMs > stallMs) {
      this.stalledMs += sinceBeatMs - beatMs;
      this.beatAtMs = now;
    }
    // Whoever asked while the stall was still too short to be one has been told more: it stays at that until it is true.
    this.lastMs = Math.max(this.lastMs, now - this.stalledMs);
    return this.lastMs;
  }

  wallMs(): number {
    return this.clock.wallMs();
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const dueMs = this.nowMs() + delayMs;
    const fire = (): void => {
      // It came in time by the machine's clock; by this one there may be some left.
      const leftMs = dueMs - this.nowMs();
      if (leftMs > 1) timer = this.clock.setTimer(leftMs, fire);
      else callback();
    };
    let timer = this.clock.setTimer(delayMs, fire);
    return { cancel: () => timer.cancel() };
  }

  afterTurn(callback: () => void): void {
    this.clock.afterTurn(callback);
  }

  /** No beat any more: stalls count from now on. */
  close(): void {
    this.beating.cancel();
    this.beatAtMs = Number.POSITIVE_INFINITY;
  }

  private readonly beat = (): void => {
    this.nowMs();
    this.beatAtMs = this.clock.nowMs();
    this.beating = this.clock.setTimer(beatMs, this.beat);
  };
}
