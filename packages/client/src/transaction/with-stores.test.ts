import { keyMax, kvPrefix, toStoreId } from '@flotilla/base';
import type { StoreCluster } from '@flotilla/shard/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { checkListAppend, printAnomalies } from '../testing/checkers/list-append.ts';
import { readAll, runListLoad } from './list-load.test-kit.ts';
import { keyOf, StoreWorld } from './store-world.test-kit.ts';
import { failureOf, text } from './transaction.test-kit.ts';

let open: StoreWorld;
let cluster: StoreCluster;

afterEach(() => open.end());

async function start(seed: number): Promise<StoreWorld> {
  open = await StoreWorld.start(seed);
  cluster = open.cluster;
  return open;
}

const keys = Array.from({ length: 8 }, (_, n) => keyOf(n));

describe('transactions over real stores', () => {
  it('write to four ranges at once, read one snapshot, and leave nothing behind', async () => {
    const world = await start(1);
    const [one, two] = [world.client('one'), world.client('two')];
    for (const round of ['1', '2', '3']) {
      const transaction = one.database.begin();
      for (const key of keys) {
        await world.run(transaction.get(key));
        transaction.put(key, Buffer.from(round));
      }
      await world.run(transaction.commit());
      const reader = two.database.begin({ readOnly: true });
      const values = await world.run(reader.getMany(keys));
      expect(values.map(text)).toEqual(keys.map(() => round));
    }
    const scanned: string[] = [];
    const scan = async (): Promise<void> => {
      const span = { startKey: kvPrefix, endKey: keyMax };
      for await (const pairs of two.database.begin().scan(span))
        for (const { value } of pairs) scanned.push(text(value) ?? '');
    };
    await world.run(scan());
    expect(scanned).toEqual(keys.map(() => '3'));
    await world.run(one.database.idle());
    // Plain reads are not kept waiting either.
    const plain = await world.run(one.router.get(keys));
    expect(plain.map((found) => text(found?.value))).toEqual(keys.map(() => '3'));
    expect(cluster.fatal).toEqual([]);
  });

  it('refuse what would not be serializable', async () => {
    const world = await start(2);
    const [one, two] = [world.client('one'), world.client('two')];
    const [a, b] = [keyOf(1), keyOf(2)];
    const [first, second] = [one.database.begin(), two.database.begin()];
    for (const transaction of [first, second]) await world.run(transaction.getMany([a, b]));
    first.put(a, Buffer.from('x'));
    second.put(b, Buffer.from('x'));
    const ends = await world.run(Promise.allSettled([first.commit(), second.commit()]));
    expect(ends.filter(({ status }) => status === 'fulfilled').length).toBeLessThanOrEqual(1);
    const duplicate = one.database.begin();
    duplicate.insert(keyOf(3), Buffer.from('x'));
    duplicate.insert(keyOf(4), Buffer.from('x'));
    await world.run(duplicate.commit());
    const again = two.database.begin();
    again.insert(keyOf(5), Buffer.from('x'));
    again.insert(keyOf(4), Buffer.from('x'));
    expect(await failureOf(world.run(again.commit()))).toMatchObject({ code: 'KEY_EXISTS' });
    expect(cluster.fatal).toEqual([]);
  });

  it('wait for locks, and end deadlocks', async () => {
    const world = await start(3);
    const [one, two] = [world.client('one'), world.client('two')];
    const [a, b] = [keyOf(1), keyOf(2)];
    const older = one.database.begin();
    await world.run(world.sleep(5));
    const younger = two.database.begin();
    await world.run(older.get(a, { lock: 'exclusive' }));
    await world.run(younger.get(b, { lock: 'exclusive' }));
    const refused = younger.get(a, { lock: 'exclusive', wait: 'nowait' });
    expect(await failureOf(world.run(refused))).toMatchObject({ code: 'LOCK_NOT_AVAILABLE' });
    const olderWaits = older.get(b, { lock: 'exclusive' });
    const youngerWaits = younger.get(a, { lock: 'exclusive' });
    const end = await failureOf(world.run(youngerWaits, 10_000));
    expect(end).toMatchObject({ code: 'DEADLOCK' });
    younger.rollback();
    await world.run(olderWaits, 10_000);
    older.put(a, Buffer.from('done'));
    await world.run(older.commit());
    expect(cluster.fatal).toEqual([]);
  });

  it('of a dead coordinator are settled by whoever is in their way', async () => {
    for (let k = 1; k <= 9; k++) {
      const world = await start(10 + k);
      const [victim, contender] = [world.client('victim'), world.client('contender')];
      const setUp = contender.database.begin();
      for (const key of keys) setUp.put(key, Buffer.from('old'));
      await world.run(setUp.commit());
      await world.run(contender.database.idle());
      await world.run(victim.router.get(keys));
      const dying = victim.database.begin();
      for (const key of keys) dying.put(key, Buffer.from('new'));
      let sent = 0;
      cluster.network.setFilter(
        (from, to) => from !== 'victim' || to.kind !== 'store' || ++sent <= k,
      );
      let told = false;
      dying.commit().then(
        () => {
          told = true;
        },
        () => {},
      );
      await cluster.run(50);
      cluster.network.isolate('victim');
      const found = await world.run(contender.router.get(keys), 15_000);
      const values = new Set(found.map((value) => text(value?.value)));
      expect(values.size, `k=${k}: ${[...values].join(' ')}`).toBe(1);
      if (told) expect([...values]).toEqual(['new']);
      const next = contender.database.begin();
      for (const key of keys) next.put(key, Buffer.from('next'));
      await world.run(next.commit(), 15_000);
      expect(cluster.fatal).toEqual([]);
      if (k < 9) await world.end();
    }
  });

  it.each([1, 2])(
    'are serializable while stores are cut off and die (seed %i)',
    async (seed) => {
      const world = await start(30 + seed);
      cluster.network.setFaults({ dropProbability: 0.005, delayMsMin: 0, delayMsMax: 4 });
      const load = { isolation: 'serializable', transactions: 20, keys } as const;
      const history = await runListLoad(world, load, async () => {
        await world.sleep(300);
        const victim = toStoreId(1 + world.prng.nextBelow(3));
        cluster.crash(victim);
        await world.sleep(1500);
        await cluster.startStore(victim);
      });
      cluster.network.heal();
      history.push(await world.run(readAll(world.client('last'), load), 30_000));
      expect(printAnomalies(checkListAppend(history))).toBe('');
      const committed = history.filter(({ outcome }) => outcome === 'committed').length;
      expect(committed).toBeGreaterThan(history.length / 5);
      expect(cluster.fatal).toEqual([]);
    },
    60_000,
  );
});
