/** Stores that join, balance, heal, drain and are told apart, in one process on a clock moved by hand. */
import {
  ExitCode,
  FatalError,
  metaPrefix,
  present,
  type StoreId,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import { expect, it } from 'vitest';
import { initialRanges } from '../initial-ranges.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { inspectStore } from '../testing/inspect.ts';
import { StoreCluster, type StoreClusterOptions } from '../testing/store-cluster.ts';
import {
  decodeEvent,
  decodeReport,
  encodeIntent,
  eventSpan,
  intentKey,
  reportKey,
  reportSpan,
} from './cluster-rows.ts';

const settings = { deadAfterMs: 20_000, reportEveryMs: 1000 };
const founded = initialRanges([1, 2, 3].map(toStoreId), 10);

async function clusterOf(options: Partial<StoreClusterOptions> = {}): Promise<StoreCluster> {
  const cluster = new StoreCluster({
    ...{ seed: 1, stores: 4, founding: 3, ranges: founded, placement: settings },
    ...options,
  });
  await cluster.start();
  return cluster;
}

/** The newest descriptor of every range, as any running store knows it, with its leader's store. */
function rangesOf(
  cluster: StoreCluster,
): { descriptor: RangeDescriptor; leader: StoreId | undefined }[] {
  const newest = new Map<number, RangeDescriptor>();
  const leaders = new Map<number, StoreId>();
  for (const storeId of cluster.storeIds) {
    if (!cluster.isRunning(storeId)) continue;
    for (const { descriptor, raft } of inspectStore(cluster.store(storeId))) {
      const known = newest.get(descriptor.rangeId);
      if (known === undefined || known.generation < descriptor.generation)
        newest.set(descriptor.rangeId, descriptor);
      if (raft.role === 'leader') leaders.set(descriptor.rangeId, storeId);
    }
  }
  return [...newest.values()].map((descriptor) => ({
    descriptor,
    leader: leaders.get(descriptor.rangeId),
  }));
}

/** Replicas and leases by store. */
function countsOf(cluster: StoreCluster): { replicas: number[]; leases: number[] } {
  const ranges = rangesOf(cluster);
  const replicas = cluster.storeIds.map(
    (id) =>
      ranges.filter(({ descriptor }) => descriptor.replicas.some((r) => r.storeId === id)).length,
  );
  const leases = cluster.storeIds.map((id) => ranges.filter(({ leader }) => leader === id).length);
  return { replicas, leases };
}

async function untilSo(cluster: StoreCluster, isSo: () => boolean, ms: number): Promise<void> {
  const deadline = cluster.clock.nowMs() + ms;
  while (!isSo()) {
    expect(cluster.clock.nowMs(), JSON.stringify(countsOf(cluster))).toBeLessThan(deadline);
    await cluster.run(250);
  }
}

async function intend(
  cluster: StoreCluster,
  storeId: number,
  intent: { draining?: boolean; decommissioning?: boolean },
): Promise<void> {
  const mutations = [{ key: intentKey(storeId), value: encodeIntent(intent) }];
  const answer = await cluster.until(cluster.client().write({ mutations }));
  expect(answer?.write?.applied).toBe(true);
}

async function eventsOf(cluster: StoreCluster): Promise<string[]> {
  const rows = await cluster.until(cluster.client().scan(eventSpan.startKey, eventSpan.endKey));
  return present(rows, 'rows').map(
    ({ value }) => decodeEvent(value ?? new Uint8Array(0))?.text ?? '',
  );
}

const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);

