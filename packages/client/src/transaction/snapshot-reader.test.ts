import { SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import {
  type ReadCheck,
  type SnapshotValues,
  type TransactionContext,
  TransactionRefused,
} from '@flotilla/router';
import { expect, it } from 'vitest';
import { ReadSet } from './read-set.ts';
import { SnapshotReader, type SnapshotReaderParts } from './snapshot-reader.ts';

type Answer = { resolve: (values: SnapshotValues) => void; reject: (error: Error) => void };

function pretend(readTimestamp: number) {
  const answers: Answer[] = [];
  const refreshed: ReadCheck[] = [];
  const asked: TransactionContext[] = [];
  const router = {
    get: (context: TransactionContext) => {
      asked.push(context);
      return new Promise<SnapshotValues>((resolve, reject) => answers.push({ resolve, reject }));
    },
    refresh: (_context: unknown, checks: readonly ReadCheck[]) => {
      refreshed.push(...checks);
      return Promise.resolve(true);
    },
  };
  const clock = new ManualClock();
  const context: TransactionContext = {
    id: Buffer.from(new SeededPrng(1).nextUint32().toString().padEnd(16, '0')),
    startedAt: 1,
    readTimestamp,
    uncertaintyLimit: 10,
    observed: new Map<number, number>(),
    stores: new Set<number>(),
  };
  const reads = new ReadSet();
  // What a get uses of them.
  const parts = { router, reads, clock } as unknown as SnapshotReaderParts;
  const reader = new SnapshotReader(parts, context);
  const answer = (number: number, at: number): void =>
    answers[number]?.resolve({ values: [undefined], skipped: [], readTimestamp: at });
  return { reader, reads, answers, answer, refreshed, asked };
}

const [a, b] = [Buffer.from('a'), Buffer.from('b')];
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('a read that moves the snapshot shows that what arrived in the same turn is the same there', async () => {
  const { reader, answers, answer, refreshed } = pretend(5);
  const both = Promise.all([reader.get([a], undefined), reader.get([b], undefined)]);
  answer(0, 5);
  answers[1]?.reject(new TransactionRefused('uncertain', 9));
  await turn();
  answer(2, 9);
  await both;
  expect(refreshed).toEqual([{ startKey: a, endKey: undefined, since: 5 }]);
});

it('a read that is still under way when its statement is over chooses nothing for the next one', async () => {
  const { reader, reads, answer, asked } = pretend(0);
  const late = reader.get([a], undefined);
  reader.reset(20);
  const next = reader.get([b], undefined);
  await turn();
  asked[0]?.observed.set(1, 4);
  answer(0, 5);
  await late;
  expect([reader.context.readTimestamp, reads.isEmpty]).toEqual([0, true]);
  answer(1, 15);
  await next;
  expect(reader.context.readTimestamp).toBe(15);
  expect([...reader.context.observed]).toEqual([]);
  expect(reads.checksUpTo(20)).toEqual([{ startKey: b, endKey: undefined, since: 15 }]);
});

it('a read of a statement that is over moves no snapshot', async () => {
  const { reader, answers, answer } = pretend(0);
  const late = reader.get([a], undefined);
  reader.reset(20);
  const next = reader.get([b], undefined);
  answer(1, 15);
  await next;
  answers[0]?.reject(new TransactionRefused('uncertain', 18));
  await expect(late).rejects.toMatchObject({ code: 'CONFLICT' });
  expect(reader.context.readTimestamp).toBe(15);
});
