/**
 * Three stores under crashes, power loss, partitions, lost, late and doubled frames, and clients that write and read all
 * the while: no acknowledged write is lost, none takes effect twice, every key is linearizable, and when the faults end
 * everything serves again. One seed is one run; a failing one is replayed by its number.
 */
import {
  present,
  SeededPrng,
  type StoreId,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import { expect, it } from 'vitest';

import type { RangeDescriptor } from '../range-descriptor.ts';
import { faultsOf, type Operation } from '../testing/register-history.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import { onlyKey, type TestClient } from '../testing/test-client.ts';

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

class Workload {
  readonly history: Operation[] = [];
  private readonly cluster: StoreCluster;
  private readonly prng: SeededPrng;
  private running = true;
  private values = 0;
  private readonly loops: Promise<void>[] = [];

  constructor(cluster: StoreCluster, seed: number, clients: number) {
    this.cluster = cluster;
    this.prng = new SeededPrng(seed, 7);
    for (let i = 0; i < clients; i++)
      this.loops.push(this.loop(cluster.client({ attemptMs: 700 })));
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.cluster.until(Promise.all(this.loops), 60_000);
  }

  private async loop(client: TestClient): Promise<void> {
    const { clock } = this.cluster;
    while (this.running) {
      const key = present(keys[this.prng.nextBelow(keys.length)], 'key');
      const choice = this.prng.nextBelow(10);
      if (choice < 4) await this.read(client, key);
      else if (choice < 7) await this.put(client, key);
      else await this.replace(client, key);
      await new Promise<void>((resolve) => void clock.setTimer(this.prng.nextBelow(40), resolve));
    }
  }

  async read(client: TestClient, key: Buffer): Promise<Operation | undefined> {
    const start = this.cluster.clock.nowMs();
    const found =
      this.prng.nextBelow(3) === 0 ? await this.scan(client, key) : await client.get(key, 4000);
    if (found === undefined) return undefined;
    const operation: Operation = {
      kind: 'read',
      key: key.toString('hex'),
      ...found,
      start,
      end: this.cluster.clock.nowMs(),
    };
    this.history.push(operation);
    return operation;
  }

  private async scan(client: TestClient, key: Buffer): ReturnType<TestClient['get']> {
    const { startKey, endKey } = onlyKey(key);
    const rows = await client.scan(startKey, endKey);
    if (rows === undefined) return undefined;
    return { value: rows[0]?.value?.toString(), timestamp: rows[0]?.timestamp ?? 0 };
  }

  private put(client: TestClient, key: Buffer): Promise<void> {
    return this.write(client, key, []);
  }

  /** Writes only if nothing was written since a read. */
  private async replace(client: TestClient, key: Buffer): Promise<void> {
    const seen = await this.read(client, key);
    if (seen?.kind !== 'read') return;
    await this.write(client, key, [{ key, kind: 1, timestamp: seen.timestamp }]);
  }

  private async write(
    client: TestClient,
    key: Buffer,
    conditions: { key: Buffer; kind: number; timestamp: number }[],
  ): Promise<void> {
    const value = `v${++this.values}`;
    const start = this.cluster.clock.nowMs();
    const mutations = [{ key, value: Buffer.from(value) }];
    const response = await client.write({ conditions, mutations }, 4000);
    const end = this.cluster.clock.nowMs();
    const name = key.toString('hex');
    const write = response?.write;
    if (write && !write.applied) this.history.push({ kind: 'refused', key: name, value });
    else {
      const timestamp = write?.timestamp ?? 0;
      this.history.push({ kind: 'write', key: name, value, start, end, timestamp });
    }
  }
}

/** One fault, ended by the returned function. */
async function fault(cluster: StoreCluster, prng: SeededPrng): Promise<void> {
  const storeId = present(cluster.storeIds[prng.nextBelow(3)], 'store');
  const other = present(cluster.storeIds[prng.nextBelow(3)], 'store');
  const pause = 200 + prng.nextBelow(2500);
  switch (prng.nextBelow(7)) {
    case 0:
      await restartAfter(cluster, [storeId], pause, true);
      break;
    case 1:
      await restartAfter(cluster, [storeId], pause, false);
      break;
    case 2:
      // Everybody at once: what was acknowledged is on disk.
      await restartAfter(cluster, [...cluster.storeIds], pause, true);
      break;
    case 3:
      cluster.isolate(storeId);
      await cluster.run(pause);
      cluster.network.heal();
      break;
    case 4:
      cluster.network.cut(`store-${storeId}`, `store-${other}`);
      await cluster.run(pause);
      cluster.network.heal();
      break;
    case 5:
      cluster.network.setFaults({
        dropProbability: 0.05,
        duplicateProbability: 0.2,
        delayMsMin: 0,
        delayMsMax: 300,
      });
      await cluster.run(pause);
      cluster.network.heal();
      break;
    default:
      await cluster.stop(storeId);
      await cluster.run(pause);
      await cluster.startStore(storeId);
  }
}

async function restartAfter(
  cluster: StoreCluster,
  storeIds: StoreId[],
  pause: number,
  powerLoss: boolean,
): Promise<void> {
  for (const storeId of storeIds) cluster.crash(storeId, { powerLoss });
  await cluster.run(pause);
  for (const storeId of storeIds) await cluster.startStore(storeId);
}

async function runSeed(seed: number): Promise<{ writes: number; reads: number }> {
  const cluster = new StoreCluster({
    seed,
    ranges,
    syncDelayMs: [0, 8],
    limits: { checkpointBytes: 2000 },
  });
  await cluster.start();
  const prng = new SeededPrng(seed, 3);
  const workload = new Workload(cluster, seed, 4);
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
it.each(seeds)('stays linearizable through faults, seed %i', { timeout: 60_000 }, async (seed) => {
  const { writes, reads } = await runSeed(seed);
  // The run did something: a cluster that serves nothing is linearizable too.
  expect(writes).toBeGreaterThan(50);
  expect(reads).toBeGreaterThan(50);
});
