/** Messages of a coordinator that come after others have decided: they change nothing any more. */
import { HybridLogicalClock, keyMax, present, toStoreId } from '@flotilla/base';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { transactionsAt } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';

const { RefusalReason, TransactionStatus } = flotilla.kv;
const { TRANSACTION_NONE, TRANSACTION_STAGING, TRANSACTION_ABORTED } = TransactionStatus;
const stores = [1, 2, 3].map(toStoreId);
const ranges = rangesOn(stores, [Buffer.alloc(0), Buffer.from('b'), Buffer.from(keyMax)]);
const anchorKey = Buffer.from('b1');
const other = Buffer.from('b2');
const transactionId = Buffer.alloc(16, 5);
const timeoutMs = 20_000;

let cluster: StoreCluster;
let client: TestClient;
let commitTimestamp: number;

beforeEach(async () => {
  cluster = new StoreCluster({ seed: 1, ranges });
  await cluster.start();
  client = cluster.client();
  commitTimestamp = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 }).now();
});
afterEach(() => cluster.stopAll());

async function ask(body: flotilla.kv.Request.$Properties): Promise<flotilla.kv.Response> {
  const answer = client.ask(client.rangeOf(anchorKey), body, timeoutMs);
  return present(await cluster.until(answer, timeoutMs), 'an answer');
}

function prepare(key: Buffer, timestamp: number): Promise<flotilla.kv.Response> {
  const stage = key.equals(anchorKey);
  return ask({
    transaction: { id: transactionId, coordinator: 'test', startedAt: 1 },
    prepare: {
      anchorKey,
      commitTimestamp: timestamp,
      stage,
      promisedKeys: stage ? [anchorKey, other] : [],
      mutations: [{ key, value: Buffer.from('late') }],
    },
  });
}

function intents(): readonly string[] {
  return cluster.storeIds.flatMap((storeId) =>
    transactionsAt(cluster.store(storeId)).flatMap((view) => view.intents),
  );
}

it('a promise beside its anchor lays nothing when the record says ABORTED', async () => {
  const { decide } = await ask({
    decide: {
      transactionId,
      anchorKey,
      expected: TRANSACTION_NONE,
      outcome: TRANSACTION_ABORTED,
    },
  });
  expect(decide?.status).toBe(TRANSACTION_ABORTED);
  const { refusal } = await prepare(anchorKey, commitTimestamp);
  expect(refusal?.reason).toBe(RefusalReason.TRANSACTION_ABORTED);
  expect(intents()).toEqual([]);
});

it('a promise elsewhere lays nothing when whoever recovers has missed it', async () => {
  const { prevent } = await ask({ prevent: { transactionId, commitTimestamp, keys: [other] } });
  expect(prevent?.allFound).toBe(false);
  const { refusal } = await prepare(other, commitTimestamp);
  expect(refusal?.reason).toBe(RefusalReason.TRANSACTION_ABORTED);
  expect(intents()).toEqual([]);
});

it('a decision counts for the attempt that was looked at, and for no later one', async () => {
  await prepare(anchorKey, commitTimestamp);
  const later = commitTimestamp + 4096;
  expect((await prepare(anchorKey, later)).prepare?.prepared).toBe(true);
  const decideAt = (expectedTimestamp: number): Promise<flotilla.kv.Response> =>
    ask({
      decide: {
        transactionId,
        anchorKey,
        expected: TRANSACTION_STAGING,
        expectedTimestamp,
        outcome: TRANSACTION_ABORTED,
      },
    });
  expect((await decideAt(commitTimestamp)).decide).toMatchObject({
    status: TRANSACTION_STAGING,
    commitTimestamp: later,
  });
  expect((await decideAt(later)).decide).toMatchObject({ status: TRANSACTION_ABORTED });
});
