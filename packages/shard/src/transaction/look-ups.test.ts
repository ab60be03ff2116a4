/** Read checks that memory cannot decide are looked up in the data, which may take longer than an attempt of the router. */
import {
  HybridLogicalClock,
  keyMax,
  present,
  probeCounts,
  resetProbes,
  toStoreId,
} from '@flotilla/base';
import { expect, it } from 'vitest';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';

const ranges = rangesOn([toStoreId(1)], [Buffer.alloc(0), Buffer.from(keyMax)]);
const span = { startKey: Buffer.from('a'), endKey: Buffer.from('b') };

it('are looked up once, however often the same is asked', async () => {
  const cluster = new StoreCluster({ seed: 1, stores: 1, ranges });
  await cluster.start();
  const client = cluster.client();
  const hlc = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 });
  const put = async (key: string): Promise<void> => {
    const mutations = [{ key: Buffer.from(key), value: Buffer.from('v') }];
    expect((await cluster.until(client.write({ mutations })))?.write?.applied).toBe(true);
  };
  await put('a1');
  const since = hlc.now();
  await cluster.run(10);
  await put('c1');
  await cluster.run(10);
  const to = hlc.now();
  resetProbes();
  const refresh = (id: number) =>
    client.ask(
      client.rangeOf(span.startKey),
      {
        transaction: { id: Buffer.alloc(16, id), coordinator: 'test', startedAt: 1 },
        refresh: { checks: [{ ...span, since }], to },
      },
      10_000,
    );
  const asked = Promise.all([refresh(1), refresh(1), refresh(1), refresh(2)]);
  const answers = present(await cluster.until(asked), 'answers');
  expect(answers.map((answer) => answer?.refresh?.ok ?? answer?.refusal)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  // Another transaction must not write below what this one has read.
  expect(probeCounts().get('readCheckLookedUp')).toBe(2);
  await cluster.stopAll();
});
