/**
 * What one statement costs over the in-memory store, in µs of processor time: point reads and writes, which bypass the general planner, and
 * a few plans beside them. `bound` also decodes the parameter and encodes the row, as the gateway does; `timed` is under a
 * statement_timeout.
 * Usage: tsc -b && node packages/sql/bench/point.mjs [rounds [part of a case's name]]
 */
import { SeededPrng, SystemClock } from '@flotilla/base';
import { createSqlEngine } from '../dist/index.js';
import { MemoryKvDatabase } from '../dist/testing/index.js';

const rounds = Number(process.argv[2] ?? 20_000);
const only = process.argv[3] ?? '';
const engine = await createSqlEngine({
  database: new MemoryKvDatabase(),
  clock: new SystemClock(),
  prng: new SeededPrng(1),
  catalogLease: true,
});
const session = engine.createSession({ user: 'ann', database: 'main' });

async function run(prepared, parameters) {
  const result = await session.execute(prepared, parameters);
  let rows = 0;
  for await (const batch of result.rows ?? []) rows += batch.length;
  return rows;
}

/** From the text of a parameter to the bytes of a row. */
async function runBound(prepared, parameters) {
  const values = parameters.map((value, i) =>
    session.decode(prepared.parameterTypes[i], 0, Buffer.from(String(value))),
  );
  const result = await session.execute(prepared, values);
  let bytes = 0;
  for await (const batch of result.rows ?? [])
    for (const row of batch)
      for (let i = 0; i < row.length; i++)
        bytes += session.encode(result.columns[i].typeOid, 0, row[i])?.length ?? 0;
  return bytes;
}

async function prepare(sql) {
  const [statement] = session.parse(sql);
  return session.prepare(statement, []);
}

await run(await prepare('create table t (id int primary key, name text, n int)'), []);
await run(
  await prepare('create table u (id int primary key, code text unique, k int, v text)'),
  [],
);
await run(await prepare('create index on u (k)'), []);
const insert = await prepare('insert into t values ($1, $2, $3)');
for (let i = 0; i < 1_000; i++) await run(insert, [i, `name ${i}`, i % 10]);

for (let i = 0; i < 1_000; i++)
  await run(await prepare('insert into u values ($1, $2, $3, $2)'), [i, `code ${i}`, i >> 1]);

const cases = [
  [
    'point select, bound',
    'select name, n from t where id = $1',
    (i) => [i % 1_000],
    rounds,
    'bound',
  ],
  ['point select', 'select name, n from t where id = $1', (i) => [i % 1_000], rounds],
  [
    'point select, parsed',
    'select name, n from t where id = $1',
    (i) => [i % 1_000],
    rounds,
    'parsed',
  ],
  [
    'point select, timed',
    'select name, n from t where id = $1',
    (i) => [i % 1_000],
    rounds,
    'timed',
  ],
  ['point update', 'update t set n = $2 where id = $1', (i) => [i % 1_000, i], rounds],
  ['insert', 'insert into t values ($1, $2, $3)', (i) => [10_000 + i, 'x', 1], rounds],
  ['point delete', 'delete from t where id = $1', (i) => [10_000 + i], rounds],
  [
    'select by unique index',
    'select v from u where code = $1',
    (i) => [`code ${i % 1_000}`],
    rounds,
  ],
  ['select by index', 'select v from u where k = $1', (i) => [i % 500], rounds],
  ['select of index alone', 'select id from u where k = $1', (i) => [i % 500], rounds],
  ['scan 1000, filter', 'select id from t where n = $1', (i) => [i % 10], rounds / 100],
  ['group 1000', 'select n, count(*) from t group by n', () => [], rounds / 100],
  ['sort 1000', 'select id from t order by name', () => [], rounds / 100],
];
for (const [name, sql, parameters, count, how] of cases) {
  if (!name.includes(only)) continue;
  const once = how === 'bound' ? runBound : run;
  await run(await prepare(`set statement_timeout = ${how === 'timed' ? "'30s'" : '0'}`), []);
  let prepared = await prepare(sql);
  for (let i = 0; i < count / 10; i++) await once(prepared, parameters(i + count));
  const start = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    if (how === 'parsed') prepared = await prepare(sql);
    await once(prepared, parameters(i));
  }
  const { user, system } = process.cpuUsage(start);
  const us = (user + system) / count;
  process.stdout.write(`${name.padEnd(24)} ${us.toFixed(1)} µs\n`);
}
