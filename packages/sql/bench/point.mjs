/**
 * What one statement costs over the in-memory store, in µs of processor time: point reads and writes, which bypass the general planner, and
 * a few plans beside them. Usage: tsc -b && node packages/sql/bench/point.mjs [rounds]
 */
import { SeededPrng, SystemClock } from '@flotilla/base';
import { createSqlEngine } from '../dist/index.js';
import { MemoryKvDatabase } from '../dist/testing/index.js';

const rounds = Number(process.argv[2] ?? 20_000);
const engine = await createSqlEngine({
  database: new MemoryKvDatabase(),
  clock: new SystemClock(),
  prng: new SeededPrng(1),
});
const session = engine.createSession({ user: 'ann', database: 'main' });

async function run(prepared, parameters) {
  const result = await session.execute(prepared, parameters);
  let rows = 0;
  for await (const batch of result.rows ?? []) rows += batch.length;
  return rows;
}

async function prepare(sql) {
  const [statement] = session.parse(sql);
  return session.prepare(statement, []);
}

await run(await prepare('create table t (id int primary key, name text, n int)'), []);
const insert = await prepare('insert into t values ($1, $2, $3)');
for (let i = 0; i < 1_000; i++) await run(insert, [i, `name ${i}`, i % 10]);

const cases = [
  ['point select', 'select name, n from t where id = $1', (i) => [i % 1_000], rounds],
  ['point select, parsed', 'select name, n from t where id = $1', (i) => [i % 1_000], rounds, true],
  ['point update', 'update t set n = $2 where id = $1', (i) => [i % 1_000, i], rounds],
  ['insert', 'insert into t values ($1, $2, $3)', (i) => [10_000 + i, 'x', 1], rounds],
  ['point delete', 'delete from t where id = $1', (i) => [10_000 + i], rounds],
  ['scan 1000, filter', 'select id from t where n = $1', (i) => [i % 10], rounds / 100],
  ['group 1000', 'select n, count(*) from t group by n', () => [], rounds / 100],
  ['sort 1000', 'select id from t order by name', () => [], rounds / 100],
];
for (const [name, sql, parameters, count, parsed] of cases) {
  let prepared = await prepare(sql);
  for (let i = 0; i < count / 10; i++) await run(prepared, parameters(i + count));
  const start = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    if (parsed === true) prepared = await prepare(sql);
    await run(prepared, parameters(i));
  }
  const { user, system } = process.cpuUsage(start);
  const us = (user + system) / count;
  process.stdout.write(`${name.padEnd(24)} ${us.toFixed(1)} µs\n`);
}
