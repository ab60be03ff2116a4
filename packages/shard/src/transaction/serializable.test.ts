/**
 * Random transactions over several ranges of real stores, whose leaseholders die and whose coordinators give up in the
 * middle. Every transaction that committed must have seen exactly what those with lesser commit timestamps had written: a
 * naive map, replayed in the order of timestamps, says what that is.
 */
import { HybridLogicalClock, keyMax, present, SeededPrng, toStoreId } from '@flotilla/base';
import { afterEach, describe, expect, it } from 'vitest';
import { contentsOf, inspectStore } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';
import {
  recoverTransaction,
  type SeenRead,
  TestTransaction,
  TransactionFailed,
} from '../testing/test-transaction.ts';

const stores = [1, 2, 3].map(toStoreId);
const bounds = [Buffer.alloc(0), Buffer.from('b'), Buffer.from('c'), Buffer.from(keyMax)];
const ranges = rangesOn(stores, bounds);
const spans = [
  ['b', 'c'],
  ['c', 'd'],
  ['b3', 'b6'],
] as const;
const keys = ['b1', 'b2', 'b4', 'b5', 'c1', 'c2', 'c3'];

interface Committed {
  readonly timestamp: number;
  readonly reads: readonly SeenRead[];
  readonly writes: ReadonlyMap<string, string | undefined>;
}

let cluster = new StoreCluster({ seed: 0, ranges });
afterEach(async () => {
  await cluster.stopAll();
});

class Workload {
  readonly committed: Committed[] = [];
  /** Of coordinators that gave up: their transactions are looked up in the end. */
  readonly abandoned: TestTransaction[] = [];
  failed = 0;
  private readonly prng: SeededPrng;
  private readonly hlc: HybridLogicalClock;
  private values = 0;

  constructor(seed: number) {
    this.prng = new SeededPrng(seed, 7);
    this.hlc = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 });
  }

  async client(transactions: number): Promise<void> {
    const client = cluster.client();
    for (let i = 0; i < transactions; i++) await this.one(client);
  }

  private async one(client: TestClient): Promise<void> {
    const { prng, hlc } = this;
    const transaction = new TestTransaction({ client, hlc, prng });
    try {
      const steps = 1 + prng.nextBelow(4);
      for (let i = 0; i < steps; i++) await this.step(transaction);
      const dies = prng.nextBelow(6) === 0 ? 1 + prng.nextBelow(4) : 0;
      let step = 0;
      const timestamp = await transaction.commit(() => dies > 0 && ++step >= dies);
      const { reads, writes } = transaction;
      if (timestamp === undefined) this.abandoned.push(transaction);
      else this.committed.push({ timestamp, reads, writes });
    } catch (error) {
      if (!(error instanceof TransactionFailed)) throw error;
      this.failed++;
    }
  }

  private async step(transaction: TestTransaction): Promise<void> {
    const { prng } = this;
    const key = present(keys[prng.nextBelow(keys.length)], 'a key');
    switch (prng.nextBelow(5)) {
      case 0: {
        const [start, end] = present(spans[prng.nextBelow(spans.length)], 'a span');
        await transaction.scan(start, end, prng.nextBelow(2) === 0);
        return;
      }
      case 1:
        transaction.put(key, prng.nextBelow(3) === 0 ? undefined : `v${++this.values}`);
        return;
      default:
        await transaction.get(key);
        if (prng.nextBelow(2) === 0)
          transaction.put(key, prng.nextBelow(4) === 0 ? undefined : `v${++this.values}`);
    }
  }
}

/** Replays in the order of timestamps. Transactions at one timestamp may have happened in any order that explains them. */
function check(committed: readonly Committed[]): Map<string, string> {
  const byTimestamp = new Map<number, Committed[]>();
  for (const each of committed) {
    const others = byTimestamp.get(each.timestamp);
    if (others === undefined) byTimestamp.set(each.timestamp, [each]);
    else others.push(each);
  }
  let rows = new Map<string, string>();
  for (const timestamp of [...byTimestamp.keys()].sort((a, b) => a - b)) {
    const group = byTimestamp.get(timestamp) ?? [];
    const [first] = group;
    if (group.length === 1 && first !== undefined)
      expect({ timestamp, reads: first.reads }).toEqual({ timestamp, reads: found(first, rows) });
    rows = present(inSomeOrder(group, rows), `an order at ${timestamp}`);
  }
  return rows;
}

