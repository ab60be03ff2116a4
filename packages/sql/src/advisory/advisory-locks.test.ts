/** Advisory locks of sessions of one engine, and of engines over the same data, which are as many gateways. */
import { SeededPrng, SystemClock } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine, type SqlEngine } from '../engine.ts';
import type { Datum, Notice, SqlSession } from '../session-api.ts';
import type { SqlError } from '../sql-error.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';

interface User {
  readonly session: SqlSession;
  readonly notices: Notice[];
  readonly ended: SqlError[];
  one(sql: string, signal?: AbortSignal): Promise<Datum>;
}

let database: MemoryKvDatabase;
let users: User[];

function userOf(engine: SqlEngine, processId: number): User {
  const notices: Notice[] = [];
  const ended: SqlError[] = [];
  const session = engine.createSession({
    ...{ user: 'ann', database: 'main', client: { processId } },
    events: {
      onNotice: (notice) => notices.push(notice),
      onTerminate: (reason) => ended.push(reason),
    },
  });
  const one = async (sql: string, signal?: AbortSignal): Promise<Datum> => {
    let value: Datum = null;
    for (const statement of session.parse(sql)) {
      const prepared = await session.prepare(statement, []);
      const options = signal === undefined ? {} : { signal };
      const result = await session.execute(prepared, [], options);
      for await (const [row] of result.rows ?? []) value = row?.[0] ?? null;
    }
    return value;
  };
  const user = { session, notices, ended, one };
  users.push(user);
  return user;
}

async function engineOver(seed: number, clock = new SystemClock()): Promise<SqlEngine> {
  return createSqlEngine({ database, clock, prng: new SeededPrng(seed) });
}

beforeEach(() => {
  database = new MemoryKvDatabase();
  users = [];
});

afterEach(() => {
  for (const { session } of users) session.close();
});

describe('advisory locks of two gateways', () => {
  let a: User;
  let b: User;

  beforeEach(async () => {
    a = userOf(await engineOver(1), 1);
    b = userOf(await engineOver(2), 2);
  });

  it('exclude each other until they are given back as often as they were taken', async () => {
    await a.one('select pg_advisory_lock(7), pg_advisory_lock(7)');
    expect(await b.one('select pg_try_advisory_lock(7)')).toBe(false);
    expect(await b.one('select pg_try_advisory_lock(0, 7)')).toBe(true); // another lock
    expect(await a.one('select pg_advisory_unlock(7)')).toBe(true);
    expect(await b.one('select pg_try_advisory_lock(7)')).toBe(false);
    expect(await a.one('select pg_advisory_unlock(7)')).toBe(true);
    expect(await b.one('select pg_try_advisory_lock(7)')).toBe(true);
    expect(await a.one('select pg_advisory_unlock(7)')).toBe(false);
    expect(a.notices).toEqual([
      { severity: 'WARNING', code: '01000', message: "you don't own a lock of type ExclusiveLock" },
    ]);
  });

  it('are shared where they are asked for so', async () => {
    await a.one('select pg_advisory_lock_shared(-5)');
    expect(await b.one('select pg_try_advisory_lock_shared(-5)')).toBe(true);
    expect(await b.one('select pg_try_advisory_lock(-5)')).toBe(false);
    await a.one('select pg_advisory_unlock_shared(-5)');
    expect(await b.one('select pg_try_advisory_lock(-5)')).toBe(true); // beside its own share
    expect(await a.one('select pg_try_advisory_lock_shared(-5)')).toBe(false);
    await b.one('select pg_advisory_unlock_all()');
    expect(await a.one('select pg_try_advisory_lock(-5)')).toBe(true);
  });

  it.each(['commit', 'rollback', 'select 1/0; rollback'])(
    'of a transaction end with it: %s',
    async (end) => {
      await a.one('begin; select pg_advisory_xact_lock(1, 2)');
      await a.one('select pg_advisory_lock(3)');
      expect(await b.one('select pg_try_advisory_xact_lock(1, 2)')).toBe(false);
      for (const sql of end.split(';')) await a.one(sql).catch(() => undefined);
      expect(await b.one('select pg_try_advisory_xact_lock(1, 2)')).toBe(true);
      expect(await b.one('select pg_try_advisory_lock(3)')).toBe(false);
    },
  );

  it('are waited for, as long as lock_timeout and the user allow', async () => {
    await a.one('select pg_advisory_lock(1)');
    await b.one("set lock_timeout = '30ms'");
    await expect(b.one('select pg_advisory_lock(1)')).rejects.toMatchObject({ code: '55P03' });
    await b.one('reset lock_timeout');
    const stop = new AbortController();
    const stopped = b.one('select pg_advisory_lock(1)', stop.signal);
    stop.abort();
    await expect(stopped).rejects.toMatchObject({ code: '57014' });
    const waiting = b.one('select pg_advisory_lock(1)');
    const other = userOf(await engineOver(3), 3);
    await expect(
      other.one("set lock_timeout = '50ms'; select pg_advisory_lock(1)"),
    ).rejects.toThrow();
    await a.one('select pg_advisory_unlock(1)');
    await waiting;
    expect(await a.one('select pg_try_advisory_lock(1)')).toBe(false);
  });

  it('are in pg_locks', async () => {
    await a.one('select pg_advisory_lock(4294967299)');
    await b.one('select pg_advisory_lock_shared(-1, 5)');
    const rows = `select string_agg(concat_ws(' ', locktype, classid, objid, objsubid, pid, mode, granted), '; '
      order by pid) from pg_locks`;
    expect(await a.one(rows)).toBe(
      'advisory 1 3 1 1 ExclusiveLock t; advisory 4294967295 5 2 2 ShareLock t',
    );
  });

  it('are let go when the session ends', async () => {
    await a.one('select pg_advisory_lock(1)');
    a.session.close();
    await b.one("set lock_timeout = '5s'");
    await b.one('select pg_advisory_lock(1)');
  });
});

describe('a gateway that dies', () => {
  it('is waited for until it has been silent for long, and then loses its locks', async () => {
    const clocks = [new ManualClock(), new ManualClock()] as const;
    const dying = userOf(await engineOver(1, clocks[0]), 1);
    const other = userOf(await engineOver(2, clocks[1]), 2);
    await dying.one('select pg_advisory_lock(1)');
    let taken = false;
    const waiting = other.one('select pg_advisory_lock(1)').then(() => {
      taken = true;
    });
    const pass = async (clock: ManualClock, ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 250) {
        clock.advance(250);
        await new Promise<void>((resolve) => setImmediate(resolve));
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    };
    // Both clocks go: it lives, for as long as it says so.
    for (let i = 0; i < 20; i++) {
      await pass(clocks[0], 1_000);
      await pass(clocks[1], 1_000);
    }
    expect(taken).toBe(false);
    expect(dying.ended).toEqual([]);
    // Its clock stands still.
    await pass(clocks[1], 11_000);
    expect(taken).toBe(false);
    await pass(clocks[1], 4_000);
    await waiting;
    // When it comes to itself, it knows that it has lost them, and takes others under another name.
    await pass(clocks[0], 10_000);
    expect(dying.ended).toMatchObject([{ code: '57P01' }]);
    expect(await dying.one('select pg_try_advisory_lock(1)')).toBe(false);
    expect(await dying.one('select pg_try_advisory_lock(2)')).toBe(true);
    expect(await other.one('select pg_try_advisory_lock(2)')).toBe(false);
  });
});
