import { emptyBytes, keyMax, kvPrefix } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { type TopPicture, topJson, topText } from './top-text.ts';

const store = (storeId: number, fields: Partial<TopPicture['stores'][number]> = {}) => ({
  ...{ storeId, machine: `m${storeId}`, zone: '', version: '1', state: 'answers' as const },
  ...{ draining: false, decommissioning: false, replicas: 2, leases: 1, liveBytes: 2048 },
  ...{ walBytes: 0, capacityBytes: 100, usedBytes: 25, requestsPerSecond: 9, uptimeMs: 61_000 },
  ...{ clockSkewMs: -0.26, roundTripMs: 1, processId: 1, reportedAtMs: 0 },
  ...fields,
});

const range = (rangeId: number, fields: Partial<TopPicture['ranges'][number]> = {}) => ({
  ...{ rangeId, startKey: emptyBytes, endKey: kvPrefix, generation: 1, term: 1 },
  replicas: [1, 2].map((storeId) => ({
    ...{ storeId, replicaId: storeId, role: 'follower', voter: true, appliedIndex: 1 },
  })),
  ...{ leaseholder: 1 as number | undefined, lease: 'valid' as const, leaseRemainingMs: 1 },
  ...{ liveBytes: 10, requestsPerSecond: 0 },
  ...fields,
});

const picture: TopPicture = {
  atMs: 120_000,
  stores: [store(1), store(2, { state: 'silent', draining: true, clockSkewMs: undefined })],
  ranges: [
    range(1),
    range(2, { startKey: kvPrefix, endKey: keyMax, requestsPerSecond: 7 }),
    range(3, { leaseholder: undefined, lease: 'none' }),
  ],
  transactions: [
    {
      ...{ id: Buffer.alloc(16, 0xab), coordinator: 'c', startedAtMs: 60_000 },
      ...{ locks: 3, intents: 0, waits: true, stores: [1, 2] },
    },
  ],
  locks: [
    {
      ...{ storeId: 1, rangeId: 2, key: kvPrefix, mode: 'exclusive', granted: false },
      ...{ transaction: undefined, waitingSinceMs: 1, blockedBy: [] },
    },
  ],
  contendedKeys: [
    {
      ...{ storeId: 1, rangeId: 2, key: Buffer.concat([kvPrefix, Buffer.from('hot')]) },
      ...{ waits: 5, waitedMs: 80, conflicts: 2, lastAtMs: 119_000 },
    },
  ],
  events: [
    { number: 1, atMs: 0, kind: 'lease', text: 'went', rangeId: undefined, storeId: undefined },
  ],
  missing: ['events cannot be read: nobody answers'],
};

describe('flotilla top', () => {
  it('shows what matters first, in words of the catalog where it has them', () => {
    const text = topText(picture, { rows: 2, names: new Map([[2, 'public.t']]) });
    expect(text).toContain('2 stores  3 ranges  7 requests/s  1 waiting for locks  1 silent');
    expect(text).toContain('1 ranges without a leader');
    expect(text).toMatch(/s1 +m1 +answers +1 +2 +2\.0 KiB +25 % +9 +-0\.3 ms +1m 1s/);
    expect(text).toMatch(/s2 +m2 +silent, draining/);
    // Without a leader, then the busiest; the third is one too many.
    expect(text).toMatch(/r3 +start +nobody.*\nr2 +public\.t +s1 +s1 s2 +10 B +7\n\n/);
    expect(text).toMatch(/abababab +1m +0s +3 +0 +yes +s1 s2|abababab +1m 0s +3 +0 +yes +s1 s2/);
    expect(text).toMatch(/kv "hot" +r2 +5 +80 ms +2 +1s ago/);
    expect(text).toContain('1970-01-01T00:00:00.000Z  lease           went');
    expect(text).toContain('events cannot be read');
  });

  it('is one document for programs', () => {
    const line = topJson(picture);
    expect(line.endsWith('\n')).toBe(true);
    expect(JSON.parse(line)).toMatchObject({
      ranges: [{ rangeId: 1, startKey: '', endKey: '08' }, {}, {}],
      transactions: [{ id: 'ab'.repeat(16) }],
      contendedKeys: [{ key: '08686f74' }],
    });
  });

  it('says so where there is nothing', () => {
    const nothing = { stores: [], ranges: [], transactions: [], locks: [], contendedKeys: [] };
    const empty = { ...nothing, atMs: 0, events: [], missing: [] };
    expect(topText(empty, { rows: 1, names: new Map() })).toContain('No store answers.');
  });
});
