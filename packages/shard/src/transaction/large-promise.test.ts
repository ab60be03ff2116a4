/** A promise of many keys: who asks about it is not told them all unasked, and its range stays where it is led. */
import { HybridLogicalClock, keyMax, present, toStoreId } from '@flotilla/base';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';

const { TransactionStatus } = flotilla.kv;
const stores = [1, 2, 3].map(toStoreId);
const ranges = rangesOn(stores, [Buffer.alloc(0), Buffer.from('b'), Buffer.from(keyMax)]);
const keys = Array.from({ length: 1001 }, (_, n) => Buffer.from(`c${String(n).padStart(4, '0')}`));
const anchorKey = present(keys[0], 'a key');
const transactionId = Buffer.alloc(16, 6);
const timeoutMs = 20_000;

let cluster: StoreCluster;
let client: TestClient;

beforeEach(async () => {
  cluster = new StoreCluster({ seed: 1, ranges });
  await cluster.start();
  client = cluster.client();
});
afterEach(() => cluster.stopAll());

async function ask(body: flotilla.kv.Request.$Properties): Promise<flotilla.kv.Response> {
  const answer = client.ask(client.rangeOf(anchorKey), body, timeoutMs);
  return present(await cluster.until(answer, timeoutMs), 'an answer');
}

async function promise(count: number): Promise<void> {
  const commitTimestamp = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 }).now();
  const promisedKeys = keys.slice(0, count);
  const { prepare } = await ask({
    transaction: { id: transactionId, coordinator: 'test', startedAt: 1 },
    prepare: {
      anchorKey,
      commitTimestamp,
      stage: true,
      promisedKeys,
      mutations: promisedKeys.map((key) => ({ key, value: Buffer.from('x') })),
    },
  });
  expect(prepare?.prepared).toBe(true);
}

async function query(
  withAllKeys: boolean,
): Promise<flotilla.kv.QueryTransactionResponse.$Properties> {
  const { queryTransaction } = await ask({
    queryTransaction: { transactionId, anchorKey, withAllKeys },
  });
  return present(queryTransaction, 'a record');
}

it('tells its keys unasked as long as they are few', async () => {
  await promise(100);
  const record = await query(false);
  expect(record.status).toBe(TransactionStatus.TRANSACTION_STAGING);
  expect(record.promisedKeys).toHaveLength(100);
  expect(record.keysOmitted).toBe(false);
});

it('tells them when asked, if they are many', async () => {
  await promise(101);
  const short = await query(false);
  expect(short.status).toBe(TransactionStatus.TRANSACTION_STAGING);
  expect([short.promisedKeys, short.keysOmitted]).toEqual([[], true]);
  const whole = await query(true);
  expect(whole.promisedKeys).toHaveLength(101);
  expect(whole.keysOmitted).toBe(false);
});

it('keeps the lease where it is, unless more than balance asks for it', async () => {
  await cluster.run(10_000); // balanced
  await promise(1001);
  const leader = present(client.leaderOf(anchorKey), 'leader');
  const { rangeId } = client.rangeOf(anchorKey);
  const targetStoreId = present(
    stores.find((storeId) => storeId !== leader),
    'another store',
  );
  const move = async (ifCalm: boolean): Promise<boolean | null | undefined> => {
    const transferLease = { targetStoreId, ifCalm };
    const answer = client.request(leader, { rangeId, generation: 1, transferLease });
    return (await cluster.until(answer))?.transferLease?.ok;
  };
  expect(await move(true)).toBe(false);
  expect(await move(false)).toBe(true);
});
