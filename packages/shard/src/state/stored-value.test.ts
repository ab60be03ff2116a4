import { ExitCode, FatalError } from '@flotilla/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangeRowKey, StorageSpace, supersededAtOf, userKeyOf } from './storage-keys.ts';
import { checkStored, encodeStored, storedPayload, storedTimestamp } from './stored-value.ts';

const timestamps = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

describe('stored values', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), timestamps, (key, payload, timestamp) => {
        const stored = checkStored(key, encodeStored(key, timestamp, payload));
        expect(storedTimestamp(stored)).toBe(timestamp);
        expect(Buffer.compare(storedPayload(stored), payload)).toBe(0);
      }),
    );
  });

  it('show every flipped bit, a cut and a wrong key', () => {
    const key = Buffer.from('key');
    const stored = encodeStored(key, 123_456_789_012, Buffer.from('payload'));
    for (let bit = 0; bit < stored.length * 8; bit++) {
      const damaged = Buffer.from(stored);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => checkStored(key, damaged)).toThrow(FatalError);
    }
    for (let length = 0; length < stored.length; length++)
      expect(() => checkStored(key, stored.subarray(0, length))).toThrow(FatalError);
    try {
      checkStored(Buffer.from('kez'), stored);
      expect.unreachable();
    } catch (error) {
      expect((error as FatalError).exitCode).toBe(ExitCode.engineCorrupt);
    }
  });
});

describe('engine keys', () => {
  const space = new StorageSpace(7);

  it('keep the order of user keys', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        const order = Buffer.compare(a, b);
        expect(Buffer.compare(space.dataKey(a), space.dataKey(b))).toBe(order);
        expect(Buffer.compare(userKeyOf(space.dataKey(a)), a)).toBe(0);
        if (order !== 0)
          expect(Buffer.compare(space.historyKey(a, 9), space.historyKey(b, 1))).toBe(order);
      }),
    );
  });

  it('order the history of one key by time', () => {
    fc.assert(
      fc.property(fc.uint8Array(), timestamps, timestamps, (key, t, u) => {
        expect(Buffer.compare(space.historyKey(key, t), space.historyKey(key, u))).toBe(
          Math.sign(t - u),
        );
        expect(supersededAtOf(space.historyKey(key, t))).toBe(t);
      }),
    );
  });

  it('do not mix storage ids or kinds', () => {
    const other = new StorageSpace(8);
    expect(
      Buffer.compare(space.dataKey(Buffer.alloc(9, 0xff)), other.dataKey(Buffer.alloc(0))),
    ).toBe(-1);
    expect(rangeRowKey(2 ** 40, 2 ** 33 + 1).toString('hex')).toBe(
      '7200000100000000000000000200000001',
    );
  });
});
