/** A snapshot from a leaseholder without a lease: what a quorum confirms is the time at which it was asked. */
import {
  HybridLogicalClock,
  keyMax,
  present,
  timestampToWallMs,
  toStoreId,
  toTimestamp,
} from '@flotilla/base';
import { afterEach, expect, it } from 'vitest';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';

const bounds = [Buffer.alloc(0), Buffer.from('b'), Buffer.from(keyMax)];
const key = Buffer.from('b1');
const slowMs = 60;

let cluster: StoreCluster;
afterEach(() => cluster.stopAll());

it('is not later than the question, however late the answers come', async () => {
  const ranges = rangesOn([1, 2, 3].map(toStoreId), bounds);
  cluster = new StoreCluster({ seed: 1, ranges });
  await cluster.start();
  const client = cluster.client();
  await cluster.until(client.put(key, 'x'));
  const leader = present(client.leaderOf(key), 'leader');
  // A jump of the wall clock makes every store distrust its leases for a while.
  cluster.clock.stepWall(500);
  for (const storeId of cluster.storeIds)
    if (storeId !== leader)
      cluster.network.setLinkFaults(`store-${storeId}`, `store-${leader}`, {
        delayMsMin: slowMs,
        delayMsMax: slowMs,
      });
  const askedAtMs = cluster.clock.wallMs();
  const transaction = {
    id: Buffer.alloc(16, 7),
    coordinator: 'test',
    startedAt: new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 }).now(),
  };
  const { get } = present(
    await cluster.until(
      client.ask(client.rangeOf(key), { get: { keys: [key] }, transaction }, 5000),
    ),
    'an answer',
  );
  expect(cluster.clock.wallMs() - askedAtMs).toBeGreaterThanOrEqual(slowMs);
  expect(get?.values?.map(({ value }) => String(value))).toEqual(['x']);
  const snapshotMs = timestampToWallMs(toTimestamp(get?.readTimestamp ?? 0));
  expect(snapshotMs).toBeGreaterThanOrEqual(Math.floor(askedAtMs));
  expect(snapshotMs).toBeLessThan(askedAtMs + slowMs / 2);
});
