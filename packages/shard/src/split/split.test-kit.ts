/**
 * A cluster whose ranges are cut in two, and what tests do to it: memory for network, disks and engines, a clock moved by
 * hand. Whatever happens in between, both halves hold what they held before, on the same stores, and no key is in two
 * ranges or in none.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import {
  compareBytes,
  keyMax,
  present,
  probeCounts,
  type RangeId,
  type StoreId,
  toStoreId,
} from '@flotilla/base';
import { openWriteAheadLog } from '@flotilla/raft';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { contentsOf, inspectStore } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster, type StoreClusterOptions } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';

export const stores: readonly StoreId[] = [1, 2, 3].map(toStoreId);
const bounds = [Buffer.alloc(0), Buffer.of(0x03), Buffer.from(keyMax)];
const ranges = rangesOn(stores, bounds);
export const data: RangeDescriptor = present(ranges[1], 'data range');

export function at(n: number): Buffer {
  return Buffer.of(0x08, n);
}
export const middle: Buffer = at(0x50);
export const id16: Buffer = Buffer.alloc(16, 7);

export function probes(name: Parameters<ReturnType<typeof probeCounts>['get']>[0]): number {
  return probeCounts().get(name) ?? 0;
}

export interface Kit {
  readonly cluster: StoreCluster;
  readonly client: TestClient;
  put(client: TestClient, key: Buffer, value: string): Promise<void>;
  readAt(client: TestClient, key: Buffer): Promise<string | undefined>;
  /** Cuts the range of `key` there. @returns the halves */
  split(
    client: TestClient,
    key: Buffer,
  ): Promise<{ left: RangeDescriptor; right: RangeDescriptor }>;
  /** The descriptors that the stores have applied, in key order, the same everywhere; they tile the key space. */
  expectTiling(count: number): Promise<readonly RangeDescriptor[]>;
  leaderOf(rangeId: number): StoreId | undefined;
  /** What the log of a store that is down says of a range. */
  termOnDisk(storeId: StoreId, rangeId: RangeId): Promise<number>;
}

const clusters = new Set<StoreCluster>();

/** A cluster that runs until `stopped`. */
export async function started(options: Partial<StoreClusterOptions> = {}): Promise<Kit> {
  const cluster = new StoreCluster({ seed: 1, ranges, ...options });
  clusters.add(cluster);
  await cluster.start();
  return { cluster, client: cluster.client(), ...actionsOn(cluster) };
}

/** Stops all clusters that were started: for after each test. */
export async function stopped(): Promise<void> {
  for (const cluster of clusters) await cluster.stopAll();
  clusters.clear();
}

function actionsOn(cluster: StoreCluster): Omit<Kit, 'cluster' | 'client'> {
  async function split(
    client: TestClient,
    key: Buffer,
  ): Promise<{ left: RangeDescriptor; right: RangeDescriptor }> {
    const answer = await cluster.until(
      client.ask(client.rangeOf(key), { split: { splitKey: key } }, 20_000),
    );
    ok(answer?.split?.ok === true && answer.split.message === '', JSON.stringify(answer));
    const [left, right] = [answer?.split?.left, answer?.split?.right].map((each) => {
      const checked = checkDescriptor(each ?? {});
      return present(checked.ok ? checked.descriptor : undefined, 'a good descriptor');
    });
    const halves = { left: present(left, 'left'), right: present(right, 'right') };
    client.onSplit(halves.left, halves.right);
    return halves;
  }

  async function put(client: TestClient, key: Buffer, value: string): Promise<void> {
    const wrote = await cluster.until(client.put(key, value));
    ok(wrote?.write?.applied, `put ${value}: ${JSON.stringify(wrote)}`);
  }

  async function readAt(client: TestClient, key: Buffer): Promise<string | undefined> {
    return (await cluster.until(client.get(key)))?.value;
  }

  async function expectTiling(count: number): Promise<readonly RangeDescriptor[]> {
    await cluster.run(3000);
    const running = cluster.storeIds.filter((storeId) => cluster.isRunning(storeId));
    const found = new Map<number, RangeDescriptor>();
    for (const storeId of running)
      for (const { rangeId, raft } of inspectStore(cluster.store(storeId))) {
        const contents = contentsOf(cluster.store(storeId), cluster.engine(storeId), rangeId);
        equal(contents?.strangers, 0, `s${storeId} r${rangeId} strangers`);
        const { descriptor } = JSON.parse(contents?.text ?? '{}', revive) as {
          descriptor: RangeDescriptor;
        };
        ok(raft.leader, `s${storeId} r${rangeId} has a leader`);
        const known = found.get(rangeId);
        if (known !== undefined) deepEqual(descriptor, known);
        found.set(rangeId, descriptor);
      }
    const sorted = [...found.values()].sort((a, b) => compareBytes(a.startKey, b.startKey));
    equal(sorted.length, count);
    let end: Uint8Array = Buffer.alloc(0);
    for (const { startKey, endKey } of sorted) {
      deepEqual(Buffer.from(startKey), Buffer.from(end));
      end = endKey;
    }
    deepEqual(Buffer.from(end), Buffer.from(keyMax));
    deepEqual(
      cluster.fatal.map(({ error }) => error),
      [],
    );
    return sorted;
  }

  function leaderOf(rangeId: number): StoreId | undefined {
    return cluster.storeIds.find(
      (storeId) =>
        cluster.isRunning(storeId) &&
        inspectStore(cluster.store(storeId)).some(
          (view) => view.rangeId === rangeId && view.raft.role === 'leader',
        ),
    );
  }

  async function termOnDisk(storeId: StoreId, rangeId: RangeId): Promise<number> {
    const { clock, prng } = cluster;
    const disk = cluster.disk(storeId).session();
    const opening = openWriteAheadLog({ disk, directory: 'data/wal', clock, prng });
    const log = await cluster.until(opening);
    const { currentTerm } = log.group(rangeId).hardState();
    await cluster.until(log.close());
    return currentTerm;
  }
  return { put, readAt, split, expectTiling, leaderOf, termOnDisk };
}

function revive(_name: string, value: unknown): unknown {
  const bytes = value as { type?: string; data?: number[] } | null;
  return bytes?.type === 'Buffer' ? Buffer.from(bytes.data ?? []) : value;
}
