import {
  concatBytes,
  emptyBytes,
  keyMax,
  keyText,
  kvPrefix,
  metaPrefix,
  spanText,
  tablePrefix,
} from '@flotilla/base';
import type { Router, StoreStatus } from '@flotilla/router';
import { describe, expect, it } from 'vitest';
import { gatherStatus, type ReplicaStatus } from './cluster-status.ts';
import { bytesText, columnsText, durationText, statusText } from './status-table.ts';

const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('keys as text', () => {
  it.each([
    [emptyBytes, 'start'],
    [keyMax, 'end'],
    [Uint8Array.of(0xff, 0xff, 1), 'end'],
    [metaPrefix, 'meta'],
    [concatBytes(metaPrefix, kvPrefix), 'meta kv'],
    [Uint8Array.of(0x03), 'system'],
    [concatBytes(kvPrefix, ascii('user/7')), 'kv "user/7"'],
    [concatBytes(kvPrefix, Uint8Array.of(0, 1)), 'kv 0x0001'],
    [tablePrefix, 'tables'],
    [concatBytes(tablePrefix, Uint8Array.of(0, 0, 1, 2)), 'table 258'],
    [concatBytes(tablePrefix, Uint8Array.of(0, 0, 0, 9, 0x80)), 'table 9 0x80'],
    [concatBytes(tablePrefix, Uint8Array.of(7)), 'tables 0x07'],
    [Uint8Array.of(0x44), '0x44'],
    [concatBytes(kvPrefix, ascii('x'.repeat(100))), `kv "${'x'.repeat(24)}…"`],
  ])('%#: %s', (key, text) => {
    expect(keyText(key)).toBe(text);
  });

  it('prints spans half-open', () => {
    expect(spanText({ startKey: emptyBytes, endKey: kvPrefix })).toBe('[start, kv)');
  });
});

function replica(storeId: number, fields: Partial<ReplicaStatus> = {}): ReplicaStatus {
  return {
    info: {
      descriptor: {
        rangeId: 1,
        startKey: emptyBytes,
        endKey: keyMax,
        generation: 1,
        replicas: [1, 2, 3].map((id) => ({ replicaId: id, storeId: id })),
      },
    },
    replicaId: storeId,
    role: 'follower',
    term: 4,
    appliedIndex: 10 + storeId,
    commitIndex: 20,
    ...fields,
  };
}

function routerOver(statuses: ReadonlyMap<number, StoreStatus>): Router {
  const unused = (): never => {
    throw new Error('not part of status');
  };
  return {
    get: unused,
    scan: unused,
    write: unused,
    lookup: unused,
    transferLease: unused,
    split: unused,
    inspect: unused,
    changeMembers: unused,
    configureSpan: unused,
    readConfigurations: unused,
    get transactions(): never {
      return unused();
    },
    get peers(): never {
      return unused();
    },
    close: () => Promise.resolve(),
    discover: () =>
      Promise.resolve(
        [...statuses.keys()].map((storeId) => ({
          storeId,
          clusterId: Uint8Array.of(0xab),
          version: '0.1.0',
          knownStoreIds: [1, 2, 3],
        })),
      ),
    status: (storeId) => {
      const status = statuses.get(storeId);
      return status === undefined ? Promise.reject(new Error('silent')) : Promise.resolve(status);
    },
  };
}

function store(storeId: number, replicas: readonly ReplicaStatus[]): StoreStatus {
  const common = { version: '0.1.0', uptimeMs: 61_000, walBytes: 3_145_728 };
  return {
    ...common,
    storeId,
    machine: `m${storeId}`,
    pid: 100 + storeId,
    replicas: [...replicas],
  };
}

