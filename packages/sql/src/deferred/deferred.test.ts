/** Deferred constraints beside other sessions: whatever the isolation, what was checked is so when the transaction has committed. */
import { compareBytes } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import { SqlError } from '../sql-error.ts';
import { createHarness, type Harness, harnessOver } from '../testing/harness.ts';

let one: Harness;
let two: Harness;

const levels = ['serializable', 'repeatable read', 'read committed'] as const;

beforeEach(async () => {
  one = await createHarness();
  two = harnessOver(one.database, one.engine);
  await one.query(`create table p (id int primary key, u int unique);
    create table c (id int primary key, pid int references p deferrable initially deferred);
    create table i (id int primary key, pid int references p);
    create table a (id int primary key, pid int references p on delete cascade);
    create table w (id int primary key, n int unique deferrable initially deferred);
    insert into p values (1, 10), (2, 20)`);
});

/** The SQLSTATE, or what the statement returned. */
async function outcome(running: Promise<unknown>): Promise<unknown> {
  try {
    return await running;
  } catch (error) {
    if (error instanceof SqlError) return error.code;
    throw error;
  }
}

/**
 * Runs something in the midst of a statement, before the first operation of this kind: to its end, or to where it waits for
 * a lock of the statement's.
 */
function inTheMidst(kind: 'get' | 'commit', action: () => Promise<unknown>): Promise<unknown> {
  return new Promise((resolve) => {
    one.database.onOperation = async (operation) => {
      if (operation.kind !== kind) return;
      one.database.onOperation = undefined;
      const running = outcome(action());
      resolve(running);
      let ended = false;
      void running.then(() => {
        ended = true;
      });
      for (let turn = 0; turn < 50 && !ended; turn++) await new Promise(setImmediate);
    };
  });
}

/** Rows that refer to nothing, in any of the tables. */
async function orphans(): Promise<unknown> {
  return one.query(`select id from (select * from c union all select * from i union all select * from a) x
    where pid is not null and not exists (select 1 from p where p.id = x.pid)`);
}

