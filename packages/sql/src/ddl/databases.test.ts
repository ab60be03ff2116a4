/** Several databases over one engine: what is in one is not in another, and what is shared is shared. */
import { SystemClock } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine } from '../engine.ts';
import type { SqlSession } from '../session-api.ts';
import { allRows, cleared, createHarness, type Harness } from '../testing/harness.ts';
import { answerSqlCase } from '../testing/sql-cases.ts';

let harness: Harness;
let first: Harness['query'];

beforeEach(async () => {
  harness = await createHarness();
  first = harness.query;
  await first('create database shop');
});

function connect(database: string, user = 'ann', processId?: number, onTerminate = () => {}) {
  const session = harness.engine.createSession({
    ...{ user, database, events: { onTerminate }, authenticated: user !== 'ann' },
    ...(processId === undefined ? {} : { client: { processId } }),
  });
  return { session, query: (sql: string) => rowsOf(session, sql) };
}

async function rowsOf(session: SqlSession, sql: string): Promise<(readonly unknown[])[]> {
  let rows: (readonly unknown[])[] = [];
  for (const statement of session.parse(sql))
    rows = await allRows(await session.execute(await session.prepare(statement, []), []));
  return rows;
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: { readonly code: string; readonly message: string }) =>
      `${error.code} ${error.message}`,
  );

const listed = 'select datname from pg_database order by 1';

describe('what lies in a database', () => {
  it('is seen there alone: relations, schemas, types, by name and by oid', async () => {
    const shop = connect('shop');
    await first('create table t (id int primary key); insert into t values (1)');
    await first("create schema app; create type mood as enum ('glad')");
    expect(
      await shop.query("select to_regclass('t'), to_regnamespace('app'), to_regtype('mood')"),
    ).toEqual([[null, null, null]]);
    expect(await codeOf(shop.query('select * from t'))).toBe('42P01 relation "t" does not exist');
    await shop.query("create schema app; create type mood as enum ('sad')");
    await shop.query('create table t (id serial primary key, name mood); analyze t');
    await shop.query("insert into t (name) values ('sad'), ('sad')");
    expect(await first('select * from t')).toEqual([[1]]);
    expect(await shop.query('select id, name::text from t')).toEqual([
      [1, 'sad'],
      [2, 'sad'],
    ]);
    const rows = 'select count(*) from t';
    expect([await first(rows), await shop.query(rows)]).toEqual([[[1n]], [[2n]]]);
    const count = "select count(*) from pg_class where relname in ('t', 't_id_seq')";
    expect([await first(count), await shop.query(count)]).toEqual([[[1n]], [[2n]]]);
    const [oid] = await shop.query("select 't'::regclass::oid");
    expect(await first(`select relname from pg_class where oid = ${String(oid?.[0])}`)).toEqual([]);
    const where = 'select table_catalog from information_schema.tables where table_name = $$t$$';
    expect(await shop.query(where)).toEqual([['shop']]);
  });

  it('is read again by another process', async () => {
    const shop = connect('shop');
    await shop.query("create schema app; create type app.mood as enum ('sad')");
    await shop.query('create table app.t (name app.mood); drop schema public');
    const again = await createSqlEngine({ database: harness.database, clock: new SystemClock() });
    const session = again.createSession({ user: 'ann', database: 'shop' });
    expect(
      await rowsOf(session, "select 'app.t'::regclass::text, to_regnamespace('public')"),
    ).toEqual([['app.t', null]]);
    const initial = again.createSession({ user: 'ann', database: 'flotilla' });
    expect(
      await rowsOf(initial, "select to_regclass('app.t'), to_regnamespace('public')::text"),
    ).toEqual([[null, 'public']]);
  });

  it('does not share plans, advisory locks or channels with another', async () => {
    const heard: string[] = [];
    const shop = harness.engine.createSession({
      ...{ user: 'ann', database: 'shop', client: { processId: 7 } },
      events: { onNotification: ({ channel, payload }) => heard.push(`${channel} ${payload}`) },
    });
    const text = 'select current_database(), pg_try_advisory_lock(1)';
    expect(await first(text)).toEqual([['main', true]]);
    expect(await rowsOf(shop, text)).toEqual([['shop', true]]);
    const locks =
      'select d.datname from pg_locks l join pg_database d on d.oid = database order by 1';
    expect(await first(locks)).toEqual([['main'], ['shop']]);
    await rowsOf(shop, 'listen news');
    await first("notify news, 'of the other'");
    await rowsOf(shop, "notify news, 'own'");
    expect(heard).toEqual(['news own']);
    expect(await rowsOf(shop, 'select pg_listening_channels()')).toEqual([['news']]);
  });

  it('cannot be named from without', async () => {
    expect(await codeOf(first('select * from shop.public.t'))).toMatch(
      /^0A000 cross-database references are not implemented: "shop.public.t"/,
    );
  });
});

