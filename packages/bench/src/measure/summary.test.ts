import { expect, test } from 'vitest';
import { median, medianSample, type Sample } from './summary.ts';

test('the median is the middle, or the mean of the middle two', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(() => median([])).toThrow(RangeError);
});

test('figures have their own medians, errors add up, memory is the most', () => {
  const sample = (rate: number, p99: number): Sample => ({
    ...{ operationsPerSecond: rate, errors: 1, p50: 1, p99, p999: 9 },
    ...{ cpuSecondsPerThousand: 1, loadCpuSecondsPerThousand: 1, residentBytes: rate },
  });
  const result = medianSample([sample(10, 3), sample(30, 1), sample(20, 2)]);
  expect(result).toMatchObject({ operationsPerSecond: 20, p99: 2, errors: 3, residentBytes: 30 });
});
