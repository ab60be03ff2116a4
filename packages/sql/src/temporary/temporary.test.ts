import { SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { createSqlEngine, type SqlEngine } from '../engine.ts';
import { presence } from '../limits.ts';
import type { SqlSession } from '../session-api.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';
import { answerSqlCase } from '../testing/sql-cases.ts';

const database = (): MemoryKvDatabase => new MemoryKvDatabase({ batchPairs: 2 });

function start(over: MemoryKvDatabase, clock: ManualClock, seed: number): Promise<SqlEngine> {
  return createSqlEngine({ database: over, clock, prng: new SeededPrng(seed) });
}

function open(engine: SqlEngine, user = 'postgres'): SqlSession {
  return engine.createSession({ user, database: 'main' });
}

async function run(session: SqlSession, sql: string): Promise<string> {
  const answer = await answerSqlCase(session, { sql, parameters: undefined, expected: '' }, []);
  return answer;
}

const schemas = `select count(*) from pg_namespace where nspname like 'pg_temp_%'`;

it('each session has its own, and they go when it ends', async () => {
  const [over, clock] = [database(), new ManualClock()];
  const engine = await start(over, clock, 1);
  const [ann, bob] = [open(engine), open(engine)];
  for (const [session, value] of [
    [ann, 1],
    [bob, 2],
  ] as const) {
    await run(session, 'create temp table t (x int primary key)');
    await run(session, `insert into t values (${value})`);
  }
  expect(await run(ann, 'select x from t')).toBe('(x:23)\n1');
  expect(await run(bob, 'select x from t')).toBe('(x:23)\n2');
  expect(await run(open(engine), 'select x from t')).toContain('42P01');
  expect(await run(open(engine), schemas)).toBe('(count:20)\n2');
  const [, other] = (await run(bob, 'select (current_schemas(true))[1]')).split('\n');
  expect(await run(ann, `select * from ${other}.t`)).toBe(
    'ERROR 0A000 cannot access temporary tables of other sessions',
  );
  ann.close();
  expect(await run(bob, 'select x from t')).toBe('(x:23)\n2');
  bob.close();
  await engine.close();
  const next = await start(over, clock, 2);
  expect(await run(open(next), schemas)).toBe('(count:20)\n0');
});

it('what was rolled back may be made again', async () => {
  const engine = await start(database(), new ManualClock(), 1);
  const session = open(engine);
  await run(session, 'begin');
  await run(session, 'create temp table t (x int)');
  await run(session, 'rollback');
  expect(await run(session, 'select * from t')).toContain('42P01');
  expect(await run(session, 'create temp table t (x int)')).toBe('CREATE TABLE');
  expect(await run(session, 'select * from t')).toBe('(x:23)');
});

it('what a process leaves that died goes when another one has need of a schema of its own', async () => {
  const [over, clock] = [database(), new ManualClock()];
  const dead = open(await start(over, new ManualClock(), 1));
  await run(dead, 'create temp table t (x int)');
  await run(dead, 'insert into t values (1)');
  const alive = await start(over, clock, 2);
  const session = open(alive);
  await run(session, 'create temp table own (x int)');
  expect(await run(session, schemas)).toBe('(count:20)\n2');
  await expect
    .poll(async () => {
      clock.advance(presence.deadMs);
      return run(session, schemas);
    })
    .toBe('(count:20)\n1');
  expect(await run(session, 'select * from own')).toBe('(x:23)');
});

it('asks for the privilege', async () => {
  const engine = await start(database(), new ManualClock(), 1);
  const admin = open(engine);
  await run(admin, 'create role ann login');
  await run(admin, 'revoke temporary on database main from public');
  const ann = engine.createSession({ user: 'ann', database: 'main', authenticated: true });
  expect(await run(ann, 'create temp table t (x int)')).toBe(
    'ERROR 42501 permission denied to create temporary tables in database "main"',
  );
  await run(admin, 'grant temporary on database main to ann');
  expect(await run(ann, 'create temp table t (x int)')).toBe('CREATE TABLE');
  expect(await run(ann, 'select * from t')).toBe('(x:23)');
});
