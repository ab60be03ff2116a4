import { describe, expect, it } from 'vitest';
import { ReadTimestampCache } from './read-timestamp-cache.ts';

const me = 'transaction-me-1';
const other = 'other-transact-2';

describe('a read-timestamp cache', () => {
  it('keeps writes of others above every key that was read, whatever its name', () => {
    const cache = new ReadTimestampCache(5);
    for (let i = 0; i < 500; i++) {
      const name = `key ${i}\xff\x00${'x'.repeat(i % 7)}`;
      cache.bumpKey(name, 100 + i, me);
      expect(cache.leastWrite(name, other)).toBeGreaterThan(100 + i);
    }
  });

  it('lets a transaction write where it alone has read', () => {
    const cache = new ReadTimestampCache(5);
    cache.bumpKey('a', 100, me);
    expect(cache.leastWrite('a', me)).toBe(100);
    cache.bumpKey('a', 100, other);
    expect(cache.leastWrite('a', me)).toBe(101);
    cache.bumpSpan('a', 'c', 200, me);
    expect(cache.leastWrite('a', me)).toBe(200);
    expect(cache.leastWrite('b', other)).toBe(201);
    cache.bumpSpan('a', 'c', 150, other);
    expect(cache.leastWrite('a', me)).toBe(200);
    cache.bumpSpan('', 'b', 200, other);
    expect(cache.leastWrite('a', me)).toBe(201);
  });

  it('knows nothing below its floor, and lets nobody write there', () => {
    const cache = new ReadTimestampCache(50);
    cache.bumpKey('a', 40, me);
    expect(cache.leastWrite('a', me)).toBe(51);
    expect(cache.leastWrite('b', me)).toBe(51);
  });

  it('does not push who writes beside the latest reads', () => {
    const cache = new ReadTimestampCache(5);
    for (let i = 0; i < 500; i++) cache.bumpKey(`row ${i}`, 100 + i, other);
    cache.bumpSpan('row 1', 'row 2', 700, other);
    for (let i = 0; i < 5000; i++) expect(cache.leastWrite(`new ${i}`, me)).toBe(6);
  });

  it('takes batches of one scan for one span', () => {
    const cache = new ReadTimestampCache(5);
    for (let i = 10; i < 90; i++) cache.bumpSpan(`${i}`, `${i + 1}`, 100, other);
    expect(cache.leastWrite('50', me)).toBe(101);
    expect(cache.leastWrite('95', me)).toBe(6);
    for (let i = 89; i >= 10; i--) cache.bumpSpan(`b${i}`, `b${i + 1}`, 100, other);
    expect(cache.leastWrite('b50', me)).toBe(101);
    expect(cache.leastWrite('95', me)).toBe(6);
  });
});
