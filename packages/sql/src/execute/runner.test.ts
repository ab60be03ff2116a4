/** Statements under conflicts, failures, cancellation and a catalog that changes under them. */
import { DbError, SystemClock, type Timer } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine } from '../engine.ts';
import { SqlError } from '../sql-error.ts';
import { allRows, cleared, createHarness, type Harness, harnessOver } from '../testing/harness.ts';
import type { KvOperation } from '../testing/memory-store.ts';

let one: Harness;
let other: Harness;

beforeEach(async () => {
  one = await createHarness({ batchPairs: 100 });
  other = harnessOver(
    one.database,
    await createSqlEngine({ database: one.database, clock: new SystemClock() }),
  );
  await one.query('create table t (id int primary key, n int)');
  await one.query('insert into t select x, 0 from generate_series(1, 500) x');
});

async function failure(running: Promise<unknown>): Promise<SqlError> {
  try {
    await running;
  } catch (error) {
    if (error instanceof SqlError) return error;
    throw error;
  }
  throw new Error('the statement succeeded');
}

/** Runs `action` before the nth operation of a kind; operations of the action itself do not count. */
function before(kind: KvOperation['kind'], nth: number, action: () => Promise<unknown>): void {
  let seen = 0;
  one.database.onOperation = async (operation) => {
    if (operation.kind !== kind || ++seen !== nth) return;
    one.database.onOperation = undefined;
    await action();
  };
}

function failing(kind: KvOperation['kind'], error: () => DbError, times = Infinity): void {
  let left = times;
  one.database.onOperation = (operation) => {
    if (operation.kind === kind && left-- > 0) throw error();
  };
}

describe('conflicts', () => {
  it('runs a statement again when a row changed after it was read', async () => {
    before('commit', 1, () => other.query('update t set n = n + 10 where id = 1'));
    await one.query('update t set n = n + 1 where id = 1');
    expect(await one.query('select n from t where id = 1')).toEqual([[11]]);
  });

  it('loses no update among many at once', async () => {
    const sessions = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? one : other));
    await Promise.all(
      sessions.map(async (harness) => {
        for (let i = 0; i < 5; i++) await harness.query('update t set n = n + 1 where id = 7');
      }),
    );
    expect(await one.query('select n from t where id = 7')).toEqual([[50]]);
  });

  it('gives up with 40001 when it meets conflicts again and again', async () => {
    // Pauses take no time here.
    class HastyClock extends SystemClock {
      override setTimer(_delayMs: number, callback: () => void): Timer {
        return super.setTimer(0, callback);
      }
    }
    const { database } = one;
    one = harnessOver(database, await createSqlEngine({ database, clock: new HastyClock() }));
    failing('commit', () => new DbError('CONFLICT', 'again'));
    const error = await failure(one.query('update t set n = 1 where id = 1'));
    expect(error.code).toBe('40001');
    one.database.onOperation = undefined;
    expect(await one.query('select n from t where id = 1')).toEqual([[0]]);
  });

  it('lets one of two inserts of a key win', async () => {
    const results = await Promise.allSettled([
      one.query('insert into t values (1000, 1)'),
      other.query('insert into t values (1000, 2)'),
    ]);
    expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected']);
    const lost = results.find((result) => result.status === 'rejected');
    expect(lost?.reason).toMatchObject({
      code: '23505',
      fields: { detail: 'Key (id)=(1000) already exists.', table: 't', constraint: 't_pkey' },
    });
  });

  it('moves rows to each other’s keys, and to free ones only', async () => {
    await one.query('create table p (id int primary key, v text)');
    await one.query("insert into p values (1, 'a'), (2, 'b'), (3, 'c')");
    await one.query('update p set id = 4 - id');
    expect(await one.query('select * from p')).toEqual([
      [1, 'c'],
      [2, 'b'],
      [3, 'a'],
    ]);
    const taken = await failure(one.query('update p set id = 3 where id = 1'));
    expect([taken.code, taken.fields.detail]).toEqual(['23505', 'Key (id)=(3) already exists.']);
    const same = await failure(one.query('update p set id = 9'));
    expect([same.code, same.fields.detail]).toEqual(['23505', 'Key (id)=(9) already exists.']);
    expect(await one.query('select count(*) from p')).toEqual([[3n]]);
  });
});