function inSomeOrder(
  group: readonly Committed[],
  before: ReadonlyMap<string, string>,
): Map<string, string> | undefined {
  if (group.length === 0) return new Map(before);
  for (const each of group) {
    if (JSON.stringify(found(each, before)) !== JSON.stringify(each.reads)) continue;
    const after = new Map(before);
    for (const [key, value] of each.writes)
      if (value === undefined) after.delete(key);
      else after.set(key, value);
    const rest = group.filter((other) => other !== each);
    const end = inSomeOrder(rest, after);
    if (end !== undefined) return end;
  }
  return undefined;
}

/** What its reads find in this state. */
function found({ reads }: Committed, rows: ReadonlyMap<string, string>): SeenRead[] {
  return reads.map(({ startKey, endKey }) => ({
    startKey,
    endKey,
    rows: [...rows]
      .filter(([key]) =>
        endKey === undefined ? key === startKey : startKey <= key && key < endKey,
      )
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  }));
}

/** Plain reads of everything, resolving what is in their way. */
async function readAll(client: TestClient): Promise<Map<string, string>> {
  const rows = new Map<string, string>();
  for (const key of keys) {
    const bytes = Buffer.from(key);
    for (;;) {
      const response = await client.ask(client.rangeOf(bytes), { get: { keys: [bytes] } }, 60_000);
      const blocked = response?.refusal?.blocked;
      if (blocked) {
        await recoverTransaction(client, blocked);
        continue;
      }
      const value = present(response?.get?.values?.[0], 'a value');
      if (value.present) rows.set(key, String(Buffer.from(value.value ?? '')));
      break;
    }
  }
  return rows;
}

async function run(seed: number, crashes: boolean): Promise<Workload> {
  cluster = new StoreCluster({ seed, ranges });
  await cluster.start();
  const workload = new Workload(seed);
  const prng = new SeededPrng(seed, 9);
  let done = false;
  const clients = Promise.all([0, 1, 2, 3].map(() => workload.client(14))).finally(() => {
    done = true;
  });
  clients.catch(() => {});
  for (let round = 0; !done && round < 4000; round++) {
    await cluster.run(5 + prng.nextBelow(40));
    if (!crashes || prng.nextBelow(40) !== 0) continue;
    const storeId = toStoreId(1 + prng.nextBelow(3));
    cluster.crash(storeId, { powerLoss: prng.nextBelow(2) === 0 });
    await cluster.run(prng.nextBelow(1500));
    await cluster.startStore(storeId);
    await cluster.run(500 + prng.nextBelow(1500));
  }
  expect(cluster.fatal).toEqual([]);
  await cluster.until(clients, 200_000);
  const rows = await cluster.until(readAll(cluster.client()), 200_000);
  expect(cluster.fatal).toEqual([]);
  const client = cluster.client();
  for (const transaction of workload.abandoned) {
    const timestamp = await cluster.until(transaction.outcome(client), 200_000);
    const { reads, writes } = transaction;
    if (timestamp > 0) workload.committed.push({ timestamp, reads, writes });
  }
  expect(rows).toEqual(check(workload.committed));
  return workload;
}

async function sameEverywhere(): Promise<void> {
  await cluster.run(3000);
  for (const { rangeId } of ranges.slice(1)) {
    const held = stores.map((id) => contentsOf(cluster.store(id), cluster.engine(id), rangeId));
    const inMemory = stores.map((id) => {
      const { transactions } = present(
        inspectStore(cluster.store(id)).find((r) => r.rangeId === rangeId),
        'a replica',
      );
      return transactions();
    });
    expect(held[1]?.text).toEqual(held[0]?.text);
    expect(held[2]?.text).toEqual(held[0]?.text);
    expect(inMemory[1]).toEqual(inMemory[0]);
    expect(inMemory[2]).toEqual(inMemory[0]);
  }
}

const seeds = Number(process.env.FLOTILLA_SEEDS ?? 0);

describe('transactions over several ranges', () => {
  const some = Array.from({ length: Math.max(2, seeds) }, (_, i) => i + 1);
  it.each(some)('are serializable in the order of their timestamps, seed %i', async (seed) => {
    const workload = await run(seed, false);
    expect(workload.committed.length).toBeGreaterThan(10);
    await sameEverywhere();
  });

  it.each(some)('are so when stores and coordinators die, seed %i', async (seed) => {
    const workload = await run(seed + 1000, true);
    expect(workload.committed.length).toBeGreaterThan(10);
    await sameEverywhere();
  });
});
