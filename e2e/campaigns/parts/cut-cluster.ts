/**
 * A cluster whose key-value span holds so many keys, cut evenly into so many ranges, led by one store or by all; and what an
 * operation on one of its keys costs in CPU of its processes. Between two measurements nothing differs but what was asked for.
 */
import { concatBytes, kvPrefix, prefixSpan, spanContains, toStoreId } from '@flotilla/base';
import type { Flotilla } from '@flotilla/client';
import type { Router } from '@flotilla/router';
import { isEven } from '../../harness/cluster-shape.ts';
import { viewCluster } from '../../harness/cluster-view.ts';
import { openRouter, openSdk } from '../../harness/connections.ts';
import { eventually, sleep } from '../../harness/eventually.ts';
import { type ProcessCluster, storeName, zoneName } from '../../harness/process-cluster.ts';
import { cpuMsOf } from '../../harness/process-usage.ts';
import type { Campaign } from '../campaign.ts';

export type Leaders = 'one' | 'all';
export type Operation = 'read' | 'write';

/** What is asked of a cluster. */
export interface Load {
  readonly operation: Operation;
  readonly clients: number;
  /** Operations a second by all clients together; Infinity: each begins its next one when the last has ended. */
  readonly rate: number;
}

/** CPU of a cluster's processes. */
export interface Cpu {
  readonly stores: number;
  readonly nats: number;
  readonly client: number;
}

/** Of one operation, less what the cluster uses when nobody asks. Unit: us. */
export interface Cost extends Cpu {
  readonly operationsPerSecond: number;
}

const storeIds = [1, 2, 3];
const firstStore = 1;
const valueBytes = 100;
const idleMs = 5000;
const span = prefixSpan(kvPrefix);

export class CutCluster {
  readonly ranges: number;
  private readonly keys: number;
  private readonly cluster: ProcessCluster;
  private readonly router: Router;
  private readonly client: Flotilla;
  private readonly closeRouter: () => Promise<void>;
  private readonly value: Buffer = Buffer.alloc(valueBytes, 'v');
  /** When nobody asks. Unit: cores. */
  private idle: Cpu = { stores: 0, nats: 0, client: 0 };

  private constructor(parts: {
    readonly ranges: number;
    readonly keys: number;
    readonly cluster: ProcessCluster;
    readonly router: Router;
    readonly client: Flotilla;
    readonly closeRouter: () => Promise<void>;
  }) {
    this.ranges = parts.ranges;
    this.keys = parts.keys;
    this.cluster = parts.cluster;
    this.router = parts.router;
    this.client = parts.client;
    this.closeRouter = parts.closeRouter;
  }

  /** All of its ranges are led by the first store. */
  static async start(campaign: Campaign, ranges: number, keys: number): Promise<CutCluster> {
    const cluster = await campaign.cluster({
      stores: storeIds.length,
      ranges: 4,
      zones: true,
      settings: {
        FLOTILLA_SPLIT_BYTES: '0',
        FLOTILLA_SPLIT_REQUESTS_PER_SECOND: '0',
        FLOTILLA_LEASE_MOVES_AT_ONCE: '64',
      },
    });
    const { router, close: closeRouter } = await openRouter(cluster);
    const client = await openSdk(cluster);
    const made = new CutCluster({ ranges, keys, cluster, router, client, closeRouter });
    await made.lead('one', 1);
    let next = 0;
    await lanes(16, async () => {
      while (next < keys) await client.kv.put(keyOf(next++), made.value);
    });
    let cut = 1;
    await lanes(4, async () => {
      while (cut < ranges) await made.cutAt(keyOf(Math.floor((keys * cut++) / ranges)));
    });
    await made.lead('one');
    return made;
  }

