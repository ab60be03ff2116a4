import { MemoryNetwork, SeededPrng, SystemClock } from '@flotilla/base';
import { createRouter, type Router } from '@flotilla/router';
import { FakeTransactionCluster } from '@flotilla/router/testing';
import { createSqlEngine, type SqlSession } from '@flotilla/sql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sharedSession } from '../session-use.ts';
import { runStatement } from '../statement.ts';
import { TransactionDatabase } from './transaction-database.ts';

let router: Router;
let session: SqlSession;
let past: string;

async function sql(text: string): Promise<readonly unknown[]> {
  return (
    await runStatement(
      sharedSession(session, () => {}),
      text,
      [],
    )
  ).rows;
}

/** Every write so far is older than the time, every later one is younger. */
async function now(): Promise<string> {
  const clock = new SystemClock();
  const pause = (): Promise<void> => new Promise((resolve) => void clock.setTimer(3, resolve));
  await pause();
  const time = new Date(clock.wallMs()).toISOString();
  await pause();
  return time;
}

beforeEach(async () => {
  const clock = new SystemClock();
  const network = new MemoryNetwork({ clock });
  new FakeTransactionCluster(network, clock, []);
  const prng = new SeededPrng(1);
  router = createRouter({ transport: network.connect('client'), clock, prng });
  const database = new TransactionDatabase({ router, clock, prng });
  const engine = await createSqlEngine({ database, clock, prng });
  session = engine.createSession({ user: 'flotilla', database: 'flotilla' });
  await sql('CREATE TABLE boats (id int PRIMARY KEY, name text)');
  await sql("INSERT INTO boats VALUES (1, 'Ariel'), (2, 'Miranda')");
  past = await now();
  await sql("UPDATE boats SET name = 'Umbriel' WHERE id = 1");
  await sql('DELETE FROM boats WHERE id = 2');
  await sql("INSERT INTO boats VALUES (3, 'Titania')");
});

afterEach(() => router.close());

const then = [
  { id: 1, name: 'Ariel' },
  { id: 2, name: 'Miranda' },
];
const today = [
  { id: 1, name: 'Umbriel' },
  { id: 3, name: 'Titania' },
];

describe('AS OF SYSTEM TIME', () => {
  it('of a query: rows as they were, by key and by scan, and today after it', async () => {
    expect(await sql(`SELECT * FROM boats ORDER BY id AS OF SYSTEM TIME '${past}'`)).toEqual(then);
    const one = `SELECT name FROM boats WHERE id = 2 AS OF SYSTEM TIME '${past}'`;
    expect(await sql(one)).toEqual([{ name: 'Miranda' }]);
    expect(await sql('SELECT * FROM boats ORDER BY id')).toEqual(today);
    expect(await sql("SELECT * FROM boats AS OF SYSTEM TIME '-1 minute'")).toEqual([]);
  });

  it('never by an index that is younger', async () => {
    await sql('CREATE INDEX boats_name ON boats (name)');
    const query = "SELECT id FROM boats WHERE name = 'Ariel'";
    expect(await sql(`${query} AS OF SYSTEM TIME '${past}'`)).toEqual([{ id: 1 }]);
    await sql(`BEGIN AS OF SYSTEM TIME '${past}'`);
    expect(await sql(query)).toEqual([{ id: 1 }]);
    await sql('COMMIT');
    expect(await sql(query)).toEqual([]);
  });

  it.each(['SERIALIZABLE', 'READ COMMITTED'])(
    'of a %s block: all of it, and it only reads',
    async (isolation) => {
      await sql(`BEGIN ISOLATION LEVEL ${isolation} AS OF SYSTEM TIME '${past}'`);
      expect(await sql('SELECT * FROM boats ORDER BY id')).toEqual(then);
      expect(await sql('SELECT count(*)::int FROM boats')).toEqual([{ count: 2 }]);
      expect(await sql(`SELECT * FROM boats ORDER BY id AS OF SYSTEM TIME '${past}'`)).toEqual(
        then,
      );
      await expect(sql('DELETE FROM boats')).rejects.toMatchObject({ code: '25006' });
      await sql('ROLLBACK');
      expect(await sql('SELECT * FROM boats ORDER BY id')).toEqual(today);
    },
  );

  it('as a setting: every transaction that begins then, until it is taken back', async () => {
    await sql(`SET flotilla.read_as_of = '${past}'`);
    expect(await sql('SELECT * FROM boats ORDER BY id')).toEqual(then);
    await sql('BEGIN');
    expect(await sql('SELECT * FROM boats ORDER BY id')).toEqual(then);
    await sql('COMMIT');
    await expect(sql('DELETE FROM boats')).rejects.toMatchObject({ code: '25006' });
    await sql('RESET flotilla.read_as_of');
    expect(await sql('SELECT * FROM boats ORDER BY id')).toEqual(today);
  });

  it('follower_read_timestamp() is a time that the nearest replica knows of', async () => {
    const at = 'AS OF SYSTEM TIME follower_read_timestamp()';
    expect(await sql(`SELECT * FROM boats ${at}`)).toEqual([]);
    const [row] = await sql(
      "SELECT clock_timestamp() - follower_read_timestamp() BETWEEN '4.2s' AND '9s' AS near",
    );
    expect(row).toEqual({ near: true });
    await sql(`BEGIN ${at}`);
    expect(await sql('SELECT * FROM boats')).toEqual([]);
    await sql('COMMIT');
    await sql("SET flotilla.read_as_of = 'follower_read_timestamp()'");
    expect(await sql('SELECT * FROM boats')).toEqual([]);
    await sql('RESET flotilla.read_as_of');
  });

  it('is refused where it cannot be kept', async () => {
    const refused = (text: string, code: string): Promise<void> =>
      expect(sql(text), text).rejects.toMatchObject({ code });
    await refused("DELETE FROM boats AS OF SYSTEM TIME '-1s'", '0A000');
    await refused("SELECT * FROM boats FOR UPDATE AS OF SYSTEM TIME '-1s'", '25006');
    await refused("SELECT * FROM boats AS OF SYSTEM TIME '1s'", '22023');
    await refused("SELECT * FROM boats AS OF SYSTEM TIME 'infinity'", '22023');
    await refused("SELECT * FROM boats AS OF SYSTEM TIME 'once'", '22007');
    await refused("SET flotilla.read_as_of = 'once'", '22007');
    await refused("SET flotilla.read_as_of = '1s'", '22023');
    await sql('BEGIN');
    await sql('SELECT 1 FROM boats');
    await refused(`SELECT * FROM boats AS OF SYSTEM TIME '${past}'`, '25001');
    await sql('ROLLBACK');
    await sql(`BEGIN AS OF SYSTEM TIME '${past}'`);
    await refused('SET TRANSACTION READ WRITE', '25001');
    await sql('ROLLBACK');
  });
});
