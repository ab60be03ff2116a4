/**
 * Five stores under crashes, power loss, partitions and bad frames, clients that write and read, and replicas that move
 * all the while, with logs that are dropped early, so that snapshots fly. What clients saw is linearizable, and when the
 * faults end every range has the members that were asked for last, in one state.
 */
import {
  present,
  probeCounts,
  resetProbes,
  SeededPrng,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import { expect, it } from 'vitest';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { fault, Workload } from '../testing/fault-workload.ts';
import { contentsOf } from '../testing/inspect.ts';
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

/** Moves one replica after the other until told to stop, and remembers where each range should be. */
class Mover {
  readonly wanted = new Map<number, number[]>(ranges.map((range) => [range.rangeId, [1, 2, 3]]));
  moves = 0;
  private running = true;
  private readonly cluster: StoreCluster;
  private readonly prng: SeededPrng;
  private readonly loop: Promise<void>;

  constructor(cluster: StoreCluster, seed: number) {
    this.cluster = cluster;
    this.prng = new SeededPrng(seed, 11);
    this.loop = this.run();
  }

  stop(): Promise<void> {
    this.running = false;
    return this.loop;
  }

  private async run(): Promise<void> {
    const client = this.cluster.client({ attemptMs: 1500 });
    while (this.running) {
      const range = present(ranges[this.prng.nextBelow(ranges.length)], 'range');
      const before = present(this.wanted.get(range.rangeId), 'members');
      const outside = [1, 2, 3, 4, 5].filter((id) => !before.includes(id));
      const add = [present(outside[this.prng.nextBelow(outside.length)], 'a store')];
      const remove = [present(before[this.prng.nextBelow(before.length)], 'a store')];
      // Asked until it is so: a goal that was given up half-way is the next one's business.
      for (;;) {
        const answer = await client.ask(range, { changeReplicas: { add, remove } }, 5000);
        if (answer?.changeReplicas?.ok) break;
      }
      this.wanted.set(
        range.rangeId,
        [...before.filter((id) => !remove.includes(id)), ...add].sort((a, b) => a - b),
      );
      this.moves++;
    }
  }
}

async function runSeed(seed: number): Promise<{ moves: number; operations: number }> {
  const cluster = new StoreCluster({
    seed,
    stores: 5,
    ranges,
    syncDelayMs: [0, 8],
    limits: {
      checkpointBytes: 2000,
      snapshotChunkBytes: 300,
      snapshotIdleMs: 2000,
      strayLearnerMs: 5000,
      reclaimRows: 5,
    },
    driverLimits: { retainedLogBytesMax: 3000, heldLogBytesMax: 0 },
  });
  await cluster.start();
  const prng = new SeededPrng(seed, 3);
  const workload = new Workload(cluster, { seed, clients: 3, keys });
  const mover = new Mover(cluster, seed);
  for (let i = 0; i < 6; i++) {
    await cluster.run(300 + prng.nextBelow(1200));
    await fault(cluster, prng);
  }
  cluster.network.heal();
  await cluster.until(mover.stop(), 120_000);
  await cluster.run(3000);
  await workload.stop();
  const last = cluster.client();
  for (const key of keys) {
    const read = await cluster.until(workload.read(last, key), 20_000);
    expect(read, `seed ${seed}: ${key.toString('hex')} is served`).toBeDefined();
  }
  // Whoever slept through its removal has asked and gone.
  await cluster.run(25_000);
  for (const { rangeId } of ranges) {
    const found = cluster.storeIds.flatMap((storeId) => {
      const contents = contentsOf(cluster.store(storeId), cluster.engine(storeId), rangeId);
      return contents === undefined ? [] : [{ storeId, ...contents }];
    });
    const name = `seed ${seed} r${rangeId}`;
    expect(
      found.map(({ storeId }) => storeId),
      name,
    ).toEqual(mover.wanted.get(rangeId));
    for (const each of found) {
      expect(each.appliedIndex, name).toBe(found[0]?.appliedIndex);
      expect(each.text, name).toBe(found[0]?.text);
      expect(each.strangers, name).toBe(0);
    }
  }
  expect(
    cluster.fatal.map(({ error }) => error),
    `seed ${seed}`,
  ).toEqual([]);
  expect(faultsOf(workload.history), `seed ${seed}`).toEqual([]);
  await cluster.stopAll();
  return { moves: mover.moves, operations: workload.history.length };
}

const seeds = Array.from({ length: Number(process.env.FLOTILLA_SEEDS ?? 3) }, (_, i) => i + 1);

// The limit of real time is for a busy machine; a run takes a few seconds.
it.each(seeds)('replicas move through faults and nobody notices, seed %i', async (seed) => {
  resetProbes();
  const { moves, operations } = await runSeed(seed);
  expect(moves).toBeGreaterThan(3);
  expect(operations).toBeGreaterThan(100);
  expect(probeCounts().get('snapshotInstalled') ?? 0).toBeGreaterThan(3);
});
