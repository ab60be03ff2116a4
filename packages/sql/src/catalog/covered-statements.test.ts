/** Statements of processes that hold leases on the catalog's version, while others change the catalog. */
import { SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine } from '../engine.ts';
import { catalogLease } from '../limits.ts';
import { type Harness, harnessOver } from '../testing/harness.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';
import { MemoryPeers } from '../testing/memory-peers.ts';
import type { KvOperation } from '../testing/memory-store.ts';

let clock: ManualClock;
let database: MemoryKvDatabase;
let peers: MemoryPeers;
let one: Harness;
let two: Harness;

async function gateway(id: string): Promise<Harness> {
  const prng = new SeededPrng(id.charCodeAt(0));
  const options = { database, clock, prng, catalogLease: true, peers: peers.of(id) };
  return harnessOver(database, await createSqlEngine(options));
}

beforeEach(async () => {
  clock = new ManualClock();
  database = new MemoryKvDatabase({ clock });
  peers = new MemoryPeers();
  one = await gateway('a');
  two = await gateway('b');
  await one.query('create table t (id int primary key, n int); insert into t values (1, 10)');
  await covered(two);
});

/** Until a lease is held: then a point read is one read. */
async function covered(harness: Harness): Promise<void> {
  for (let i = 0; i < 20; i++) {
    const before = database.counts.get;
    await harness.query('select n from t where id = 1');
    if (database.counts.get - before === 1) return;
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10);
  }
  throw new Error('the lease was not had');
}

