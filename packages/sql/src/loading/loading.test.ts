/** Storage that is filled before a commit: announced, reclaimed when there is none, and never taken from a transaction that lives. */
import { SeededPrng, silentLogger } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Catalog } from '../catalog/catalog.ts';
import { createSqlEngine, type SqlEngine } from '../engine.ts';
import type { KvTransaction } from '../kv-transaction.ts';
import { loadSweep } from '../limits.ts';
import type { SqlSession } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { storageSpan } from '../storage/table-store.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';
import { Loading } from './loading.ts';
import { decodeLoading, loadingSpan } from './loading-rows.ts';
import type { StorageClaims } from './storage-claims.ts';

const flushBytes = 1;
const storage = storageSpan(0x2000_4000);

let clock: ManualClock;
let database: MemoryKvDatabase;

beforeEach(() => {
  clock = new ManualClock();
  database = new MemoryKvDatabase({ clock });
});

function rowsIn(span: typeof storage): number {
  return database.range(span, Number.MAX_SAFE_INTEGER, 1_000_000, false).length;
}

function announced(): (number | undefined)[] {
  return database
    .range(loadingSpan, Number.MAX_SAFE_INTEGER, 1_000, false)
    .map(({ key, value }) => decodeLoading(key, value).reclaimedAtMs);
}

describe('what a process has left that died', () => {
  let loading: Loading;
  let transaction: KvTransaction;
  let claims: StorageClaims;

  beforeEach(async () => {
    const prng = new SeededPrng(1);
    const catalog = new Catalog(database);
    loading = new Loading({ database, catalog, clock, prng, logger: silentLogger, flushBytes });
    transaction = database.begin();
    claims = loading.begin();
    claims.claim(transaction, storage);
    transaction.insert(Buffer.concat([storage.startKey, Buffer.from('row')]), Buffer.from('1'));
    await claims.relieve(transaction, undefined);
  });

  it('is announced before it is there', async () => {
    expect([rowsIn(storage), announced()]).toEqual([1, [undefined]]);
    const order: string[] = [];
    database.onOperation = ({ kind }) => {
      order.push(kind);
    };
    const second = database.begin();
    const more = loading.begin();
    more.claim(second, storageSpan(0x2000_4001));
    second.put(Buffer.concat([storageSpan(0x2000_4001).startKey, Buffer.of(1)]), Buffer.from('1'));
    await more.relieve(second, undefined);
    expect(order).toEqual(['commit', 'committed', 'get', 'flush']);
    second.rollback();
  });

  it('is left alone while its transaction lives', async () => {
    for (let sweep = 0; sweep < 5; sweep++) await loading.sweep();
    expect([rowsIn(storage), announced()]).toEqual([1, [undefined]]);
  });

  it('goes when its lock was free twice, and once more for what came late', async () => {
    // A process that dies lets go of its locks, and of nothing else.
    transaction.rollback();
    await loading.sweep();
    expect([rowsIn(storage), announced()]).toEqual([1, [undefined]]);
    await loading.sweep();
    expect([rowsIn(storage), announced()]).toEqual([0, [clock.wallMs()]]);
    const late = database.begin();
    late.put(Buffer.concat([storage.startKey, Buffer.from('late')]), Buffer.from('1'));
    await late.commit();
    await loading.sweep();
    expect(rowsIn(storage)).toBe(1);
    clock.advance(loadSweep.lateMs);
    await loading.sweep();
    expect([rowsIn(storage), announced()]).toEqual([0, []]);
  });

  it('is found by another process, and the transaction cannot commit any more', async () => {
    const prng = new SeededPrng(2);
    const catalog = new Catalog(database);
    const other = new Loading({ database, catalog, clock, prng, logger: silentLogger, flushBytes });
    // Its leaseholder died with the lock; the process lives.
    database.locks.release(transaction as never);
    await other.sweep();
    await other.sweep();
    transaction.put(Buffer.concat([storage.startKey, Buffer.from('more')]), Buffer.from('1'));
    await expect(claims.relieve(transaction, undefined)).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    transaction.rollback();
  });

  it('goes at once where the process itself rolls back', async () => {
    transaction.rollback();
    claims.rolledBack();
    await loading.close();
    expect([rowsIn(storage), announced()]).toEqual([0, []]);
  });
});

