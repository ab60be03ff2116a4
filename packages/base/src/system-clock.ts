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

/** Unit: ms. The longest that Node's timers take. */
const longestIntervalMs = 2 ** 31 - 1;

/** Keeps the process alive until cancelled: for work that rests on nothing but timers of `SystemClock`, which do not. */
export function holdProcess(): Timer {
  const handle = setInterval(() => {}, longestIntervalMs);
  return { cancel: () => clearInterval(handle) };
}
