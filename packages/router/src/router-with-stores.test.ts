import {
  compareBytes,
  keyMax,
  kvPrefix,
  metaPrefix,
  prefixSpan,
  present,
  probeCounts,
  resetProbes,
  SeededPrng,
  type StoreId,
  systemPrefix,
  systemSpan,
  toHex,
  toStoreId,
} from '@flotilla/base';
import { initialRanges } from '@flotilla/shard';
import { kv, type RangeInfo } from '@flotilla/shard/protocol';
import { StoreCluster } from '@flotilla/shard/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { bootstrapCluster } from './bootstrap.ts';
import { createRouter } from './router.ts';
import type { KvRow, Router, WriteBatch } from './router-api.ts';

/** The router against real stores: consensus, logs, leases and all, on one manual clock. */

let cluster: StoreCluster;
let router: Router;

afterEach(async () => {
  await router?.close();
  await cluster?.stopAll();
});

async function start(
  seed: number,
  options: Partial<ConstructorParameters<typeof StoreCluster>[0]> = {},
): Promise<void> {
  cluster = new StoreCluster({ seed, ...options });
  for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
  const founded = bootstrapCluster({
    transport: cluster.network.connect('init'),
    clock: cluster.clock,
    prng: new SeededPrng(seed, 7),
    expectedStores: 3,
    ranges: initialRanges,
    timeoutMs: 20_000,
  });
  expect(await cluster.until(founded, 30_000)).toMatchObject({ founded: true });
  router = createRouter({
    transport: cluster.network.connect('router'),
    clock: cluster.clock,
    prng: new SeededPrng(seed, 8),
  });
}

function keyOf(n: number): Uint8Array {
  // Spread over the four ranges of the key-value space.
  return Buffer.from([...kvPrefix, (n * 67) % 256, n >> 8, n & 255]);
}

function putOf(n: number, value: string): WriteBatch {
  const mutation = { kind: 'put', key: keyOf(n), value: Buffer.from(value) } as const;
  return { conditions: [], mutations: [mutation], deleteSpans: [] };
}

async function valueAt(n: number): Promise<string | undefined> {
  const [found] = await cluster.until(router.get([keyOf(n)], { timeoutMs: 20_000 }), 30_000);
  return found === undefined ? undefined : Buffer.from(found.value).toString();
}

/** Reads, adds one, writes on condition that nobody else did; over and over. Counts what surely took effect. */
async function increment(n: number, times: number): Promise<{ sure: number; unknown: number }> {
  let sure = 0;
  let unknown = 0;
  for (let i = 0; i < times; i++) {
    const [found] = await router.get([keyOf(n)], { timeoutMs: 20_000 });
    const value = found === undefined ? 0 : Number(Buffer.from(found.value).toString());
    const batch = putOf(n, String(value + 1));
    const timestamp = found?.timestamp ?? 0;
    const condition = { kind: 'unchanged', key: keyOf(n), timestamp } as const;
    try {
      const outcome = await router.write(
        { ...batch, conditions: [condition] },
        { timeoutMs: 20_000 },
      );
      if (outcome.applied) sure++;
    } catch (error) {
      if (!(error instanceof Error && 'outcome' in error)) throw error;
      if (error.outcome === 'unknown') unknown++;
    }
  }
  return { sure, unknown };
}

