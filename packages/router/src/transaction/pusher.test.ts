/** The pusher and a pretended settler: what it asks for, and what it resolves. */
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { Pusher, type Settler } from './pusher.ts';
import type { RecordQuery, Resolution, TransactionRecord } from './transaction-api.ts';

const transactionId = new Uint8Array(16).fill(7);
const keyOf = (n: number): Uint8Array => Buffer.from(`k${String(n).padStart(6, '0')}`);
const all = Array.from({ length: 30_000 }, (_, n) => keyOf(n));
const anchorKey = keyOf(0);

function kit(record: (query: RecordQuery) => Partial<TransactionRecord>): {
  readonly pusher: Pusher;
  readonly queries: boolean[];
  readonly resolutions: Resolution[];
} {
  const queries: boolean[] = [];
  const resolutions: Resolution[] = [];
  const settler: Settler = {
    query: async (query) => {
      queries.push(query.withAllKeys);
      return {
        status: 'none',
        commitTimestamp: 0,
        promisedKeys: [],
        keysOmitted: false,
        ageMs: 0,
        coordinatorAlive: false,
        ...record(query),
      };
    },
    decide: async () => ({ status: 'aborted', commitTimestamp: 0 }),
    prevent: async () => true,
    resolve: async (asked) => {
      resolutions.push(...asked);
    },
  };
  const pusher = new Pusher({ clock: new ManualClock(), settler, pauseMs: () => 1 });
  return { pusher, queries, resolutions };
}

it('asks once for the keys of a committed transaction of many, and resolves many at a time', async () => {
  const { pusher, queries, resolutions } = kit(({ withAllKeys }) => ({
    status: 'committed',
    commitTimestamp: 5,
    promisedKeys: withAllKeys ? all : [],
    keysOmitted: !withAllKeys,
  }));
  await pusher.push({ transactionId, anchorKey, key: keyOf(3) });
  await pusher.push({ transactionId, anchorKey, key: keyOf(20_003) });
  await pusher.push({ transactionId, anchorKey, key: Buffer.from('not promised') });
  expect(queries).toEqual([false, true]);
  expect(resolutions.map(({ keys }) => [keys.length, keys[0]])).toEqual([
    [20_000, keyOf(3)],
    [9_997, keyOf(20_003)],
    [1, new Uint8Array(Buffer.from('not promised'))],
  ]);
  expect(new Set(resolutions.map(({ commitTimestamp }) => commitTimestamp))).toEqual(new Set([5]));
});

it('does not ask for the keys of one whose coordinator lives', async () => {
  const { pusher, queries, resolutions } = kit(() => ({
    status: 'staging',
    coordinatorAlive: true,
    keysOmitted: true,
  }));
  void pusher.push({ transactionId, anchorKey, key: keyOf(3) });
  for (let i = 0; i < 10; i++) await Promise.resolve();
  expect([queries, resolutions]).toEqual([[false], []]);
});

it('asks for all keys of one that was abandoned before it decides', async () => {
  const { pusher, queries, resolutions } = kit(({ withAllKeys }) => ({
    status: 'staging',
    commitTimestamp: 5,
    ageMs: 60_000,
    promisedKeys: withAllKeys ? all : [],
    keysOmitted: !withAllKeys,
  }));
  await pusher.push({ transactionId, anchorKey, key: keyOf(3) });
  expect(queries).toEqual([false, true]);
  expect(resolutions.map(({ keys }) => keys.length)).toEqual([30_000, 1]);
});
