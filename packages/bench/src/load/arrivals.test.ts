import { expect, it } from 'vitest';
import { Arrivals } from './arrivals.ts';

it('lets operations begin evenly, and those that are late keep their time', () => {
  const arrivals = new Arrivals(500, 1000);
  expect(arrivals.take(999.9)).toBeUndefined();
  expect(arrivals.take(1000)).toBe(1000);
  expect(arrivals.take(1001)).toBeUndefined();
  // Nobody was free for a while.
  expect(arrivals.waiting(1005)).toBe(2);
  expect([1, 2, 3].map(() => arrivals.take(1005))).toEqual([1002, 1004, undefined]);
  expect(arrivals.waiting(1005)).toBe(0);
});

it('offers what it says over a long time', () => {
  const arrivals = new Arrivals(333, 0);
  let taken = 0;
  for (let now = 0; now < 10_000; now++) while (arrivals.take(now) !== undefined) taken++;
  expect(taken).toBe(3330);
});

it('refuses a rate of nothing', () => {
  expect(() => new Arrivals(0, 0)).toThrow(RangeError);
});