describe('a session that loads', () => {
  let engine: SqlEngine;
  let session: SqlSession;
  let close: () => Promise<void>;

  beforeEach(async () => {
    const options = { database, clock, prng: new SeededPrng(3), loadFlushBytes: flushBytes };
    engine = await createSqlEngine(options);
    session = engine.createSession({ user: 'ann', database: 'main' });
    close = () => engine.close();
  });

  afterEach(() => close());

  async function sql(text: string): Promise<readonly (readonly unknown[])[]> {
    let rows: (readonly unknown[])[] = [];
    for (const statement of session.parse(text)) {
      const result = await session.execute(await session.prepare(statement, []), []);
      rows = [];
      for await (const batch of result.rows ?? []) rows.push(...batch);
    }
    return rows;
  }

  it('takes its announcement back with the commit', async () => {
    await sql('BEGIN; CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1), (2)');
    expect([database.counts.flush, announced()]).toEqual([1, [undefined]]);
    expect(await sql('INSERT INTO t VALUES (3); COMMIT; SELECT count(*) FROM t')).toEqual([[3n]]);
    expect(announced()).toEqual([]);
  });

  it('leaves nothing behind of a table that it has dropped again, or given other storage', async () => {
    const before = database.size;
    await sql('BEGIN; CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    await sql('TRUNCATE t; INSERT INTO t VALUES (2); DROP TABLE t; COMMIT');
    await close();
    expect(announced()).toEqual([]);
    // The counters of the catalog alone.
    expect(database.size - before).toBeLessThanOrEqual(2);
  });

  it('leaves nothing behind when it rolls back, or goes away', async () => {
    await sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const before = database.size;
    await sql('BEGIN; TRUNCATE t; INSERT INTO t VALUES (2), (3); ROLLBACK');
    await sql('BEGIN; TRUNCATE t; INSERT INTO t VALUES (4), (5), (6)');
    session.close();
    await close();
    expect([database.size, announced()]).toEqual([before, []]);
  });

  it('says of a statement alone what it says in a block: rows are there twice', async () => {
    await sql(
      'CREATE TABLE t (i int); INSERT INTO t SELECT g % 900 FROM generate_series(1, 1800) g',
    );
    const error = await sql('ALTER TABLE t ADD PRIMARY KEY (i)').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SqlError);
    expect((error as SqlError).message).toBe('could not create unique index "t_pkey"');
    await sql('DELETE FROM t WHERE i = 0 OR i > 0; ALTER TABLE t ADD PRIMARY KEY (i)');
    await close();
    expect(announced()).toEqual([]);
  });

  it('pours out what a statement adds to new storage, but for one that reads it', async () => {
    await sql('BEGIN; CREATE TABLE t (i int)');
    await sql('INSERT INTO t SELECT g FROM generate_series(1, 2000) g');
    expect(database.counts.flush).toBeGreaterThan(2);
    const before = database.counts.flush;
    await sql('INSERT INTO t SELECT i + 2000 FROM t');
    expect(database.counts.flush).toBe(before + 1);
    expect(await sql('COMMIT; SELECT count(*), max(i) FROM t')).toEqual([[4000n, 4000]]);
  });

  it('checks a new foreign key with one look for each row that is referred to', async () => {
    await sql('CREATE TABLE p (i int PRIMARY KEY); INSERT INTO p VALUES (1), (2), (3)');
    await sql(
      'CREATE TABLE c (p int); INSERT INTO c SELECT 1 + g % 3 FROM generate_series(1, 900) g',
    );
    const before = database.counts.get;
    await sql('ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p');
    expect(database.counts.get - before).toBeLessThan(12);
    await sql(
      'INSERT INTO p VALUES (4); ALTER TABLE c DROP CONSTRAINT c_p_fkey; INSERT INTO c VALUES (9)',
    );
    const error = await sql('ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p').catch(
      (reason: unknown) => reason,
    );
    expect((error as SqlError).code).toBe('23503');
    expect((error as SqlError).fields.detail).toBe('Key (p)=(9) is not present in table "p".');
  });

  it('a block that is older than a load sees nothing of it in part', async () => {
    const reader = engine.createSession({ user: 'bob', database: 'main' });
    const ask = async (text: string): Promise<unknown[]> => {
      const rows: unknown[] = [];
      for (const statement of reader.parse(text)) {
        const result = await reader.execute(await reader.prepare(statement, []), []);
        for await (const batch of result.rows ?? []) rows.push(...batch);
      }
      return rows;
    };
    await sql('CREATE TABLE t (i int); CREATE TABLE u (i int)');
    await sql('BEGIN; TRUNCATE t; INSERT INTO t VALUES (1)');
    await ask('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM u');
    await sql('INSERT INTO t VALUES (2); COMMIT');
    // It has read nothing that has changed: its snapshot moves.
    expect(await ask('SELECT count(*) FROM t; COMMIT')).toEqual([[2n]]);
  });
});
