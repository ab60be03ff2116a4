/** Streams, prepared statements and connections, by a database of this process. */
import { SqlError } from '@flotilla/sql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import type { Flotilla } from './flotilla.ts';

let db: Flotilla;
beforeAll(async () => {
  db = await connect({ embedded: true });
  await db.sql`CREATE TABLE numbers (n int PRIMARY KEY, half float8)`;
  await db.sql`INSERT INTO numbers SELECT i, i / 2.0 FROM generate_series(1, 5000) AS i`;
});
afterAll(() => db.close());

async function sqlstate(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof SqlError ? error.code : String(error)),
  );
}

describe('streams', () => {
  it('give all rows in order, one batch in memory', async () => {
    let [count, last] = [0, 0];
    for await (const { n } of db.sql.stream<{ n: number }>`SELECT n FROM numbers ORDER BY n`) {
      expect(n).toBe(last + 1);
      last = n;
      count++;
    }
    expect(count).toBe(5000);
  });

  it('end when the reader stops, and a new one begins anew', async () => {
    const rows = db.sql.stream<{ n: number }>`SELECT n FROM numbers WHERE n > ${10} ORDER BY n`;
    for await (const { n } of rows) if (n === 12) break;
    expect(await rows.next()).toEqual({ done: true, value: undefined });
    const unread = db.sql.stream`SELECT n FROM numbers`;
    await unread.return?.();
    expect((await unread.next()).done).toBe(true);
  });

  it('fail with the SQLSTATE, at the first row or at a later one', async () => {
    const early = db.sql.unsafeStream('SELECT * FROM nowhere');
    expect(await sqlstate(early.next())).toBe('42P01');
    const late = db.sql.unsafeStream('SELECT 1 / (4000 - n) FROM numbers ORDER BY n');
    let seen = 0;
    const read = async (): Promise<void> => {
      for await (const _row of late) seen++;
    };
    expect(await sqlstate(read())).toBe('22012');
    expect(seen).toBeLessThan(4000);
  });

  it('stop when they are cancelled', async () => {
    const controller = new AbortController();
    const rows = db.sql.unsafeStream('SELECT n FROM numbers a, numbers2($1)', [1], {});
    expect(await sqlstate(rows.next())).toBe('42883');
    const { signal } = controller;
    const many = db.sql.unsafeStream('SELECT a.n FROM numbers a, numbers b', [], { signal });
    await many.next();
    controller.abort();
    const rest = async (): Promise<void> => {
      for await (const _row of many);
    };
    expect(await sqlstate(rest())).toBe('57014');
  });

  it('run beside other statements of their transaction, which see what was before', async () => {
    const seen = await db.transaction(async ({ sql }) => {
      const found: number[] = [];
      for await (const { n } of sql.stream<{ n: number }>`SELECT n FROM numbers WHERE n <= 3`) {
        found.push(n);
        await sql`DELETE FROM numbers WHERE n = ${n}`;
      }
      const { rows } = await sql`SELECT count(*) AS c FROM numbers`;
      await sql`INSERT INTO numbers SELECT i, i / 2.0 FROM generate_series(1, 3) AS i`;
      return { found, rows };
    });
    expect(seen).toEqual({ found: [1, 2, 3], rows: [{ c: 4997n }] });
  });
});

describe('a transaction', () => {
  it('waits for what its function began and did not await, and takes nothing after its end', async () => {
    await db.sql`CREATE TABLE late (n int PRIMARY KEY)`;
    let kept: Parameters<Parameters<Flotilla['transaction']>[0]>[0] | undefined;
    await db.transaction(async (transaction) => {
      kept = transaction;
      void transaction.sql`INSERT INTO late VALUES (1)`;
    });
    expect((await db.sql`SELECT n FROM late`).rows).toEqual([{ n: 1 }]);
    await expect(kept?.sql.unsafe('INSERT INTO late VALUES (2)')).rejects.toMatchObject({
      code: 'CLOSED',
    });
    expect((await db.sql`SELECT n FROM late`).rows).toEqual([{ n: 1 }]);
  });

  it('ends what still runs when its function has failed', async () => {
    const left: Promise<string>[] = [];
    const failed = db.transaction(async ({ sql }) => {
      left.push(sqlstate(sql`SELECT pg_sleep(3600)`));
      throw new Error('enough');
    });
    await expect(failed).rejects.toThrow('enough');
    expect(await Promise.all(left)).toEqual(['57014']);
  });

  it('runs statements that were begun together one after the other', async () => {
    await db.sql`CREATE TABLE together (n int PRIMARY KEY)`;
    const counts = await db.transaction(({ sql }) =>
      Promise.all(
        [1, 2, 3].map(async (n) => {
          await sql`INSERT INTO together VALUES (${n})`;
          return (await sql`SELECT count(*) AS c FROM together`).rowCount;
        }),
      ),
    );
    expect(counts).toEqual([1, 1, 1]);
    expect((await db.sql`SELECT count(*) AS c FROM together`).rows).toEqual([{ c: 3n }]);
  });
});

