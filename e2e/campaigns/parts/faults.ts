/**
 * Faults at random, one after another, never two stores down at once: kills, pauses, splits, moves, hand-overs, a store that
 * joins and goes. What a fault needs it looks up afresh; what cannot be done just then is skipped and counted as such.
 */
import { DbError, kvPrefix, toStoreId } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { eventually, sleep } from '../../harness/eventually.ts';
import { type ProcessCluster, storeName } from '../../harness/process-cluster.ts';
import { type RangeLeader, rangeLeaders } from '../../harness/range-leaders.ts';
import type { Campaign } from '../campaign.ts';

export type FaultKind = 'kill' | 'pause' | 'split' | 'move' | 'transfer' | 'join';

export interface FaultsOptions {
  readonly campaign: Campaign;
  readonly cluster: ProcessCluster;
  readonly router: Router;
  /** A kind that is named twice comes twice as often. */
  readonly kinds: readonly FaultKind[];
  /** Mean time between two faults. Unit: ms. */
  readonly everyMs: number;
  /** Stores that are paused, but never killed or taken away: what leaks shows there. */
  readonly spared: readonly number[];
  /** A key to split at. Default: anywhere among the keys of the key-value store. */
  readonly splitKey?: () => Uint8Array;
  /** No more splits beyond so many ranges. */
  readonly rangesMax: number;
}

export class Faults {
  readonly counts: Map<string, number> = new Map();
  private readonly options: FaultsOptions;
  private stopping = false;
  private readonly running: Promise<void>;
  /** The store that has joined and is to go again; at most one, beside all other faults. */
  private guest: { readonly storeId: number; readonly stay: Promise<void> } | undefined;

  constructor(options: FaultsOptions) {
    this.options = options;
    this.running = this.run();
  }

  /** Ends after the fault under way; everybody is up again then. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
    await this.guest?.stay;
  }

  private async run(): Promise<void> {
    const { kinds, everyMs } = this.options;
    while (!this.stopping) {
      await sleep(everyMs * (0.5 + Math.random()));
      if (this.stopping) return;
      const kind = pick(kinds);
      if (kind === undefined) return;
      try {
        const done = await this.inject(kind);
        this.count(done ? kind : `${kind} skipped`);
      } catch (error) {
        // Refusals are normal where others move things too; they are told apart from faults that were made.
        if (!(error instanceof DbError)) throw error;
        this.count(`${kind} refused`);
      }
    }
  }

  private count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  private inject(kind: FaultKind): Promise<boolean> {
    switch (kind) {
      case 'kill':
        return this.kill();
      case 'pause':
        return this.pause();
      case 'split':
        return this.split();
      case 'move':
        return this.move();
      case 'transfer':
        return this.transfer();
      case 'join':
        return this.joinAndLeave();
    }
  }

  private async kill(): Promise<boolean> {
    const { cluster, spared } = this.options;
    const spare = [...spared, this.guest?.storeId];
    const storeId = pick(cluster.storeIds.filter((id) => !spare.includes(id)));
    if (storeId === undefined) return false;
    this.options.campaign.say(`kill -9 of s${storeId}`);
    await cluster.end(storeName(storeId), 'SIGKILL');
    await sleep(Math.random() * 4000);
    await cluster.startStore(storeId);
    await this.untilServed(storeId);
    return true;
  }

  private async pause(): Promise<boolean> {
    const { cluster } = this.options;
    // The guest may be told to end while it stands still.
    const storeId = pick(cluster.storeIds.filter((id) => id !== this.guest?.storeId));
    if (storeId === undefined) return false;
    const ms = Math.random() < 0.5 ? 300 + Math.random() * 700 : 1000 + Math.random() * 4000;
    this.options.campaign.say(`s${storeId} stands still for ${Math.round(ms)} ms`);
    cluster.signal(storeName(storeId), 'SIGSTOP');
    await sleep(ms);
    cluster.signal(storeName(storeId), 'SIGCONT');
    await this.untilServed(storeId);
    return true;
  }

  private async split(): Promise<boolean> {
    const { router, rangesMax, splitKey = randomKvKey } = this.options;
    if ((await this.leaders()).size >= rangesMax) return false;
    await router.split(splitKey(), { timeoutMs: 10_000 });
    return true;
  }

  private async move(): Promise<boolean> {
    const { cluster, router } = this.options;
    const range = pick([...(await this.leaders()).values()]);
    if (range === undefined) return false;
    const from = pick(range.storeIds);
    const to = pick(cluster.storeIds.filter((id) => !range.storeIds.includes(id)));
    if (from === undefined || to === undefined) return false;
    const change = { add: [toStoreId(to)], remove: [toStoreId(from)] };
    await router.changeMembers(range.startKey, change, { timeoutMs: 20_000 });
    return true;
  }

  private async transfer(): Promise<boolean> {
    const { router } = this.options;
    const range = pick([...(await this.leaders()).values()]);
    const to = pick(range?.storeIds.filter((id) => id !== range.storeId) ?? []);
    if (range === undefined || to === undefined) return false;
    await router.transferLease(range.startKey, toStoreId(to), { timeoutMs: 5000 });
    return true;
  }

  /** A new store comes, is given what balancing gives it for a while, and is decommissioned, while other faults go on. */
  private async joinAndLeave(): Promise<boolean> {
    if (this.guest !== undefined) return false;
    const { cluster, campaign } = this.options;
    const storeId = await cluster.addStore();
    campaign.say(`s${storeId} joins`);
    this.guest = { storeId, stay: this.leaveLater(storeId) };
    return true;
  }

  private async leaveLater(storeId: number): Promise<void> {
    const { cluster, campaign } = this.options;
    await sleep(15_000);
    campaign.say(`s${storeId} is decommissioned`);
    try {
      await cluster.flotilla('store', 'decommission', String(storeId), '--timeout', '300');
      await cluster.end(storeName(storeId), 'SIGTERM');
      this.count('leave');
    } catch (error) {
      cluster.accidents.push(`s${storeId} could not leave: ${String(error)}`);
    }
    this.guest = undefined;
  }

  private async untilServed(storeId: number): Promise<void> {
    const { router } = this.options;
    await eventually(`s${storeId} answers`, { timeoutMs: 60_000 }, async () => {
      await router.status(toStoreId(storeId), { timeoutMs: 1000 });
      return true;
    });
  }

  private leaders(): Promise<Map<number, RangeLeader>> {
    const { cluster, router } = this.options;
    return rangeLeaders(router, cluster.storeIds.map(toStoreId), 2000);
  }
}

function randomKvKey(): Uint8Array {
  const random = Math.floor(Math.random() * 0x1_0000);
  return Buffer.from([...kvPrefix, random >> 8, random & 0xff]);
}

function pick<T>(from: readonly T[]): T | undefined {
  return from[Math.floor(Math.random() * from.length)];
}