describe('CREATE DATABASE', () => {
  it('makes an empty one, which all can see', async () => {
    expect(await first(listed)).toEqual([['main'], ['postgres'], ['shop']]);
    expect(await connect('postgres').query(listed)).toEqual([['flotilla'], ['postgres'], ['shop']]);
    expect(await codeOf(first('create database shop'))).toBe(
      '42P04 database "shop" already exists',
    );
    await first(
      "create database b encoding 'UTF8' template template0 lc_collate 'C' strategy wal_log",
    );
    expect(await codeOf(first('create database c template shop'))).toMatch(
      /^0A000 .*TEMPLATE shop/,
    );
    expect(await codeOf(first("create database c encoding 'LATIN1'"))).toMatch(/^0A000 .*ENCODING/);
    expect(await codeOf(first('create database c owner nobody'))).toMatch(/^42704/);
  });

  it('stands alone', async () => {
    const inBlock = '25001 CREATE DATABASE cannot run inside a transaction block';
    expect(await codeOf(first('begin; create database x'))).toBe(inBlock);
    await first('rollback');
    expect(await codeOf(first('begin; drop database shop'))).toMatch(/^25001 DROP DATABASE/);
    await first('rollback');
  });

  it('is for those who may', async () => {
    await first('create role bob login; create role carol login createdb');
    const carol = connect('shop', 'carol');
    const bob = connect('shop', 'bob');
    expect(await codeOf(bob.query('create database x'))).toBe(
      '42501 permission denied to create database',
    );
    await carol.query('create database hers');
    expect(await codeOf(bob.query('drop database hers'))).toBe(
      '42501 must be owner of database hers',
    );
    // Whoever owns the database may do in it what its owner may.
    const within = connect('hers', 'carol');
    await within.query('create table t (id int)');
    expect(await codeOf(carol.query('create table t (id int)'))).toMatch(/^42501/);
    expect(await first("select has_database_privilege('bob', 'hers', 'create')")).toEqual([
      [false],
    ]);
    await within.query('grant create on database hers to bob');
    expect(await first("select has_database_privilege('bob', 'hers', 'create')")).toEqual([[true]]);
    expect(await first("select has_database_privilege('bob', 'shop', 'create')")).toEqual([
      [false],
    ]);
    await first('alter role carol rename to cleo');
    const owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'hers'";
    expect(await first(owner)).toEqual([['cleo']]);
    expect(
      await connect('hers').query("select tableowner from pg_tables where tablename = 't'"),
    ).toEqual([['cleo']]);
    const { session } = harness;
    const sql = 'drop role cleo';
    expect(
      await answerSqlCase(session, { sql, parameters: undefined, expected: '' }, []),
    ).toContain('owner of database hers\n1 object in database hers');
  });
});

