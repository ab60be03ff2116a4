import { afterEach, expect, it } from 'vitest';
import { keyOf, StoreWorld } from './store-world.test-kit.ts';
import { failureOf } from './transaction.test-kit.ts';

/** Unit: ms. */
const ttlMs = 40_000;
const before = keyOf(1);
const during = keyOf(2);
const elsewhere = keyOf(3);

let world: StoreWorld;

afterEach(() => world.end());

async function put(key: Uint8Array, value: string): Promise<void> {
  const transaction = world.client(`writer of ${value}`).database.begin();
  transaction.put(key, Buffer.from(value));
  await world.run(transaction.commit());
}

/** Replaced versions of the key that stores still have. */
function historyOf(key: Uint8Array): number {
  let rows = 0;
  for (const storeId of world.cluster.storeIds)
    for (const row of world.cluster.engine(storeId).rows())
      if (row.key[0] === 'h'.charCodeAt(0) && row.key.includes(Buffer.from(key))) rows++;
  return rows;
}

it('what a snapshot needs is kept for as long as it is read, and nothing else', async () => {
  world = await StoreWorld.start(81, {
    limits: { historyTtlMs: ttlMs },
    placement: { reportEveryMs: 5000 },
  });
  await put(before, 'replaced early');
  await put(during, 'old');
  const { database } = world.client('reader');
  const idle = database.begin({ readOnly: true });
  await world.run(idle.get(elsewhere));
  await put(before, 'kept anyway');
  const long = database.begin({ readOnly: true });
  await world.run(long.get(elsewhere));
  // Surely later, whatever clocks say.
  await world.run(world.sleep(1000));
  await put(during, 'new');
  for (let i = 0; i < 9; i++) {
    await world.run(world.sleep(10_000));
    await world.run(long.get(elsewhere));
  }
  expect(String(await world.run(long.get(during)))).toBe('old');
  expect(historyOf(during)).toBeGreaterThan(0);
  // Superseded before the snapshot that is kept, and long ago.
  expect(historyOf(before)).toBe(0);
  expect((await world.run(failureOf(idle.get(during)))).code).toBe('SNAPSHOT_TOO_OLD');
  expect(world.cluster.fatal).toEqual([]);
});
