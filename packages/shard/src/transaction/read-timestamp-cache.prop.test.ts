import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReadTimestampCache } from './read-timestamp-cache.ts';

interface Read {
  readonly start: string;
  /** Undefined: it was a key. */
  readonly end: string | undefined;
  readonly timestamp: number;
  readonly transaction: string;
}

const transactions = ['one-transaction', 'two-transaction'];
const letters = ['a', 'b', 'c', 'd', 'e'];

function remember(cache: ReadTimestampCache, reads: readonly Read[]): void {
  for (const { start, end, timestamp, transaction } of reads)
    if (end === undefined) cache.bumpKey(start, timestamp, transaction);
    else cache.bumpSpan(start, end, timestamp, transaction);
}

/** @param exactly whether only reads of the key itself may count */
function check(cache: ReadTimestampCache, reads: readonly Read[], floor: number, exactly: boolean) {
  for (const each of [cache, cache.copy()])
    for (const key of letters)
      for (const writer of transactions) {
        const least = each.leastWrite(key, writer);
        let must = floor + 1;
        // What was read beside them was so at 1.
        let most = exactly ? floor + 1 : Math.max(floor + 1, 2);
        for (const { start, end, timestamp, transaction } of reads) {
          const isOfKey = end === undefined ? start === key : start <= key && key < end;
          if (isOfKey) must = Math.max(must, transaction === writer ? timestamp : timestamp + 1);
          if (isOfKey || !exactly) most = Math.max(most, timestamp + 1);
        }
        expect(least).toBeGreaterThanOrEqual(must);
        expect(least).toBeLessThanOrEqual(most);
      }
}

const read: fc.Arbitrary<Read> = fc
  .record({
    from: fc.integer({ min: 0, max: 3 }),
    length: fc.integer({ min: 0, max: 2 }),
    timestamp: fc.integer({ min: 1, max: 30 }),
    transaction: fc.constantFrom(...transactions),
  })
  .map(({ from, length, ...rest }) => ({
    start: letters[from] ?? 'a',
    end: length === 0 ? undefined : letters[from + length],
    ...rest,
  }));

describe('nobody may write at or below what others have read', () => {
  /** Against a list of all reads: never lower than it must be, and no higher while all reads are recent. */
  it('by key, as long as reads are recent', () => {
    fc.assert(
      fc.property(
        fc.array(read, { maxLength: 30 }),
        fc.integer({ min: 0, max: 10 }),
        (reads, floor) => {
          const cache = new ReadTimestampCache(floor);
          remember(cache, reads);
          check(cache, reads, floor, true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('also when much else was read since', () => {
    const others = Array.from({ length: 700 }, (_, i) => `other ${i}`);
    fc.assert(
      fc.property(
        fc.array(read, { maxLength: 80 }),
        fc.integer({ min: 0, max: 3 }),
        (reads, rounds) => {
          const cache = new ReadTimestampCache(0);
          remember(cache, reads.slice(0, 60));
          for (let round = 0; round < rounds; round++)
            for (const name of others) cache.bumpKey(`${name} of ${round}`, 1, 'three-transaction');
          remember(cache, reads.slice(60));
          check(cache, reads, 0, false);
        },
      ),
      { numRuns: 60 },
    );
  });
});