  /** Resolves when the leases are where they should be, and have been for some seconds. */
  async lead(leaders: Leaders, ranges: number = this.ranges): Promise<void> {
    const leasePreference = leaders === 'one' ? zoneName(firstStore) : null;
    await this.router.configureSpan(span, { leasePreference }, { timeoutMs: 20_000 });
    let seen = '';
    await eventually(`led by ${leaders}`, { timeoutMs: 600_000, everyMs: 4000 }, async () => {
      const leases = await this.leases();
      const same = leases.join() === seen;
      seen = leases.join();
      const led = leases.reduce((sum, n) => sum + n, 0) === ranges;
      const asWanted = leaders === 'one' ? leases[0] === ranges : ranges < 3 || isEven(leases);
      return same && led && asWanted ? true : undefined;
    });
    this.idle = scaled(await this.spent(() => sleep(idleMs)), 1 / idleMs);
  }

  /** Per store, of the ranges that hold the keys. */
  async leases(): Promise<readonly number[]> {
    const view = await viewCluster(this.router, 3000);
    const led = view.filter((each) => each.isLeaseholder && spanContains(span, each.startKey));
    return storeIds.map((id) => led.filter(({ storeId }) => storeId === toStoreId(id)).length);
  }

  /** Once in every range: sessions, routes and whatever else the first operation in a range costs. */
  async touch(): Promise<void> {
    let at = 0;
    await lanes(16, async () => {
      while (at < this.ranges) {
        const key = keyOf(Math.floor((this.keys * at++) / this.ranges));
        await this.client.kv.put(key, this.value);
        await this.client.kv.get(key);
      }
    });
  }

  /** Keys at random, by so many clients: in a closed loop, or at most so many operations a second by all of them. */
  async cost({ operation, clients, rate }: Load, ms: number): Promise<Cost> {
    let operations = 0;
    let begun = 0;
    const startedAt = performance.now();
    const until = startedAt + ms;
    const spent = await this.spent(() =>
      lanes(clients, async () => {
        for (;;) {
          const due = startedAt + (begun++ * 1000) / rate;
          if (due >= until || performance.now() >= until) break;
          if (due > performance.now()) await sleep(due - performance.now());
          const key = keyOf(Math.floor(Math.random() * this.keys));
          if (operation === 'read') await this.client.kv.get(key);
          else await this.client.kv.put(key, this.value);
          operations++;
        }
      }),
    );
    const tookMs = performance.now() - startedAt;
    const idle = scaled(this.idle, -tookMs);
    const each = scaled(sumOf(spent, idle), 1000 / operations);
    return { ...each, operationsPerSecond: (1000 * operations) / tookMs };
  }

  /** CPU of all parts together when nobody asks. Unit: percent of a core. */
  get idleShare(): number {
    return 100 * totalOf(this.idle);
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.closeRouter();
    await this.cluster.stop({ keepData: false });
  }

  /** Unit: ms. */
  private async spent(work: () => Promise<unknown>): Promise<Cpu> {
    const before = await this.used();
    await work();
    return sumOf(await this.used(), scaled(before, -1));
  }

  private async used(): Promise<Cpu> {
    const { pids } = this.cluster;
    const stores = storeIds.map((id) => pids.get(storeName(id)) ?? 0);
    const nats = pids.get('nats') ?? 0;
    return {
      stores: await cpuMsOf(stores),
      nats: await cpuMsOf([nats]),
      client: await cpuMsOf([process.pid]),
    };
  }

  private async cutAt(key: string): Promise<void> {
    const bytes = concatBytes(kvPrefix, Buffer.from(key));
    await eventually('the range is cut', { timeoutMs: 60_000 }, async () => {
      await this.router.split(bytes, { timeoutMs: 20_000 });
      return true;
    });
  }
}

export function totalOf({ stores, nats, client }: Cpu): number {
  return stores + nats + client;
}

function scaled({ stores, nats, client }: Cpu, by: number): Cpu {
  return { stores: stores * by, nats: nats * by, client: client * by };
}

function sumOf(one: Cpu, other: Cpu): Cpu {
  return {
    stores: one.stores + other.stores,
    nats: one.nats + other.nats,
    client: one.client + other.client,
  };
}

function keyOf(n: number): string {
  return `key-${String(n).padStart(9, '0')}`;
}

async function lanes(count: number, lane: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, lane));
}