describe.each(levels)('%s', (level) => {
  const begin = `begin isolation level ${level}`;

  it('a value that both insert is one row', async () => {
    await one.query(`${begin}; insert into w values (1, 7)`);
    await two.query(`${begin}; insert into w values (2, 7)`);
    await one.query('commit');
    expect(['23505', '40001']).toContain(await outcome(two.query('commit')));
    expect(await one.query('select id from w where n = 7')).toEqual([[1]]);
  });

  it('of two commits at once that make the same value one fails', async () => {
    await one.query(`${begin}; insert into w values (1, 7)`);
    await two.query(`${begin}; insert into w values (2, 7)`);
    const ends = await Promise.all([outcome(one.query('commit')), outcome(two.query('commit'))]);
    expect(ends.filter((end) => typeof end === 'string')).toHaveLength(1);
    expect(await one.query('select n from w')).toEqual([[7]]);
  });

  it('a value that was taken after the snapshot is found', async () => {
    await one.query(`${begin}; select * from w; insert into w values (1, 7)`);
    await two.query('insert into w values (2, 7)');
    expect(['23505', '40001']).toContain(await outcome(one.query('commit')));
    expect(await one.query('select id from w where n = 7')).toEqual([[2]]);
  });

  it('a value changes hands in one transaction and is not taken by another', async () => {
    await one.query('insert into w values (1, 7), (2, 8)');
    await one.query(`${begin}; update w set n = 8 where id = 1; update w set n = 7 where id = 2`);
    const other = outcome(two.query('insert into w values (3, 7)'));
    await one.query('commit');
    expect(await other).toBe('23505');
    expect(await one.query('select id from w where n = 7')).toEqual([[2]]);
    expect(await one.query('select id from w where n = 8')).toEqual([[1]]);
  });

  it('a reference does not outlive what another session took away before the commit', async () => {
    await one.query(`${begin}; insert into c values (1, 1)`);
    await two.query('delete from p where id = 1');
    expect(['23503', '40001']).toContain(await outcome(one.query('commit')));
    expect(await orphans()).toEqual([]);
  });

  it('a row that others have come to refer to since the snapshot is not taken away', async () => {
    await one.query(`${begin}; select count(*) from p`);
    await two.query('insert into c values (1, 1)');
    const deleted = await outcome(one.query('delete from p where id = 1'));
    const end = typeof deleted === 'string' ? deleted : await outcome(one.query('commit'));
    expect(['23503', '40001']).toContain(end);
    if (deleted === end) await one.query('rollback');
    expect(await orphans()).toEqual([]);
  });

  it('nor where the reference is not deferred', async () => {
    await one.query(`${begin}; select count(*) from p`);
    await two.query('insert into i values (1, 1)');
    const deleted = await outcome(one.query('delete from p where id = 1'));
    const end = typeof deleted === 'string' ? deleted : await outcome(one.query('commit'));
    expect(['23503', '40001']).toContain(end);
    if (deleted === end) await one.query('rollback');
    expect(await orphans()).toEqual([]);
  });

  it('and what cascades reaches the row that has come', async () => {
    await one.query(`${begin}; select count(*) from p`);
    await two.query('insert into a values (1, 1)');
    const deleted = await outcome(one.query('delete from p where id = 1'));
    const end = typeof deleted === 'string' ? deleted : await outcome(one.query('commit'));
    if (level === 'read committed') expect(end).not.toBeTypeOf('string');
    else if (typeof end === 'string') expect(end).toBe('40001');
    if (deleted === end) await one.query('rollback');
    expect(await orphans()).toEqual([]);
  });

  it.each(['c', 'i', 'a'])(
    'a reference from %s that comes in the midst of a delete',
    async (child) => {
      await one.query(`${begin}`);
      // The rows have been found, by a scan, and are not locked yet.
      const other = inTheMidst('get', () => two.query(`insert into ${child} values (1, 1)`));
      const deleted = await outcome(one.query('delete from p where u + 0 = 10'));
      const end = typeof deleted === 'string' ? deleted : await outcome(one.query('commit'));
      if (deleted === end) await one.query('rollback');
      if (typeof (await other) !== 'string' && child !== 'a')
        expect(['23503', '40001']).toContain(end);
      expect(await orphans()).toEqual([]);
    },
  );

  it.each(['c', 'i', 'a'])(
    'a reference from %s that comes before a delete by itself commits',
    async (child) => {
      await one.query(`set default_transaction_isolation = '${level}'`);
      const other = inTheMidst('commit', () => two.query(`insert into ${child} values (1, 1)`));
      const end = await outcome(one.query('delete from p where u + 0 = 10'));
      if (typeof (await other) !== 'string' && child !== 'a')
        expect(['23503', '40001']).toContain(end);
      expect(await orphans()).toEqual([]);
    },
  );
});

it('a table that is changed by another session before the checks fails the commit', async () => {
  await one.query('begin isolation level read committed; insert into c values (1, 1)');
  await two.query('alter table p add y int');
  await two.query('alter table c drop constraint c_pid_fkey');
  expect(await outcome(one.query('commit'))).toBe('40001');
});

it('an index that is behind is not read, and is read again once it is not', async () => {
  const plan = async () =>
    String(await one.query('explain (costs off) select id from w where n = 7'));
  await one.query('insert into w values (1, 7)');
  await one.query('begin; insert into w values (2, 7)');
  expect(await plan()).not.toContain('Index');
  expect(await one.query('select id from w where n = 7 order by id')).toEqual([[1], [2]]);
  await one.query('delete from w where id = 1; set constraints all immediate');
  expect(await plan()).toContain('Index');
  expect(await one.query('select id from w where n = 7')).toEqual([[2]]);
  await one.query('commit');
  expect(await one.query('select id from w where n = 7')).toEqual([[2]]);
});

it('what is deferred leaves the same keys as what is not', async () => {
  await two.query('create table v (id int primary key, n int unique)');
  const keys = () => {
    const dump = one.database.dump();
    return dump.map(({ key }) => key).sort(compareBytes).length;
  };
  const before = keys();
  await one.query('insert into v values (1, 1), (2, 2); update v set n = 3 where id = 1');
  const made = keys() - before;
  await one.query('begin; insert into w values (1, 2); insert into w values (2, 2)');
  await one.query('update w set n = 3 where id = 1; commit');
  expect(keys() - before).toBe(2 * made);
});

it('a savepoint that is released keeps what was put off in it', async () => {
  await one.query('begin; savepoint s; insert into c values (1, 9); release s');
  expect(await outcome(one.query('commit'))).toBe('23503');
  expect(one.session.transactionStatus).toBe('idle');
});
