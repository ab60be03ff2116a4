/** node-postgres with its companions: cursors, streams of rows, COPY. */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expectEqual, refusal } from '../frame.mjs';

const name = 'node-postgres';

export async function nodePostgres(world) {
  const { Client, Pool } = world.load('pg');
  const pool = new Pool({ ...world.where, max: 4 });
  const one = async (text, values) => (await pool.query(text, values)).rows[0];

  await world.check(name, 'migration, in transactions', async () => {
    await pool.query('drop table if exists m_pg_b, m_pg_a');
    const client = await pool.connect();
    await client.query('begin');
    await client.query(
      'create table m_pg_a (id int primary key, j jsonb, t timestamptz, tags text[], n numeric, b bytea)',
    );
    await client.query(
      'create table m_pg_b (id serial primary key, a int references m_pg_a on delete cascade, name varchar(10) unique)',
    );
    await client.query('commit');
    await client.query('begin; alter table m_pg_a add column extra int; rollback');
    client.release();
    expectEqual((await refusal(pool.query('select extra from m_pg_a'))).code, '42703');
  });
  await world.check(name, 'parameters, types, named statements', async () => {
    const at = new Date('2024-02-29T12:00:00.123Z');
    await pool.query('insert into m_pg_a values ($1, $2, $3, $4, $5, $6)', [
      1,
      { a: [1] },
      at,
      ['x', 'y"'],
      '12.50',
      Buffer.from([0, 255]),
    ]);
    for (let round = 0; round < 3; round++) {
      const { rows } = await pool.query({
        name: 'one',
        text: 'select *, $2::int + 1 as more from m_pg_a where id = $1',
        values: [1, round],
      });
      expectEqual(
        [rows[0].j, rows[0].t, rows[0].tags, rows[0].n, [...rows[0].b], rows[0].more],
        [{ a: [1] }, at, ['x', 'y"'], '12.50', [0, 255], round + 1],
      );
    }
    expectEqual(await one({ text: 'select 1 as a, null as b', rowMode: 'array' }), [1, null]);
  });
  await world.check(name, 'CRUD, relations, errors', async () => {
    expectEqual(
      await one('insert into m_pg_b (a, name) values ($1, $2) returning id > 0 ok, name', [1, 'b']),
      { ok: true, name: 'b' },
    );
    expectEqual(
      await one('select b.name, a.tags[1] tag from m_pg_b b join m_pg_a a on a.id = b.a'),
      { name: 'b', tag: 'x' },
    );
    const duplicate = await refusal(pool.query('insert into m_pg_a (id) values (1)'));
    expectEqual(
      [duplicate.code, duplicate.constraint, duplicate.detail, duplicate.table],
      ['23505', 'm_pg_a_pkey', 'Key (id)=(1) already exists.', 'm_pg_a'],
    );
    const orphan = await refusal(pool.query('insert into m_pg_b (a) values (99)'));
    expectEqual([orphan.code, orphan.constraint], ['23503', 'm_pg_b_a_fkey']);
    expectEqual((await pool.query('delete from m_pg_a')).rowCount, 1);
    expectEqual(await one('select count(*)::int n from m_pg_b'), { n: 0 });
  });
  await world.check(name, 'transactions, savepoints', async () => {
    const client = await pool.connect();
    await client.query('begin isolation level serializable');
    await client.query('insert into m_pg_a (id) values (10)');
    await client.query('savepoint s');
    expectEqual((await refusal(client.query('select 1 / 0'))).code, '22012');
    expectEqual((await refusal(client.query('select 1'))).code, '25P02');
    await client.query('rollback to s');
    await client.query('commit');
    client.release();
    expectEqual(await one('select array_agg(id) ids from m_pg_a'), { ids: [10] });
  });
  await world.check(name, 'several statements in one query', async () => {
    const results = await pool.query('select 1 a; select 2 b; insert into m_pg_a (id) values (11)');
    expectEqual(
      results.map(({ command, rowCount }) => [command, rowCount]),
      [
        ['SELECT', 1],
        ['SELECT', 1],
        ['INSERT', 1],
      ],
    );
  });
  await world.check(name, 'cursors', async () => {
    const Cursor = world.load('pg-cursor');
    const client = await pool.connect();
    const cursor = client.query(new Cursor('select * from generate_series(1, $1::int) g', [10]));
    expectEqual([(await cursor.read(4)).length, (await cursor.read(100)).length], [4, 6]);
    await cursor.close();
    const left = client.query(new Cursor('select * from generate_series(1, 1000000) g'));
    await left.read(10);
    await left.close();
    expectEqual((await client.query('select 1 as n')).rows, [{ n: 1 }]);
    client.release();
  });
  await world.check(name, 'streams of rows', async () => {
    const QueryStream = world.load('pg-query-stream');
    const client = await pool.connect();
    let sum = 0;
    for await (const row of client.query(
      new QueryStream('select g from generate_series(1, 5000) g', [], { batchSize: 100 }),
    ))
      sum += row.g;
    client.release();
    expectEqual(sum, 12_502_500);
  });
  await world.check(name, 'COPY streams', async () => {
    const copies = world.load('pg-copy-streams');
    await pool.query('drop table if exists m_pg_copy; create table m_pg_copy (id int, t text)');
    const client = await pool.connect();
    const lines = Array.from({ length: 20_000 }, (_, index) => `${index}\tline ${index}\n`);
    await pipeline(Readable.from(lines), client.query(copies.from('copy m_pg_copy from stdin')));
    let bytes = 0;
    for await (const chunk of client.query(copies.to('copy m_pg_copy to stdout')))
      bytes += chunk.length;
    expectEqual(bytes, Buffer.byteLength(lines.join('')));
    client.release();
  });
  await world.check(name, 'queries sent ahead', async () => {
    const client = new Client({ ...world.where, pipeline: true });
    await client.connect();
    const answers = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) => client.query('select 10 / $1::int as n', [index])),
    );
    expectEqual(answers.map(({ reason, value }) => reason?.code ?? value.rows[0].n).slice(0, 4), [
      '22012',
      10,
      5,
      3,
    ]);
    await client.end();
  });
  await world.check(name, 'LISTEN, NOTIFY', async () => {
    const client = await pool.connect();
    const heard = once(client, 'notification');
    await client.query('listen jobs');
    await pool.query("select pg_notify('jobs', 'hello')");
    expectEqual((await heard)[0].payload, 'hello');
    client.release(true);
  });
  await world.check(name, 'notices, settings, statement_timeout', async () => {
    const client = new Client({ ...world.where, statement_timeout: 300, application_name: 'm' });
    const notices = [];
    client.on('notice', ({ code }) => void notices.push(code));
    await client.connect();
    await client.query('drop table if exists no_such_table');
    expectEqual(notices, ['00000']);
    expectEqual((await refusal(client.query('select pg_sleep(30)'))).code, '57014');
    expectEqual((await client.query('show application_name')).rows, [{ application_name: 'm' }]);
    await client.end();
  });
  await pool.end();
}
