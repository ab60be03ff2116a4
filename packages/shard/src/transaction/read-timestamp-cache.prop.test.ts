import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ReadTimestampCache } from './read-timestamp-cache.ts';

/** Against a list of all reads: never lower than it must be; higher only where buckets or a span say so. */
it('nobody may write at or below what others have read', () => {
  const transaction = fc.constantFrom('one-transaction', 'two-transaction');
  const name = fc.constantFrom('a', 'b', 'c');
  const read = fc.record({
    name: fc.option(name, { nil: undefined }),
    timestamp: fc.integer({ min: 1, max: 30 }),
    transaction,
  });
  fc.assert(
    fc.property(
      fc.array(read, { maxLength: 30 }),
      fc.integer({ min: 0, max: 10 }),
      (reads, floor) => {
        const cache = new ReadTimestampCache(floor);
        for (const { name, timestamp, transaction } of reads)
          if (name === undefined) cache.bumpSpan(timestamp, transaction);
          else cache.bumpKey(name, timestamp, transaction);
        for (const each of [cache, cache.copy()])
          for (const key of ['a', 'b', 'c'])
            for (const writer of ['one-transaction', 'two-transaction']) {
              const least = each.leastWrite(key, writer);
              expect(least).toBeGreaterThan(floor);
              let must = floor + 1;
              let most = floor + 1;
              for (const { name, timestamp, transaction } of reads) {
                if (name !== undefined && name !== key) continue;
                must = Math.max(must, transaction === writer ? timestamp : timestamp + 1);
                most = Math.max(most, timestamp + 1);
              }
              expect(least).toBeGreaterThanOrEqual(must);
              expect(least).toBeLessThanOrEqual(most);
            }
      },
    ),
    { numRuns: 300 },
  );
});
