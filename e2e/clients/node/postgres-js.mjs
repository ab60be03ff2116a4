/** postgres.js: describes each statement before it binds, pipelines, looks up array types when it connects. */
import { expectEqual, refusal } from '../frame.mjs';

const name = 'postgres.js';

export async function postgresJs(world) {
  const sql = world.load('postgres')({ ...world.where, max: 3, onnotice: () => {} });
  await world.check(name, 'migration, in transactions', async () => {
    await sql`drop table if exists m_js_lines, m_js`;
    await sql.begin(async (tx) => {
      await tx`create table m_js (id serial primary key, n int, tags text[], data jsonb, at timestamptz, big bigint)`;
      await tx`create table m_js_lines (owner int references m_js, line int, primary key (owner, line))`;
      await tx`create index on m_js (n)`;
    });
  });
  await world.check(name, 'CRUD, relations, types', async () => {
    const at = new Date('2024-02-29T12:00:00.123Z');
    const rows = await sql`insert into m_js ${sql([
      { n: 1, tags: ['a', 'b"'], data: sql.json({ k: [1, null] }), at, big: 2n ** 40n },
      { n: 2, tags: [], data: null, at: null, big: null },
    ])} returning *`;
    expectEqual(
      [rows[0].tags, rows[0].data, rows[0].at, rows[0].big, rows[1].tags],
      [['a', 'b"'], { k: [1, null] }, at, '1099511627776', []],
    );
    await sql`insert into m_js_lines select ${rows[0].id}, g from generate_series(1, ${3}::int) g`;
    expectEqual(
      [
        ...(await sql`select n, count(*)::int c from m_js join m_js_lines on owner = id group by n`),
      ],
      [{ n: 1, c: 3 }],
    );
    expectEqual((await sql`update m_js set ${sql({ n: 5 })} where n in ${sql([1, 7])}`).count, 1);
    expectEqual(
      [...(await sql`select n from m_js where n = any(${[2, 5]}) order by n`)],
      [{ n: 2 }, { n: 5 }],
    );
    expectEqual((await sql`delete from m_js_lines where line > ${1}`).count, 2);
  });
  await world.check(name, 'errors', async () => {
    const error = await refusal(sql`insert into m_js (id) select id from m_js`);
    expectEqual([error.code, error.constraint_name], ['23505', 'm_js_pkey']);
    expectEqual((await refusal(sql`select * from nowhere`)).code, '42P01');
    expectEqual((await refusal(sql`select ${'x'}::int`)).code, '22P02');
  });
  await world.check(name, 'transactions, savepoints', async () => {
    await sql.begin('isolation level serializable', async (tx) => {
      await tx`update m_js set n = 6 where n = 5`;
      await tx.savepoint((inner) => inner`select 1 / 0`).catch(() => {});
    });
    await refusal(
      sql.begin(async (tx) => {
        await tx`update m_js set n = 7`;
        throw new Error('undone');
      }),
    );
    expectEqual(
      (await sql`select n from m_js order by n`).map(({ n }) => n),
      [2, 6],
    );
  });
  await world.check(name, 'pipelines', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => sql`select ${index}::int as n`),
    );
    expectEqual(
      answers.map(([row]) => row.n).reduce((sum, n) => sum + n),
      4950,
    );
    const [first] = await sql`select 1 as a; select 2 as b`.simple();
    expectEqual([...first], [{ a: 1 }]);
  });
  await world.check(name, 'cursors, forEach', async () => {
    const seen = [];
    await sql`select g from generate_series(1, 10) g`.cursor(3, (rows) => {
      seen.push(rows.length);
    });
    expectEqual(seen, [3, 3, 3, 1]);
    let sum = 0;
    for await (const rows of sql`select g from generate_series(1, 100) g`.cursor(7))
      for (const { g } of rows) sum += g;
    await sql`select g from generate_series(1, 100) g`.forEach(({ g }) => {
      sum += g;
    });
    expectEqual(sum, 10_100);
  });
  await world.check(name, 'COPY', async () => {
    await sql`drop table if exists m_js_copy`;
    await sql`create table m_js_copy (id int, t text)`;
    const writable = await sql`copy m_js_copy from stdin`.writable();
    await new Promise((resolve, reject) => {
      writable.on('error', reject).on('finish', resolve);
      for (let id = 0; id < 1000; id++) writable.write(`${id}\tx\n`);
      writable.end();
    });
    let bytes = 0;
    for await (const chunk of await sql`copy m_js_copy to stdout`.readable()) bytes += chunk.length;
    expectEqual(bytes, 4890 + 1000);
  });
  await world.check(name, 'LISTEN, NOTIFY', async () => {
    let heard;
    const payload = new Promise((resolve) => {
      heard = resolve;
    });
    const { unlisten } = await sql.listen('m_js', heard);
    await sql.notify('m_js', 'hello');
    expectEqual(await payload, 'hello');
    await unlisten();
  });
  await world.check(name, 'cancel', async () => {
    const asleep = sql`select pg_sleep(30)`;
    asleep.catch(() => {});
    setTimeout(() => asleep.cancel(), 300);
    expectEqual((await refusal(asleep)).code, '57014');
  });
  await sql.end({ timeout: 5 });
}
