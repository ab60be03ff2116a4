/** Materialized views beside other sessions: what a refresh shows them, what it is in conflict with, and what it leaves behind. */
import { SeededPrng, SystemClock } from '@flotilla/base';
import { MemoryDisk } from '@flotilla/base/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine, type SqlEngine, type SqlEngineOptions } from '../engine.ts';
import { loadingSpan } from '../loading/loading-rows.ts';
import { SqlError } from '../sql-error.ts';
import { cleared, type Harness, harnessOver } from '../testing/harness.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';

let database: MemoryKvDatabase;
let engines: SqlEngine[];
let one: Harness;
let other: Harness;

async function open(options: Partial<SqlEngineOptions> = {}): Promise<Harness> {
  const prng = new SeededPrng(1 + engines.length);
  const engine = await createSqlEngine({ database, clock: new SystemClock(), prng, ...options });
  engines.push(engine);
  return harnessOver(database, engine);
}

beforeEach(async () => {
  database = new MemoryKvDatabase();
  engines = [];
  one = await open();
  other = harnessOver(database, one.engine);
  await one.query('create table t (id int primary key, v int)');
  await one.query('insert into t select i, i % 10 from generate_series(1, 100) i');
  await one.query('create materialized view m as select v, count(*) as n from t group by v');
});

afterEach(async () => {
  database.onOperation = undefined;
  for (const engine of engines) await engine.close();
});

async function errorOf(work: Promise<unknown>): Promise<SqlError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SqlError);
  return error as SqlError;
}

/** Runs the work once, when the refresh has written its rows and not yet committed them. */
function amidRefresh(work: () => Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    database.onOperation = async ({ kind }) => {
      if (kind !== 'flush') return;
      database.onOperation = undefined;
      await work().then(() => resolve(), reject);
    };
  });
}

const total = 'select sum(n) from m';

describe.each(['', 'concurrently '])('refresh materialized view %s', (how) => {
  beforeEach(() => one.query('create unique index m_v on m (v)'));

  it('shows others the rows of before until it commits', async () => {
    await one.query('insert into t values (101, 1); begin');
    await one.query(`refresh materialized view ${how}m`);
    expect(await other.query(total)).toEqual([['100']]);
    expect(await one.query(total)).toEqual([['101']]);
    await one.query('commit');
    expect(await other.query(total)).toEqual([['101']]);
  });

  it('leaves the rows of before where it rolls back or fails', async () => {
    const before = database.size;
    await one.query(`begin; refresh materialized view ${how}m; rollback`);
    await one.query('create table z (a int)');
    await one.query('create materialized view q as select 1 / a as q from z');
    await one.query('create unique index on q (q); insert into z values (1), (0)');
    const size = database.size;
    expect((await errorOf(one.query(`refresh materialized view ${how}q`))).code).toBe('22012');
    expect(await one.query('select * from q')).toEqual([]);
    await one.query('drop table z cascade');
    await cleared(one);
    await one.engine.close();
    expect(size).toBeGreaterThan(before);
    expect(database.size).toBe(before);
  });

  it('takes the storage of before away, and leaves no note of its own', async () => {
    await one.query(`refresh materialized view ${how}m`);
    await cleared(one);
    const before = database.size;
    await one.query(`refresh materialized view ${how}m; refresh materialized view ${how}m`);
    await cleared(one);
    expect(database.size).toBe(before);
    expect(database.range(loadingSpan, Number.MAX_SAFE_INTEGER, 10, false)).toEqual([]);
  });

  it('is in conflict with no write of others meanwhile', async () => {
    const written = amidRefresh(() =>
      other.query('update t set v = 3; insert into t values (0, 0)'),
    );
    const commits = database.counts.flush;
    await one.query(`refresh materialized view ${how}m`);
    await written;
    expect(database.counts.flush - commits).toBeLessThan(3);
    expect(await one.query('select v, n from m where v < 4 order by v')).toEqual([
      [0, 10n],
      [1, 10n],
      [2, 10n],
      [3, 10n],
    ]);
  });

  it('is in conflict with no change of tables that it does not read', async () => {
    const changed = amidRefresh(() =>
      other.query('create table u (a int); insert into u values (1)'),
    );
    await one.query('insert into t values (101, 1)');
    const flushes = database.counts.flush;
    await one.query(`refresh materialized view ${how}m`);
    await changed;
    // It was made once: the second flush is that of the commit.
    expect(database.counts.flush - flushes).toBe(2);
    expect(await other.query(`select a, (${total}) from u`)).toEqual([[1, '101']]);
  });

  it('is made anew where a table that it reads was changed meanwhile', async () => {
    const changed = amidRefresh(() => other.query('truncate t; insert into t values (1, 1)'));
    await one.query(`refresh materialized view ${how}m`);
    await changed;
    expect(await one.query('select v, n from m')).toEqual([[1, 1n]]);
  });

  it('is made anew, as the view is by then, where that was changed meanwhile', async () => {
    const changed = amidRefresh(() => other.query('create index m_n on m (n)'));
    await one.query(`refresh materialized view ${how}m`);
    await changed;
    expect(await one.query('select v from m where n = 10 order by v limit 1')).toEqual([[0]]);
    expect(await one.query('explain (costs off) select v from m where n = 10')).toEqual([
      ['Index Scan using m_n on m'],
      ['  Index Cond: (n = 10)'],
    ]);
  });

  it('of a view that was dropped meanwhile says that there is none', async () => {
    const dropped = amidRefresh(() => other.query('drop materialized view m'));
    expect((await errorOf(one.query(`refresh materialized view ${how}m`))).code).toBe('42P01');
    await dropped;
    await one.engine.close();
    expect(database.range(loadingSpan, Number.MAX_SAFE_INTEGER, 10, false)).toEqual([]);
  });

  it('never shows half of its rows to a snapshot from before', async () => {
    await one.query('create table u (a int)');
    await other.query('begin isolation level serializable; select * from u');
    await one.query(`refresh materialized view ${how}m`);
    // The snapshot moves: what it has read is as it was.
    expect(await other.query(total)).toEqual([['100']]);
    await other.query('commit');
    expect((await errorOf(one.query(`${total} as of system time '-1s'`))).code).toBe('72000');
  });
});