describe('router and three stores', () => {
  it('found a cluster, write, read and scan over many ranges', async () => {
    await start(1);
    const count = 300;
    const writes = Array.from({ length: count }, (_, n) => router.write(putOf(n, `v${n}`)));
    const outcomes = await cluster.until(Promise.all(writes), 20_000);
    expect(outcomes.every((outcome) => outcome.applied)).toBe(true);
    const keys = Array.from({ length: count }, (_, n) => keyOf(n));
    const values = await cluster.until(router.get(keys), 10_000);
    expect(values.map((found) => Buffer.from(found?.value ?? []).toString())).toEqual(
      keys.map((_key, n) => `v${n}`),
    );
    const scanned = async (reverse: boolean): Promise<string[]> => {
      const rows: KvRow[] = [];
      const span = { startKey: kvPrefix, endKey: keyMax };
      for await (const batch of router.scan(span, { batchRows: 37, reverse })) rows.push(...batch);
      return rows.map((row) => Buffer.from(row.key).toString('hex'));
    };
    const sorted = keys.map((key) => Buffer.from(key).toString('hex')).sort();
    expect(await cluster.until(scanned(false), 10_000)).toEqual(sorted);
    expect(await cluster.until(scanned(true), 10_000)).toEqual(sorted.reverse());
    expect(await cluster.until(router.discover({ timeoutMs: 50 }), 1000)).toHaveLength(3);
    expect(cluster.fatal).toEqual([]);
  });

  it.each([1, 2])(
    'a store dies: operations go on within two seconds, no write is lost or made twice (seed %i)',
    async (seed) => {
      await start(seed);
      const before = await cluster.until(router.lookup(keyOf(1)), 5000);
      await cluster.until(increment(1, 3), 20_000);
      const info = await cluster.until(router.lookup(keyOf(1)), 5000);
      const victim = toStoreId(info.leaseholderStoreId || before.leaseholderStoreId || 1);
      const counting = Promise.all([1, 2, 3, 4].map((n) => increment(n, 25)));
      await cluster.run(3);
      cluster.crash(victim);
      const crashedAt = cluster.clock.nowMs();
      await cluster.until(router.write(putOf(500, 'after')), 20_000);
      await cluster.until(router.get([keyOf(1)]), 20_000);
      expect(cluster.clock.nowMs() - crashedAt).toBeLessThan(2000);
      const results = await cluster.until(counting, 60_000);
      for (const [i, { sure, unknown }] of results.entries()) {
        const value = Number(await valueAt(i + 1));
        const least = sure + (i === 0 ? 3 : 0);
        expect(value).toBeGreaterThanOrEqual(least);
        expect(value).toBeLessThanOrEqual(least + unknown);
      }
      await cluster.startStore(victim);
      await cluster.run(3000);
      expect(await valueAt(500)).toBe('after');
      expect(cluster.fatal).toEqual([]);
    },
    20_000,
  );

  it('a write whose session expired before its fate was known: unknown, and made once at most', async () => {
    await start(6, { limits: { sessionTtlMs: 1000 } });
    await cluster.until(router.write(putOf(1, 'a')));
    const other = createRouter({
      transport: cluster.network.connect('other'),
      clock: cluster.clock,
      prng: new SeededPrng(6, 9),
    });
    // The request arrives, its answer does not.
    for (const storeId of cluster.storeIds) cluster.network.cut(`store-${storeId}`, 'router');
    const inDoubt = router.write(putOf(1, 'b'), { timeoutMs: 20_000 });
    const refused = expect(inDoubt).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      outcome: 'unknown',
      message: /session expired/,
    });
    await cluster.run(50);
    cluster.network.isolate('router');
    await cluster.until(other.write(putOf(1, 'c')), 5000);
    await cluster.run(1500);
    await cluster.until(other.write(putOf(1, 'd')), 5000);
    cluster.network.heal();
    await cluster.until(refused, 25_000);
    expect(await valueAt(1)).toBe('d');
    expect(await cluster.until(router.write(putOf(1, 'e')))).toMatchObject({ applied: true });
    await other.close();
    expect(cluster.fatal).toEqual([]);
  });

  it('on a network that loses, doubles and delays, counters count', async () => {
    await start(5);
    const victims: StoreId[] = [toStoreId(1), toStoreId(2)];
    const faults = {
      dropProbability: 0.02,
      duplicateProbability: 0.02,
      delayMsMin: 0,
      delayMsMax: 10,
    };
    cluster.network.setFaults(faults);
    const counting = Promise.all([1, 2, 3, 4].map((n) => increment(n, 40)));
    for (const victim of victims) {
      await cluster.run(300);
      cluster.isolate(victim);
      await cluster.run(1500);
      cluster.network.heal();
      cluster.network.setFaults(faults);
    }
    const results = await cluster.until(counting, 120_000);
    for (const [i, { sure, unknown }] of results.entries()) {
      const value = Number(await valueAt(i + 1));
      expect(value).toBeGreaterThanOrEqual(sure);
      expect(value).toBeLessThanOrEqual(sure + unknown);
    }
    expect(cluster.fatal).toEqual([]);
  });

  it('ranges are cut under its feet: counters count, scans see every row once', async () => {
    await start(9);
    const count = 120;
    const rows = Array.from({ length: count }, (_, n) => router.write(putOf(n + 1000, 'row')));
    await cluster.until(Promise.all(rows), 20_000);
    const faults = {
      dropProbability: 0.02,
      duplicateProbability: 0.02,
      delayMsMin: 0,
      delayMsMax: 5,
    };
    cluster.network.setFaults(faults);
    const counting = Promise.all([1, 2, 3, 4].map((n) => increment(n, 40)));
    const scanned: string[][] = [];
    const span = { startKey: kvPrefix, endKey: keyMax };
    for (let i = 0; i < 8; i++) {
      const cut = router.split(keyOf(1000 + i * 13), { timeoutMs: 20_000 });
      const scanning = (async () => {
        const keys: string[] = [];
        for await (const batch of router.scan(span, { batchRows: 7, timeoutMs: 20_000 }))
          for (const { key, value } of batch)
            if (Buffer.from(value).toString() === 'row')
              keys.push(Buffer.from(key).toString('hex'));
        return keys;
      })();
      expect(Buffer.from((await cluster.until(cut, 30_000)).startKey ?? [])).toEqual(
        keyOf(1000 + i * 13),
      );
      scanned.push(await cluster.until(scanning, 60_000));
    }
    const results = await cluster.until(counting, 120_000);
    for (const [i, { sure, unknown }] of results.entries()) {
      const value = Number(await valueAt(i + 1));
      expect(value).toBeGreaterThanOrEqual(sure);
      expect(value).toBeLessThanOrEqual(sure + unknown);
    }
    const sorted = Array.from({ length: count }, (_, n) =>
      Buffer.from(keyOf(n + 1000)).toString('hex'),
    ).sort();
    for (const keys of scanned) expect(keys).toEqual(sorted);
    expect(cluster.fatal).toEqual([]);
  });
});

