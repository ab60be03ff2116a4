/**
 * Time as the rest of the house sees it. Only `SystemClock` touches the machine's clocks and timers; tests and the
 * simulator hand in a `ManualClock` (`@flotilla/base/testing`).
 */

export interface Timer {
  /** Idempotent. After it returns the callback will not run. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start, with fractions. Never goes back; leases are measured with it. */
  nowMs(): number;
  /** Milliseconds since 1970 by the wall clock. May jump; used only to seed hybrid logical clocks and for people. */
  wallMs(): number;
  /** Runs `callback` once, when about `delayMs` have passed (a rounding error early at most); under 1 ms counts as
   *  1 ms, as Node has it. Does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` after the I/O callbacks that are already due: the end of this turn of the event loop. */
  afterTurn(callback: () => void): void;
}
