/** Stores crash around a split. */
import { present, resetProbes, toStoreId } from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inspectStore } from '../testing/inspect.ts';
import { at, data, middle, probes, started, stopped, stores } from './split.test-kit.ts';

beforeEach(resetProbes);
afterEach(stopped);

describe('a crash', () => {
  it('between a split and the next checkpoint makes the right half again from the left log', async () => {
    const { cluster, client, put, split, readAt, expectTiling } = await started();
    for (let i = 1; i < 16; i++) await put(client, at(i * 16), `v${i}`);
    await split(client, middle);
    for (let i = 1; i < 16; i++) await put(client, at(i * 16), `w${i}`);
    for (const storeId of cluster.storeIds) cluster.crash(storeId);
    for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
    expect(probes('splitReplayedAtOpening')).toBe(3);
    for (let i = 1; i < 16; i++) expect(await readAt(client, at(i * 16))).toBe(`w${i}`);
    await expectTiling(3);
  });

  it('in the first checkpoint after a split finds the whole as it was, or both halves', async () => {
    for (let delay = 0; delay <= 12; delay++) {
      const { cluster, client, put, split, readAt, expectTiling } = await started({
        seed: 7 + delay,
        syncDelayMs: [1, 3],
      });
      for (let i = 1; i < 8; i++) await put(client, at(i * 32), `v${i}`);
      await split(client, middle);
      // In that moment the disk has the row of the right half; the log still says where the whole was.
      void cluster.store(toStoreId(1)).checkpoint();
      await cluster.run(delay);
      cluster.crash(toStoreId(1));
      await cluster.startStore(toStoreId(1));
      for (let i = 1; i < 8; i++) expect(await readAt(client, at(i * 32))).toBe(`v${i}`);
      await expectTiling(3);
      await cluster.stopAll();
    }
  });

  it('of any store at any moment around a split loses nothing', async () => {
    // Every moment of the way through the log, every other ms, of the leader and of a follower.
    for (const victim of ['leader', 'follower'] as const)
      for (let delay = 0; delay <= 12; delay += 2) {
        const { cluster, client, put, readAt, expectTiling, leaderOf } = await started({
          seed: 7 + delay,
          syncDelayMs: [1, 3],
        });
        for (let i = 1; i < 8; i++) await put(client, at(i * 32), `v${i}`);
        const leader = present(leaderOf(data.rangeId), 'leader');
        const storeId =
          victim === 'leader'
            ? leader
            : present(
                stores.find((s) => s !== leader),
                'follower',
              );
        const asked = client.ask(data, { split: { splitKey: middle } }, 500);
        await cluster.run(delay);
        cluster.crash(storeId);
        await cluster.run(2500);
        await asked;
        const cut = [...cluster.storeIds].some(
          (id) =>
            cluster.isRunning(id) &&
            inspectStore(cluster.store(id)).some((view) => view.rangeId === 3),
        );
        await cluster.startStore(storeId);
        const tiles = await expectTiling(cut ? 3 : 2);
        const fresh = cluster.client();
        if (cut) fresh.onSplit(present(tiles[1], 'left'), present(tiles[2], 'right'));
        for (let i = 1; i < 8; i++) expect(await readAt(fresh, at(i * 32))).toBe(`v${i}`);
        await put(fresh, at(0xf0), 'goes on');
        await cluster.stopAll();
      }
  });
});
