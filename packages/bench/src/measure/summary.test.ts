import { expect, test } from 'vitest';
import { median, medianSample, type RateSample, ratioOf, type TimeSample } from './summary.ts';

const rate = (operationsPerSecond: number, p99: number): RateSample => ({
  ...{ kind: 'rate', operationsPerSecond, errors: 1, p50: 1, p99, p999: 9 },
  ...{ cpuSecondsPerThousand: 1, loadCpuSecondsPerThousand: 1, residentBytes: operationsPerSecond },
});
const time = (milliseconds: number): TimeSample => ({
  ...{ kind: 'time', milliseconds, residentBytes: milliseconds },
});

test('the median is the middle, or the mean of the middle two', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(() => median([])).toThrow(RangeError);
});

test('figures have their own medians, errors add up, memory is the most', () => {
  expect(medianSample([rate(10, 3), rate(30, 1), rate(20, 2)])).toMatchObject({
    ...{ operationsPerSecond: 20, p99: 2, errors: 3, residentBytes: 30 },
  });
  expect(medianSample([time(7), time(3), time(5)])).toEqual({
    ...{ kind: 'time', milliseconds: 5, residentBytes: 7 },
  });
});

test('a ratio says how many times better: more per second, or sooner', () => {
  expect(ratioOf(rate(30, 1), rate(10, 1))).toBe(3);
  // At one rate as many are done by both.
  const [quick, slow] = [rate(10, 2), rate(10, 8)].map((sample) =>
    medianSample([{ ...sample, offeredPerSecond: 10 }]),
  );
  if (quick === undefined || slow === undefined) throw new Error('there are two');
  expect(ratioOf(quick, slow)).toBe(4);
  expect(ratioOf(time(200), time(100))).toBe(0.5);
});

test('nothing is made of nothing, nor of different kinds', () => {
  expect(() => medianSample([])).toThrow(RangeError);
  expect(() => medianSample([rate(1, 1), time(1)])).toThrow(/one kind/);
  expect(() => ratioOf(rate(1, 1), time(1))).toThrow(/one kind/);
});
