/** Sessions beside each other: isolation levels, locks, conflicts and who runs again. */
import { DbError } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import type { SqlSession } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { allRows, createHarness, type Harness, harnessOver } from '../testing/harness.ts';

let one: Harness;
let two: Harness;

beforeEach(async () => {
  one = await createHarness({ batchPairs: 2 });
  two = harnessOver(one.database, one.engine);
  await one.query('create table t (id int primary key, n int)');
  await one.query('insert into t values (1, 10), (2, 20), (3, 30)');
});

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof SqlError ? error.code : `no SqlError: ${String(error)}`;
}

/** Runs other work until nothing of it is left to do but wait. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const note = () => {
    done = true;
  };
  promise.then(note, note);
  await settle();
  return !done;
}

const row = (harness: Harness, id: number) => harness.query('select n from t where id = $1', [id]);
const commits = () => one.database.counts.commit;

describe('what a transaction sees', () => {
  it.each([
    ['read committed', [[11]]],
    ['read uncommitted', [[11]]],
    ['repeatable read', [[10]]],
    ['serializable', [[10]]],
  ])('%s', async (level, then) => {
    await one.query(`begin isolation level ${level}`);
    expect(await row(one, 1)).toEqual([[10]]);
    await two.query('update t set n = 11 where id = 1');
    expect(await row(one, 1)).toEqual(then);
    await one.query('commit');
  });

  it('nothing of what others have not committed, and all of its own', async () => {
    await one.query('begin');
    await one.query('update t set n = 0');
    await one.query('insert into t values (4, 40)');
    expect(await two.query('select sum(n) from t')).toEqual([[60n]]);
    expect(await one.query('select sum(n) from t')).toEqual([[40n]]);
    await one.query('rollback');
    expect(await one.query('select sum(n) from t')).toEqual([[60n]]);
  });

  it('rows of a half-read portal as they were, whatever is done before the rest is read', async () => {
    await one.query('begin');
    const select = await one.session.prepare(
      first(one.session, 'select id from t order by id'),
      [],
    );
    const result = await one.session.execute(select, []);
    const rows = result.rows?.[Symbol.asyncIterator]();
    const batch = await rows?.next();
    await one.query('delete from t');
    const ids = [...(batch?.value ?? [])];
    for (let next = await rows?.next(); next?.done === false; next = await rows?.next())
      ids.push(...next.value);
    expect(ids).toEqual([[1], [2], [3]]);
    expect(result.commandTag()).toBe('SELECT 3');
    await one.query('commit');
  });
});

function first(session: SqlSession, text: string) {
  const [statement] = session.parse(text);
  if (statement === undefined) throw new Error('a statement');
  return statement;
}

describe('read committed', () => {
  beforeEach(async () => {
    for (const harness of [one, two])
      await harness.query("set default_transaction_isolation = 'read committed'");
  });

  it('waits for whoever changes the row, then goes on with what it has become', async () => {
    await one.query('begin');
    await one.query('update t set n = n + 1 where id = 1');
    await two.query('begin');
    const waiting = two.query('update t set n = n + 1 where id = 1 returning n');
    expect(await isPending(waiting)).toBe(true);
    await one.query('commit');
    expect(await waiting).toEqual([[12]]);
    await two.query('commit');
    expect(await row(one, 1)).toEqual([[12]]);
  });

  it('judges its predicate by the newest row', async () => {
    await one.query('begin');
    await one.query('update t set n = 0 where id = 2');
    await two.query('begin');
    const waiting = two.query('update t set n = n + 100 where n >= 20 returning id');
    expect(await isPending(waiting)).toBe(true);
    await one.query('commit');
    expect(await waiting).toEqual([[3]]);
    await two.query('commit');
  });

  it('does not fail for rows that it has only read', async () => {
    await one.query('begin');
    await one.query('select sum(n) from t');
    await two.query('update t set n = 0 where id = 2');
    await one.query('update t set n = 0 where id = 1');
    await one.query('commit');
  });

  it('a savepoint and its writes survive a statement that is run again', async () => {
    await two.query('begin');
    await two.query('insert into t values (5, 50)');
    await two.query('savepoint a');
    await one.query('begin');
    await one.query('update t set n = n + 1 where id = 1');
    const waiting = two.query('update t set n = n + 1 where n < 20');
    expect(await isPending(waiting)).toBe(true);
    await one.query('commit');
    await waiting;
    await two.query('release a');
    await two.query('commit');
    expect(await one.query('select * from t where id in (1, 5)')).toEqual([
      [1, 12],
      [5, 50],
    ]);
  });
});

describe('serializable', () => {
  it('of two that each write what the other has read, one fails at its commit, once', async () => {
    for (const harness of [one, two]) {
      await harness.query('begin');
      await harness.query('select sum(n) from t');
    }
    await one.query('update t set n = 0 where id = 1');
    await two.query('update t set n = 0 where id = 2');
    await one.query('commit');
    const before = commits();
    expect(await codeOf(two.query('commit'))).toBe('40001');
    expect(commits()).toBe(before + 1);
    expect(two.session.transactionStatus).toBe('idle');
    expect(await one.query('select n from t order by id')).toEqual([[0], [20], [30]]);
  });

  it('repeatable read lets those two through, and no lost update', async () => {
    for (const harness of [one, two]) {
      await harness.query('begin isolation level repeatable read');
      await harness.query('select sum(n) from t');
    }
    await one.query('update t set n = 0 where id = 1');
    await two.query('update t set n = 0 where id = 2');
    await one.query('commit');
    expect(await codeOf(two.query('update t set n = n + 1 where id = 1'))).toBe('40001');
    expect(two.session.transactionStatus).toBe('failed');
    await two.query('rollback');
  });

  it('a row that came into a span that was read is a conflict', async () => {
    await one.query('begin');
    await one.query('insert into t select 100, count(*) from t where id < 50');
    await two.query('insert into t values (4, 40)');
    expect(await codeOf(one.query('commit'))).toBe('40001');
  });

  it('the first statement of a block is run again, later ones are not', async () => {
    await one.query('begin');
    await one.query('update t set n = n + 1 where id = 1');
    await two.query('begin');
    const waiting = two.query('update t set n = n + 1 where n < 20 returning n');
    expect(await isPending(waiting)).toBe(true);
    await one.query('commit');
    expect(await waiting).toEqual([[12]]);
    await one.query('begin');
    await one.query('update t set n = n + 1 where id = 2');
    const failing = codeOf(two.query('update t set n = n + 1 where n = 20'));
    await settle();
    await one.query('commit');
    expect(await failing).toBe('40001');
    await two.query('rollback');
  });

  it('after a conflict a savepoint does not save the transaction', async () => {
    await one.query('begin');
    await one.query('select sum(n) from t');
    await one.query('savepoint a');
    await two.query('update t set n = 0 where id = 1');
    expect(await codeOf(one.query('update t set n = n + 1 where id = 1'))).toBe('40001');
    await one.query('rollback to a');
    expect(await codeOf(one.query('select 1 from t'))).toBe('40001');
    await one.query('rollback to a');
    expect(await codeOf(one.query('commit'))).toBe('40001');
    expect(one.session.transactionStatus).toBe('idle');
  });
});

describe('statements by themselves', () => {
  it('that change one row at once all succeed, and wait for each other from the second run on', async () => {
    const harnesses = Array.from({ length: 40 }, () => harnessOver(one.database, one.engine));
    await Promise.all(
      harnesses.map((harness) => harness.query('update t set n = n + 1 where id = 1')),
    );
    expect(await row(one, 1)).toEqual([[50]]);
    expect(commits()).toBeLessThan(3 * harnesses.length);
  });

  it('cost one read and one commit', async () => {
    const { get, scan, commit } = { ...one.database.counts };
    await one.query('update t set n = n + 1 where id = 1');
    const { counts } = one.database;
    // The other read is the catalog's version.
    expect([counts.get - get, counts.scan - scan, counts.commit - commit]).toEqual([2, 0, 1]);
  });

  it('wait for a row that is locked', async () => {
    await one.query('begin');
    await one.query('select * from t where id = 1 for update');
    const waiting = two.query('update t set n = 0 where id = 1');
    expect(await isPending(waiting)).toBe(true);
    await one.query('rollback');
    await waiting;
    expect(await row(one, 1)).toEqual([[0]]);
  });
});

describe('locks', () => {
  it('FOR SHARE is shared, and keeps writers out', async () => {
    for (const harness of [one, two]) {
      await harness.query('begin isolation level read committed');
      await harness.query('select * from t where id = 1 for share');
    }
    await one.query('commit');
    const third = harnessOver(one.database, one.engine);
    const waiting = third.query('delete from t where id = 1');
    expect(await isPending(waiting)).toBe(true);
    await two.query('commit');
    await waiting;
  });

  it('NOWAIT fails at once, and a savepoint saves the transaction', async () => {
    await one.query('begin');
    await one.query('select * from t where id = 1 for update');
    await two.query('begin');
    await two.query('savepoint a');
    expect(await codeOf(two.query('select * from t where id = 1 for update nowait'))).toBe('55P03');
    await two.query('rollback to a');
    expect(await two.query('select id from t where id = 2 for update nowait')).toEqual([[2]]);
    await two.query('commit');
    await one.query('commit');
  });

  it('SKIP LOCKED takes the next, and no more than it was asked for', async () => {
    const take = 'select id from t order by id limit 1 for update skip locked';
    const third = harnessOver(one.database, one.engine);
    const taken = [];
    for (const harness of [one, two, third]) {
      await harness.query('begin isolation level read committed');
      taken.push(await harness.query(take));
    }
    expect(taken).toEqual([[[1]], [[2]], [[3]]]);
    for (const harness of [one, two, third]) await harness.query('commit');
  });

  it('a queue is emptied by many at once, each row by one', async () => {
    await one.query('insert into t select g, 0 from generate_series(4, 30) g');
    const take =
      'delete from t where id = (select id from t order by id limit 1 for update skip locked) returning id';
    const workers = Array.from({ length: 5 }, () => harnessOver(one.database, one.engine));
    const taken: unknown[] = [];
    await Promise.all(
      workers.map(async (worker) => {
        for (;;) {
          const [job] = await worker.query(take);
          if (job === undefined) return;
          taken.push(job[0]);
        }
      }),
    );
    expect(taken.sort((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 30 }, (_, i) => i + 1),
    );
  });

  it('a row that is named by its key is locked as it is read, and is the newest', async () => {
    const select = 'select n from t where id = 1 for update';
    await one.query('begin isolation level read committed');
    const { get } = one.database.counts;
    expect(await one.query(select)).toEqual([[10]]);
    expect(one.database.counts.get - get).toBe(2); // the other is the catalog's version
    await two.query('begin');
    expect(await codeOf(two.query(`${select} nowait`))).toBe('55P03');
    await two.query('rollback');
    expect(await two.query(`${select} skip locked`)).toEqual([]);
    const waiting = two.query(select);
    expect(await isPending(waiting)).toBe(true);
    await one.query('update t set n = 11 where id = 1');
    await one.query('commit');
    expect(await waiting).toEqual([[11]]);
    await one.query('update t set n = 12 where id = 1'); // nobody holds the lock
  });

  it('lock_timeout and statement_timeout end the wait, each with its code', async () => {
    await one.query('begin');
    await one.query('select * from t where id = 1 for update');
    await two.query('set lock_timeout = 20');
    await two.query('begin');
    expect(await codeOf(two.query('update t set n = 0 where id = 1'))).toBe('55P03');
    await two.query('rollback');
    await two.query('reset lock_timeout');
    await two.query('set statement_timeout = 20');
    await two.query('begin');
    expect(await codeOf(two.query('update t set n = 0 where id = 1'))).toBe('57014');
    await two.query('rollback');
    await one.query('rollback');
  });

  it('of two that wait for each other one fails, and the other goes on', async () => {
    for (const harness of [one, two]) await harness.query('begin isolation level read committed');
    await one.query('update t set n = 1 where id = 1');
    await two.query('update t set n = 2 where id = 2');
    const waiting = one.query('update t set n = 1 where id = 2');
    expect(await isPending(waiting)).toBe(true);
    expect(await codeOf(two.query('update t set n = 2 where id = 1'))).toBe('40P01');
    await two.query('commit');
    await waiting;
    await one.query('commit');
    expect(await one.query('select n from t where id < 3 order by id')).toEqual([[1], [1]]);
  });

  it('two that insert one key: the second waits, and fails only if the first stays', async () => {
    await one.query('begin');
    await one.query('insert into t values (9, 1)');
    const waiting = two.query('begin').then(() => two.query('insert into t values (9, 2)'));
    expect(await isPending(waiting)).toBe(true);
    await one.query('rollback');
    await waiting;
    const third = codeOf(one.query('begin').then(() => one.query('insert into t values (9, 3)')));
    await settle();
    await two.query('commit');
    expect(await third).toBe('23505');
    await one.query('rollback');
    expect(await row(one, 9)).toEqual([[2]]);
  });

  it('end when the user leaves', async () => {
    await one.query('begin');
    await one.query('update t set n = 0 where id = 1');
    const waiting = two.query('update t set n = 5 where id = 1');
    expect(await isPending(waiting)).toBe(true);
    one.session.close();
    await waiting;
    expect(await row(two, 1)).toEqual([[5]]);
  });
});

describe('a commit', () => {
  it('whose outcome nobody knows is 40003 and never repeated', async () => {
    await one.query('begin');
    await one.query('insert into t values (4, 40)');
    one.database.onOperation = ({ kind }) => {
      if (kind === 'committed')
        throw new DbError('OUTCOME_UNKNOWN', 'lost', { outcome: 'unknown' });
    };
    const before = commits();
    expect(await codeOf(one.query('commit'))).toBe('40003');
    one.database.onOperation = undefined;
    expect(commits()).toBe(before + 1);
    expect(one.session.transactionStatus).toBe('idle');
  });

  it('that finds a duplicate names it, as an INSERT does', async () => {
    await one.query('begin');
    await one.query('insert into t values (4, 40)');
    one.database.onOperation = ({ kind, ...rest }) => {
      const [key] = 'keys' in rest ? rest.keys : [];
      if (kind === 'commit' && key !== undefined)
        throw new DbError('KEY_EXISTS', 'its lock was lost', { key });
    };
    const failed = one.query('commit').catch((error: SqlError) => error);
    expect(await failed).toMatchObject({
      code: '23505',
      fields: { constraint: 't_pkey', detail: 'Key (id)=(4) already exists.' },
    });
    one.database.onOperation = undefined;
    expect(one.session.transactionStatus).toBe('idle');
  });

  it('of a block that only read costs nothing', async () => {
    await one.query('begin');
    await one.query('select * from t');
    await two.query('update t set n = 0');
    await one.query('commit');
  });
});

describe('an implicit transaction', () => {
  it('is whole or not at all', async () => {
    const { session } = one;
    session.beginImplicit('query');
    await allRows(await run(session, 'insert into t values (4, 40)'));
    expect(session.transactionStatus).toBe('active');
    expect(await codeOf(run(session, 'insert into t values (1, 0)'))).toBe('23505');
    expect(session.transactionStatus).toBe('idle');
    await session.endImplicit({ commit: true });
    expect(await row(one, 4)).toEqual([]);
  });

  async function run(session: SqlSession, text: string) {
    return session.execute(await session.prepare(first(session, text), []), []);
  }
});

it('a table that is replaced under a block fails it', async () => {
  await one.query('begin isolation level read committed');
  await one.query('insert into t values (4, 40)');
  await two.query('truncate t');
  expect(await codeOf(one.query('select * from t'))).toBe('40001');
  await one.query('rollback');
});