describe('a meta index in several parts', () => {
  const row = (...key: number[]): Uint8Array => Uint8Array.of(...metaPrefix, ...key);
  const fresh = (name: string): Router =>
    createRouter({
      transport: cluster.network.connect(name),
      clock: cluster.clock,
      prng: new SeededPrng(3, 9),
    });

  /** Splits are refused while a leaseholder is new. */
  async function cut(key: Uint8Array): Promise<void> {
    for (let tries = 0; ; tries++) {
      const done = router.split(key, { timeoutMs: 10_000 }).then(
        () => true,
        (error: unknown) => {
          if (tries === 20) throw error;
          return false;
        },
      );
      if (await cluster.until(done)) return;
      await cluster.run(200);
    }
  }

  /** The index as somebody reads it who knows nothing yet: by row, each with its range. */
  async function indexRead(by: Router): Promise<{ endKey: string; startKey: string }[]> {
    const rows: { endKey: string; startKey: string }[] = [];
    const read = async (): Promise<void> => {
      for await (const batch of by.scan(prefixSpan(metaPrefix), { timeoutMs: 20_000 }))
        for (const { value } of batch) {
          const { startKey, endKey } = kv.RangeInfo.decode(Buffer.from(value)).descriptor ?? {};
          rows.push({
            startKey: toHex(startKey ?? new Uint8Array(0)),
            endKey: toHex(endKey ?? new Uint8Array(0)),
          });
        }
    };
    await cluster.until(read(), 30_000);
    return rows;
  }

  it('is found, followed and kept, wherever its parts are', async () => {
    cluster = new StoreCluster({ seed: 5, stores: 6 });
    await cluster.start();
    router = fresh('first');
    const refused = router.split(row(...systemPrefix), { timeoutMs: 5000 });
    await expect(cluster.until(refused)).rejects.toThrow(/root of the meta index/);
    const parts = [row(...kvPrefix, 0x60), row(0x10, 0x20)];
    for (const key of parts) await cut(key);
    // Away from the first range: reports of others have to be sent on.
    const part = await cluster.until(router.lookup(present(parts[0], 'key')));
    const members = present(part.descriptor?.replicas, 'replicas').map(({ storeId }) => storeId);
    const others = cluster.storeIds.filter((storeId) => !members.includes(storeId));
    resetProbes();
    const first = present(parts[0], 'key');
    const change = { add: others, remove: members.map((id) => toStoreId(id ?? 0)) };
    await cluster.until(router.changeMembers(first, change, { timeoutMs: 60_000 }), 60_000);
    // Ranges on both sides, and one whose row is in the next part: it begins before the cut and ends after it.
    for (const key of [0x20, 0x40, 0xd0]) await cut(Uint8Array.of(...kvPrefix, key, 1));
    await cluster.run(8000);
    expect(probeCounts().get('rangeReportSentOn') ?? 0).toBeGreaterThan(0);
    const stranger = fresh('stranger');
    const keys = Array.from({ length: 64 }, (_, n) => Uint8Array.of(...kvPrefix, n * 4, 9));
    for (const key of keys) {
      const batch = { conditions: [], deleteSpans: [] };
      const mutations = [{ kind: 'put' as const, key, value: key }];
      const wrote = stranger.write({ ...batch, mutations }, { timeoutMs: 20_000 });
      expect(await cluster.until(wrote)).toMatchObject({ applied: true });
    }
    const rows = await indexRead(stranger);
    let end = '';
    for (const { startKey, endKey } of rows) {
      expect(startKey).toBe(end);
      end = endKey;
    }
    expect(end).toBe(toHex(keyMax));
    expect(rows.length).toBe(cluster.ranges.length + 2 + 3);

    // Whoever leads the root dies: what is known goes on, what is not is found again.
    const root = await cluster.until(stranger.lookup(metaPrefix));
    cluster.crash(toStoreId(root.leaseholderStoreId ?? 0));
    const newcomer = fresh('newcomer');
    for (const by of [stranger, newcomer])
      for (const key of keys)
        expect((await cluster.until(by.get([key], { timeoutMs: 20_000 })))[0]?.value).toEqual(
          Buffer.from(key),
        );
    await stranger.close();
    await newcomer.close();
    expect(cluster.fatal).toEqual([]);
  });
});

