/** Ranges that nobody cuts by hand: what they hold besides their newest rows, and what they are asked. */
import { present, resetProbes } from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { inspectStore } from '../testing/inspect.ts';
import { at, data, type Kit, probes, started, stopped } from './split.test-kit.ts';

beforeEach(resetProbes);
afterEach(stopped);

/** What is served of the ranges, in their order. */
async function rowsOf({ cluster, leaderOf }: Kit, ranges: readonly RangeDescriptor[]) {
  const client = cluster.client();
  const rows: { readonly key: Buffer; readonly value: string }[] = [];
  for (const { rangeId, generation, startKey, endKey } of ranges) {
    if (startKey.length === 0) continue;
    const leader = present(leaderOf(rangeId), 'leader');
    const scan = { startKey, endKey };
    const page = await cluster.until(client.request(leader, { rangeId, generation, scan }));
    for (const { key, value } of page?.scan?.rows ?? [])
      rows.push({ key: Buffer.from(key ?? []), value: Buffer.from(value ?? []).toString() });
  }
  return rows;
}

describe('old versions', () => {
  /** Ten rows of 200 bytes, each written so many times. */
  async function overwrite({ put, client }: Kit, times: number): Promise<void> {
    for (let time = 0; time < times; time++)
      for (let i = 0; i < 10; i++) await put(client, at(i), 'x'.repeat(200));
  }

  function countsOf({ cluster }: Kit): { live: number; history: number }[] {
    return cluster.storeIds.map((storeId) => {
      const views = inspectStore(cluster.store(storeId));
      const view = present(
        views.find(({ rangeId }) => rangeId === data.rangeId),
        'replica',
      );
      return { live: view.liveBytes, history: view.historyBytes };
    });
  }

  it('are counted alike on all stores, after a restart too, until they are forgotten', async () => {
    const kit = await started({ limits: { historyTtlMs: 20_000 } });
    const { cluster } = kit;
    await overwrite(kit, 5);
    await cluster.run(1000);
    const before = countsOf(kit);
    const row = present(before[0], 'counts').live / 10;
    expect(row).toBeGreaterThan(200);
    for (const counts of before) expect(counts).toEqual({ live: 10 * row, history: 40 * row });
    const [one] = cluster.storeIds;
    await cluster.until(cluster.store(present(one, 'store')).checkpoint(), 20_000);
    cluster.crash(present(one, 'store'));
    await cluster.startStore(present(one, 'store'));
    await cluster.run(1000);
    expect(countsOf(kit)).toEqual(before);
    await cluster.run(70_000);
    for (const counts of countsOf(kit)) expect(counts).toEqual({ live: 10 * row, history: 0 });
  });

  it('make a small table that is written again and again too large for one range', async () => {
    const kit = await started({ limits: { splitBytes: 20_000 } });
    await overwrite(kit, 15);
    await kit.cluster.run(12_000);
    expect(probes('splitBySize')).toBeGreaterThan(0);
    const tiles = await kit.expectTiling(2 + probes('splitBySize'));
    const rows = await rowsOf(kit, tiles);
    expect(rows.map(({ key }) => key)).toEqual(Array.from({ length: 10 }, (_, i) => at(i)));
  });
});

describe('what a range is asked', () => {
  /** Asks again and again, `everyMs` after the answer, until the range is cut; then what it was cut into. */
  async function askedUntilCut(
    kit: Kit,
    ask: (turn: number) => Promise<unknown>,
    everyMs: number,
  ): Promise<readonly RangeDescriptor[]> {
    const { cluster } = kit;
    let running = true;
    const loop = (async () => {
      for (let turn = 0; running; turn++) {
        await ask(turn);
        await new Promise<void>((resolve) => void cluster.clock.setTimer(everyMs, resolve));
      }
    })();
    for (let waited = 0; probes('splitByLoad') === 0 && waited < 40_000; waited += 100)
      await cluster.run(100);
    running = false;
    await cluster.until(loop, 30_000);
    expect(probes('splitByLoad')).toBe(1);
    return kit.expectTiling(3);
  }

  /** The halves of the range, each of which takes writes and shows them. */
  async function expectServed({ cluster, client, put, readAt }: Kit, keys: readonly Buffer[]) {
    for (const key of keys) {
      await put(client, key, 'after');
      expect(await readAt(client, key)).toBe('after');
    }
    expect(cluster.fatal).toEqual([]);
  }

  it('cuts it between two halves that are asked alike, and both go on', async () => {
    const kit = await started({ limits: { splitRequestsPerSecond: 40 } });
    const { client, put } = kit;
    const hot = [0x10, 0x11, 0x12, 0xc0, 0xc1, 0xc2].map(at);
    for (const key of hot) await put(client, key, 'before');
    const reader = kit.cluster.client();
    const asked = (turn: number) => reader.get(hot[turn % hot.length] ?? at(0), 1000);
    const [, left, right] = await askedUntilCut(kit, asked, 5);
    client.onSplit(present(left, 'left'), present(right, 'right'));
    const lower = hot.filter((key) => key.compare(present(right, 'right').startKey) < 0);
    expect(lower.length).toBeGreaterThan(1);
    expect(lower.length).toBeLessThan(5);
    expect((await rowsOf(kit, [present(left, 'left')])).map(({ key }) => key)).toEqual(lower);
    await expectServed(kit, hot);
  });

  it('cuts it where its rows are, if a few scans of all of them are its load', async () => {
    const kit = await started({ limits: { splitRequestsPerSecond: 40 } });
    const { client, cluster } = kit;
    const keys = Array.from({ length: 600 }, (_, n) => Buffer.of(0x08, n >> 8, n & 0xff));
    const mutations = keys.map((key) => ({ key, value: Buffer.of(1) }));
    expect((await cluster.until(client.write({ mutations })))?.write?.applied).toBe(true);
    const { startKey, endKey } = data;
    const scanner = cluster.client();
    // Some eight requests a second.
    const asked = () => scanner.ask(data, { scan: { startKey, endKey } }, 1000);
    const [, left, right] = await askedUntilCut(kit, asked, 120);
    client.onSplit(present(left, 'left'), present(right, 'right'));
    const lower = await rowsOf(kit, [present(left, 'left')]);
    expect(lower.length).toBeGreaterThan(150);
    expect(lower.length).toBeLessThan(450);
    await expectServed(
      kit,
      [keys[0], keys[599]].map((key) => present(key, 'key')),
    );
  });

  it('leaves it whole if one row is all they want', async () => {
    const kit = await started({ limits: { splitRequestsPerSecond: 40 } });
    await kit.put(kit.client, at(0x10), 'x');
    const reader = kit.cluster.client();
    for (let turn = 0; turn < 2000; turn++)
      expect((await kit.cluster.until(reader.get(at(0x10))))?.value).toBe('x');
    expect(probes('splitByLoad')).toBe(0);
    await kit.expectTiling(2);
  });
});
