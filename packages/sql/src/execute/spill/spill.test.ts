import { type Disk, type DiskFile, SeededPrng, SystemClock } from '@flotilla/base';
import { MemoryDisk } from '@flotilla/base/testing';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { createSqlEngine } from '../../engine.ts';
import { type Harness, harnessOver } from '../../testing/harness.ts';
import { MemoryKvDatabase } from '../../testing/memory-kv-database.ts';
import { datumKey } from '../../types/values.ts';

/** So little that some dozens of rows are too many. */
const spillAtBytes = 8 * 1024;

const disk = new MemoryDisk();
let openFiles = 0;
/** The same disk; what it opens is counted until it is closed. */
const counted: Disk = Object.assign(Object.create(disk) as MemoryDisk, {
  async open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    const file = await disk.open(path, mode);
    openFiles++;
    const close = file.close.bind(file);
    return Object.assign(file, {
      async close() {
        openFiles--;
        await close();
      },
    });
  },
});
/** Over the same data, with hardly any memory and with enough. */
let poor: Harness;
let rich: Harness;

beforeAll(async () => {
  const database = new MemoryKvDatabase();
  const options = { database, clock: new SystemClock(), prng: new SeededPrng(1) };
  const spill = { disk: counted, directory: 'spill', prefix: 'row-', chunkBytes: 256 };
  poor = harnessOver(database, await createSqlEngine({ ...options, spill, spillAtBytes }));
  rich = harnessOver(database, await createSqlEngine(options));
  await rich.query(`
    CREATE TABLE a (id int PRIMARY KEY, k int, t text, n numeric, d timestamptz, l int[]);
    CREATE TABLE b (id int PRIMARY KEY, k int, t text);
    INSERT INTO a SELECT i, CASE WHEN i % 11 > 0 THEN i * 7919 % 701 END, 'text ' || i % 97, i / 7.0,
      timestamptz '2024-01-01 00:00Z' + make_interval(hours => i * 37 % 1000), ARRAY[i % 5, i % 3]
      FROM generate_series(1, 3000) i;
    INSERT INTO b SELECT i, CASE WHEN i % 13 > 0 THEN i * 31 % 900 END, 'text ' || i % 50
      FROM generate_series(1, 1500) i;
    CREATE TABLE c (k int, id int, t text, PRIMARY KEY (k, id));
    CREATE TABLE d (k int, id int, t text, PRIMARY KEY (k, id));
    INSERT INTO c SELECT i % 3, i, 'text ' || i % 97 FROM generate_series(1, 120) i;
    INSERT INTO d SELECT i % 4, i, repeat('text ' || i % 50, 5) FROM generate_series(1, 1200) i;`);
});

function textOf(rows: readonly (readonly unknown[])[]): string[] {
  return rows.map((row) => row.map((value) => datumKey(value as never)).join(' | '));
}

const queries = [
  'SELECT id, t FROM a ORDER BY t, k DESC NULLS FIRST, id',
  'SELECT * FROM a ORDER BY d, l, n LIMIT 2000',
  'SELECT t, d FROM a ORDER BY t OFFSET 1500',
  'SELECT a.id, b.id FROM a JOIN b ON a.k = b.k',
  'SELECT a.id, b.id FROM a LEFT JOIN b ON a.k = b.k AND b.id % 2 = 0',
  'SELECT a.id, b.id FROM a RIGHT JOIN b ON a.k = b.k',
  'SELECT a.id, b.id FROM a FULL JOIN b ON a.k = b.k',
  // Merged: rows of one key are too many.
  'SELECT c.id, d.id, d.t FROM c JOIN d ON c.k = d.k AND c.id < d.id AND d.id < 400',
  'SELECT c.id, d.id, d.t FROM c FULL JOIN d ON c.k = d.k AND c.id > d.id',
  'SELECT id FROM a WHERE k IN (SELECT k FROM b WHERE k IS NOT NULL)',
  'SELECT id FROM a WHERE NOT EXISTS (SELECT FROM b WHERE b.k = a.k)',
  'SELECT count(*), sum(a.n), count(b.t) FROM a JOIN b ON a.t = b.t WHERE b.id < 200',
  'SELECT k, count(*), sum(n), min(t), max(d) FROM a GROUP BY k',
  'SELECT id % 1200, array_agg(t ORDER BY id), count(DISTINCT k) FROM a GROUP BY 1',
  'SELECT k, t, count(*), grouping(k, t) FROM a GROUP BY ROLLUP (k, t)',
  'SELECT k, t, sum(n) FROM a GROUP BY GROUPING SETS ((k), (t), ())',
  'SELECT count(*), sum(id) FROM a GROUP BY GROUPING SETS ((), ())',
  'SELECT DISTINCT k, t FROM a',
  'SELECT DISTINCT ON (k) k, id FROM a ORDER BY k, id DESC',
  'SELECT k FROM a UNION SELECT k FROM b',
  'SELECT k FROM a INTERSECT SELECT k FROM b',
  'SELECT k FROM a INTERSECT ALL SELECT k FROM b',
  'SELECT k FROM a EXCEPT SELECT k FROM b',
  'SELECT k FROM a EXCEPT ALL SELECT k FROM b',
  'SELECT t FROM b EXCEPT ALL SELECT t FROM a WHERE id < 500',
  'WITH w AS MATERIALIZED (SELECT * FROM a) SELECT x.id, y.l FROM w x JOIN w y ON x.id = y.k',
  'SELECT id, row_number() OVER (PARTITION BY k ORDER BY id), sum(n) OVER (PARTITION BY t ORDER BY id) FROM a',
  'SELECT x.k, x.c FROM (SELECT k, count(*) AS c FROM a GROUP BY k) x JOIN b ON b.k = x.c ORDER BY 1, 2',
];

