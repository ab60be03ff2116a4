/**
 * Three stores under crashes, power loss, partitions, lost, late and doubled frames, and clients that write and read all
 * the while: no acknowledged write is lost, none takes effect twice, every key is linearizable, and when the faults end
 * everything serves again. One seed is one run; a failing one is replayed by its number.
 */
import { present, SeededPrng, toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';

import type { RangeDescriptor } from '../range-descriptor.ts';
import { fault, Workload } from '../testing/fault-workload.ts';
import { faultsOf } from '../testing/register-history.ts';
import { StoreCluster } from '../testing/store-cluster.ts';

const bounds = [[], [0x03], [0x08, 0x80], [0xff, 0xff]].map((bytes) => Buffer.from(bytes));
const ranges: RangeDescriptor[] = [1, 2, 3].map((n) => ({
  rangeId: toRangeId(n),
  startKey: present(bounds[n - 1], 'start'),
  endKey: present(bounds[n], 'end'),
  generation: 1,
  replicas: [1, 2, 3].map((id) => ({ replicaId: toReplicaId(id), storeId: toStoreId(id) })),
  nextReplicaId: toReplicaId(4),
}));
const keys = [0x10, 0x20, 0x90].map((byte) => Buffer.of(0x08, byte));

async function runSeed(seed: number): Promise<{ writes: number; reads: number }> {
  const cluster = new StoreCluster({
    seed,
    ranges,
    syncDelayMs: [0, 8],
    limits: { checkpointBytes: 2000 },
  });
  await cluster.start();
  const prng = new SeededPrng(seed, 3);
  const workload = new Workload(cluster, { seed, clients: 4, keys });
  for (let i = 0; i < 5; i++) {
    await cluster.run(500 + prng.nextBelow(1500));
    await fault(cluster, prng);
  }
  cluster.network.heal();
  await cluster.run(3000);
  await workload.stop();
  const last = cluster.client();
  for (const key of keys) {
    // Without faults everything serves again.
    const read = await cluster.until(workload.read(last, key), 10_000);
    expect(read, `seed ${seed}: ${key.toString('hex')} is served`).toBeDefined();
  }
  expect(
    cluster.fatal.map(({ error }) => error),
    `seed ${seed}`,
  ).toEqual([]);
  expect(faultsOf(workload.history), `seed ${seed}`).toEqual([]);
  await cluster.stopAll();
  const count = (kind: string): number =>
    workload.history.filter((operation) => operation.kind === kind).length;
  return { writes: count('write'), reads: count('read') };
}

const seeds = Array.from({ length: Number(process.env.FLOTILLA_SEEDS ?? 3) }, (_, i) => i + 1);

// The limit of real time is for a busy machine; a run takes one or two seconds.
it.each(seeds)('stays linearizable through faults, seed %i', async (seed) => {
  const { writes, reads } = await runSeed(seed);
  // The run did something: a cluster that serves nothing is linearizable too.
  expect(writes).toBeGreaterThan(50);
  expect(reads).toBeGreaterThan(50);
});
