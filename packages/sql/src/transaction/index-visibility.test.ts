/** A transaction does not read an index that came into being after its snapshot: the rows from before are not in there. */
import { SeededPrng, SystemClock } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine } from '../engine.ts';
import { allRows, createHarness, type Harness, harnessOver } from '../testing/harness.ts';

let one: Harness;
/** Another gateway. */
let two: Harness;

beforeEach(async () => {
  one = await createHarness();
  const engine = await createSqlEngine({
    database: one.database,
    clock: new SystemClock(),
    prng: new SeededPrng(2),
  });
  two = harnessOver(one.database, engine);
  await one.query('create table parent (id int primary key); insert into parent values (1), (2)');
  await one.query(
    'create table t (id int primary key, n int, parent int references parent); create table o (id int)',
  );
  await one.query('insert into t values (1, 10, 1), (2, 20, 2), (3, 10, 2)');
});

/** Another session of the first process: what it asks, the process learns. */
const others = () => harnessOver(one.database, one.engine);

async function plan(harness: Harness, sql: string): Promise<string> {
  const [[first] = []] = await harness.query(`explain (costs off) ${sql}`);
  return String(first);
}

const asked = 'select id from t where n = 10 order by id';
const found = [[1], [3]];

describe.each([
  ['the same', () => others()],
  ['another', () => two],
])('an index that is made by %s process', (_name, maker) => {
  it.each(['serializable', 'repeatable read'])(
    'is not read by a %s block that is older',
    async (level) => {
      await one.query(`begin isolation level ${level}; select * from o`);
      await maker().query('create index by_n on t (n)');
      await others().query('select * from t');
      expect(await one.query(asked)).toEqual(found);
      const [statement] = one.session.parse(asked);
      if (statement === undefined) throw new Error('there is a statement');
      const prepared = await one.session.prepare(statement, []);
      expect(await allRows(await one.session.execute(prepared, []))).toEqual(found);
      expect(await plan(one, asked)).not.toContain('Index');
      await one.query('commit');
      // The same preparation, in a transaction that sees all of it.
      expect(await allRows(await one.session.execute(prepared, []))).toEqual(found);
      expect(await plan(one, asked)).toContain('Index Only Scan using by_n');
    },
  );

  it('is read by the next statement of a block under read committed', async () => {
    await one.query('begin isolation level read committed; select * from o');
    await maker().query('create index by_n on t (n)');
    await others().query('select * from t');
    expect(await one.query(asked)).toEqual(found);
    expect(await one.query(asked)).toEqual(found);
    expect(await plan(one, asked)).toContain('Index Only Scan using by_n');
    await one.query('commit');
  });

  it('is not asked who refers to a row', async () => {
    await one.query('begin isolation level repeatable read; select * from o');
    await maker().query('create index by_parent on t (parent)');
    await others().query('select * from t');
    await expect(one.query('delete from parent where id = 2')).rejects.toMatchObject({
      code: '23503',
    });
    await one.query('rollback');
  });
});

it('an index of the block itself is read, and is complete', async () => {
  await one.query('begin; insert into t values (4, 10, 1); create index by_n on t (n)');
  await one.query('insert into t values (5, 10, 1)');
  expect(await plan(one, asked)).toContain('Index Only Scan using by_n');
  expect(await one.query(asked)).toEqual([[1], [3], [4], [5]]);
  await one.query('rollback');
  expect(await plan(one, asked)).not.toContain('Index');
  expect(await one.query(asked)).toEqual(found);
});

describe('an index that comes into being beside writes', () => {
  const both = async () => {
    const byKey = await one.query('select id, n from t where id > 0 order by id');
    const byIndex = await one.query('select id, n from t where n > -1000 order by id');
    expect(await plan(one, 'select id, n from t where n > 15')).toContain('by_n');
    expect(byIndex).toEqual(byKey);
    return byKey;
  };

  it('fails a block that has written rows without it', async () => {
    await one.query('begin; insert into t values (9, 99, 1)');
    await two.query('create index by_n on t (n)');
    await expect(one.query('commit')).rejects.toMatchObject({ code: '40001' });
    expect(await both()).toEqual([
      [1, 10],
      [2, 20],
      [3, 10],
    ]);
  });

  it('does not make a statement that has committed run again', async () => {
    const { database } = one;
    await one.query('select n from t where id = 1');
    let version: Promise<unknown> | undefined;
    database.onOperation = async (operation) => {
      const isVersion =
        operation.kind === 'get' &&
        operation.keys.some((key) => Buffer.from(key).toString('latin1').endsWith('sql/version'));
      if (!isVersion || version !== undefined) return;
      // The check of the catalog is slow: the update is made, then the index, then the check answers.
      version = new Promise((resolve) => setImmediate(resolve)).then(() =>
        two.query('create index by_n on t (n)'),
      );
      await version;
    };
    await one.query('update t set n = n + 1 where id = 1');
    database.onOperation = undefined;
    expect(version).toBeDefined();
    expect(await both()).toEqual([
      [1, 11],
      [2, 20],
      [3, 10],
    ]);
  });
});
