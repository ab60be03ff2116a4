/** What a store said of its clock bounds what it wrote itself since, and nothing that an earlier leaseholder wrote. */
import { keyMax, present, toStoreId } from '@flotilla/base';
import { afterEach, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';

const { RefusalReason } = flotilla.kv;
const stores = [1, 2, 3].map(toStoreId);
const ranges = rangesOn(stores, [Buffer.alloc(0), Buffer.from('b'), Buffer.from(keyMax)]);
const key = Buffer.from('b1');
const timeoutMs = 20_000;

let cluster: StoreCluster;
afterEach(() => cluster.stopAll());

it('a new leaseholder does not take its own clock for that of the one before', async () => {
  cluster = new StoreCluster({ seed: 1, ranges });
  await cluster.start();
  const client = cluster.client();
  const wrote = present(await cluster.until(client.put(key, 'x')), 'an answer');
  const version = present(wrote.write?.timestamp, 'a timestamp');
  const read = async (): Promise<flotilla.kv.Response> => {
    const readTimestamp = version - 1;
    const transaction = {
      id: Buffer.alloc(16, 7),
      coordinator: 'test',
      startedAt: readTimestamp,
      readTimestamp,
      uncertaintyLimit: version + 4096,
      // The store that serves said that when the transaction read something else there.
      observedTimestamp: readTimestamp,
    };
    const answer = client.ask(
      client.rangeOf(key),
      { get: { keys: [key] }, transaction },
      timeoutMs,
    );
    return present(await cluster.until(answer, timeoutMs), 'an answer');
  };
  // It has led since before: its version is newer than what it said, so it came after the transaction began.
  expect((await read()).get?.values?.[0]?.present ?? false).toBe(false);
  cluster.crash(toStoreId(present(client.leaderOf(key), 'leader')));
  await cluster.run(5000);
  const { refusal } = await read();
  expect(refusal).toMatchObject({ reason: RefusalReason.UNCERTAIN, timestamp: version });
});
