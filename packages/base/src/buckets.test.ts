import { expect, it } from 'vitest';
import { Buckets } from './buckets.ts';

it('counts by the least bound that is not exceeded', () => {
  const buckets = new Buckets([1, 10]);
  for (const value of [0, 1, 1.5, 10, 11, 1000]) buckets.observe(value);
  expect(buckets.counts).toEqual([2, 2, 2]);
  expect([buckets.count, buckets.sum]).toEqual([6, 1023.5]);
});
