/** What stores count of themselves, by what is done to them. */
import { kvPrefix, toStoreId } from '@flotilla/base';
import { afterEach, expect, it } from 'vitest';
import { initialRanges } from '../initial-ranges.ts';
import type { StoreFigures } from '../placement/settings.ts';
import { configurationKey, encodeConfigurationRow } from '../protocol/range-configuration.ts';
import { StoreCluster } from '../testing/store-cluster.ts';

let cluster: StoreCluster;

afterEach(async () => {
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

const figures = (): StoreFigures[] =>
  cluster.storeIds
    .filter((storeId) => cluster.isRunning(storeId))
    .map((storeId) => cluster.store(storeId).figures());

type Name = {
  [N in keyof StoreFigures]: StoreFigures[N] extends number ? N : never;
}[keyof StoreFigures];
const total = (name: Name): number => figures().reduce((sum, one) => sum + one[name], 0);

async function untilSo(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 1200 && !isSo(); i++) await cluster.run(50);
  expect(isSo()).toBe(true);
}

async function start(stores: number, founding: number): Promise<void> {
  cluster = new StoreCluster({
    ...{ seed: 5, stores, placement: { deadAfterMs: 60_000, reportEveryMs: 400 } },
    ranges: initialRanges(
      Array.from({ length: founding }, (_, i) => toStoreId(i + 1)),
      4,
    ),
  });
  await cluster.start();
}

it('counts requests by kind, refusals by reason, leases, and times what it does', async () => {
  await start(3, 3);
  const key = Uint8Array.of(...kvPrefix, 1);
  const client = cluster.client();
  for (let i = 0; i < 40; i++) await cluster.until(client.put(key, `${i}`));
  await cluster.until(client.get(key));
  await cluster.until(client.scan(key, Uint8Array.of(...kvPrefix, 2)));
  // Somebody who does not lead it says so.
  const { rangeId, generation } = client.rangeOf(key);
  for (const storeId of cluster.storeIds)
    await cluster.until(client.request(storeId, { rangeId, generation, get: { keys: [key] } }));
  const kinds = (name: string): number =>
    figures().reduce((sum, { requestsByKind }) => sum + (requestsByKind[name] ?? 0), 0);
  expect(kinds('write')).toBeGreaterThanOrEqual(40);
  expect(kinds('get')).toBeGreaterThanOrEqual(2);
  expect(kinds('scan')).toBeGreaterThanOrEqual(1);
  const refused = figures().reduce((sum, { refusals }) => sum + (refusals.not_leaseholder ?? 0), 0);
  expect(refused).toBeGreaterThanOrEqual(2);
  expect(total('leases')).toBe(4);
  expect(total('leasesTaken')).toBeGreaterThanOrEqual(4);
  expect(total('rangesUnderReplicated') + total('replicasWithoutLeader')).toBe(0);
  for (const { logWriteTimes, applyTimes } of figures()) {
    expect(logWriteTimes.count).toBeGreaterThan(10);
    expect(applyTimes.count).toBeGreaterThan(10);
  }
  expect(figures().reduce((sum, one) => sum + one.requestTimes.count, 0)).toBeGreaterThan(2);
});

it('counts ranges with too few replicas until they have them, cuts, and snapshots on both ends', async () => {
  await start(5, 3);
  const span = {
    startKey: Uint8Array.of(...kvPrefix, 0x40),
    endKey: Uint8Array.of(...kvPrefix, 0x80),
  };
  const value = encodeConfigurationRow({ ...span, replicas: 5 });
  const mutations = [{ key: configurationKey(span), value }];
  const answer = await cluster.until(cluster.client().write({ mutations }));
  expect(answer?.write?.applied).toBe(true);
  await untilSo(() => total('rangesUnderReplicated') > 0);
  await untilSo(() => total('rangesUnderReplicated') === 0 && total('splits') === 2);
  await untilSo(() => total('snapshotsSending') + total('snapshotsReceiving') === 0);
  expect(total('snapshotsReceived')).toBeGreaterThanOrEqual(2);
  expect(total('snapshotsSent')).toBe(total('snapshotsReceived'));
});

it('counts replicas that know no leader', async () => {
  await start(3, 3);
  for (const storeId of [1, 2]) cluster.crash(toStoreId(storeId));
  await untilSo(() => total('replicasWithoutLeader') === 4);
});