describe('failures of the store', () => {
  it('says that an outcome is unknown, and does not write twice', async () => {
    failing('committed', () => new DbError('OUTCOME_UNKNOWN', 'lost'), 1);
    const error = await failure(one.query('update t set n = n + 1 where id = 1'));
    expect(error.code).toBe('40003');
    expect(await one.query('select n from t where id = 1')).toEqual([[1]]);
    expect(one.database.counts.commit).toBe(4); // ids, create, load, update
  });

  it('writes nothing where the catalog cannot be checked', async () => {
    await one.query('insert into t values (3000, 1)');
    one.database.onOperation = (operation) => {
      if (operation.kind === 'get') throw new DbError('UNAVAILABLE', 'down');
    };
    expect((await failure(one.query('insert into t values (3001, 1)'))).code).toBe('57P03');
    one.database.onOperation = undefined;
    expect(await one.query('select id from t where id = 3001')).toEqual([]);
  });

  it('sends notices once, however often DDL runs', async () => {
    failing('commit', () => new DbError('CONFLICT', 'again'), 3);
    await one.query('drop table if exists nosuch, t');
    expect(one.notices).toHaveLength(1);
  });

  const mapped: readonly (readonly [DbError, string])[] = [
    [new DbError('TIMEOUT', 'slow'), '57014'],
    [new DbError('TIMEOUT', 'slow', { outcome: 'unknown' }), '40003'],
    [new DbError('UNAVAILABLE', 'down'), '57P03'],
    [new DbError('CANCELLED', 'gone'), '57014'],
    [new DbError('TOO_LARGE', 'big'), '54000'],
    [new DbError('NOT_SUPPORTED', 'two ranges'), '0A000'],
    [new DbError('CLOSED', 'bye'), '57P01'],
  ];
  for (const [thrown, code] of mapped)
    it(`${thrown.code} with outcome ${thrown.outcome} is ${code}`, async () => {
      failing('commit', () => thrown);
      expect((await failure(one.query('delete from t where id = 1'))).code).toBe(code);
      one.database.onOperation = undefined;
      expect(await one.query('select count(*) from t where id = 1')).toEqual([[1n]]);
    });

  it('reports a failed read of a scan and of a point', async () => {
    failing('scan', () => new DbError('UNAVAILABLE', 'down'));
    expect((await failure(one.query('select * from t'))).code).toBe('57P03');
    failing('get', () => new DbError('UNAVAILABLE', 'down'));
    expect((await failure(one.query('select * from t where id = 1'))).code).toBe('57P03');
  });

  it('refuses a row that no key or value can hold', async () => {
    await one.query('create table w (k text primary key, v text)');
    const wide = await failure(one.query("insert into w values (repeat('x', 9000), 'v')"));
    expect(wide.code).toBe('54000');
    const long = await failure(one.query("insert into w values ('k', repeat('x', 5000000))"));
    expect(long.code).toBe('54000');
  });
});