describe('gatherStatus', () => {
  it('joins what the stores say and marks those that do not answer', async () => {
    const leader = { role: 'leader', leaseValid: true, leaseRemainingMs: 812 };
    const status = await gatherStatus(
      routerOver(
        new Map([
          [1, store(1, [replica(1, leader)])],
          [2, store(2, [replica(2)])],
        ]),
      ),
      100,
    );
    expect(status.stores.map((row) => [row.storeId, row.answers, row.leases])).toEqual([
      [1, true, 1],
      [2, true, 0],
      [3, false, 0],
    ]);
    expect(status.ranges).toMatchObject([
      {
        ...{ rangeId: 1, span: '[start, end)', leaseholderStoreId: 1, lease: 'valid', term: 4 },
        replicas: [
          { storeId: 1, appliedIndex: 11 },
          { storeId: 2, appliedIndex: 12 },
          { storeId: 3, role: 'unknown' },
        ],
      },
    ]);
    const text = statusText(status);
    expect(text).toMatch(/s1 +m1 +0\.1\.0 +1m 1s +101 +1 +1 +3\.0 MiB/);
    expect(text).toMatch(/s3 +does not answer/);
    expect(text).toMatch(/r1 +\[start, end\) +s1 +t4 +812 ms +s1:i11 s2:i12 s3:\?/);
  });

  it('does not believe a leader of an older term', async () => {
    const status = await gatherStatus(
      routerOver(
        new Map([
          [1, store(1, [replica(1, { role: 'leader', leaseValid: true, term: 4 })])],
          [2, store(2, [replica(2, { role: 'candidate', term: 5 })])],
        ]),
      ),
      100,
    );
    expect(status.ranges[0]).toMatchObject({ leaseholderStoreId: undefined, lease: 'none' });
    expect(statusText(status)).toContain('no leader');
  });

  it('takes the newest descriptor', async () => {
    const newer = replica(2);
    const descriptor = { ...newer.info?.descriptor, generation: 2, endKey: kvPrefix };
    const status = await gatherStatus(
      routerOver(
        new Map([
          [1, store(1, [replica(1)])],
          [2, store(2, [{ ...newer, info: { descriptor } }])],
        ]),
      ),
      100,
    );
    expect(status.ranges).toMatchObject([{ span: '[start, kv)', generation: 2 }]);
  });

  it('sums up many ranges and shows what is wrong', async () => {
    const leader = { role: 'leader', leaseValid: true, leaseRemainingMs: 812 };
    const many = (storeId: number, led: (id: number) => boolean): ReplicaStatus[] =>
      Array.from({ length: 10_000 }, (_, i) => {
        const one = replica(storeId, led(i + 1) ? leader : {});
        const descriptor = { ...one.info?.descriptor, rangeId: i + 1 };
        return { ...one, info: { descriptor } };
      });
    const all = await gatherStatus(
      routerOver(
        new Map(
          [1, 2, 3].map((id) => [
            id,
            store(
              id,
              many(id, () => id === 1),
            ),
          ]),
        ),
      ),
      100,
    );
    const text = statusText(all);
    expect(text).toContain('10000 ranges: all of them are led, and all their replicas answer.');
    expect(text.split('\n').length).toBeLessThan(10);
    expect(statusText(all, undefined, { allRanges: true }).split('\n').length).toBeGreaterThan(
      10_000,
    );
    const some = await gatherStatus(
      routerOver(
        new Map(
          [1, 2].map((id) => [
            id,
            store(
              id,
              many(id, (at) => id === 1 && at !== 77),
            ),
          ]),
        ),
      ),
      100,
    );
    const wrong = statusText(some);
    expect(wrong).toContain(
      '10000 ranges: 9999 led, 1 without a leader, 9999 others with a replica that does not answer.',
    );
    expect(wrong).toMatch(/r77 .*no leader/);
    expect(wrong).toContain('… and 9970 more.');
    expect(wrong.split('\n').length).toBeLessThan(45);
  });

  it('shows a cluster of nobody', async () => {
    const text = statusText(await gatherStatus(routerOver(new Map()), 100));
    expect(text).toContain('No store answers.');
    expect(text).not.toContain('ounded'); // nobody knows
  });
});

it('lines columns up by what is seen of their cells', () => {
  const red = (text: string): string => `\u001b[31m${text}\u001b[39m`;
  const text = columnsText([
    ['range', 'leader', 'term'],
    ['r1', red('no leader'), 't4'],
    ['r10000', 's2', 't10'],
  ]);
  expect(text).toBe(
    [
      'range   leader     term',
      `r1      ${red('no leader')}  t4  `,
      'r10000  s2         t10 ',
    ].join('\n'),
  );
});

describe('figures', () => {
  it.each([
    [0, '0s'],
    [59_999, '59s'],
    [3_600_000, '1h 0m'],
    [93_784_000, '1d 2h'],
  ])('durationText(%i) = %s', (ms, text) => expect(durationText(ms)).toBe(text));

  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [64 * 1024 * 1024, '64.0 MiB'],
  ])('bytesText(%i) = %s', (bytes, text) => expect(bytesText(bytes)).toBe(text));
});
