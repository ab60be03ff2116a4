import { transactionsAt } from '@flotilla/shard/testing';
import { afterEach, expect, it } from 'vitest';
import { keyOf, StoreWorld } from './store-world.test-kit.ts';
import type { TestClient } from './transaction.test-kit.ts';

/**
 * Coordinators die at every step of a commit over four ranges of real stores: each victim after one frame more than the
 * one before, to or from a store. Nobody meets what they leave, and nobody runs transactions: stores finish it themselves.
 */

/** Frames that a commit takes to the end of its resolution, and some. */
const deaths = 32;
const keysEach = 6;
/** From a death to the last trace of it. Unit: ms. */
const goneWithinMs = 5000;

interface Victim extends TestClient {
  readonly keys: readonly Uint8Array[];
  readonly locked: Uint8Array;
  framesLeft: number;
  told: 'committed' | 'refused' | 'nothing';
}

let world: StoreWorld;

afterEach(() => world.end());

function victim(n: number): Victim {
  const keys = Array.from({ length: keysEach }, (_, i) => keyOf(n * (keysEach + 1) + i));
  const locked = keyOf(n * (keysEach + 1) + keysEach);
  const fate = { framesLeft: Number.POSITIVE_INFINITY, told: 'nothing' as const };
  return { ...world.client(`victim-${n}`), keys, locked, ...fate };
}

/** From now on frames are counted, and none passes when its victim's are used up. */
function count(victims: readonly Victim[]): void {
  const byName = new Map(victims.map((each) => [each.name, each]));
  const byId = new Map(victims.map((each) => [each.router.transactions.clientId, each]));
  world.cluster.network.setFilter((from, to) => {
    const dying = byName.get(from) ?? (to.kind === 'client' ? byId.get(to.clientId) : undefined);
    if (dying === undefined) return true;
    return dying.framesLeft-- > 0;
  });
}

function left(): string[] {
  const { cluster } = world;
  return cluster.storeIds.flatMap((storeId) =>
    transactionsAt(cluster.store(storeId)).flatMap(({ rangeId, intents, unfinished, locks }) =>
      intents.length + unfinished.length + locks === 0
        ? []
        : [`r${rangeId}: ${[...intents, ...unfinished].join(', ')}; ${locks} locks`],
    ),
  );
}

it('what a dead coordinator leaves is gone within 5 s, at whichever step of a commit it died', async () => {
  world = await StoreWorld.start(61);
  const victims = Array.from({ length: deaths }, (_, n) => victim(n));
  for (const each of victims) await world.run(each.router.get([...each.keys, each.locked]));
  const transactions = victims.map(({ database }) => database.begin());
  for (const [n, transaction] of transactions.entries()) {
    const { keys, locked } = victims[n] as Victim;
    await world.run(transaction.get(locked, { lock: 'exclusive' }));
    for (const key of keys) transaction.put(key, Buffer.from('new'));
  }
  for (const [n, each] of victims.entries()) each.framesLeft = n;
  count(victims);
  for (const [n, transaction] of transactions.entries()) {
    const each = victims[n] as Victim;
    transaction.commit().then(
      () => {
        each.told = 'committed';
      },
      () => {
        each.told = 'refused';
      },
    );
  }
  await world.cluster.run(300);
  const toldByThen = victims.map(({ told }) => told);
  for (const each of victims) each.framesLeft = 0;
  expect(left()).not.toEqual([]);
  await world.cluster.run(goneWithinMs);
  expect(left()).toEqual([]);

  world.cluster.network.setFilter(undefined);
  const { router } = world.client('witness');
  const written: number[] = [];
  for (const { keys } of victims) {
    const values = await world.run(router.get(keys));
    written.push(values.filter((value) => value !== undefined).length);
  }
  for (const [n, told] of toldByThen.entries()) {
    expect([0, keysEach], `victim ${n}`).toContain(written[n]);
    if (told === 'committed') expect(written[n], `victim ${n}`).toBe(keysEach);
  }
  // The walk reached both ends: no promise was kept, and all were and the user heard it.
  expect(new Set(written)).toEqual(new Set([0, keysEach]));
  expect(toldByThen.at(-1)).toBe('committed');
  expect(world.cluster.fatal).toEqual([]);
});
