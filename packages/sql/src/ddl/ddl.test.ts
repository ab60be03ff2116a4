/** DDL as part of transactions, beside other sessions, and under conflicts. */
import { DbError } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import { createHarness, type Harness, harnessOver } from '../testing/harness.ts';

let one: Harness;
let other: Harness;

beforeEach(async () => {
  one = await createHarness();
  other = harnessOver(one.database, one.engine);
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof Error && 'code' in error ? String(error.code) : 'none';
}

describe('DDL in a transaction block', () => {
  it('is seen by the block alone till it commits', async () => {
    await one.query('begin');
    await one.query('create table t (id serial primary key, n int unique)');
    await one.query('insert into t (n) values (1), (2)');
    expect(await one.query('select id, n from t order by id')).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(await codeOf(other.query('select * from t'))).toBe('42P01');
    await one.query('commit');
    expect(await other.query('select count(*) from t')).toEqual([[2n]]);
    expect(await codeOf(other.query('insert into t (n) values (1)'))).toBe('23505');
  });

  it('goes with the block', async () => {
    await one.query('create table t (a int)');
    await one.query('insert into t values (1)');
    await one.query('begin');
    await one.query('alter table t add column b int default 5, add primary key (a)');
    expect(await one.query('select a, b from t')).toEqual([[1, 5]]);
    await one.query('rollback');
    expect(await codeOf(one.query('select b from t'))).toBe('42703');
    await one.query('insert into t values (1)');
    expect(await one.query('select a from t')).toEqual([[1], [1]]);
  });

  it('goes back to a savepoint', async () => {
    await one.query('begin');
    await one.query('create table kept (a int)');
    await one.query('savepoint s');
    await one.query('create table gone (a int)');
    await one.query('rollback to s');
    await one.query('insert into kept values (1)');
    await one.query('commit');
    expect(await one.query('select a from kept')).toEqual([[1]]);
    expect(await codeOf(one.query('select * from gone'))).toBe('42P01');
  });

  it('does not keep a prepared statement on what was rolled back', async () => {
    await one.query('create table t (a int)');
    await one.query('begin');
    await one.query('alter table t add column b int');
    const [statement] = one.session.parse('select * from t');
    if (statement === undefined) throw new Error('one statement');
    const prepared = await one.session.prepare(statement, []);
    expect(prepared.columns).toHaveLength(2);
    await one.query('rollback');
    expect(await codeOf(one.session.execute(prepared, []))).toBe('0A000');
  });

  it('empties and fills tables in one transaction, as pgbench does', async () => {
    await one.query('create table a (x int not null) with (fillfactor = 100)');
    await one.query('create table b (y int)');
    await one.query('insert into a values (9)');
    await one.query('begin');
    await one.query('truncate table a, b');
    await one.query('insert into a select g from generate_series(1, 500) g');
    await one.query('commit');
    await one.query('vacuum analyze a');
    await one.query('alter table a add primary key (x)');
    expect(await one.query('select count(*), min(x), max(x) from a')).toEqual([[500n, 1, 500]]);
    expect(await codeOf(one.query('insert into a values (1)'))).toBe('23505');
  });
});

describe('DDL beside other sessions', () => {
  it('runs again where another change of the catalog came first', async () => {
    let interfered = false;
    one.database.onOperation = async (operation) => {
      if (operation.kind !== 'commit' || interfered) return;
      if (!operation.keys.some((key) => Buffer.from(key).includes('sql/version'))) return;
      interfered = true;
      throw new DbError('CONFLICT', 'another was first');
    };
    await one.query('create table t (a int)');
    one.database.onOperation = undefined;
    expect(interfered).toBe(true);
    expect(await other.query('select * from t')).toEqual([]);
  });

  it('fails a block whose table was changed between its statements', async () => {
    await one.query('create table t (a int)');
    await one.query('begin');
    await one.query('insert into t values (1)');
    await other.query('create index on t (a)');
    expect(await codeOf(one.query('insert into t values (2)'))).toBe('40001');
    await one.query('rollback');
  });

  it('hands out each value of a sequence once', async () => {
    await one.query('create sequence s');
    const taken = await Promise.all(
      Array.from({ length: 40 }, (_one, i) => (i % 2 === 0 ? one : other)).map((session) =>
        session.query("select nextval('s')"),
      ),
    );
    const values = taken.map(([row]) => Number(row?.[0]));
    expect([...values].sort((a, b) => a - b)).toEqual(values.map((_value, i) => i + 1));
  });

  it('does not take values of a sequence for a row that is evaluated again', async () => {
    await one.query('create table t (a serial, b serial, c int)');
    await one.query('insert into t (c) select g from generate_series(1, 70) g');
    expect(await one.query('select count(*) from t where a = b and a = c')).toEqual([[70n]]);
  });
});
