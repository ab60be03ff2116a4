/** The machine's clocks. The only place in product code that reads time or arms timers. */
import type { Clock, Timer } from './clock.ts';

export class SystemClock implements Clock {
  nowMs(): number {
    return performance.now(); // CLOCK_MONOTONIC: runs on through SIGSTOP and stalls
  }

  wallMs(): number {
    return Date.now();
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  }

  afterTurn(callback: () => void): void {
    setImmediate(callback);
  }
}