it('lets a store join by its start alone, and fills it', async () => {
  const cluster = await clusterOf();
  await cluster.run(3000);
  await cluster.startStore(toStoreId(4));
  expect(inspectStore(cluster.store(toStoreId(4)))).toEqual([]);
  await untilSo(
    cluster,
    () => {
      const { replicas, leases } = countsOf(cluster);
      return (
        spread(replicas) <= 1 && spread(leases) <= 1 && replicas.reduce((a, b) => a + b) === 30
      );
    },
    90_000,
  );
  const rows = present(
    await cluster.until(cluster.client().scan(reportSpan.startKey, reportSpan.endKey)),
    'rows',
  );
  expect(rows.map(({ value }) => decodeReport(value ?? new Uint8Array(0)))).toMatchObject(
    [1, 2, 3, 4].map((storeId) => ({ storeId, machine: `machine-${storeId}`, incarnation: 1 })),
  );
  const events = await eventsOf(cluster);
  expect(events).toContain('s4 on machine machine-4 has joined.');
  expect(events.some((text) => /^r\d+: its replica moves from s\d to s4, because/.test(text))).toBe(
    true,
  );
  expect(events.some((text) => /^r\d+: done in .* s: it is on s/.test(text))).toBe(true);
  // What is under way comes to its end, and then there is peace.
  await cluster.run(10_000);
  const before = rangesOf(cluster);
  await cluster.run(30_000);
  expect(rangesOf(cluster)).toEqual(before);
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('fills a store with many small ranges in seconds', async () => {
  const ranges = initialRanges([1, 2, 3].map(toStoreId), 160);
  const cluster = await clusterOf({ ranges });
  await cluster.run(8000);
  await cluster.startStore(toStoreId(4));
  const begunMs = cluster.clock.nowMs();
  await untilSo(cluster, () => (countsOf(cluster).replicas[3] ?? 0) >= 110, 90_000);
  // Two at a time took 28 s.
  expect(cluster.clock.nowMs() - begunMs).toBeLessThan(15_000);
  // They are told as few, so that the log of events keeps what else there is.
  expect((await eventsOf(cluster)).length).toBeLessThan(60);
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('separates what its founding has put on one machine', async () => {
  const machineOf = (storeId: StoreId): string => (storeId <= 2 ? 'both' : `machine-${storeId}`);
  const ranges = initialRanges([1, 2, 3, 4].map(toStoreId), 12);
  const cluster = await clusterOf({ founding: 4, ranges, machineOf });
  const together = (): number =>
    rangesOf(cluster).filter(({ descriptor }) =>
      [1, 2].every((id) => descriptor.replicas.some(({ storeId }) => storeId === id)),
    ).length;
  expect(together()).toBe(6);
  await untilSo(cluster, () => together() === 0, 30_000);
  await untilSo(cluster, () => countsOf(cluster).replicas.reduce((a, b) => a + b) === 36, 30_000);
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('replaces what a dead store held, and not before the time', async () => {
  const cluster = await clusterOf();
  await cluster.startStore(toStoreId(4));
  await untilSo(cluster, () => spread(countsOf(cluster).replicas) <= 1, 90_000);
  cluster.crash(toStoreId(2));
  await cluster.run(15_000);
  expect(countsOf(cluster).replicas[1]).toBeGreaterThan(0);
  await untilSo(
    cluster,
    () => {
      const { replicas } = countsOf(cluster);
      return replicas[1] === 0 && replicas.reduce((a, b) => a + b) === 30;
    },
    60_000,
  );
  expect((await eventsOf(cluster)).some((text) => text.startsWith('s2 has been silent for'))).toBe(
    true,
  );
  // It comes back, gives up what it held, and is given replicas anew.
  await cluster.startStore(toStoreId(2));
  await untilSo(
    cluster,
    () => spread(countsOf(cluster).replicas) <= 1 && countsOf(cluster).replicas[1] !== 0,
    120_000,
  );
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('replaces what a store held that died before it ever wrote its row', async () => {
  const cluster = await clusterOf();
  await cluster.run(3000);
  cluster.crash(toStoreId(2));
  const mutations = [{ key: reportKey(2), isDelete: true }];
  const answer = await cluster.until(cluster.client().write({ mutations }), 20_000);
  expect(answer?.write?.applied).toBe(true);
  await cluster.startStore(toStoreId(4));
  await untilSo(
    cluster,
    () => {
      const { replicas } = countsOf(cluster);
      return replicas[1] === 0 && replicas.reduce((a, b) => a + b) === 30;
    },
    90_000,
  );
  await cluster.stopAll();
});

it('looks again soon when it has waited for a part of the index that nobody led', async () => {
  const [first, ...others] = initialRanges([1, 2, 3].map(toStoreId), 10);
  const cut = Buffer.of(...metaPrefix, 0x08);
  const on = (...stores: number[]): RangeDescriptor['replicas'] =>
    stores.map((id, i) => ({ replicaId: toReplicaId(i + 1), storeId: toStoreId(id) }));
  const meta = present(first, 'the first range');
  const ranges: RangeDescriptor[] = [
    { ...meta, endKey: cut },
    { ...meta, rangeId: toRangeId(11), startKey: cut, replicas: on(3, 4, 5) },
    ...others,
  ];
  const cluster = await clusterOf({ stores: 6, founding: 5, ranges });
  await cluster.startStore(toStoreId(6));
  await cluster.run(3000);
  for (const storeId of [4, 5]) cluster.crash(toStoreId(storeId));
  await cluster.run(12_000);
  await cluster.startStore(toStoreId(4));
  await untilSo(cluster, () => countsOf(cluster).replicas[4] === 0, 40_000);
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('repairs though the lease of the first range comes and goes every few seconds', async () => {
  const ranges = initialRanges([1, 2, 4].map(toStoreId), 10);
  const cluster = await clusterOf({ stores: 4, founding: 4, ranges });
  const client = cluster.client();
  cluster.crash(toStoreId(4));
  const deadline = cluster.clock.nowMs() + 4 * settings.deadAfterMs;
  let terms = 0;
  while (countsOf(cluster).replicas[3] !== 0) {
    expect(cluster.clock.nowMs(), `after ${terms} terms`).toBeLessThan(deadline);
    await cluster.run(2500);
    const first = rangesOf(cluster).find(({ descriptor }) => descriptor.startKey.length === 0);
    const { descriptor, leader } = present(first, 'the first range');
    if (leader === undefined) continue;
    const { rangeId, generation, replicas } = descriptor;
    const other = replicas.find(({ storeId }) => storeId !== leader && storeId !== 4);
    const transferLease = { targetStoreId: present(other, 'another replica').storeId };
    const asked = client.request(leader, { rangeId, generation, transferLease });
    if ((await cluster.until(asked))?.transferLease?.ok === true) terms++;
  }
  expect(terms).toBeGreaterThan(5);
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('drains leases, and gives them back', async () => {
  const cluster = await clusterOf({ stores: 3 });
  await intend(cluster, 1, { draining: true });
  await untilSo(cluster, () => countsOf(cluster).leases[0] === 0, 30_000);
  expect(countsOf(cluster).replicas).toEqual([10, 10, 10]);
  await intend(cluster, 1, {});
  await untilSo(cluster, () => spread(countsOf(cluster).leases) <= 1, 60_000);
  await cluster.stopAll();
});

it('drains leases though the store hears nothing of one that could have them', async () => {
  const cluster = await clusterOf({ stores: 3 });
  await cluster.run(5000);
  const first = rangesOf(cluster).find(({ descriptor }) => descriptor.startKey.length === 0);
  const { leader } = present(first, 'the first range');
  const [leaving, deaf] = cluster.storeIds.filter((storeId) => storeId !== leader);
  cluster.network.cut(`store-${leaving}`, `store-${deaf}`);
  await intend(cluster, present(leaving, 'a store'), { draining: true });
  await untilSo(cluster, () => countsOf(cluster).leases[(leaving ?? 0) - 1] === 0, 40_000);
  const events = await eventsOf(cluster);
  expect(events.some((text) => text.includes('nothing came of it'))).toBe(true);
  cluster.network.heal();
  await cluster.stopAll();
});

it('empties a store that is decommissioned', async () => {
  const cluster = await clusterOf();
  await cluster.startStore(toStoreId(4));
  await cluster.run(3000);
  await intend(cluster, 1, { decommissioning: true });
  await untilSo(
    cluster,
    () =>
      countsOf(cluster).replicas[0] === 0 && inspectStore(cluster.store(toStoreId(1))).length === 0,
    120_000,
  );
  expect(countsOf(cluster).replicas).toEqual([0, 10, 10, 10]);
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('does not let another disk take a number that is known', async () => {
  const cluster = await clusterOf();
  await cluster.startStore(toStoreId(4));
  await cluster.run(5000);
  cluster.crash(toStoreId(4));
  cluster.replaceDisk(toStoreId(4));
  await cluster.startStore(toStoreId(4));
  await cluster.run(10_000);
  expect(cluster.fatal.map(({ storeId }) => storeId)).toEqual([4]);
  const error = cluster.fatal[0]?.error;
  expect(error instanceof FatalError && error.exitCode).toBe(ExitCode.identityMismatch);
  expect(error?.message).toContain('flotilla store decommission 4');
  await cluster.stopAll();
});

it('waits for its founding where the cluster was founded with it', async () => {
  const cluster = new StoreCluster({ seed: 2, ranges: founded, placement: settings });
  const [one, two, three] = [1, 2, 3].map(toStoreId) as [StoreId, StoreId, StoreId];
  for (const storeId of [one, two, three]) await cluster.startStore(storeId);
  const found = async (storeId: StoreId): Promise<void> => {
    const bootstrap = { clusterId: cluster.clusterId, storeId, ranges: [...founded] };
    const answer = await cluster.until(cluster.client().request(storeId, { bootstrap }));
    expect(answer?.bootstrap?.ok).toBe(true);
  };
  await found(one);
  await found(two);
  await cluster.run(10_000);
  expect(inspectStore(cluster.store(three))).toEqual([]);
  await found(three);
  await cluster.run(5000);
  expect(inspectStore(cluster.store(three))).toHaveLength(10);
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

it('says of its health that it waits for a cluster, until it is in one', async () => {
  const cluster = new StoreCluster({ seed: 1, stores: 1, ranges: founded, placement: settings });
  const store = await cluster.startStore(toStoreId(1));
  await cluster.run(3000);
  expect(store.writeHealth).toMatchObject({
    committedAtMs: undefined,
    reason: 'not part of a cluster yet: no cluster is there yet, `flotilla init` founds one',
  });
  await cluster.stopAll();
});
