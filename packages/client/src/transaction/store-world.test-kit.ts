/** Transactions over real stores: consensus, logs, leases and all, on one manual clock. */
import { kvPrefix, SeededPrng } from '@flotilla/base';
import { bootstrapCluster, createRouter, type Router } from '@flotilla/router';
import {
  initialRanges,
  type PlacementSettings,
  type StoreLimits,
  type StoreOptions,
} from '@flotilla/shard';
import { StoreCluster } from '@flotilla/shard/testing';
import type { LoadWorld } from './list-load.test-kit.ts';
import type { TestClient } from './transaction.test-kit.ts';
import { TransactionDatabase } from './transaction-database.ts';

/** Spread over the four ranges of the key-value space. */
export function keyOf(n: number): Uint8Array {
  return Buffer.from([...kvPrefix, (n * 67) % 256, n]);
}

export interface StoreWorldOptions {
  readonly limits?: Partial<StoreLimits>;
  readonly placement?: PlacementSettings;
  /** By store: what it runs programs of scans with. Default: nothing. */
  readonly programs?: (storeId: number) => Pick<StoreOptions, 'programs'>;
}

export class StoreWorld implements LoadWorld {
  readonly cluster: StoreCluster;
  readonly prng: SeededPrng;
  /** Of the stores. */
  private readonly routers: readonly Router[];
  private readonly clients: TestClient[] = [];

  private constructor(cluster: StoreCluster, seed: number, routers: readonly Router[]) {
    this.cluster = cluster;
    this.prng = new SeededPrng(seed, 9);
    this.routers = routers;
  }

  static async start(seed: number, options: StoreWorldOptions = {}): Promise<StoreWorld> {
    const { limits, placement, programs } = options;
    const routers: Router[] = [];
    const cluster: StoreCluster = new StoreCluster({
      seed,
      ...(limits === undefined ? {} : { limits }),
      ...(placement === undefined ? {} : { placement }),
      ...(programs === undefined ? {} : { programs }),
      finishTransaction: (storeId) => {
        const life = routers.length;
        const transport = cluster.network.connect(`client-of-store-${storeId}-${life}`);
        const prng = new SeededPrng(seed, 200 + life);
        const router = createRouter({ transport, clock: cluster.clock, prng });
        routers.push(router);
        return (transaction) => router.transactions.finish(transaction);
      },
    });
    for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
    const founded = bootstrapCluster({
      transport: cluster.network.connect('init'),
      clock: cluster.clock,
      prng: new SeededPrng(seed, 7),
      expectedStores: 3,
      ranges: initialRanges,
      timeoutMs: 20_000,
    });
    await cluster.until(founded, 30_000);
    return new StoreWorld(cluster, seed, routers);
  }

  client(name: string): TestClient {
    const { clients } = this;
    const { clock, network } = this.cluster;
    const prng = new SeededPrng(clients.length, 100);
    const router = createRouter({ transport: network.connect(name), clock, prng });
    const database = new TransactionDatabase({ router, clock, prng });
    const client = { name, router, database };
    clients.push(client);
    return client;
  }

  run<T>(promise: Promise<T>, withinMs?: number): Promise<T> {
    return this.cluster.until(promise, withinMs);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.cluster.clock.setTimer(ms, resolve));
  }

  async end(): Promise<void> {
    const clients = this.clients.splice(0).map(({ router }) => router);
    await Promise.all([...clients, ...this.routers].map((router) => router.close()));
    await this.cluster.stopAll();
  }
}