/** One group, or what is looked up row by row. */
const small = new Set(queries.filter((sql) => /\(\), \(\)|EXISTS| IN \(/.test(sql)));

describe('a statement that memory has no room for', () => {
  it.each(queries)('%s', async (sql) => {
    const writesBefore = disk.counters.writes;
    const [spilled, held] = [textOf(await poor.query(sql)), textOf(await rich.query(sql))];
    const isOrdered = / ORDER BY [^)]*$/.test(sql);
    expect(isOrdered ? spilled : spilled.sort()).toEqual(isOrdered ? held : held.sort());
    expect(held.length).toBeGreaterThan(0);
    expect(disk.counters.writes > writesBefore).toBe(!small.has(sql));
    expect(await disk.list('spill')).toEqual([]);
  });

  it('spills once more what is still too much of one part', async () => {
    const sql = `SELECT count(*) FROM (SELECT k, t, id % 7 AS m, count(*) FROM a GROUP BY k, t, id % 7) g
      JOIN a ON a.k = g.k`;
    expect(await poor.query(sql)).toEqual(await rich.query(sql));
  });

  it('lets go of its files when it fails, when it is cancelled, and when nobody reads on', async () => {
    const before = openFiles;
    await expect(poor.query('SELECT 1 / (id - 3000) FROM a ORDER BY t, id')).rejects.toMatchObject({
      code: '22012',
    });
    expect(openFiles).toBe(before);
    const cursor = 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM a ORDER BY t; FETCH 3 FROM c';
    expect(await poor.query(cursor)).toHaveLength(3);
    expect(openFiles).toBeGreaterThan(before);
    await poor.query('ROLLBACK');
    // Whoever rolls back does not wait for them.
    await vi.waitFor(() => expect(openFiles).toBe(before));
    const { signal } = cancelledSoon();
    const sql = 'SELECT x.id FROM a x, a y ORDER BY x.t, y.t';
    await expect(poor.query(sql, [], { signal })).rejects.toMatchObject({ code: '57014' });
    expect(openFiles).toBe(before);
  });

  it('is 53100 where the disk is full', async () => {
    disk.failNext('write', 'ENOSPC', 10);
    const sql = 'SELECT * FROM a ORDER BY t';
    await expect(poor.query(sql)).rejects.toMatchObject({ code: '53100' });
    expect(openFiles).toBe(0);
  });

  it('is 58030 where the disk fails', async () => {
    disk.faults.writeErrorChance = 1;
    try {
      const sql = 'SELECT k, count(*) FROM a GROUP BY k';
      await expect(poor.query(sql)).rejects.toMatchObject({ code: '58030' });
    } finally {
      disk.faults.writeErrorChance = 0;
    }
    expect(openFiles).toBe(0);
  });

  it('is 53400 where temporary files hold too much, and works again when they are gone', async () => {
    const database = new MemoryKvDatabase();
    const spill = { disk, directory: 'small', prefix: 'row-', bytesMax: 500_000, chunkBytes: 256 };
    const options = { database, clock: new SystemClock(), prng: new SeededPrng(1) };
    const bounded = harnessOver(
      database,
      await createSqlEngine({ ...options, spill, spillAtBytes }),
    );
    const sorted = (rows: number): string =>
      `SELECT i FROM generate_series(1, ${rows}) i ORDER BY md5(i::text)`;
    await expect(bounded.query(sorted(20_000))).rejects.toMatchObject({ code: '53400' });
    expect(await bounded.query(sorted(5000))).toHaveLength(5000);
    await bounded.engine.close();
  });
});

function cancelledSoon(): AbortController {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 20);
  return controller;
}
