/** Programs of scans over real stores: the same rows, whatever is in the way of them. */
import { concatBytes, DbError, KeyWriter, SeededPrng, tablePrefix } from '@flotilla/base';
import {
  createSqlEngine,
  createStorePrograms,
  type SqlEngine,
  type SqlSession,
} from '@flotilla/sql';
import { afterEach, expect, it } from 'vitest';
import { StoreWorld, type StoreWorldOptions } from './store-world.test-kit.ts';
import type { TestClient } from './transaction.test-kit.ts';

const rows = 240;
const pieces = 6;

let world: StoreWorld;
let client: TestClient;
let engine: SqlEngine;
let session: SqlSession;

afterEach(async () => {
  await world.run(engine.close());
  await world.end();
});

type Row = readonly unknown[];

function newSession(): SqlSession {
  return engine.createSession({ user: 'postgres', database: 'flotilla' });
}

async function ask(sql: string, within: SqlSession = session): Promise<readonly Row[]> {
  const work = async (): Promise<readonly Row[]> => {
    let found: Row[] = [];
    for (const statement of within.parse(sql)) {
      const result = await within.execute(await within.prepare(statement, []), []);
      found = [];
      for await (const batch of result.rows ?? []) found.push(...batch);
    }
    return found;
  };
  return world.run(work(), 60_000);
}

async function start(options: StoreWorldOptions): Promise<void> {
  world = await StoreWorld.start(91, options);
  client = world.client('sql');
  const { clock } = world.cluster;
  engine = await world.run(
    createSqlEngine({ database: client.database, clock, prng: new SeededPrng(5) }),
    60_000,
  );
  session = newSession();
  await ask('create table t (id int primary key, g int, v int, body text)');
  const [[place] = []] = await ask("select relfilenode::int8 from pg_class where relname = 't'");
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(Number(place));
  for (let i = 1; i < pieces; i++) {
    const key = new KeyWriter()
      .begin(concatBytes(tablePrefix, prefix))
      .integer(0)
      .integer((i * rows) / pieces)
      .finish();
    await world.run(cut(key), 60_000);
  }
  await ask(
    `insert into t select i, i % 7, i, repeat('x', 50) from generate_series(0, ${rows - 1}) i`,
  );
}

/** Again while the range cannot be cut just then. */
async function cut(key: Uint8Array): Promise<void> {
  for (let tries = 0; ; tries++)
    try {
      await client.router.split(key, { timeoutMs: 20_000 });
      return;
    } catch (error) {
      if (!(error instanceof DbError) || tries === 20) throw error;
      await world.sleep(200);
    }
}

const everywhere = (): StoreWorldOptions => ({
  programs: () => ({ programs: createStorePrograms() }),
});

function facts(lines: readonly Row[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [line] of lines)
    for (const [, word, number] of String(line).matchAll(/(\w+)=(\d+)/g))
      if (/^(Storage|Evaluated)/.test(String(line)))
        found[`${String(line).split(/[ :]/)[0]} ${word}`] = Number(number);
  return found;
}

it('is evaluated on all ranges', async () => {
  await start(everywhere());
  expect(await ask('select count(*) from t')).toEqual([[BigInt(rows)]]);
  const told = facts(await ask('explain (analyze) select g, sum(v) from t group by g'));
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
  const limited = facts(await ask('explain (analyze) select id from t where v > 5 limit 3'));
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
  const told = facts(await ask('explain (analyze) select count(*) from t'));
  expect(told['Evaluated rows']).toBe(rows);
  expect(told['Evaluated requests']).toBeGreaterThan(rows / 8);
});

it('reads rows where stores know no programs', async () => {
  await start({});
  expect(await ask('select g, count(*) from t where v < 100 group by g order by g')).toHaveLength(
    7,
  );
  const told = facts(await ask('explain (analyze) select count(*) from t'));
  expect(told).toEqual({
    'Storage requests': pieces,
    'Storage rows': rows,
    'Storage bytes': expect.any(Number),
  });
});

it('reads rows of the stores that know no programs', async () => {
  const some = (storeId: number) => (storeId === 1 ? {} : { programs: createStorePrograms() });
  await start({ programs: some });
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
  const other = newSession();
  await ask('begin isolation level serializable');
  expect(await ask('select count(*) from t where v > 1000')).toEqual([[0n]]);
  await ask('insert into t values (2000, 0, 2000, null)', other);
  await ask('insert into t values (2001, 0, 0, null)');
  await expect(ask('commit')).rejects.toMatchObject({ code: '40001' });
});

it('sees one snapshot of all ranges', async () => {
  await start(everywhere());
  const other = newSession();
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