describe('materialized views', () => {
  it('may be larger than a transaction, and fill their indexes', async () => {
    const small = await open({ loadFlushBytes: 1 });
    await small.query(
      'create materialized view big as select i, i % 7 as r from generate_series(1, 3000) i',
    );
    await small.query('create unique index on big (i); create index on big (r)');
    const before = database.counts.flush;
    await small.query('refresh materialized view big');
    expect(database.counts.flush - before).toBeGreaterThan(2);
    expect(await small.query('select count(*) from big where r = 3')).toEqual([[429n]]);
    expect(await small.query('select r from big where i = 2999')).toEqual([[3]]);
  });

  it('find duplicates of rows that have left memory', async () => {
    const small = await open({ loadFlushBytes: 1 });
    await small.query('create table d (i int); insert into d select generate_series(1, 2000)');
    await small.query('create materialized view dm as select i from d order by i');
    await small.query('create unique index dm_i on dm (i); insert into d values (1)');
    await small.query('update d set i = 2000 where i = 1999');
    const plain = await errorOf(small.query('refresh materialized view dm'));
    expect([plain.code, plain.message]).toEqual(['23505', 'could not create unique index "dm_i"']);
    const concurrent = await errorOf(small.query('refresh materialized view concurrently dm'));
    expect(['23505', '21000']).toContain(concurrent.code);
    expect(await small.query('select count(*) from dm')).toEqual([[2000n]]);
  });

  it('put elsewhere what memory has no room for', async () => {
    const spill = { disk: new MemoryDisk(), directory: 's', prefix: 'r-', chunkBytes: 256 };
    const poor = await open({ spill, spillAtBytes: 8192 });
    let opened = 0;
    const { open: openFile } = spill.disk;
    spill.disk.open = (...args) => {
      opened++;
      return openFile.apply(spill.disk, args);
    };
    await poor.query(
      'create table w as select i, md5(i::text) as h from generate_series(1, 2000) i',
    );
    await poor.query('create materialized view sorted as select i from w order by h');
    expect(opened).toBeGreaterThan(0);
    expect(await poor.query('select count(*), sum(i) from sorted')).toEqual([[2000n, 2001000n]]);
  });

  it('are read by what is known of their tables, as any query', async () => {
    await one.query('create index t_v on t (v)');
    await one.query('insert into t select i, 50 from generate_series(1000, 3000) i; analyze t');
    await one.query('create materialized view few as select id from t where v = 2 + 1');
    const read = amidRefresh(() => Promise.resolve());
    const before = database.evaluated.parts + database.counts.scan;
    await one.query('refresh materialized view few');
    await read;
    const scans = database.evaluated.parts + database.counts.scan - before;
    expect(await one.query('select count(*) from few')).toEqual([[10n]]);
    // The whole table would be some dozens of batches.
    expect(scans).toBeLessThan(10);
  });

  it('are what they were to a process that comes later', async () => {
    await one.query('create materialized view e (a, b) as select id, v from t with no data');
    await one.query('alter materialized view m rename column n to many');
    const later = await open();
    expect((await errorOf(later.query('select * from e'))).message).toBe(
      'materialized view "e" has not been populated',
    );
    await later.query('refresh materialized view e; refresh materialized view m');
    expect(await later.query('select sum(many) from m')).toEqual([['100']]);
    expect(await one.query('select count(b) from e')).toEqual([[100n]]);
    expect((await errorOf(later.query('insert into e values (1)'))).code).toBe('42809');
  });

  it('cannot have parameters', async () => {
    const [statement] = one.session.parse('create materialized view p as select $1::int as a');
    if (statement === undefined) throw new RangeError('it is a statement');
    const run = async () => {
      const prepared = await one.session.prepare(statement, [23]);
      await one.session.execute(prepared, [1]);
    };
    expect((await errorOf(run())).message).toBe(
      'materialized views may not be defined using bound parameters',
    );
  });

  it('tell how to be refreshed', async () => {
    await one.query('create materialized view e as select 1 as a with no data');
    const unread = await errorOf(one.query('select * from e'));
    expect(unread.fields.hint).toBe('Use the REFRESH MATERIALIZED VIEW command.');
    const concurrent = await errorOf(one.query('refresh materialized view concurrently m'));
    expect(concurrent.fields.hint).toBe(
      'Create a unique index with no WHERE clause on one or more columns of the materialized view.',
    );
    const dropped = await errorOf(one.query('drop table m'));
    expect(dropped.fields.hint).toBe('Use DROP MATERIALIZED VIEW to remove a materialized view.');
    const copied = await errorOf(one.query('drop materialized view t'));
    expect(copied.fields.hint).toBe('Use DROP TABLE to remove a table.');
  });

  it('of a block that reads one are another one after a refresh', async () => {
    await other.query(`begin; ${total}`);
    await one.query('refresh materialized view m');
    expect((await errorOf(other.query(total))).code).toBe('40001');
    await other.query('rollback');
  });
});
