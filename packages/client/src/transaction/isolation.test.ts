import { DbError, type SeededPrng } from '@flotilla/base';
import type { IsolationLevel, KvTransaction } from '@flotilla/sql';
import { describe, expect, it } from 'vitest';
import {
  checkListAppend,
  type ListTransaction,
  printAnomalies,
} from '../testing/checkers/list-append.ts';
import { readAll, runListLoad } from './list-load.test-kit.ts';
import {
  bytes,
  setUpTransactions,
  type TestClient,
  type TransactionKit,
  text,
} from './transaction.test-kit.ts';

/** Random transactions of several clients over five ranges that split and change hands, on a network that fails. */

const listKeys = ['A1', 'a1', 'a2', 'b1', 'c1', 'c2', 'd1', 'd2'];

interface Load {
  readonly seed: number;
  readonly isolation: IsolationLevel;
  readonly transactions: number;
  readonly faults: boolean;
}

async function unrest(kit: TransactionKit, prng: SeededPrng, over: () => boolean): Promise<void> {
  const splits = ['a2', 'c2', 'd2'];
  while (!over()) {
    await kit.sleep(50 + prng.nextBelow(100));
    const split = splits.pop();
    if (split !== undefined) kit.cluster.split(bytes(split));
    const range = kit.cluster.ranges[1 + prng.nextBelow(kit.cluster.ranges.length - 1)];
    if (range !== undefined) kit.cluster.moveLease(range, 1 + prng.nextBelow(3));
  }
}

async function listAppend(load: Load): Promise<readonly ListTransaction[]> {
  const kit = setUpTransactions({ seed: load.seed, skewsMs: [0, 40, -40] });
  if (load.faults)
    kit.network.setFaults({
      dropProbability: 0.01,
      duplicateProbability: 0.02,
      delayMsMin: 0,
      delayMsMax: 5,
    });
  const lists = { ...load, keys: listKeys.map(bytes) };
  const history = await runListLoad(kit, lists, async (over) => {
    if (load.faults) await unrest(kit, kit.prng, over);
  });
  kit.network.heal();
  history.push(await kit.run(readAll(kit.client('last'), lists), 30_000));
  return history;
}

describe('random transactions over lists', () => {
  it.each([1, 2, 3])(
    'are serializable, whatever the network does (seed %i)',
    async (seed) => {
      const load = { seed, isolation: 'serializable', transactions: 25, faults: true } as const;
      const history = await listAppend(load);
      expect(printAnomalies(checkListAppend(history))).toBe('');
      const committed = history.filter(({ outcome }) => outcome === 'committed').length;
      expect(committed).toBeGreaterThan(history.length / 4);
    },
    60_000,
  );

  it('under repeatable read have write skew and nothing worse', async () => {
    const load = {
      seed: 7,
      isolation: 'repeatable read',
      transactions: 30,
      faults: false,
    } as const;
    const kinds = checkListAppend(await listAppend(load)).map(({ kind }) => kind);
    expect(kinds).toEqual(['G2']);
  });

  it('under read committed have anti-dependencies, which the checker finds', async () => {
    const isolation = 'read committed';
    const history = await listAppend({ seed: 8, isolation, transactions: 30, faults: false });
    const kinds = checkListAppend(history).map(({ kind }) => kind);
    expect(kinds).toContain('G2');
    for (const kind of ['G0', 'G1a', 'G1b', 'G1c'] as const) expect(kinds).not.toContain(kind);
  });
});

const accounts = ['a1', 'a2', 'b1', 'b2', 'c1', 'c2', 'd1', 'd2'];
const total = 100 * accounts.length;

async function balances(transaction: KvTransaction): Promise<number[]> {
  const values = await transaction.getMany(accounts.map(bytes));
  return values.map((value) => Number(text(value)));
}

describe('a bank', () => {
  it.each([1, 2])(
    'has the same sum at every moment (seed %i)',
    async (seed) => {
      const kit = setUpTransactions({ seed, skewsMs: [60, 0, -60] });
      const { prng } = kit;
      const clients = ['p', 'q', 'r'].map((name) => kit.client(name));
      const opening = clients[0]?.database.begin();
      for (const account of accounts) opening?.put(bytes(account), bytes('100'));
      await kit.run(opening?.commit() ?? Promise.resolve());
      kit.network.setFaults({ dropProbability: 0.01, delayMsMin: 0, delayMsMax: 4 });
      let transfers = 0;
      let audits = 0;
      const attempt = async (work: () => Promise<void>): Promise<void> => {
        try {
          await work();
        } catch (error) {
          if (!(error instanceof DbError)) throw error;
        }
        await kit.sleep(1 + prng.nextBelow(8));
      };
      const transfer = async (client: TestClient): Promise<void> => {
        const isolation = prng.nextBelow(2) === 0 ? 'serializable' : 'repeatable read';
        const transaction = client.database.begin({ isolation });
        const [from, to] = [prng.nextBelow(accounts.length), prng.nextBelow(accounts.length)];
        const keys = [accounts[from] ?? '', accounts[to] ?? ''].map(bytes);
        const [mine, yours] = await transaction.getMany(keys);
        const amount = 1 + prng.nextBelow(10);
        if (from === to || Number(text(mine)) < amount) return transaction.rollback();
        transaction.put(keys[0] ?? bytes(''), bytes(`${Number(text(mine)) - amount}`));
        transaction.put(keys[1] ?? bytes(''), bytes(`${Number(text(yours)) + amount}`));
        await transaction.commit();
        transfers++;
      };
      const audit = async (client: TestClient): Promise<void> => {
        const transaction = client.database.begin({ readOnly: true });
        const found = await balances(transaction);
        expect(found.reduce((sum, balance) => sum + balance, 0)).toBe(total);
        audits++;
      };
      const workers = clients.flatMap((client) =>
        [transfer, transfer, audit].map(async (work) => {
          for (let i = 0; i < 30; i++) await attempt(() => work(client));
        }),
      );
      await kit.run(Promise.all(workers), 600_000);
      kit.network.heal();
      const end = kit.client('last').database.begin();
      const found = await kit.run(balances(end), 30_000);
      expect(found.reduce((sum, balance) => sum + balance, 0)).toBe(total);
      expect(Math.min(...found)).toBeGreaterThanOrEqual(0);
      expect(transfers).toBeGreaterThan(20);
      expect(audits).toBeGreaterThan(10);
    },
    60_000,
  );
});
