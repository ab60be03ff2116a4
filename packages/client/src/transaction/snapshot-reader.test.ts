import { SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { type ReadCheck, type SnapshotValues, TransactionRefused } from '@flotilla/router';
import { expect, it } from 'vitest';
import { ReadSet } from './read-set.ts';
import { SnapshotReader, type SnapshotReaderParts } from './snapshot-reader.ts';

it('a read that moves the snapshot shows that what arrived in the same turn is the same there', async () => {
  const answers: {
    resolve: (values: SnapshotValues) => void;
    reject: (error: Error) => void;
  }[] = [];
  const refreshed: ReadCheck[] = [];
  const router = {
    get: () => new Promise<SnapshotValues>((resolve, reject) => answers.push({ resolve, reject })),
    refresh: (_context: unknown, checks: readonly ReadCheck[]) => {
      refreshed.push(...checks);
      return Promise.resolve(true);
    },
  };
  const clock = new ManualClock();
  const context = {
    id: Buffer.from(new SeededPrng(1).nextUint32().toString().padEnd(16, '0')),
    startedAt: 1,
    readTimestamp: 5,
    uncertaintyLimit: 10,
    observed: new Map<number, number>(),
    stores: new Set<number>(),
  };
  const reads = new ReadSet();
  // What a get uses of them.
  const parts = { router, context, reads, clock } as unknown as SnapshotReaderParts;
  const reader = new SnapshotReader(parts);
  const [a, b] = [Buffer.from('a'), Buffer.from('b')];
  const both = Promise.all([reader.get([a], undefined), reader.get([b], undefined)]);
  answers[0]?.resolve({ values: [undefined], skipped: [], readTimestamp: 5 });
  answers[1]?.reject(new TransactionRefused('uncertain', 9));
  await new Promise((resolve) => setImmediate(resolve));
  answers[2]?.resolve({ values: [undefined], skipped: [], readTimestamp: 9 });
  await both;
  expect(refreshed).toEqual([{ startKey: a, endKey: undefined, since: 5 }]);
});
