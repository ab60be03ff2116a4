/** The database as psql and node-postgres see it, and that it is still there after a stop and a start. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withPg } from './harness/connections.ts';
import { DemoCluster, flotilla, run } from './harness/demo-cluster.ts';
import { figure } from './harness/figures.ts';

const rowsTotal = 10_000;
const rowsPerInsert = 500;

let cluster: DemoCluster;

beforeAll(async () => {
  const from = performance.now();
  cluster = await DemoCluster.start();
  figure('demo', { startMs: performance.now() - from });
});
afterAll(async () => {
  await cluster?.stop();
});

async function psql(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('psql', [cluster.gatewayUrl, '-X', '-At', ...args], 20_000);
  return stdout.trim();
}

/** The SQLSTATE of a failure, or how it did not fail. */
async function sqlstate(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) =>
      error instanceof pg.DatabaseError ? (error.code ?? 'no SQLSTATE') : String(error),
  );
}

describe('SQL through the gateway', () => {
  it('takes 10,000 rows by multi-row INSERTs', async () => {
    await withPg(cluster, async (client) => {
      const created = await client.query(
        'CREATE TABLE boats (id int PRIMARY KEY, name text NOT NULL, harbour int, length float8)',
      );
      expect(created.command).toBe('CREATE');
      const from = performance.now();
      for (let start = 0; start < rowsTotal; start += rowsPerInsert) {
        const tuples = Array.from({ length: rowsPerInsert }, (_, index) => {
          const id = start + index;
          return `(${id}, 'boat ${id}', ${id % 10}, ${id}.5)`;
        });
        const inserted = await client.query(`INSERT INTO boats VALUES ${tuples.join(', ')}`);
        expect(inserted.rowCount).toBe(rowsPerInsert);
      }
      const tookMs = performance.now() - from;
      figure('insert', { rows: rowsTotal, tookMs, rowsPerSecond: (1000 * rowsTotal) / tookMs });
    });
  });

  it('reads by key, by range and in aggregates', async () => {
    await withPg(cluster, async (client) => {
      const byKey = await client.query('SELECT * FROM boats WHERE id = $1', [4711]);
      expect(byKey.rows).toEqual([{ id: 4711, name: 'boat 4711', harbour: 1, length: 4711.5 }]);
      const none = await client.query('SELECT * FROM boats WHERE id = $1', [rowsTotal]);
      expect(none.rows).toEqual([]);
      const range = await client.query(
        'SELECT id FROM boats WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT 3',
        [100, 200],
      );
      expect(range.rows).toEqual([{ id: 199 }, { id: 198 }, { id: 197 }]);
      const sums = await client.query(
        'SELECT harbour, count(*) AS n, sum(length) AS total, min(id), max(id) FROM boats GROUP BY harbour ORDER BY harbour LIMIT 2',
      );
      // count(*) is int8, which node-postgres gives as text.
      expect(sums.rows).toEqual([
        { harbour: 0, n: '1000', total: 4_995_500, min: 0, max: 9990 },
        { harbour: 1, n: '1000', total: 4_996_500, min: 1, max: 9991 },
      ]);
    });
  });

  it('updates and deletes, and counts what it did', async () => {
    await withPg(cluster, async (client) => {
      const updated = await client.query(
        "UPDATE boats SET name = 'renamed', length = length + 1 WHERE id >= 10 AND id < 20",
      );
      expect(updated.rowCount).toBe(10);
      const one = await client.query('SELECT name, length FROM boats WHERE id = 15');
      expect(one.rows).toEqual([{ name: 'renamed', length: 16.5 }]);
      const deleted = await client.query('DELETE FROM boats WHERE id >= 9990');
      expect(deleted.rowCount).toBe(10);
      const count = await client.query('SELECT count(*)::int AS n FROM boats');
      expect(count.rows).toEqual([{ n: rowsTotal - 10 }]);
    });
  });

  it('reports errors with the SQLSTATEs of PostgreSQL, and goes on', async () => {
    await withPg(cluster, async (client) => {
      expect(await sqlstate(client.query("INSERT INTO boats VALUES (1, 'again', 1, 1)"))).toBe(
        '23505',
      );
      expect(await sqlstate(client.query('INSERT INTO boats (id) VALUES (20000)'))).toBe('23502');
      expect(await sqlstate(client.query('SELECT * FROM ships'))).toBe('42P01');
      expect(await sqlstate(client.query('SELECT colour FROM boats'))).toBe('42703');
      expect(await sqlstate(client.query('SELEKT 1'))).toBe('42601');
      expect(await sqlstate(client.query('SELECT 1/0'))).toBe('22012');
      expect(await sqlstate(client.query('SELECT $1::int', ['many']))).toBe('22P02');
      expect(await sqlstate(client.query('CREATE TABLE boats (id int PRIMARY KEY)'))).toBe('42P07');
      const duplicateInBatch = client.query(
        "INSERT INTO boats VALUES (30001, 'a', 1, 1), (30002, 'b', 1, 1), (1, 'c', 1, 1)",
      );
      expect(await sqlstate(duplicateInBatch)).toBe('23505');
      const { rows } = await client.query('SELECT count(*)::int AS n FROM boats WHERE id > 30000');
      expect(rows).toEqual([{ n: 0 }]);
    });
  });

  it('serves psql', async () => {
    expect(await psql('-c', 'SELECT id, name FROM boats WHERE id = 3')).toBe('3|boat 3');
    expect(await psql('-c', 'SHOW server_version')).toMatch(/^15/);
    expect(await psql('-c', 'SELECT 1; SELECT 2')).toContain('2');
    await expect(psql('-c', 'SELECT * FROM ships')).rejects.toThrow(/ships/);
  });

  it('shows stores, ranges, leaders and leases in `flotilla status`', async () => {
    const text = await flotilla(
      'status',
      ...['--nats', cluster.natsUrl, '--cluster', cluster.clusterName, '--json'],
    );
    const status: unknown = JSON.parse(text);
    const flat = JSON.stringify(status);
    for (const { name } of cluster.ofRole('store'))
      expect(flat, `status tells of ${name}`).toContain(name.replace('store', 'machine'));
    expect(flat).toMatch(/lease/i);
    expect(flat).toMatch(/leader/i);
  });

  it('keeps the rows over a stop and a start', async () => {
    await cluster.stopKeepingData();
    const from = performance.now();
    cluster = await DemoCluster.start({ data: cluster.data });
    const startMs = performance.now() - from;
    await withPg(cluster, async (client) => {
      const { rows } = await client.query('SELECT count(*)::int AS n, min(id), max(id) FROM boats');
      expect(rows).toEqual([{ n: rowsTotal - 10, min: 0, max: 9989 }]);
      const one = await client.query('SELECT name FROM boats WHERE id = 15');
      expect(one.rows).toEqual([{ name: 'renamed' }]);
    });
    figure('restart', { startMs, toFirstResultMs: performance.now() - from });
  });
});
