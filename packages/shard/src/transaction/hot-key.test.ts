/** Writes that are on their way through the log: what a snapshot of the key sees, and what a lock of another waits for. */
import { HybridLogicalClock, keyMax, present, toStoreId } from '@flotilla/base';
import { afterEach, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { StoreCluster } from '../testing/index.ts';
import { rangesOn } from '../testing/ranges-on.ts';

const stores = [1, 2, 3].map(toStoreId);
const bounds = [Buffer.alloc(0), Buffer.of(0x03), Buffer.from(keyMax)];
const ranges = rangesOn(stores, bounds);
const key = Buffer.from('k');
const timeoutMs = 20_000;

let cluster: StoreCluster | undefined;
afterEach(() => cluster?.stopAll());

it('a snapshot waits for a write below it, though a later one of the key is on its way too', async () => {
  cluster = new StoreCluster({ seed: 1, ranges, syncDelayMs: [20, 20] });
  await cluster.start();
  const client = cluster.client();
  const hlc = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 });
  await cluster.until(client.put(key, 'zero', timeoutMs), timeoutMs);
  const first = client.put(key, 'first', timeoutMs);
  await cluster.run(4);
  const between = hlc.now();
  await cluster.run(1);
  const second = client.put(key, 'second', timeoutMs);
  await cluster.run(4);
  const read = client.ask(
    client.rangeOf(key),
    {
      transaction: {
        id: Buffer.alloc(16, 7),
        coordinator: 'test',
        startedAt: 1,
        readTimestamp: between,
        uncertaintyLimit: between,
      },
      get: { keys: [key] },
    },
    timeoutMs,
  );
  const answer = await cluster.until(read, timeoutMs);
  expect(String(answer?.get?.values?.[0]?.value)).toBe('first');
  await cluster.until(Promise.all([first, second]), timeoutMs);
});

it('a lock does not wait for writes of other keys', async () => {
  cluster = new StoreCluster({ seed: 1, ranges, syncDelayMs: [20, 20] });
  await cluster.start();
  const client = cluster.client();
  let written = false;
  const write = client.put(key, 'first', timeoutMs).then(() => {
    written = true;
  });
  await cluster.run(4);
  const locked = client.ask(
    client.rangeOf(key),
    {
      transaction: { id: Buffer.alloc(16, 7), coordinator: 'test', startedAt: 1 },
      get: { keys: [Buffer.from('other')], lock: flotilla.kv.LockMode.LOCK_EXCLUSIVE },
    },
    timeoutMs,
  );
  const { get, refusal } = present(await cluster.until(locked, timeoutMs), 'an answer');
  expect(refusal ?? undefined).toBeUndefined();
  expect(get?.values).toHaveLength(1);
  expect(written).toBe(false);
  await cluster.until(write, timeoutMs);
});