/** Time passes as slowly as retries need it to. */
async function ended<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  work.then(end, end);
  while (!isOver) {
    clock.advance(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return work;
}

/** Runs `work` once, before the next operation that this is true of. */
function before(isIt: (operation: KvOperation) => boolean, work: () => Promise<unknown>): void {
  let begun = false;
  database.onOperation = async (operation) => {
    if (begun || !isIt(operation)) return;
    begun = true;
    await work();
  };
}

describe('statements under a lease', () => {
  it('read their row and nothing else, by themselves and in blocks', async () => {
    const { get, scan, commit } = { ...database.counts };
    await two.query('select n from t where id = 1');
    await two.query('begin; select n from t where id = 1; commit');
    await two.query('select n from t where id between 1 and 3');
    const { counts } = database;
    // The commit is the block's, and writes nothing.
    expect([counts.get - get, counts.scan - scan, counts.commit - commit]).toEqual([2, 1, 1]);
  });

  it('write by one read and one commit, or by the commit alone', async () => {
    const { get, scan, commit } = { ...database.counts };
    await two.query('update t set n = n + 1 where id = 1');
    await two.query('update t set n = n + 1 where id = 1 returning n');
    await two.query('begin; update t set n = n + 1 where id = 1; commit');
    const { counts } = database;
    expect([counts.get - get, counts.scan - scan, counts.commit - commit]).toEqual([2, 0, 3]);
  });

  it('see at once what this process or another has changed', async () => {
    for (let i = 0; i < 4; i++) {
      const [here, there] = i % 2 === 0 ? [one, two] : [two, one];
      await here.query(`create table t${i} (id int primary key)`);
      await here.query(`insert into t${i} values (${i})`);
      await there.query(`insert into t${i} values (${i + 1})`);
      await here.query(`alter table t${i} add column n int default 7`);
      expect(await there.query(`select * from t${i} order by id`)).toEqual([
        [i, 7],
        [i + 1, 7],
      ]);
      await there.query(`drop table t${i}`);
      await expect(here.query(`select * from t${i}`)).rejects.toMatchObject({ code: '42P01' });
    }
  });

  it('see what their own block has changed, and others do not before it commits', async () => {
    await one.query('begin; alter table t add column m int default 3');
    expect(await one.query('select * from t')).toEqual([[1, 10, 3]]);
    expect(await two.query('select * from t')).toEqual([[1, 10]]);
    await one.query('insert into t values (2, 20, 5)');
    await one.query('commit');
    expect(await two.query('select * from t order by id')).toEqual([
      [1, 10, 3],
      [2, 20, 5],
    ]);
  });

  it('go on while a change is being made, and see it when it is', async () => {
    let during: unknown;
    before(
      ({ kind, keys }: KvOperation & { keys?: readonly Uint8Array[] }) =>
        kind === 'commit' && String(Buffer.from(keys?.[0] ?? [])).includes('sql/'),
      async () => {
        during = await two.query('select * from t');
      },
    );
    await one.query('alter table t add column m int default 3');
    expect(during).toEqual([[1, 10]]);
    expect(await two.query('select * from t')).toEqual([[1, 10, 3]]);
  });
});

describe('a block that is slow', () => {
  const stall = (kind: KvOperation['kind']): void =>
    before(
      (operation) => operation.kind === kind,
      async () => clock.advance(10_000),
    );

  it.each([
    ['a read', 'get', 'select n from t where id = 1'],
    ['a scan', 'scan', 'select n from t where id > 0'],
    ['a write', 'get', 'update t set n = n + 1 where id = 1'],
  ] as const)('goes on after %s that took longer than a lease lasts', async (_name, kind, sql) => {
    await two.query('begin; select n from t where id = 1');
    stall(kind);
    await ended(two.query(sql));
    await ended(two.query('update t set n = 20 where id = 1; commit'));
    expect(await two.query('select n from t')).toEqual([[20]]);
  });

  it('commits though that takes longer than a lease lasts', async () => {
    await two.query('begin; update t set n = 20 where id = 1');
    await covered(two);
    stall('commit');
    await ended(two.query('commit'));
    expect(await two.query('select n from t')).toEqual([[20]]);
  });
});

describe('a write that is late', () => {
  /** Whatever way a row is found, it is the same row. */
  async function consistent(): Promise<unknown> {
    const byKey = await one.query('select id, n from t where id > 0 order by id');
    const byIndex = await one.query('select id, n from t where n > -1000 order by id');
    const [[plan] = []] = await one.query('explain (costs off) select id, n from t where n > 15');
    expect(String(plan)).toContain('by_n');
    expect(byIndex).toEqual(byKey);
    return byKey;
  }

  const isRow = ({ keys }: { readonly keys?: readonly Uint8Array[] }): boolean =>
    keys?.some((key) => key[0] === 0x10) === true;

  it('is held for by an index that comes into being', async () => {
    let made: Promise<unknown> | undefined;
    let isMade = false;
    before(
      (operation) => operation.kind === 'commit' && isRow(operation),
      async () => {
        made = one.query('create index by_n on t (n)').then(() => {
          isMade = true;
        });
        for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
        // The commit is under way.
        expect(isMade).toBe(false);
      },
    );
    await two.query('update t set n = n + 1 where id = 1');
    await ended(made ?? Promise.reject(new Error('no index was made')));
    expect(isMade).toBe(true);
    expect(await consistent()).toEqual([[1, 11]]);
  });

  it('of a process that nobody can reach is refused, and made anew with the index', async () => {
    peers.cut.add('b');
    before(
      (operation) => operation.kind === 'commit' && isRow(operation),
      async () => {
        const made = one.query('create index by_n on t (n)');
        // The process stands still for longer than its lease.
        for (let ms = 0; ms < catalogLease.lastsMs + 1000; ms += 100) {
          clock.advance(100);
          for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
        }
        await ended(made);
      },
    );
    await ended(two.query('update t set n = n + 1 where id = 1'));
    expect(await consistent()).toEqual([[1, 11]]);
  });

  it('of a block fails with it', async () => {
    await two.query('begin; insert into t values (9, 99)');
    await one.query('create index by_n on t (n)');
    await expect(two.query('commit')).rejects.toMatchObject({ code: '40001' });
    expect(await consistent()).toEqual([[1, 10]]);
  });

  it('of a block that then changes the catalog itself fails too', async () => {
    await two.query('begin isolation level read committed; insert into t values (9, 99)');
    await one.query('create index by_n on t (n)');
    await two.query('create table other (id int)');
    await expect(two.query('commit')).rejects.toMatchObject({ code: '40001' });
    expect(await consistent()).toEqual([[1, 10]]);
  });
});
