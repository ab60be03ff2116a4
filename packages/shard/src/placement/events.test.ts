/** What the cluster says of itself: each event once, whoever tells it how often, and across the deaths of those who write. */
import { kvPrefix, present, toStoreId } from '@flotilla/base';
import { afterEach, describe, expect, it } from 'vitest';
import { initialRanges, metaRangeId } from '../initial-ranges.ts';
import { configurationKey, encodeConfigurationRow } from '../protocol/range-configuration.ts';
import { inspectStore } from '../testing/inspect.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import { decodeEvent, eventNumber, eventSpan } from './cluster-rows.ts';

let cluster: StoreCluster;

afterEach(async () => {
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

async function events(): Promise<{ number: number; kind: string; text: string }[]> {
  const rows = await cluster.until(cluster.client().scan(eventSpan.startKey, eventSpan.endKey));
  return present(rows, 'rows').map(({ key, value }) => {
    const { kind = '', text = '' } = decodeEvent(value ?? new Uint8Array(0)) ?? {};
    return { number: eventNumber(key ?? new Uint8Array(0)), kind, text };
  });
}

const textsOf = async (kind: string): Promise<string[]> =>
  (await events()).filter((event) => event.kind === kind).map(({ text }) => text);

function leaderOfFirst(): number {
  for (const storeId of cluster.storeIds)
    if (cluster.isRunning(storeId))
      for (const { descriptor, raft } of inspectStore(cluster.store(storeId)))
        if (descriptor.rangeId === metaRangeId && raft.role === 'leader') return storeId;
  throw new Error('nobody leads the first range');
}

describe('events', () => {
  it('tell of cuts and wishes, why, once and in turn, also after who wrote them has died', async () => {
    cluster = new StoreCluster({
      ...{ seed: 3, stores: 4, placement: { deadAfterMs: 8000, reportEveryMs: 500 } },
      ranges: initialRanges([1, 2, 3, 4].map(toStoreId), 4),
    });
    await cluster.start();
    await cluster.run(3000);
    const span = {
      startKey: Uint8Array.of(...kvPrefix, 0x40),
      endKey: Uint8Array.of(...kvPrefix, 0x80),
    };
    const value = encodeConfigurationRow({ ...span, splitBytes: 2 ** 20 });
    const mutations = [{ key: configurationKey(span), value }];
    await cluster.until(cluster.client().write({ mutations }));
    await cluster.run(20_000);
    expect(await textsOf('configuration')).toEqual([
      expect.stringMatching(/wanted are no more than 1048576 bytes\.$/),
    ]);
    const cuts = await textsOf('split');
    expect(cuts).toHaveLength(2);
    for (const text of cuts)
      expect(text).toMatch(
        /^r\d+: cut, because something else is wanted from there on: r\d+ is now/,
      );

    const writer = leaderOfFirst();
    cluster.crash(toStoreId(writer));
    await cluster.run(30_000);
    const dead = `s${writer} has been silent for`;
    const told = async () => (await textsOf('store')).filter((text) => text.startsWith(dead));
    expect(await told()).toHaveLength(1);
    // Whoever leads next, the same store perhaps but another process, finds in the log that it is said already.
    const second = leaderOfFirst();
    cluster.crash(toStoreId(second));
    await cluster.startStore(toStoreId(second));
    await cluster.run(30_000);
    expect(await told()).toHaveLength(1);
    await cluster.startStore(toStoreId(writer));
    await cluster.run(15_000);
    expect((await textsOf('store')).filter((text) => text === `s${writer} is back.`)).toHaveLength(
      1,
    );
    expect(await textsOf('split')).toEqual(cuts);
    const numbers = (await events()).map(({ number }) => number);
    expect(numbers).toEqual(numbers.map((_number, i) => i + 1));
  });
});