describe('prepared statements', () => {
  it('run many times, side by side, in transactions and as streams', async () => {
    const above = await db.sql.prepare<{ n: number }, [least: number, most: number]>(
      'SELECT n FROM numbers WHERE n > $1 AND n <= $2 ORDER BY n',
    );
    expect(above.columns).toEqual([{ name: 'n', typeOid: 23 }]);
    expect(above.parameterTypes).toEqual([23, 23]);
    const found = await Promise.all([1, 2, 3].map((n) => above.run(n, n + 1)));
    expect(found.map(({ rows }) => rows[0]?.n)).toEqual([2, 3, 4]);
    const within = await db.transaction(({ sql }) => above.with({ sql }).run(7, 9));
    expect(within.rows).toEqual([{ n: 8 }, { n: 9 }]);
    const streamed: number[] = [];
    for await (const { n } of above.stream(4998, 6000)) streamed.push(n);
    expect(streamed).toEqual([4999, 5000]);
  });

  it('follow a change of the schema', async () => {
    await db.sql`CREATE TABLE changing (a int PRIMARY KEY)`;
    const all = await db.sql.prepare('SELECT * FROM changing');
    await db.sql`INSERT INTO changing VALUES (1)`;
    await db.sql`ALTER TABLE changing ADD COLUMN b text DEFAULT 'x'`;
    expect((await all.run()).rows).toEqual([{ a: 1, b: 'x' }]);
    await db.sql`DROP TABLE changing`;
    expect(await sqlstate(all.run())).toBe('42P01');
  });

  it('are refused like the statement itself', async () => {
    expect(await sqlstate(db.sql.prepare('SELEKT'))).toBe('42601');
    expect(await sqlstate(db.sql.prepare('SELECT * FROM nowhere'))).toBe('42P01');
    await expect(db.sql.prepare(' -- nothing')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const one = await db.sql.prepare('SELECT $1::int');
    await expect(one.run()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('a connection', () => {
  it('keeps settings, temporary tables and blocks, one statement after the other', async () => {
    const notices: string[] = [];
    const connection = db.openConnection({
      applicationName: 'harbour',
      settings: { search_path: 'pg_catalog' },
      onNotice: ({ message }) => notices.push(message),
    });
    const { sql } = connection;
    expect((await sql`SHOW search_path`).rows).toEqual([{ search_path: 'pg_catalog' }]);
    await sql`SET search_path = public`;
    await sql`CREATE TEMPORARY TABLE mine (n int)`;
    const all = Promise.all([
      sql`BEGIN`,
      sql`INSERT INTO mine VALUES (1)`,
      sql`SELECT * FROM mine`,
      sql`ROLLBACK`,
      sql`SELECT * FROM mine`,
    ]);
    expect((await all).map(({ rows }) => rows)).toEqual([[], [], [{ n: 1 }], [], []]);
    await sql`DROP TABLE IF EXISTS nothing_here`;
    expect(notices.join()).toContain('does not exist');
    await sql`BEGIN`;
    expect(connection.transactionStatus).toBe('active');
    expect(await sqlstate(sql`SELECT 1 / 0`)).toBe('22012');
    expect(connection.transactionStatus).toBe('failed');
    expect(await sqlstate(sql`SELECT 1`)).toBe('25P02');
    await connection.close();
    await connection.close();
    await expect(sql`SELECT 1`).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await sqlstate(db.sql`SELECT * FROM mine`)).toBe('42P01');
  });

  it('rolls back what is open when it is closed', async () => {
    const connection = db.openConnection();
    await connection.sql`BEGIN`;
    await connection.sql`DELETE FROM numbers`;
    await connection.close();
    expect((await db.sql`SELECT count(*) AS c FROM numbers`).rows).toEqual([{ c: 5000n }]);
  });
});