describe('a catalog that changes', () => {
  it('sees tables that another gateway makes and drops', async () => {
    expect((await failure(other.query('select * from fresh'))).code).toBe('42P01');
    await one.query('create table fresh (a int)');
    expect(await other.query('select * from fresh')).toEqual([]);
    await one.query('drop table fresh');
    expect((await failure(other.query('select * from fresh'))).code).toBe('42P01');
  });

  it('runs a prepared statement on the table that now has the name', async () => {
    const [statement] = other.session.parse('select n from t where id = $1');
    if (statement === undefined) throw new Error('one statement');
    const prepared = await other.session.prepare(statement, []);
    expect(await allRows(await other.session.execute(prepared, [1]))).toEqual([[0]]);
    await one.query('drop table t; create table t (n int, id int primary key)');
    await one.query('insert into t values (77, 1)');
    expect(await allRows(await other.session.execute(prepared, [1]))).toEqual([[77]]);
    await one.query('drop table t; create table t (n text, id int primary key)');
    const changed = await failure(other.session.execute(prepared, [1]).then(allRows));
    expect([changed.code, changed.message]).toEqual([
      '0A000',
      'cached plan must not change result type',
    ]);
    await one.query('drop table t');
    expect((await failure(other.session.execute(prepared, [1]))).code).toBe('42P01');
  });

  it('writes into the table of now, not into the one it knew', async () => {
    await other.query('insert into t values (2000, 1)');
    await one.query('drop table t; create table t (id int primary key, n int)');
    await other.query('insert into t values (2000, 2)');
    expect(await one.query('select * from t')).toEqual([[2000, 2]]);
  });

  it('does not take a table that is being dropped for an empty one', async () => {
    await other.query('select count(*) from t');
    // The scan of one gateway begins; the other drops the table and deletes its rows; the scan finds nothing more.
    before('scan', 3, () => other.query('drop table t'));
    expect((await failure(one.query('select count(*) from t'))).code).toBe('42P01');
  });

  it('fails a result that has left in part when its table is dropped', async () => {
    const [statement] = one.session.parse('select id from t');
    if (statement === undefined) throw new Error('one statement');
    const prepared = await one.session.prepare(statement, []);
    const result = await one.session.execute(prepared, []);
    const rows = result.rows?.[Symbol.asyncIterator]();
    expect((await rows?.next())?.value).toHaveLength(100);
    await other.query('drop table t');
    const error = await failure(
      (async () => {
        while (!(await rows?.next())?.done);
      })(),
    );
    expect(error.code).toBe('40001');
  });

  it('looks again when a point has no row and the table was dropped meanwhile', async () => {
    await other.query('select n from t where id = 1');
    await new Promise(setImmediate);
    // The key is read first, then the version: the drop falls between the two.
    before('get', 2, () => one.query('drop table t'));
    expect((await failure(other.query('select n from t where id = 1'))).code).toBe('42P01');
  });

  it('lets one of two creators of a name win, wherever they are', async () => {
    const results = await Promise.allSettled(
      [one, other, one, other].map((harness) => harness.query('create table same (a int)')),
    );
    const lost = results.filter((result) => result.status === 'rejected');
    expect(lost).toHaveLength(3);
    for (const { reason } of lost) expect(reason).toMatchObject({ code: '42P07' });
  });

  it('gives every table an id and rows of its own', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `many${i}`);
    await Promise.all(
      names.map((name, i) => (i % 2 === 0 ? one : other).query(`create table ${name} (a int)`)),
    );
    await Promise.all(names.map((name, i) => one.query(`insert into ${name} values (${i})`)));
    for (const [i, name] of names.entries())
      expect(await other.query(`select a from ${name}`)).toEqual([[i]]);
  });

  it('leaves nothing of a dropped table behind', async () => {
    await one.query('create table gone (a int primary key)');
    await one.query('insert into gone select x from generate_series(1, 3000) x');
    const stored = one.database
      .dump()
      .find(({ value }) => Buffer.from(value).includes('"name":"gone"'));
    const size = one.database.size;
    await one.query('drop table gone');
    await cleared(one);
    expect(one.database.size).toBe(size - 3001);
    expect(stored).toBeDefined();
    expect(one.database.read(stored?.key ?? new Uint8Array()).value).toBeUndefined();
  });

  it('empties a table by a new one in its place', async () => {
    await other.query('select count(*) from t');
    await one.query('truncate t');
    expect(await other.query('select count(*) from t')).toEqual([[0n]]);
    await other.query('insert into t values (1, 1)');
    expect(await one.query('select * from t')).toEqual([[1, 1]]);
  });
});

