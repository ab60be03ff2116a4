/**
 * Clients that write and read a few keys all the while, and what happens to the cluster meanwhile: for tests that check
 * the history of what clients saw. One seed is one run.
 */
import { present, SeededPrng, type StoreId } from '@flotilla/base';
import type { Operation } from './register-history.ts';
import type { StoreCluster } from './store-cluster.ts';
import { onlyKey, type TestClient } from './test-client.ts';

export interface WorkloadOptions {
  readonly seed: number;
  readonly clients: number;
  readonly keys: readonly Buffer[];
}

export class Workload {
  readonly history: Operation[] = [];
  private readonly cluster: StoreCluster;
  private readonly keys: readonly Buffer[];
  private readonly prng: SeededPrng;
  private running = true;
  private values = 0;
  private readonly loops: Promise<void>[] = [];

  constructor(cluster: StoreCluster, options: WorkloadOptions) {
    const { seed, clients, keys } = options;
    this.cluster = cluster;
    this.keys = keys;
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
      const key = present(this.keys[this.prng.nextBelow(this.keys.length)], 'key');
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
export async function fault(cluster: StoreCluster, prng: SeededPrng): Promise<void> {
  const storeId = present(cluster.storeIds[prng.nextBelow(cluster.storeIds.length)], 'store');
  const other = present(cluster.storeIds[prng.nextBelow(cluster.storeIds.length)], 'store');
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
