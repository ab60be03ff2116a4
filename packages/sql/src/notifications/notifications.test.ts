/** LISTEN and NOTIFY in one engine and between two; sessions of other processes: listed, cancelled, ended. */
import { SeededPrng, SystemClock } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine, type SqlEngine } from '../engine.ts';
import type { Datum, Notice, SqlSession } from '../session-api.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';
import { MemoryPeers } from '../testing/memory-peers.ts';

interface User {
  readonly session: SqlSession;
  readonly heard: string[];
  readonly told: string[];
  readonly notices: Notice[];
  run(sql: string): Promise<(readonly Datum[])[]>;
}

let database: MemoryKvDatabase;
let peers: MemoryPeers;
let engines: [SqlEngine, SqlEngine];

function userOf(engine: SqlEngine, processId: number, user = 'postgres'): User {
  const [heard, told, notices]: [string[], string[], Notice[]] = [[], [], []];
  const session = engine.createSession({
    ...{ user, database: 'main', client: { processId }, authenticated: user !== 'postgres' },
    events: {
      onNotification: (one) => heard.push(`${one.processId} ${one.channel} ${one.payload}`),
      onCancel: () => told.push('cancel'),
      onTerminate: ({ code }) => told.push(code),
      onNotice: (notice) => notices.push(notice),
    },
  });
  const run = async (sql: string): Promise<(readonly Datum[])[]> => {
    const rows: (readonly Datum[])[] = [];
    for (const statement of session.parse(sql)) {
      const result = await session.execute(await session.prepare(statement, []), []);
      for await (const batch of result.rows ?? []) rows.push(...batch);
    }
    return rows;
  };
  return { session, heard, told, notices, run };
}

beforeEach(async () => {
  database = new MemoryKvDatabase();
  peers = new MemoryPeers();
  const engine = (seed: number) =>
    createSqlEngine({
      ...{ database, clock: new SystemClock(), prng: new SeededPrng(seed) },
      peers: peers.of(`p${seed}`),
    });
  engines = [await engine(1), await engine(2)];
});

describe('notifications', () => {
  it('are heard in all processes, in their order, when they have been committed', async () => {
    const [here, there, speaker] = [
      userOf(engines[0], 1),
      userOf(engines[1], 2),
      userOf(engines[0], 3),
    ];
    await here.run('listen jobs');
    await there.run('listen jobs; listen "Other"');
    await speaker.run("begin; notify jobs, 'one'; select pg_notify('Other', 'x'); notify jobs");
    expect(there.heard).toEqual([]);
    await speaker.run("notify jobs, 'one'; commit"); // said twice, heard once
    await speaker.run("notify jobs, 'two'");
    await expect
      .poll(() => there.heard)
      .toEqual(['3 jobs one', '3 Other x', '3 jobs ', '3 jobs two']);
    expect(here.heard).toEqual(['3 jobs one', '3 jobs ', '3 jobs two']);
    expect(speaker.heard).toEqual([]);
    expect(await there.run('select * from pg_listening_channels()')).toEqual([['jobs'], ['Other']]);
    await there.run('unlisten jobs');
    await speaker.run('notify jobs');
    await there.run('unlisten *');
    await speaker.run('notify "Other"');
    await here.run('select 1');
    expect(there.heard).toHaveLength(4);
    there.session.close();
  });

  it('of what was rolled back are never heard', async () => {
    const user = userOf(engines[0], 1);
    await user.run(
      'begin; listen a; savepoint s; listen b; notify a; rollback to s; notify a, $$x$$; commit',
    );
    expect(await user.run('select * from pg_listening_channels()')).toEqual([['a']]);
    expect(user.heard).toEqual(['1 a x']);
    await user.run('begin; notify a; listen c; rollback');
    await expect(user.run("select pg_notify('a', 'y'), 1 / (random()::int * 0)")).rejects.toThrow();
    await user.run("select pg_notify('a', 'z')");
    await user.run('select 1');
    await expect.poll(() => user.heard).toEqual(['1 a x', '1 a z']);
    expect(await user.run('select * from pg_listening_channels()')).toEqual([['a']]);
  });

  it('have limits', async () => {
    const user = userOf(engines[0], 1);
    const long = 'x'.repeat(8000);
    await expect(user.run(`notify a, '${long}'`)).rejects.toMatchObject({ code: '22023' });
    await expect(user.run("select pg_notify('', 'x')")).rejects.toMatchObject({ code: '22023' });
    await expect(user.run(`select pg_notify('${'n'.repeat(64)}', '')`)).rejects.toMatchObject({
      code: '22023',
    });
    await user.run(`listen a; notify a, '${long.slice(1)}'`);
    expect(user.heard[0]).toHaveLength(4 + 7999);
  });
});

describe('sessions of other processes', () => {
  beforeEach(async () => {
    for (const engine of engines) await engine.cancels.join();
  });

  it('are listed, cancelled and ended', async () => {
    const [here, there] = [userOf(engines[0], 1), userOf(engines[1], 2)];
    const pids = 'select pid from pg_stat_activity order by pid';
    expect(await here.run(pids)).toEqual([[1], [2]]);
    expect(await here.run('select pg_cancel_backend(2)')).toEqual([[true]]);
    expect(await here.run('select pg_terminate_backend(2)')).toEqual([[true]]);
    expect(there.told).toEqual(['cancel', '57P01']);
    expect(await there.run('select pg_cancel_backend(77)')).toEqual([[false]]);
    expect(there.notices).toMatchObject([
      { code: '01000', message: 'PID 77 is not a PostgreSQL server process' },
    ]);
    peers.cut.add('p2');
    expect(await here.run(pids)).toEqual([[1]]);
  });

  it('are let alone by those who may not', async () => {
    const root = userOf(engines[0], 2);
    await root.run('create role ann login; create role bob login');
    const [ann, bob] = [userOf(engines[0], 3, 'ann'), userOf(engines[1], 4, 'bob')];
    await expect(ann.run('select pg_cancel_backend(2)')).rejects.toMatchObject({
      code: '42501',
      message: 'must be a superuser to cancel superuser query',
    });
    await expect(ann.run('select pg_terminate_backend(4)')).rejects.toMatchObject({
      code: '42501',
    });
    await root.run('grant bob to ann');
    await ann.run('select 1');
    expect(await ann.run('select pg_terminate_backend(4)')).toEqual([[true]]);
    expect(bob.told).toEqual(['57P01']);
  });

  it('get the cancel requests that came to the wrong gateway', async () => {
    const heard: [number, string][] = [];
    const number = await engines[1].cancels.join();
    engines[1].cancels.onCancel(({ processId, secret }) =>
      heard.push([processId, Buffer.from(secret).toString('hex')]),
    );
    await engines[0].cancels.forward(number, { processId: 5, secret: Uint8Array.of(1, 2, 3, 4) });
    await engines[0].cancels.forward((number + 1) % 1024, {
      processId: 6,
      secret: Uint8Array.of(1, 2, 3, 4),
    });
    await expect.poll(() => heard).toEqual([[5, '01020304']]);
  });
});
