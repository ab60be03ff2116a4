import { afterEach, describe, expect, it } from 'vitest';
import { keyOf, StoreWorld } from './store-world.test-kit.ts';
import type { TestClient } from './transaction.test-kit.ts';

/** What commits cost over real stores, and that nothing is left when they are over: counted in logs and rows. */

const keys = Array.from({ length: 8 }, (_, n) => keyOf(n));
let world: StoreWorld;

afterEach(() => world.end());

/** How far each range's log is applied, at whichever store is furthest. */
async function applied(router: TestClient['router']): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  for (const storeId of world.cluster.storeIds) {
    const { replicas } = await world.run(router.status(storeId));
    for (const { info, appliedIndex } of replicas ?? []) {
      const rangeId = info?.descriptor?.rangeId ?? 0;
      found.set(rangeId, Math.max(found.get(rangeId) ?? 0, appliedIndex ?? 0));
    }
  }
  return found;
}

function grown(from: Map<number, number>, to: Map<number, number>): number[] {
  return [...to].map(([rangeId, index]) => index - (from.get(rangeId) ?? 0)).filter((n) => n > 0);
}

/** Of transactions, in the engine of each running store. */
function rowsLeft(tag: 'i' | 'x'): number {
  let rows = 0;
  for (const storeId of world.cluster.storeIds)
    for (const { key } of world.cluster.engine(storeId).rows())
      if (key[0] === tag.charCodeAt(0)) rows++;
  return rows;
}

describe('over real stores', () => {
  it('a commit to one range is one log entry; to four ranges, one in each before it is acknowledged', async () => {
    world = await StoreWorld.start(41);
    const { database, router } = world.client('one');
    const setUp = database.begin();
    setUp.put(keyOf(0), Buffer.from('x'));
    await world.run(setUp.commit());
    await world.run(router.get(keys));
    await world.run(world.sleep(100));
    const quiet = await applied(router);
    const one = database.begin();
    one.put(keyOf(0), Buffer.from('1'));
    await world.run(one.commit());
    const afterOne = await applied(router);
    expect(grown(quiet, afterOne)).toEqual([1]);

    const many = database.begin();
    for (const key of keys) many.put(key, Buffer.from('2'));
    // One frame to each leader with the promise; nothing after it gets through before the user hears.
    const leaders = new Set<number>();
    for (const key of keys)
      leaders.add((await world.run(router.lookup(key))).leaseholderStoreId ?? 0);
    let frames = 0;
    world.cluster.network.setFilter(
      (from, to) => from !== 'one' || to.kind !== 'store' || ++frames <= leaders.size,
    );
    await world.run(many.commit());
    world.cluster.network.setFilter(undefined);
    expect(grown(afterOne, await applied(router))).toEqual([1, 1, 1, 1]);
    await world.run(database.idle());
    // Followers hear of the last entry with the next heartbeat.
    await world.run(world.sleep(500));
    expect([rowsLeft('i'), rowsLeft('x')]).toEqual([0, 0]);
  });
});
