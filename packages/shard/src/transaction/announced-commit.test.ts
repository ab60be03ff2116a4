/**
 * A coordinator that announces its commit and dies before the record is decided: others go on at once, over its intents,
 * and whoever recovers the transaction afterwards finds it committed.
 */
import { HybridLogicalClock, keyMax, present, SeededPrng, toStoreId } from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { transactionsAt } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';
import { TestTransaction } from '../testing/test-transaction.ts';

const stores = [1, 2, 3].map(toStoreId);
const bounds = [Buffer.alloc(0), Buffer.from('b'), Buffer.from('c'), Buffer.from(keyMax)];
const ranges = rangesOn(stores, bounds);
const anchor = Buffer.from('b1');
const other = Buffer.from('c1');
const timeoutMs = 20_000;

let cluster = new StoreCluster({ seed: 1, ranges });
let client: TestClient;
let transaction: TestTransaction;
let timestamp = 0;

beforeEach(async () => {
  cluster = new StoreCluster({ seed: 1, ranges });
  await cluster.start();
  client = cluster.client();
  const hlc = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 });
  transaction = new TestTransaction({ client, hlc, prng: new SeededPrng(1, 1) });
  transaction.put('b1', 'first');
  transaction.put('c1', 'first');
  // Both promises are kept; the record is never decided from here.
  let steps = 0;
  const commit = transaction.commit(() => ++steps > 2);
  timestamp = present(await cluster.until(commit, timeoutMs), 'a commit timestamp');
});

afterEach(async () => {
  await cluster.stopAll();
});

async function ask(
  key: Buffer,
  body: flotilla.kv.Request.$Properties,
): Promise<flotilla.kv.Response> {
  const answer = client.ask(client.rangeOf(key), body, timeoutMs);
  return present(await cluster.until(answer, timeoutMs), 'an answer');
}

async function announce(): Promise<void> {
  for (const key of [anchor, other])
    await ask(key, {
      resolve: {
        resolutions: [
          {
            transactionId: transaction.id,
            committed: true,
            commitTimestamp: timestamp,
            keys: [key],
            undecided: true,
          },
        ],
      },
    });
}

async function status(): Promise<flotilla.kv.TransactionStatus | null | undefined> {
  const { queryTransaction } = await ask(anchor, {
    queryTransaction: { transactionId: transaction.id, anchorKey: anchor },
  });
  return queryTransaction?.status;
}

function lock(
  key: Buffer,
  header: flotilla.kv.TransactionHeader.$Properties = {
    id: Buffer.alloc(16, 7),
    coordinator: 'test',
    startedAt: 1,
  },
): Promise<flotilla.kv.Response> {
  const { LOCK_EXCLUSIVE } = flotilla.kv.LockMode;
  return ask(key, { get: { keys: [key], lock: LOCK_EXCLUSIVE }, transaction: header });
}

/** Of transactions, in the range of the key. */
function leftAt(key: Buffer): readonly string[] {
  return cluster.storeIds
    .flatMap((storeId) => transactionsAt(cluster.store(storeId)))
    .filter(({ rangeId }) => rangeId === client.rangeOf(key).rangeId)
    .flatMap(({ intents, unfinished }) => [...intents, ...unfinished]);
}

describe('an announced commit', () => {
  it('is seen under a lock while the record is being decided', async () => {
    await announce();
    const { get } = await lock(other);
    const [found] = get?.values ?? [];
    expect(String(found?.value)).toBe('first');
    expect(found?.timestamp).toBe(timestamp);
    expect(await status()).toBe(flotilla.kv.TransactionStatus.TRANSACTION_STAGING);
  });

  it('is written over, and recovered as committed afterwards', async () => {
    await announce();
    await cluster.until(client.put(other, 'second', timeoutMs), timeoutMs);
    expect(await status()).toBe(flotilla.kv.TransactionStatus.TRANSACTION_STAGING);
    expect(await cluster.until(transaction.outcome(client), timeoutMs)).toBe(timestamp);
    expect(String((await ask(anchor, { get: { keys: [anchor] } })).get?.values?.[0]?.value)).toBe(
      'first',
    );
    expect(String((await ask(other, { get: { keys: [other] } })).get?.values?.[0]?.value)).toBe(
      'second',
    );
  });

  it('says COMMITTED itself where it is written over beside its record', async () => {
    await announce();
    await cluster.until(client.put(anchor, 'second', timeoutMs), timeoutMs);
    expect(await status()).toBe(flotilla.kv.TransactionStatus.TRANSACTION_COMMITTED);
  });

  it('counts for nothing at another timestamp than its intents have', async () => {
    timestamp++;
    await announce();
    const { refusal } = await lock(other);
    expect(refusal?.reason).toBe(flotilla.kv.RefusalReason.BLOCKED);
  });

  it('does not come over a write that waited for its lock', async () => {
    await announce();
    // Late, from before the commit: it locks the key once more.
    const { refusal } = await lock(other, transaction.header());
    expect(refusal).toBeFalsy();
    const written = cluster.client().put(other, 'second', timeoutMs);
    await cluster.run(100);
    const end = { transactionId: transaction.id, committed: true, commitTimestamp: timestamp };
    await ask(other, { resolve: { resolutions: [{ ...end, keys: [other] }] } });
    expect((await cluster.until(written, timeoutMs))?.write?.applied).toBe(true);
    const { get } = await ask(other, { get: { keys: [other] } });
    expect(String(get?.values?.[0]?.value)).toBe('second');
    expect(leftAt(other)).toEqual([]);
  });

  it('ends together with the one that came over it, by one message that names the key twice', async () => {
    await announce();
    const hlc = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 });
    const next = new TestTransaction({ client, hlc, prng: new SeededPrng(1, 2) });
    next.put('b1', 'second');
    next.put('c1', 'second');
    let steps = 0;
    const commit = next.commit(() => ++steps > 2);
    const later = present(await cluster.until(commit, timeoutMs), 'a commit timestamp');
    const ends = [
      { transactionId: transaction.id, commitTimestamp: timestamp },
      { transactionId: next.id, commitTimestamp: later },
    ];
    const resolutions = ends.map((end) => ({ ...end, committed: true, keys: [other] }));
    await ask(other, { resolve: { resolutions } });
    const { get } = await ask(other, { get: { keys: [other] } });
    expect(String(get?.values?.[0]?.value)).toBe('second');
    expect(leftAt(other)).toEqual([]);
  });
});
