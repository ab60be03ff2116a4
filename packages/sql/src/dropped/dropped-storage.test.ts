/** What is dropped goes behind everybody's back, and goes whatever becomes of the process that dropped it. */
import { DbError, prefixSpan, SeededPrng, type Span, tablePrefix } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSqlEngine, type SqlEngine } from '../engine.ts';
import type { BeginOptions, KvTransaction } from '../kv-transaction.ts';
import { droppedCloseMs, droppedSweepMs } from '../limits.ts';
import { type Harness, harnessOver } from '../testing/harness.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';
import { droppedKey, droppedSpan, encodeDropped } from './dropped-rows.ts';

const allTables = prefixSpan(tablePrefix);

/** Spans are deleted when the test says so. */
class HeldDatabase extends MemoryKvDatabase {
  /** Of each deletion that was begun, what ends it. */
  readonly held: { readonly span: Span; end(error?: DbError): void }[] = [];
  holds = true;
  /** What is under way does not hear that it is to stop. */
  isStuck = false;
  readonly begun: KvTransaction[] = [];

  override begin(options?: BeginOptions): KvTransaction {
    const transaction = super.begin(options);
    this.begun.push(transaction);
    return transaction;
  }

  override async discard(span: Span, signal?: AbortSignal): Promise<void> {
    if (this.holds)
      await new Promise<void>((resolve, reject) => {
        const end = (error?: DbError): void => (error === undefined ? resolve() : reject(error));
        if (!this.isStuck)
          signal?.addEventListener('abort', () => end(new DbError('CANCELLED', 'told to stop')));
        this.held.push({ span, end });
      });
    await super.discard(span);
  }

  /** Rows and entries of all tables. */
  get stored(): number {
    return this.range(allTables, Number.MAX_SAFE_INTEGER, 100_000, false).length;
  }

  get listed(): number {
    return this.range(droppedSpan, Number.MAX_SAFE_INTEGER, 100_000, false).length;
  }
}

let clock: ManualClock;
let database: HeldDatabase;
let engine: SqlEngine;
let one: Harness;

async function gateway(seed: number): Promise<SqlEngine> {
  return createSqlEngine({ database, clock, prng: new SeededPrng(seed), sweeps: true });
}

/** What is under way comes to rest, while no time passes. */
async function rest(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function shown(): Promise<unknown[]> {
  return (await one.query('SELECT name FROM flotilla.dropped_storage')).map(([name]) => name);
}

beforeEach(async () => {
  clock = new ManualClock();
  database = new HeldDatabase({ clock });
  engine = await gateway(1);
  one = harnessOver(database, engine);
  await one.query('CREATE TABLE t (i int PRIMARY KEY, n int); CREATE INDEX by_n ON t (n)');
  await one.query('INSERT INTO t SELECT g, g FROM generate_series(1, 100) g');
});

describe('dropped storage', () => {
  it.each([
    ['DROP TABLE t', 'public.t', 0],
    ['TRUNCATE t', 'public.t', 0],
    ['DROP INDEX by_n', 'public.t.by_n', 100],
    ['BEGIN; DROP TABLE t; COMMIT', 'public.t', 0],
    ['ALTER TABLE t ALTER COLUMN n TYPE text', 'public.t', 200],
  ])('is listed by %s, which does not wait until it is empty', async (sql, name, left) => {
    await one.query(sql);
    expect(await shown()).toEqual([name]);
    await rest();
    expect([database.held.length, database.stored > left]).toEqual([1, true]);
    database.held[0]?.end();
    await rest();
    expect([await shown(), database.stored]).toEqual([[], left]);
  });

  it('is not listed by what is rolled back', async () => {
    await one.query('BEGIN; DROP TABLE t; ROLLBACK');
    await one.query(
      'BEGIN; SAVEPOINT s; TRUNCATE t; ROLLBACK TO s; CREATE TABLE u (i int); COMMIT',
    );
    await rest();
    expect([await shown(), database.held.length, database.stored]).toEqual([[], 0, 200]);
  });

  it('goes once the ranges can be reached again', async () => {
    await one.query('DROP TABLE t');
    await rest();
    database.held[0]?.end(new DbError('UNAVAILABLE', 'nobody answers'));
    await rest();
    expect(await shown()).toEqual(['public.t']);
    database.holds = false;
    clock.advance(droppedSweepMs * 1.25);
    await rest();
    expect([await shown(), database.stored]).toEqual([[], 0]);
  });

  it('is passed by while another process works on it, and cleared when that has died', async () => {
    await one.query('DROP TABLE t');
    await rest();
    const other = await gateway(2);
    clock.advance(droppedSweepMs * 1.25);
    await rest();
    expect([database.held.length, database.listed]).toEqual([1, 1]);
    // A process that dies lets go of its locks, and of nothing else.
    for (const transaction of database.begun) database.locks.release(transaction as never);
    database.holds = false;
    clock.advance(droppedSweepMs * 1.25);
    await rest();
    expect([database.listed, database.stored]).toEqual([0, 0]);
    await other.close();
  });

  it('is left to others by a process that ends', async () => {
    await one.query('DROP TABLE t');
    await rest();
    let closed = false;
    const closing = engine.close().then(() => {
      closed = true;
    });
    await rest();
    expect(closed).toBe(false);
    clock.advance(droppedCloseMs);
    await closing;
    expect(database.listed).toBe(1);
    database.holds = false;
    const other = await gateway(2);
    clock.advance(droppedSweepMs * 1.25);
    await rest();
    expect([database.listed, database.stored]).toEqual([0, 0]);
    await other.close();
  });

  it('holds nobody up who ends, though its ranges do not answer', async () => {
    database.isStuck = true;
    await one.query('DROP TABLE t');
    await rest();
    const closing = engine.close();
    await rest();
    clock.advance(droppedCloseMs);
    await closing;
    expect(database.listed).toBe(1);
  });

  it('is never what is in use', async () => {
    const [row] = database.range(allTables, Number.MAX_SAFE_INTEGER, 1, false);
    const span = prefixSpan((row?.key ?? Buffer.alloc(0)).subarray(0, 5));
    const value = encodeDropped({ span, name: 'public.t', droppedAtMs: 0 });
    database.apply([{ key: droppedKey(span), value, mustBeAbsent: false }], []);
    database.holds = false;
    await one.query('CREATE TABLE u (i int); DROP TABLE u');
    await rest();
    expect([await shown(), database.stored]).toEqual([['public.t'], 200]);
  });
});
