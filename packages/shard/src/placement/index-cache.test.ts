import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { kv } from '../protocol/index.ts';
import { configurationKey, encodeConfigurationRow } from '../protocol/range-configuration.ts';
import { encodeStored } from '../state/stored-value.ts';
import { pictureOf } from './gather.ts';
import { IndexCache, type StoredRow } from './index-cache.ts';
import { range } from './placement.test-kit.ts';
import { RangeFigures } from './range-figures.ts';

function stored(key: Buffer, value: Uint8Array, timestamp = 1): StoredRow {
  return { key, stored: encodeStored(key, timestamp, value) };
}

function row(id: number, leaseholderStoreId: number, timestamp = 1): StoredRow {
  const { descriptor } = range(id, [1, 2, 3]);
  const value = kv.RangeInfo.encode({ descriptor, leaseholderStoreId, term: 1 }).finish();
  return stored(Buffer.from([id]), value, timestamp);
}

it('decodes a row once, and again when its bytes have changed', () => {
  const cache = new IndexCache();
  const first = cache.local(row(5, 1));
  cache.endRound();
  expect(cache.local(row(5, 1))).toBe(first);
  cache.endRound();
  const second = cache.local(row(5, 2));
  expect([first, second].map(({ info }) => info.leaseholderStoreId)).toEqual([1, 2]);
  expect(second.descriptor?.rangeId).toBe(5);
});

it('forgets rows that were not there any more', () => {
  const cache = new IndexCache();
  const first = cache.local(row(5, 1));
  cache.endRound();
  cache.endRound();
  expect(cache.local(row(5, 1))).not.toBe(first);
});

it('knows rows of other parts by what was sent', () => {
  const cache = new IndexCache();
  const { descriptor } = range(5, [1]);
  const value = kv.RangeInfo.encode({ descriptor, leaseholderStoreId: 1, term: 1 }).finish();
  const first = cache.remote(Buffer.from([5]), value);
  cache.endRound();
  expect(cache.remote(Buffer.from([5]), Uint8Array.from(value))).toBe(first);
});

it('ends the process where a row that has changed fails its checksum', () => {
  const cache = new IndexCache();
  const { key, stored: bytes } = row(5, 1);
  cache.local({ key, stored: Buffer.from(bytes) });
  cache.endRound();
  bytes[bytes.length - 1] = 0xff ^ (bytes.at(-1) ?? 0);
  expect(() => cache.local({ key, stored: bytes })).toThrow(/checksum/);
});

it('makes a new picture of a range when its row, its figures or its wishes change', () => {
  const cache = new IndexCache();
  const figures = new RangeFigures(new ManualClock());
  const wish = (replicas: number): StoredRow => {
    const span = { startKey: Buffer.from([1]), endKey: Buffer.from([9]) };
    const value = encodeConfigurationRow({ ...span, replicas });
    return stored(Buffer.from(configurationKey(span)), value);
  };
  const look = (rows: readonly StoredRow[], leaseholder = 1) => {
    const found = cache.local(row(5, leaseholder));
    const picture = pictureOf(found, cache.configurationsOf(rows), figures);
    cache.endRound();
    return picture;
  };
  const first = look([]);
  expect(first).toMatchObject({ leaseholder: 1, bytes: 0, requests: 0 });
  expect(look([])).toBe(first);
  figures.take([{ rangeId: 5, bytes: 7, requestsPerSecond: 8 }]);
  const asked = look([]);
  expect(asked).toMatchObject({ bytes: 7, requests: 8 });
  expect(look([])).toBe(asked);
  const wished = look([wish(5)]);
  expect(wished).toMatchObject({ bytes: 7, replicas: 5 });
  expect(look([wish(5)])).toBe(wished);
  expect(look([wish(1)])).toMatchObject({ replicas: 1 });
  expect(look([wish(1)], 2)).toMatchObject({ leaseholder: 2, replicas: 1 });
  expect(look([])?.replicas).toBeUndefined();
});
