/** What rests on stores of a real cluster, on a clock moved by hand. */
import { SeededPrng, type StoreId, toStoreId } from '@flotilla/base';
import { createRouter, type Router } from '@flotilla/router';
import { encodeIntent, intentKey } from '@flotilla/shard';
import { StoreCluster } from '@flotilla/shard/testing';
import { afterEach, expect, it } from 'vitest';
import { gatherStatus } from '../status/cluster-status.ts';
import { obstacleText } from './store-command.ts';
import { dutiesOf, readIndex, type StoreDuties } from './store-duties.ts';

const [two, three] = [2, 3].map(toStoreId) as [StoreId, StoreId];

let cluster: StoreCluster;
let router: Router;

async function started(stores: number): Promise<void> {
  const placement = { reportEveryMs: 1000, deadAfterMs: 20_000 };
  cluster = new StoreCluster({ seed: 5, stores, placement });
  await cluster.start();
  const transport = cluster.network.connect('command');
  router = createRouter({ transport, clock: cluster.clock, prng: new SeededPrng(6) });
}

afterEach(async () => {
  await router.close();
  await cluster.stopAll();
});

async function duties(storeId: StoreId): Promise<StoreDuties> {
  const index = await cluster.until(readIndex(router, 2000));
  return dutiesOf(storeId, index, await cluster.until(gatherStatus(router, 300)));
}

async function untilSo(storeId: StoreId, isSo: (found: StoreDuties) => boolean): Promise<void> {
  for (let round = 0; round < 60; round++) {
    if (isSo(await duties(storeId))) return;
    await cluster.run(500);
  }
  expect(await duties(storeId)).toBe('as was waited for');
}

it('of one store is everything, and certain', async () => {
  await started(1);
  const all = cluster.ranges.length;
  await untilSo(toStoreId(1), ({ waitingFor }) => waitingFor.length === 0);
  expect(await duties(toStoreId(1))).toEqual({ replicas: all, leases: all, waitingFor: [] });
});

it('are certain while all answer, go with a drain, and are not known where a majority is gone', async () => {
  await started(3);
  const all = cluster.ranges.length;
  await untilSo(two, (found) => found.waitingFor.length === 0 && found.leases > 0);
  expect(await duties(two)).toMatchObject({ replicas: all, waitingFor: [] });
  await cluster.until(
    router.write({
      conditions: [],
      mutations: [{ kind: 'put', key: intentKey(two), value: encodeIntent({ draining: true }) }],
      deleteSpans: [],
    }),
  );
  await untilSo(two, (found) => found.waitingFor.length === 0 && found.leases === 0);
  // Its ranges are led elsewhere, so that nothing depends on its answer.
  cluster.crash(two);
  await cluster.run(3000);
  await untilSo(two, (found) => found.waitingFor.length === 0);
  expect(await duties(two)).toEqual({ replicas: all, leases: 0, waitingFor: [] });
  cluster.crash(three);
  await cluster.run(10_000);
  expect((await duties(two)).waitingFor).not.toEqual([]);
});

it('says what stands in the way of a decommission, and of nothing once it is taken back', async () => {
  await started(3);
  const wish = (intent: { readonly draining?: boolean; readonly decommissioning?: boolean }) =>
    cluster.until(
      router.write({
        conditions: [],
        mutations: [{ kind: 'put', key: intentKey(three), value: encodeIntent(intent) }],
        deleteSpans: [],
      }),
    );
  const obstacle = () => cluster.until(obstacleText(router, three));
  const become = async (isSo: (text: string | undefined) => boolean): Promise<void> => {
    for (let round = 0; round < 60 && !isSo(await obstacle()); round++) await cluster.run(500);
  };
  await untilSo(three, ({ waitingFor }) => waitingFor.length === 0);
  expect(await obstacle()).toBe(undefined);
  await wish({ draining: true, decommissioning: true });
  await become((text) => text !== undefined);
  expect(await obstacle()).toMatch(
    /^r.*: nothing can be done: s3 is being decommissioned and no store can take over\.$/,
  );
  expect(await cluster.until(obstacleText(router, two))).toBe(undefined);
  await wish({ draining: false, decommissioning: false });
  await become((text) => text === undefined);
  expect(await obstacle()).toBe(undefined);
});
