import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RowSample } from './row-sample.ts';

const noBytes = Buffer.alloc(0);
const key = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
};
const keysOf = (sample: RowSample): number[] =>
  sample.rows.map((row) => Buffer.from(row.key).readUInt32BE());

/** Rows from..to-1, as a store would hand them out: several samples, put together. */
function sampled(parts: readonly number[], capacity: number, seed: number): RowSample {
  const whole = new RowSample(capacity, 1e9, seed);
  let next = 0;
  for (const [i, size] of parts.entries()) {
    const part = new RowSample(Math.min(capacity, 50), 1e9, seed + i);
    for (let n = 0; n < size; n++) part.add(key(next++), noBytes);
    whole.merge(part);
  }
  return whole;
}

describe('a sample', () => {
  it('has as many rows as it may, each once, and knows of how many', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(200), { maxLength: 12 }),
        fc.integer({ min: 1, max: 400 }),
        fc.nat(),
        (parts, capacity, seed) => {
          const sample = sampled(parts, capacity, seed);
          const keys = keysOf(sample);
          const all = parts.reduce((sum, size) => sum + size, 0);
          expect(sample.of).toBe(all);
          expect(new Set(keys).size).toBe(keys.length);
          expect(keys.every((n) => n < all)).toBe(true);
          const there = parts.reduce((sum, size) => sum + Math.min(size, capacity, 50), 0);
          expect(keys.length).toBe(Math.min(capacity, there));
        },
      ),
    );
  });

  it('gives every row the same chance, also over parts of other sizes', () => {
    const parts = [300, 10, 90];
    const hits = [0, 0, 0];
    for (let seed = 0; seed < 400; seed++)
      for (const n of keysOf(sampled(parts, 40, seed * 1000))) {
        const part = n < 300 ? 0 : n < 310 ? 1 : 2;
        hits[part] = (hits[part] ?? 0) + 1;
      }
    const total = 400 * 40;
    for (const [i, size] of parts.entries())
      expect(Math.abs((hits[i] ?? 0) / total - size / 400)).toBeLessThan(0.015);
  });

  it('holds fewer rows where they are large', () => {
    const sample = new RowSample(1000, 10_000, 1);
    for (let n = 0; n < 5000; n++) sample.add(key(n), Buffer.alloc(96));
    const bytes = sample.rows.reduce((sum, row) => sum + row.key.length + row.value.length, 0);
    expect(bytes).toBeLessThanOrEqual(10_000);
    expect(sample.rows.length).toBeGreaterThan(60);
    expect(sample.of).toBe(5000);
    // Not those that came first, nor those that came last.
    const mean = keysOf(sample).reduce((sum, n) => sum + n, 0) / sample.rows.length;
    expect(mean).toBeGreaterThan(1700);
    expect(mean).toBeLessThan(3300);
  });
});