describe('cancellation and limits', () => {
  it('stops between batches', async () => {
    const controller = new AbortController();
    before('scan', 2, async () => controller.abort());
    const running = one.query('select sum(n) from t', [], { signal: controller.signal });
    const error = await failure(running);
    expect([error.code, error.message]).toEqual([
      '57014',
      'canceling statement due to user request',
    ]);
  });

  it('does not wait for a read that hangs', async () => {
    const controller = new AbortController();
    one.database.onOperation = (operation) =>
      operation.kind === 'get' ? new Promise<void>(() => undefined) : undefined;
    const running = one.query('select n from t where id = 1', [], { signal: controller.signal });
    await new Promise(setImmediate);
    controller.abort();
    expect((await failure(running)).code).toBe('57014');
  });

  it('ends a statement at its timeout', async () => {
    await one.query('set statement_timeout = 20');
    const error = await failure(one.query('select count(*) from generate_series(1, 1000000000) x'));
    expect([error.code, error.message]).toEqual([
      '57014',
      'canceling statement due to statement timeout',
    ]);
  });

  it('bounds what sorting, grouping and distinct rows hold', async () => {
    for (const sql of [
      "select x || repeat('x', 20000) from generate_series(1, 5000) x order by 1",
      "select distinct x || repeat('x', 20000) from generate_series(1, 5000) x",
      "select x || repeat('x', 20000), count(*) from generate_series(1, 5000) x group by 1",
    ])
      expect((await failure(one.query(sql))).code).toBe('53200');
    const top =
      "select x || repeat('x', 20000) as s from generate_series(1, 5000) x order by 1 limit 2";
    expect(await one.query(top)).toHaveLength(2);
  });

  it('lets others run while it works', async () => {
    // A clock on which every look takes a millisecond: operators that never look never rest.
    class CountingClock extends SystemClock {
      rests = 0;
      private now = 0;

      override nowMs(): number {
        return ++this.now;
      }

      override afterTurn(callback: () => void): void {
        this.rests++;
        super.afterTurn(callback);
      }
    }
    const clock = new CountingClock();
    const busy = await createHarness({ clock });
    const rests = async (sql: string): Promise<number> => {
      const before = clock.rests;
      await busy.query(sql);
      return clock.rests - before;
    };
    const series = 'from generate_series(1, 4000) x';
    expect(await rests(`select count(*) ${series}`)).toBeGreaterThan(0);
    expect(await rests(`select x ${series} where x % 7 = 3`)).toBeGreaterThan(0);
    expect(await rests(`select x % 2000 ${series} group by 1`)).toBeGreaterThan(0);
    expect(await rests(`select distinct x % 2000 ${series}`)).toBeGreaterThan(0);
    expect(await rests(`select x ${series} order by -x`)).toBeGreaterThan(0);
    await busy.query('create table b (id int primary key)');
    expect(await rests(`insert into b select x ${series}`)).toBeGreaterThan(0);
    expect(await rests('update b set id = id')).toBeGreaterThan(0);
    expect(await rests('delete from b')).toBeGreaterThan(0);
  });

  it('refuses texts beyond its limits', async () => {
    expect((await failure(one.query(`select ${'not '.repeat(3_000)}true`))).code).toBe('54001');
    expect((await failure(one.query(`select 1${' + 1'.repeat(3_000)}`))).code).toBe('54001');
    expect((await failure(one.query(`select 1${' + 1'.repeat(100_000)}`))).code).toBe('54001');
    expect((await failure(one.query('select 1\0'))).code).toBe('22021');
    expect((await failure(one.query(`select '${'x'.repeat(17 * 1024 * 1024)}'`))).code).toBe(
      '54001',
    );
    expect(await one.query('select 1')).toEqual([[1]]);
  });
});
