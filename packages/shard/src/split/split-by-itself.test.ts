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