describe('what is wanted of a span', () => {
  it('is obeyed: ranges end at its bounds, have so many replicas, are cut sooner', async () => {
    cluster = new StoreCluster({
      ...{ seed: 6, stores: 5, placement: { reportEveryMs: 400, deadAfterMs: 20_000 } },
      ranges: initialRanges([1, 2, 3].map(toStoreId), 4),
    });
    await cluster.start();
    router = createRouter({
      transport: cluster.network.connect('router'),
      clock: cluster.clock,
      prng: new SeededPrng(6, 8),
    });
    const span = {
      startKey: Uint8Array.of(...kvPrefix, 0x40),
      endKey: Uint8Array.of(...kvPrefix, 0x80),
    };
    const bad = router.configureSpan(span, { replicas: 4 });
    await expect(cluster.until(bad)).rejects.toThrow(/1, 3, 5 or 7/);
    const configured = cluster.until(router.configureSpan(span, { replicas: 5 }));
    expect(await configured).toMatchObject({ replicas: 5 });
    let strangers = 0;
    const rangeAt = async (key: Uint8Array): Promise<RangeInfo['descriptor']> => {
      const stranger = createRouter({
        transport: cluster.network.connect(`stranger-${++strangers}`),
        clock: cluster.clock,
        prng: new SeededPrng(6, 9),
      });
      const { descriptor } = await cluster.until(stranger.lookup(key, { timeoutMs: 20_000 }));
      await stranger.close();
      return descriptor;
    };
    const votersAt = async (key: Uint8Array): Promise<number> =>
      ((await rangeAt(key))?.replicas ?? []).filter(({ role }) => !role).length;
    const becomes = async (wanted: number, key: Uint8Array = span.startKey): Promise<void> => {
      for (let i = 0; i < 60 && (await votersAt(key)) !== wanted; i++) await cluster.run(1000);
      expect(await votersAt(key)).toBe(wanted);
    };
    await becomes(5);
    // What the cluster keeps of itself is worth as much as what depends on it.
    await becomes(5, systemSpan.startKey);
    await becomes(5, systemPrefix);
    expect(await rangeAt(span.startKey)).toMatchObject({
      startKey: span.startKey,
      endKey: span.endKey,
    });
    expect(await votersAt(span.endKey)).toBe(3);

    await cluster.until(router.configureSpan(span, { replicas: null, splitBytes: 128 * 1024 }));
    expect(await cluster.until(router.readConfigurations())).toEqual([
      {
        ...span,
        splitBytes: 128 * 1024,
        replicas: undefined,
        leasePreference: undefined,
      },
    ]);
    await becomes(3);
    await becomes(3, systemSpan.startKey);
    for (let n = 0; n < 24; n++) {
      const key = Uint8Array.of(...span.startKey, n);
      const mutations = [{ kind: 'put' as const, key, value: Buffer.alloc(10_000, n) }];
      await cluster.until(router.write({ conditions: [], mutations, deleteSpans: [] }));
    }
    await cluster.run(25_000);
    const halved = await rangeAt(span.startKey);
    expect(compareBytes(halved?.endKey ?? keyMax, span.endKey)).toBeLessThan(0);
    expect(await cluster.until(router.configureSpan(span, { splitBytes: null }))).toBeUndefined();
    expect(await cluster.until(router.readConfigurations())).toEqual([]);
    expect(cluster.fatal).toEqual([]);
  });
});
