/** The gateway over the real SQL engine and a database in memory: what the two make of each other. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bind, execute, fields, parse, RawClient, sync, values } from './testing/raw-client.ts';
import { startSqlGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';

let world: TestGateway;
beforeEach(async () => {
  world = await startSqlGateway();
});
afterEach(async () => {
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
  expect(world.logs.filter(({ event }) => event === 'gateway_internal_error')).toEqual([]);
});

async function connect(options: pg.ClientConfig = {}): Promise<pg.Client> {
  const { port } = world.gateway;
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'alice', ...options });
  await client.connect();
  return client;
}

describe('over the SQL engine', () => {
  test('node-postgres: tables, parameters, errors', async () => {
    const client = await connect();
    await client.query('create table t (id int primary key, name text, big int8, flag bool)');
    const insert = 'insert into t values ($1, $2, $3, $4) returning id';
    const first = await client.query(insert, [1, 'ünï', '9007199254740993', true]);
    expect([first.command, first.rowCount, first.rows]).toEqual(['INSERT', 1, [{ id: 1 }]]);
    await client.query(insert, [2, null, null, false]);
    const select = { name: 'by id', text: 'select * from t where id = $1' };
    expect((await client.query({ ...select, values: [1] })).rows).toEqual([
      { id: 1, name: 'ünï', big: '9007199254740993', flag: true },
    ]);
    expect((await client.query({ ...select, values: [2] })).rows[0]?.name).toBeNull();
    await expect(client.query(insert, [1, 'again', 0, true])).rejects.toMatchObject({
      code: '23505',
      table: 't',
    });
    await expect(client.query('select nope from t')).rejects.toMatchObject({ code: '42703' });
    await expect(client.query({ ...select, values: ['x'] })).rejects.toMatchObject({
      code: '22P02',
    });
    await client.end();
  });

  test('psql: settings of the connection, several statements, the place of an error', async () => {
    const args = [
      '-X',
      '-A',
      '-t',
      '-h',
      '127.0.0.1',
      '-p',
      String(world.gateway.port),
      '-U',
      'alice',
    ];
    const env = { ...process.env, PGOPTIONS: '-c TimeZone=Europe/Paris', PGAPPNAME: 'my app' };
    const psql = (text: string) => promisify(execFile)('psql', [...args, '-c', text], { env });
    expect((await psql('show timezone; show application_name')).stdout).toBe(
      'Europe/Paris\nmy app\n',
    );
    const failed = await psql('select 1; select nope').catch((error) => error);
    expect(failed.stdout).toBe('1\n');
    expect(failed.stderr).toContain('LINE 1: select 1; select nope');
    expect(failed.stderr).toMatch(/\n {24,26}\^/);
  });

  test('psql: materialized views are described and listed as such', async () => {
    const client = await connect();
    await client.query(
      `create schema s; create table s.t (id int primary key, name text);
       create materialized view s.m as select id, name from s.t;
       create unique index m_id on s.m (id);
       create materialized view s.e as select id from s.t with no data`,
    );
    await client.end();
    const { port } = world.gateway;
    const args = ['-X', '-A', '-h', '127.0.0.1', '-p', String(port), '-U', 'alice'];
    const psql = async (command: string) =>
      (await promisify(execFile)('psql', [...args, '-c', command])).stdout;
    const m = `Materialized view "s.m"
Column|Type|Collation|Nullable|Default
id|integer|||
name|text|||
Indexes:
    "m_id" UNIQUE, btree (id)
`;
    expect(await psql('\\d s.m')).toBe(m);
    expect(await psql('\\d s.*')).toContain(m);
    expect(await psql('\\d+ s.m')).toContain('View definition:\n select id, name from s.t;\n');
    expect(await psql('\\dm s.*')).toBe(`List of relations
Schema|Name|Type|Owner
s|e|materialized view|alice
s|m|materialized view|alice
(2 rows)
`);
    expect(await psql('\\dt s.*')).toBe(`List of relations
Schema|Name|Type|Owner
s|t|table|alice
(1 row)
`);
  });

  test('rows of an INSERT fetched one by one are all there after Sync', async () => {
    const { client } = await RawClient.ready(world.gateway.port);
    const admin = await connect();
    await admin.query('create table u (id int primary key)');
    const insert = 'insert into u values (1), (2), (3) returning id';
    expect(await client.types(Buffer.concat([parse(insert), bind(), execute(1), sync]))).toBe(
      '12DsZ',
    );
    expect((await admin.query('select count(*)::int as n from u')).rows).toEqual([{ n: 3 }]);
    await admin.end();
    client.destroy();
  });

  test('rows that are all there go out a few at a time, in order', async () => {
    const { client } = await RawClient.ready(world.gateway.port);
    await client.types(Buffer.concat([parse('create table u (id int)'), bind(), execute(), sync]));
    const insert =
      "insert into u select x from generate_series(1, 20000) x returning id, repeat('v', 100)";
    client.send(parse(insert), bind(), execute(7), execute(3), execute(), sync);
    const said = await client.untilReady();
    const ids = said.filter(({ type }) => type === 'D').map(({ body }) => Number(values(body)[0]));
    expect(ids).toEqual(Array.from({ length: 20_000 }, (_, i) => i + 1));
    const marks = said.flatMap(({ type }, at) => (type === 's' ? [at] : []));
    expect(marks).toEqual([2 + 7, 2 + 7 + 1 + 3]);
    expect(said.at(-2)?.body.toString()).toBe('INSERT 0 20000\0');
    client.destroy();
  });

  test('binary results are what text results say', async () => {
    const { client } = await RawClient.ready(world.gateway.port);
    client.send(
      parse("select 7, 7::int8, true, 'x'::text"),
      bind({ resultFormats: [1] }),
      execute(),
      sync,
    );
    const row = (await client.untilReady()).find(({ type }) => type === 'D');
    expect(row?.body.toString('hex')).toBe(
      '0004' + '0000000400000007' + '000000080000000000000007' + '0000000101' + '0000000178',
    );
    client.destroy();
  });

  test('a refused start-up setting ends the connection with its code', async () => {
    await expect(connect({ options: '-c TimeZone=Nowhere' })).rejects.toMatchObject({
      code: '22023',
    });
  });

  test('what is not built is refused, in step', async () => {
    const { client } = await RawClient.ready(world.gateway.port);
    for (const text of ["prepare transaction 'x'", 'lock table t']) {
      client.send(parse(text), bind(), execute(), sync);
      const error = (await client.untilReady()).find(({ type }) => type === 'E');
      expect(fields(error?.body ?? Buffer.alloc(0)).C).toBe('0A000');
    }
    client.send(parse('select 5'), bind(), execute(), sync);
    const row = (await client.untilReady()).find(({ type }) => type === 'D');
    expect(values(row?.body ?? Buffer.alloc(2))).toEqual(['5']);
    client.destroy();
  });
});
