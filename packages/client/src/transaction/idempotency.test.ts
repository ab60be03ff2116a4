import { SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { createSqlEngine } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { Outcomes, outcomeTtlMs } from './idempotency.ts';
import { type Transaction, TransactionRunner } from './run-transaction.ts';
import { setUpTransactions, type TransactionKit } from './transaction.test-kit.ts';

// The grammar is compiled in real time, which clocks moved by hand do not wait for.
beforeAll(async () => {
  const clock = new ManualClock();
  const prng = new SeededPrng(1);
  await createSqlEngine({ database: new MemoryKvDatabase(), clock, prng });
});

interface World {
  readonly kit: TransactionKit;
  /** As many processes as are asked for. */
  runner(name: string): Promise<TransactionRunner>;
}

function setUp(): World {
  const kit = setUpTransactions({ bounds: [] });
  const { clock, prng } = kit;
  return {
    kit,
    runner: async (name) => {
      const { database } = kit.client(name);
      const engine = await kit.run(createSqlEngine({ database, clock, prng }));
      return new TransactionRunner({ database, engine, clock, prng });
    },
  };
}

let runs = 0;
async function increment({ kv }: Transaction): Promise<{ n: number }> {
  runs++;
  const n = Number(Buffer.from((await kv.get('n')) ?? []).toString()) + 1;
  kv.put('n', String(n));
  return { n };
}

const key = { idempotencyKey: 'order 17' };

describe('a transaction under an idempotency key', () => {
  it('happens once, whichever process comes again, and tells all of them the same', async () => {
    const { kit, runner } = setUp();
    const [one, two] = [await runner('one'), await runner('two')];
    runs = 0;
    expect(await kit.run(one.run(increment, key))).toEqual({ n: 1 });
    expect(await kit.run(two.run(increment, key))).toEqual({ n: 1 });
    expect(runs).toBe(1);
    expect(await kit.run(two.run(increment, { idempotencyKey: 'order 18' }))).toEqual({ n: 2 });
    expect(await kit.run(one.run(increment, {}))).toEqual({ n: 3 });
  });

  it.each(['serializable', 'read committed'] as const)(
    'happens once where several come at the same time (%s)',
    async (isolation) => {
      const { kit, runner } = setUp();
      const runners = [await runner('one'), await runner('two'), await runner('three')];
      const results = await kit.run(
        Promise.all(runners.map((each) => each.run(increment, { ...key, isolation }))),
      );
      expect(results).toEqual([{ n: 1 }, { n: 1 }, { n: 1 }]);
    },
  );

  it('is tried again where its function fails, and happens with SQL or not at all', async () => {
    const { kit, runner } = setUp();
    const one = await runner('one');
    const failing = one.run(async (transaction) => {
      await increment(transaction);
      throw new Error('no');
    }, key);
    await expect(kit.run(failing)).rejects.toThrow('no');
    const withSql = one.run(async (transaction) => {
      const { rows } = await transaction.sql<{ one: number }>`SELECT 1 AS one`;
      return { ...(await increment(transaction)), rows };
    }, key);
    const expected = { n: 1, rows: [{ one: 1 }] };
    expect(await kit.run(withSql)).toEqual(expected);
    expect(await kit.run(one.run(increment, key))).toEqual(expected);
  });

  it('whose answers were lost is looked up instead of ending as unknown', async () => {
    const { kit, runner } = setUp();
    const one = await runner('one');
    await kit.run(one.run(increment, {}));
    const startedAt = kit.clock.nowMs();
    kit.cluster.intercept = (storeId, request) => {
      if (!request.write || kit.clock.nowMs() - startedAt > 10_500) return undefined;
      kit.cluster.usualAnswer(storeId, request);
      return 'drop';
    };
    runs = 0;
    expect(await kit.run(one.run(increment, key))).toEqual({ n: 2 });
    expect(runs).toBe(1);
    kit.cluster.intercept = undefined;
    expect(await kit.run(one.run(increment, {}))).toEqual({ n: 3 });
  });

  it('is refused where its key or its result cannot be kept', async () => {
    const { kit, runner } = setUp();
    const one = await runner('one');
    const code = (promise: Promise<unknown>): Promise<unknown> =>
      kit.run(promise).catch((error: { code?: unknown }) => error.code);
    expect(await code(one.run(increment, { idempotencyKey: '' }))).toBe('INVALID_ARGUMENT');
    expect(await code(one.run(async () => 1n, key))).toBe('INVALID_ARGUMENT');
    expect(await code(one.run(async () => 'x'.repeat(70_000), key))).toBe('TOO_LARGE');
    expect(await kit.run(one.run(increment, key))).toEqual({ n: 1 });
  });
});

it('outcomes are forgotten after their time', async () => {
  const clock = new ManualClock();
  const database = new MemoryKvDatabase();
  const outcomes = new Outcomes(database, clock);
  const note = async (name: string): Promise<void> => {
    const transaction = database.begin();
    outcomes.note(transaction, outcomes.keyOf(name), name);
    await transaction.commit();
  };
  for (let i = 0; i < 600; i++) await note(`old ${i}`);
  clock.advance(outcomeTtlMs);
  await note('young');
  expect(await outcomes.sweep()).toBe(0);
  clock.advance(1);
  expect(await outcomes.sweep()).toBe(600);
  expect(database.size).toBe(1);
});