describe('DROP DATABASE', () => {
  it('takes all that lies in it along', async () => {
    await first("alter database shop set timezone to 'Asia/Tokyo'");
    const { size } = harness.database;
    const shop = connect('shop');
    await shop.query(
      "create schema app; create type mood as enum ('glad'); drop schema public cascade",
    );
    await shop.query(
      'create table app.t (id serial primary key); insert into app.t default values',
    );
    await shop.query('analyze app.t');
    await first("comment on database shop is 'x'");
    await first('drop database shop');
    await cleared(harness);
    expect(harness.database.size).toBe(size - 1);
    expect(await codeOf(shop.query('select * from app.t'))).toMatch(/^3D000/);
    expect(await first(listed)).toEqual([['main'], ['postgres']]);
    await first('create database shop');
    const settings = 'select count(*) from pg_db_role_setting';
    expect(await connect('shop').query(settings)).toEqual([[0n]]);
    expect(await connect('shop').query("select to_regnamespace('public')::text")).toEqual([
      ['public'],
    ]);
  });

  it('is refused for one that is not there or in use', async () => {
    expect(await codeOf(first('drop database nosuch'))).toBe(
      '3D000 database "nosuch" does not exist',
    );
    await first('drop database if exists nosuch');
    expect(harness.notices.map(({ message }) => message)).toEqual([
      'database "nosuch" does not exist, skipping',
    ]);
    expect(await codeOf(first('drop database main'))).toBe(
      '55006 cannot drop the currently open database',
    );
    const shop = connect('shop', 'ann', 4711);
    const used = '55006 database "shop" is being accessed by other users';
    expect(await codeOf(first('drop database shop'))).toBe(used);
    expect(await codeOf(first('alter database shop rename to store'))).toBe(used);
    await shop.session.close();
    await first('drop database shop');
  });

  it('WITH (FORCE) ends the sessions in it', async () => {
    const shop = connect('shop', 'ann', 4711, () => void shop.session.close());
    await first('drop database shop with (force)');
    expect(await first(listed)).toEqual([['main'], ['postgres']]);
  });

  it('takes those that are always there, too', async () => {
    const other = connect('postgres');
    await first('create table t (id int)');
    await other.query('drop database flotilla');
    expect(await codeOf(first('select * from t'))).toMatch(/^3D000/);
    const again = await createSqlEngine({ database: harness.database, clock: new SystemClock() });
    const reader = again.createSession({ user: 'ann', database: 'shop' });
    expect(await rowsOf(reader, listed)).toEqual([['postgres'], ['shop']]);
    await other.query('create database flotilla');
    expect(await connect('flotilla').query("select to_regclass('t')")).toEqual([[null]]);
  });

  it('takes the one of tools, and gives its name to another', async () => {
    await first('drop database postgres');
    expect(await first(listed)).toEqual([['main'], ['shop']]);
    await first('create database postgres');
    expect(await first("select oid > 16383 from pg_database where datname = 'postgres'")).toEqual([
      [true],
    ]);
  });
});

describe('ALTER DATABASE', () => {
  it('RENAME TO keeps what is in it, and its settings', async () => {
    await connect('shop').query('create table t (id int)');
    await first("alter database shop set timezone to 'Asia/Tokyo'; create role bob");
    await first("alter role bob in database shop set work_mem to '1MB'");
    await first('alter database shop rename to store');
    expect(await connect('store').query("select 't'::regclass::text")).toEqual([['t']]);
    const { logins } = harness.engine;
    const { settings } = await logins.admit('anybody', 'store', { mustExist: false });
    expect(settings).toEqual({ TimeZone: 'Asia/Tokyo' });
    expect(
      await first(
        'select d.datname from pg_db_role_setting s join pg_database d on d.oid = setdatabase',
      ),
    ).toEqual([['store'], ['store']]);
    expect(await codeOf(first('alter database shop rename to x'))).toMatch(/^3D000/);
    expect(await codeOf(first('alter database store rename to postgres'))).toMatch(/^42P04/);
    expect(await codeOf(first('alter database main rename to x'))).toBe(
      '0A000 current database cannot be renamed',
    );
  });

  it('OWNER TO gives it away, comments are its own', async () => {
    await first('create role bob; alter database shop owner to bob');
    await first("comment on database shop is 'wares'");
    expect(
      await first(
        "select pg_get_userbyid(datdba), shobj_description(oid, 'pg_database') from pg_database where datname = 'shop'",
      ),
    ).toEqual([['bob', 'wares']]);
  });
});

describe('letting users in', () => {
  it('asks for a database that is there and that they may connect to', async () => {
    const { logins } = harness.engine;
    const admit = (user: string, database: string) =>
      codeOf(logins.admit(user, database, { mustExist: false }));
    await first('create role bob login; revoke connect on database shop from public');
    expect(await admit('anybody', 'nosuch')).toBe('3D000 database "nosuch" does not exist');
    expect(await admit('bob', 'nosuch')).toBe('3D000 database "nosuch" does not exist');
    expect(await admit('bob', 'shop')).toBe('42501 permission denied for database "shop"');
    expect(await admit('bob', 'flotilla')).toBe('done');
    expect(await admit('anybody', 'postgres')).toBe('done');
  });

  it('does not give a session to another database than it was let into', async () => {
    const { logins } = harness.engine;
    const { database } = await logins.admit('anybody', 'shop', { mustExist: false });
    await first('drop database shop');
    const session = harness.engine.createSession({
      ...{ user: 'anybody', database: 'shop', databaseOid: database },
    });
    expect(await codeOf(rowsOf(session, 'select 1'))).toBe('3D000 database "shop" does not exist');
  });
});
