import { SeededPrng } from '@flotilla/base';
import { expect, it } from 'vitest';
import { SeenRequests } from './seen-requests.ts';

it('takes every request of a client once, in any order within its window', () => {
  const prng = new SeededPrng(1);
  const seen = new SeenRequests({ seenRequestsMax: 8, seenClientsMax: 2 });
  const taken = new Set<number>();
  let newest = 0;
  for (let i = 0; i < 5000; i++) {
    const again = prng.nextBelow(3) === 0;
    const requestId = Math.max(1, again ? newest - prng.nextBelow(40) : ++newest);
    const isNew = seen.isNew('a', requestId);
    if (taken.has(requestId)) expect(isNew).toBe(false);
    // Whatever is newer than all before is surely taken, and so is what was overtaken by few.
    else if (requestId > newest - 8) expect(isNew).toBe(true);
    if (isNew) taken.add(requestId);
  }
  expect(taken.size).toBe(newest);
});

it('tells clients apart, and forgets the one that was met longest ago', () => {
  const seen = new SeenRequests({ seenRequestsMax: 8, seenClientsMax: 2 });
  expect([seen.isNew('a', 1), seen.isNew('b', 1), seen.isNew('a', 1)]).toEqual([true, true, false]);
  for (let i = 2; i <= 9; i++) seen.isNew('a', i);
  expect(seen.isNew('c', 1)).toBe(true);
  expect(seen.isNew('a', 9)).toBe(false);
  expect(seen.isNew('b', 1)).toBe(true);
});
