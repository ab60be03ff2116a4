/** The client as a whole: SQL over transactions over a router over pretended stores. */
import { DbError } from '@flotilla/base';
import { type FakeTransactionCluster, refuse } from '@flotilla/router/testing';
import { kv } from '@flotilla/shard/protocol';
import { SqlError } from '@flotilla/sql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Flotilla } from './flotilla.ts';
import { pretendFlotilla } from './pretended-flotilla.test-kit.ts';

let cluster: FakeTransactionCluster;
let db: Flotilla;

beforeEach(async () => {
  ({ cluster, db } = await pretendFlotilla());
});

afterEach(() => db.close());

function writes(): number {
  return cluster.log.filter(({ request }) => !!request.write || !!request.prepare).length;
}

async function sqlstate(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof SqlError ? error.code : String(error)),
  );
}

describe('sql', () => {
  it('binds values, whatever they contain, and gives rows as objects', async () => {
    await db.sql`CREATE TABLE boats (id int PRIMARY KEY, name text, fast bool, length float8)`;
    const evil = `'); DROP TABLE boats; --`;
    const inserted =
      await db.sql`INSERT INTO boats VALUES (${1}, ${evil}, ${true}, ${12.25}), (2, ${null}, false, ${7})`;
    expect(inserted).toEqual({ rows: [], columns: [], command: 'INSERT 0 2', rowCount: 2 });
    const selected = await db.sql<{
      id: number;
    }>`SELECT * FROM boats WHERE name = ${evil} OR id = ${2} ORDER BY id`;
    expect(selected.rows).toEqual([
      { id: 1, name: evil, fast: true, length: 12.25 },
      { id: 2, name: null, fast: false, length: 7 },
    ]);
    expect(selected.columns.map(({ name }) => name)).toEqual(['id', 'name', 'fast', 'length']);
    expect(selected.command).toBe('SELECT 2');
    expect(selected.rowCount).toBe(2);
  });

  it('gives int8 as bigint and timestamptz as Date', async () => {
    const { rows } =
      await db.sql`SELECT ${2n ** 60n}::int8 AS big, ${new Date(0)}::timestamptz AS at`;
    expect(rows).toEqual([{ big: 2n ** 60n, at: new Date(0) }]);
  });

  it('runs one statement per call, or none', async () => {
    expect(await sqlstate(db.sql`SELECT 1; SELECT 2`)).toBe('42601');
    expect(await db.sql``).toEqual({ rows: [], columns: [], command: '', rowCount: 0 });
    const text = 'SELECT $1::int + 1 AS n';
    expect((await db.sql.unsafe(text, [41])).rows).toEqual([{ n: 42 }]);
    await expect(db.sql.unsafe(text)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('refuses BEGIN, which would have no effect; a session of its own takes it', async () => {
    await expect(db.sql`BEGIN`).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const session = db.createSession({ user: 'ann', database: 'main' });
    const [begin] = session.parse('begin');
    if (begin === undefined) throw new Error('a statement');
    await session.execute(await session.prepare(begin, []), []);
    expect(session.transactionStatus).toBe('active');
    session.close();
  });

  it('reports errors by SQLSTATE', async () => {
    await db.sql`CREATE TABLE boats (id int PRIMARY KEY)`;
    await db.sql`INSERT INTO boats VALUES (1)`;
    expect(await sqlstate(db.sql`INSERT INTO boats VALUES (1)`)).toBe('23505');
    expect(await sqlstate(db.sql`SELECT * FROM ships`)).toBe('42P01');
    expect(await sqlstate(db.sql`INSERT INTO boats VALUES (${'many'})`)).toBe('22P02');
  });

  it('says 40003 when nobody knows whether the write was made, and does not repeat it', async () => {
    await db.sql`CREATE TABLE boats (id int PRIMARY KEY)`;
    const before = writes();
    // The write is made, and its answer lost for good.
    cluster.intercept = (storeId, request) => {
      if (!request.write) return undefined;
      cluster.usualAnswer(storeId, request);
      return refuse(kv.RefusalReason.ALREADY_ANSWERED);
    };
    expect(await sqlstate(db.sql`INSERT INTO boats VALUES (1)`)).toBe('40003');
    cluster.intercept = undefined;
    expect(writes()).toBe(before + 1);
    expect((await db.sql`SELECT * FROM boats`).rows).toEqual([{ id: 1 }]);
  });

  it('loses no update of statements that run side by side', async () => {
    await db.sql`CREATE TABLE counters (id int PRIMARY KEY, n int)`;
    await db.sql`INSERT INTO counters VALUES (1, 0)`;
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () => sqlstate(db.sql`UPDATE counters SET n = n + 1 WHERE id = 1`)),
    );
    const done = outcomes.filter((outcome) => outcome === 'no error').length;
    expect(outcomes.every((outcome) => ['no error', '40001'].includes(outcome))).toBe(true);
    expect((await db.sql`SELECT n FROM counters`).rows).toEqual([{ n: done }]);
    expect(done).toBeGreaterThan(0);
  });

  it('reads without remembering: a scan leaves nothing to check at commit', async () => {
    await db.sql`CREATE TABLE boats (id int PRIMARY KEY)`;
    const before = writes();
    await db.sql`SELECT count(*) FROM boats`;
    expect(writes()).toBe(before);
  });
});

it('keeps key-value data and tables apart, and ends what it owns', async () => {
  await db.sql`CREATE TABLE boats (id int PRIMARY KEY)`;
  await db.sql`INSERT INTO boats VALUES (1)`;
  const keys: string[] = [];
  for await (const entry of db.kv.scan()) keys.push(entry.keyText());
  expect(keys).toEqual([]);
  await db.close();
  await db.close();
  await expect(db.kv.get('a')).rejects.toMatchObject({ code: 'CLOSED' });
  expect(() => db.createSession({ user: 'u', database: 'd' })).toThrowError(DbError);
});
