import { describe, it } from 'vitest';
import { SystemClock } from './system-clock.ts';
import { clockCases } from './testing/clock-suite.ts';
import { ManualClock } from './testing/manual-clock.ts';

describe('the machine as a clock', () => {
  it.each(clockCases)('$title', async ({ run }) => {
    const clock = new SystemClock();
    await run({
      clock,
      async pass(ms) {
        const until = clock.nowMs() + ms;
        // What is due has run when timers that were armed after it have.
        do await new Promise((resolve) => setTimeout(resolve, ms));
        while (clock.nowMs() < until);
        await new Promise((resolve) => setImmediate(resolve));
      },
    });
  });
});

describe('the clock that tests move', () => {
  it.each(clockCases)('$title', async ({ run }) => {
    const clock = new ManualClock();
    await run({
      clock,
      async pass(ms) {
        clock.advance(ms);
      },
    });
  });
});
