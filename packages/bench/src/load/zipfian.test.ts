import { expect, it } from 'vitest';
import { random } from './random.ts';
import { scattered, Zipfian } from './zipfian.ts';

it("chooses by Zipf's law with exponent 0.99", () => {
  const items = 1000;
  const choices = 200_000;
  const zipfian = new Zipfian(items, random(42));
  const counts = new Array<number>(items).fill(0);
  for (let i = 0; i < choices; i++) {
    const rank = zipfian.next();
    counts[rank] = (counts[rank] ?? 0) + 1;
  }
  const weights = counts.map((_, i) => 1 / (i + 1) ** 0.99);
  const sum = weights.reduce((a, b) => a + b, 0);
  // Pearson's statistic over classes of ranks; its expectation is the number of classes less one, 2.5 times that is
  // beyond one in ten thousand. The seed is fixed, so this holds always or never.
  const classes = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000];
  let statistic = 0;
  for (let i = 0; i + 1 < classes.length; i++) {
    const of = (values: readonly number[]): number =>
      values.slice(classes[i], classes[i + 1]).reduce((a, b) => a + b, 0);
    const expected = (of(weights) / sum) * choices;
    statistic += (of(counts) - expected) ** 2 / expected;
  }
  expect(statistic).toBeLessThan(2.5 * (classes.length - 2));
  expect(counts[0]).toBeGreaterThan(choices * 0.12);
});

it('reaches both ends and refuses to choose among nothing', () => {
  const ends = [0, 1 - 2 ** -32];
  const zipfian = new Zipfian(5, () => ends.shift() ?? 0);
  expect([zipfian.next(), zipfian.next()]).toEqual([0, 4]);
  expect(() => new Zipfian(0, Math.random)).toThrow(RangeError);
});

it('scatters ranks one to one, neighbours apart', () => {
  const items = 10_000;
  const places = Array.from({ length: items }, (_, rank) => scattered(rank, items));
  expect(new Set(places).size).toBe(items);
  expect(Math.max(...places)).toBe(items - 1);
});
