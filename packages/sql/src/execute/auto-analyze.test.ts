import { SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { createSqlEngine, type SqlEngine } from '../engine.ts';
import { type Harness, harnessOver } from '../testing/harness.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';

const naptimeMs = 1000;
const engines: SqlEngine[] = [];
afterEach(() => Promise.all(engines.splice(0).map((engine) => engine.close())));

async function engineOver(database: MemoryKvDatabase, clock: ManualClock): Promise<Harness> {
  const prng = new SeededPrng(engines.length + 1);
  const engine = await createSqlEngine({ database, clock, prng, autoAnalyze: { naptimeMs } });
  engines.push(engine);
  return harnessOver(database, engine);
}

async function start() {
  const clock = new ManualClock();
  const database = new MemoryKvDatabase({ clock });
  const one = await engineOver(database, clock);
  await one.query('create table t (id int primary key, v int)');
  return { clock, database, one };
}

const rowsOf = async ({ query }: Harness) =>
  (await query("select n_live_tup from pg_stat_user_tables where relname = 't'"))[0]?.[0];

/** Lets what goes on in the background have its turns of the loop, without time. */
async function turns({ clock }: { readonly clock: ManualClock }): Promise<void> {
  for (let i = 0; i < 20; i++) {
    clock.runTurn();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function pass(world: { readonly clock: ManualClock }, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    world.clock.advance(50);
    await turns(world);
  }
}

describe('tables that change', () => {
  it('are analyzed after a while', async () => {
    const world = await start();
    const { one } = world;
    await one.query('insert into t select n, n % 3 from generate_series(1, 100) n');
    expect(await rowsOf(one)).toBeNull();
    await pass(world, naptimeMs * 2);
    expect(await rowsOf(one)).toBe(100n);
    const [[distinct] = []] = await one.query(
      "select n_distinct from pg_stats where attname = 'v'",
    );
    expect(distinct).toBe(3);
  });

  it('again when a tenth of their rows has changed, and not before', async () => {
    const world = await start();
    const { database, one } = world;
    await one.query('insert into t select n, 1 from generate_series(1, 1000) n');
    await pass(world, naptimeMs * 2);
    expect(await rowsOf(one)).toBe(1000n);
    await one.query('delete from t where id <= 140');
    const { version } = database;
    await pass(world, naptimeMs * 2);
    expect(database.version).toBe(version);
    await one.query('delete from t where id <= 160');
    await pass(world, naptimeMs * 2);
    expect(await rowsOf(one)).toBe(840n);
  });

  it('once, though two processes have changed them', async () => {
    const world = await start();
    const { clock, database, one } = world;
    const two = await engineOver(database, clock);
    await one.query('insert into t select n, 1 from generate_series(1, 100) n');
    await two.query('insert into t select n, 1 from generate_series(101, 200) n');
    const before = await one.query('select * from pg_stats');
    expect(before).toEqual([]);
    const { version } = database;
    await pass(world, naptimeMs * 2);
    expect(await rowsOf(one)).toBe(200n);
    expect(await rowsOf(two)).toBe(200n);
    expect(database.version).toBe(version + 1);
  });

  it('without a conflict with whoever changes the catalog meanwhile', async () => {
    const world = await start();
    const { one, database } = world;
    await one.query('insert into t select n, 1 from generate_series(1, 100) n');
    await one.query('create table other (id int primary key); begin; truncate other');
    await pass(world, naptimeMs * 2);
    const { version } = database;
    await one.query('alter table other add column n int; commit');
    expect(database.version).toBeGreaterThan(version);
    expect(await rowsOf(one)).toBe(100n);
  });

  it('in a way that plans hear of', async () => {
    const world = await start();
    const { one } = world;
    const shown = async () => String((await one.query('explain select * from t'))[0]?.[0]);
    await one.query('insert into t select n, 1 from generate_series(1, 77) n');
    expect(await shown()).not.toContain('rows=77');
    await pass(world, naptimeMs * 2);
    expect(await shown()).toContain('rows=77');
  });

  it('not if they are temporary or gone', async () => {
    const world = await start();
    const { one } = world;
    await one.query('create temp table p as select n from generate_series(1, 200) n');
    await one.query('insert into t select n, 1 from generate_series(1, 100) n');
    await one.query('drop table t');
    await pass(world, naptimeMs * 2);
    expect(await one.query('select * from pg_stats')).toEqual([]);
  });
});

it('an engine that closes gives up what it has begun', async () => {
  const world = await start();
  const { one, database } = world;
  await one.query('insert into t select n, 1 from generate_series(1, 100) n');
  const { scan } = database.counts;
  let release = (): void => {};
  database.onOperation = ({ kind }) =>
    kind === 'scan'
      ? new Promise<void>((resolve) => {
          release = resolve;
        })
      : undefined;
  await pass(world, naptimeMs * 2);
  expect(database.counts.scan).toBe(scan + 1);
  const closed = Promise.all(engines.splice(0).map((engine) => engine.close()));
  database.onOperation = undefined;
  const { version } = database;
  release();
  await turns(world);
  await closed;
  expect(database.version).toBe(version);
});
