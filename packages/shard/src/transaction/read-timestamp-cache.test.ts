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
    cache.bumpSpan(200, me);
    expect(cache.leastWrite('a', me)).toBe(200);
    expect(cache.leastWrite('b', other)).toBe(201);
    cache.bumpSpan(150, other);
    expect(cache.leastWrite('a', me)).toBe(200);
    cache.bumpSpan(200, other);
    expect(cache.leastWrite('a', me)).toBe(201);
  });

  it('knows nothing below its floor, and lets nobody write there', () => {
    const cache = new ReadTimestampCache(50);
    cache.bumpKey('a', 40, me);
    expect(cache.leastWrite('a', me)).toBe(51);
    expect(cache.leastWrite('b', me)).toBe(51);
  });
});
