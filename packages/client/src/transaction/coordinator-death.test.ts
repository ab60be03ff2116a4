import { equalBytes } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { bytes, setUpTransactions, type TransactionKit, text } from './transaction.test-kit.ts';

/**
 * The coordinator of a commit over four ranges falls silent after its k-th request, for every k there is. A contender
 * must get past what it left, and all ranges must tell the same story, which is the one that the user was told.
 */

const keys = ['a1', 'b1', 'c1', 'd1'];

interface Ending {
  readonly reached: number;
  readonly told: 'committed' | 'refused' | 'nothing';
}

/** @param answered whether the k-th request, the last to arrive, is answered */
async function commitAndDie(kit: TransactionKit, k: number, answered: boolean): Promise<Ending> {
  const victim = kit.client('victim');
  await kit.run(victim.router.get(keys.map(bytes))); // knows its way by now
  let reached = 0;
  kit.cluster.intercept = (_storeId, _request, clientId) => {
    if (clientId !== victim.router.transactions.clientId) return undefined;
    reached++;
    // What it sent after its death never left; what it would have heard it does not hear.
    return reached > k ? 'drop' : undefined;
  };
  if (!answered)
    kit.network.setFilter((from, to, _frame) => {
      const silenced = to.kind === 'client' && to.clientId === victim.router.transactions.clientId;
      return !(silenced && from.startsWith('store') && reached >= k);
    });
  const transaction = victim.database.begin();
  for (const key of keys) transaction.put(bytes(key), bytes('new'));
  let told: Ending['told'] = 'nothing';
  transaction.commit().then(
    () => {
      told = 'committed';
    },
    (error: unknown) => {
      told = (error as { outcome?: string }).outcome === 'unknown' ? 'nothing' : 'refused';
    },
  );
  await kit.pass(100);
  kit.network.isolate('victim');
  return { reached: Math.min(reached, k), told };
}

describe.each([true, false])('a coordinator dies (its last request answered: %s)', (answered) => {
  it('at every step of a commit', async () => {
    const outcomes = new Set<string>();
    for (let k = 0; ; k++) {
      const kit = setUpTransactions({ seed: k + 1 });
      const contender = kit.client('contender');
      const first = contender.database.begin();
      for (const key of keys) first.put(bytes(key), bytes('old'));
      await kit.run(first.commit());
      await kit.run(contender.database.idle());

      const { reached, told } = await commitAndDie(kit, k, answered);
      const startedAt = kit.clock.nowMs();
      const values = (await kit.run(contender.router.get(keys.map(bytes)), 15_000)).map((found) =>
        text(found?.value),
      );
      expect(new Set(values).size, `k=${k}: ${values.join(' ')}`).toBe(1);
      if (told === 'committed') expect(values[0]).toBe('new');
      if (told === 'refused') expect(values[0]).toBe('old');
      outcomes.add(`${values[0]}`);
      // Whoever writes next is not kept waiting, and then nothing is left of the dead.
      const next = contender.database.begin();
      for (const key of keys) next.put(bytes(key), bytes('next'));
      await kit.run(next.commit());
      await kit.run(contender.database.idle());
      expect(kit.clock.nowMs() - startedAt).toBeLessThan(9000);
      expect(kit.cluster.versions.intents.size).toBe(0);
      for (const key of keys)
        expect(text(kit.cluster.versions.newest(bytes(key))?.value)).toBe('next');
      if (reached < k) {
        // All of it arrived: four prepares, a decision, its resolutions, the end of the record.
        expect(k).toBeGreaterThanOrEqual(8);
        break;
      }
    }
    expect(outcomes).toEqual(new Set(['old', 'new']));
  });
});

describe('answers are lost', () => {
  it('of a promise that was kept: the coordinator finds out, and says that it is committed', async () => {
    const kit = setUpTransactions();
    const one = kit.client('one');
    await kit.run(one.router.get(keys.map(bytes)));
    // Every answer to a prepare of the second range is lost, though it lays its intents.
    kit.cluster.intercept = (storeId, request) => {
      const second = request.prepare?.mutations?.some(({ key }) =>
        equalBytes(key ?? bytes(''), bytes('b1')),
      );
      if (!second) return undefined;
      kit.cluster.usualAnswer(storeId, request);
      return 'drop';
    };
    const transaction = one.database.begin();
    for (const key of keys) transaction.put(bytes(key), bytes('new'));
    await kit.run(transaction.commit(), 10_500);
    kit.cluster.intercept = undefined;
    await kit.run(one.database.idle());
    expect(kit.cluster.isClean).toBe(true);
    for (const key of keys)
      expect(text(kit.cluster.versions.newest(bytes(key))?.value)).toBe('new');
  });

  it('and no store answers at all: unknown, by the deadline', async () => {
    const kit = setUpTransactions();
    const one = kit.client('one');
    await kit.run(one.router.get(keys.map(bytes)));
    const transaction = one.database.begin();
    for (const key of keys) transaction.put(bytes(key), bytes('new'));
    const startedAt = kit.clock.nowMs();
    const commit = transaction.commit();
    kit.network.setFilter((from) => !from.startsWith('store'));
    await expect(kit.run(commit)).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      outcome: 'unknown',
    });
    expect(kit.clock.nowMs() - startedAt).toBeLessThan(11_000);
  });
});
