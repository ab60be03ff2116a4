/** Programs of scans over real stores: the same rows, whatever is in the way of them. */
import { afterEach, expect, it } from 'vitest';
import {
  everywhere,
  notEverywhere,
  pieces,
  type Row,
  rows,
  SqlWorld,
} from './sql-world.test-kit.ts';
import type { StoreWorldOptions } from './store-world.test-kit.ts';

let world: SqlWorld;

afterEach(() => world.end());

async function start(options: StoreWorldOptions): Promise<void> {
  world = await SqlWorld.start(
    options,
    'create table t (id int primary key, g int, v int, body text)',
    `insert into t select i, i % 7, i, repeat('x', 50) from generate_series(0, ${rows - 1}) i`,
  );
}

const ask = (...asked: Parameters<SqlWorld['ask']>): Promise<readonly Row[]> => world.ask(...asked);

it('is evaluated on all ranges', async () => {
  await start(everywhere());
  expect(await ask('select count(*) from t')).toEqual([[BigInt(rows)]]);
  const told = await world.told('select g, sum(v) from t group by g');
  expect(told).toMatchObject({
    'Evaluated rows': rows,
    'Evaluated ranges': pieces,
    'Evaluated requests': pieces,
    'Storage rows': pieces * 7,
  });
  expect(await ask('select id from t where v % 100 = 3')).toEqual([[3], [103], [203]]);
  expect(await ask('select id from t where v % 100 = 3 order by id desc')).toEqual([
    [203],
    [103],
    [3],
  ]);
  const limited = await world.told('select id from t where v > 5 limit 3');
  expect(limited).toMatchObject({ 'Evaluated requests': 1, 'Storage rows': 3 });
});

it('goes on where an answer ended', async () => {
  await start({
    ...everywhere(),
    limits: { programRowsMax: 7, programRowsFree: 1, programsRunningMax: 1 },
  });
  expect(await ask('select sum(v) from t where g < 7')).toEqual([
    [BigInt((rows * (rows - 1)) / 2)],
  ]);
  const told = await world.told('select count(*) from t');
  expect(told['Evaluated rows']).toBe(rows);
  expect(told['Evaluated requests']).toBeGreaterThan(rows / 8);
});

it('reads rows where stores know no programs', async () => {
  await start({});
  expect(await ask('select g, count(*) from t where v < 100 group by g order by g')).toHaveLength(
    7,
  );
  const told = await world.told('select count(*) from t');
  expect(told).toEqual({
    'Storage requests': pieces,
    'Storage rows': rows,
    'Storage bytes': expect.any(Number),
  });
});

it('reads rows of the stores that know no programs', async () => {
  await start(notEverywhere());
  expect(await ask('select count(*), sum(v) from t')).toEqual([
    [BigInt(rows), BigInt((rows * (rows - 1)) / 2)],
  ]);
});

it('shows the writes of its own transaction', async () => {
  await start(everywhere());
  await ask(
    'begin; insert into t values (1000, 1, 5000, null); delete from t where id = 0; update t set v = 0 where id = 100',
  );
  expect(await ask('select count(*), sum(v) from t')).toEqual([
    [BigInt(rows), BigInt((rows * (rows - 1)) / 2 + 5000 - 100)],
  ]);
  await ask('rollback');
});

it('is a read of every row of the span', async () => {
  await start(everywhere());
  const other = world.newSession();
  await ask('begin isolation level serializable');
  expect(await ask('select count(*) from t where v > 1000')).toEqual([[0n]]);
  await ask('insert into t values (2000, 0, 2000, null)', other);
  await ask('insert into t values (2001, 0, 0, null)');
  await expect(ask('commit')).rejects.toMatchObject({ code: '40001' });
});

it('sees one snapshot of all ranges', async () => {
  await start(everywhere());
  const other = world.newSession();
  await ask('begin isolation level repeatable read');
  const [[before] = []] = await ask('select sum(v) from t');
  await ask('update t set v = v + 1 where id in (1, 239)', other);
  await ask('delete from t where id = 120', other);
  expect(await ask('select sum(v) from t')).toEqual([[before]]);
  await ask('commit');
  expect(await ask('select sum(v) from t')).toEqual([[BigInt(Number(before) + 2 - 120)]]);
});

it('raises the error of a row, after the rows before it', async () => {
  await start(everywhere());
  await expect(ask('select count(*) from t where 10 / (v - 50) > 0')).rejects.toMatchObject({
    code: '22012',
  });
  expect(await ask('select id from t where 10 / (v - 50) <= 0 limit 2')).toEqual([[0], [1]]);
});
