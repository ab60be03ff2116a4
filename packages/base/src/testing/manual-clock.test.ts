import { expect, it } from 'vitest';
import { ManualClock } from './manual-clock.ts';

it('moves on although a timer asks again and again for a delay that rounding swallows', () => {
  const clock = new ManualClock();
  let fired = 0;
  const again = (): void => {
    fired++;
    clock.setTimer(1e-17, again);
  };
  clock.setTimer(0.1, again);
  clock.advance(10);
  expect(clock.nowMs()).toBe(10);
  expect(fired).toBe(10);
});
