/** The whole SDK over a store in this process: what users' unit tests stand on. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { connect } from './connect.ts';

describe('connect({ embedded: true })', () => {
  it('has SQL, keys and transactions over both', async () => {
    const db = await connect({ embedded: true });
    try {
      await db.sql`CREATE TABLE boats (id int PRIMARY KEY, name text)`;
      await db.transaction(async ({ kv, sql }) => {
        await sql`INSERT INTO boats VALUES (${1}, ${'Ariel'})`;
        kv.put('boats', '1');
      });
      expect((await db.sql`SELECT * FROM boats`).rows).toEqual([{ id: 1, name: 'Ariel' }]);
      expect((await db.kv.get('boats'))?.text()).toBe('1');
    } finally {
      await db.close();
    }
    await expect(db.kv.get('boats')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('lets the store make what scans carry along, as in a cluster', async () => {
    const db = await connect({ embedded: true });
    try {
      await db.sql`CREATE TABLE boats (id int PRIMARY KEY, length float8)`;
      await db.sql`INSERT INTO boats SELECT i, i FROM generate_series(1, 100) AS i`;
      const plan = await db.sql.unsafe<[string]>(
        'EXPLAIN ANALYZE SELECT count(*) FROM boats WHERE length > 50',
        [],
        { rowMode: 'arrays' },
      );
      expect(plan.rows.join('\n')).toContain('Evaluated at Stores: requests=1 rows=100 ');
      expect((await db.sql`SELECT count(*) AS n FROM boats WHERE length > 50`).rows).toEqual([
        { n: 50n },
      ]);
    } finally {
      await db.close();
    }
  });

  it('refreshes a materialized view while others write, read it and change the catalog', async () => {
    const db = await connect({ embedded: true });
    try {
      await db.sql`CREATE TABLE boats (id int PRIMARY KEY, length int)`;
      await db.sql`INSERT INTO boats SELECT i, i % 50 FROM generate_series(1, 2000) AS i`;
      await db.sql`CREATE MATERIALIZED VIEW lengths AS SELECT id, length FROM boats`;
      await db.sql`CREATE UNIQUE INDEX ON lengths (id)`;
      const [, , , seen] = await Promise.all([
        db.sql`REFRESH MATERIALIZED VIEW CONCURRENTLY lengths`,
        db.sql`UPDATE boats SET length = length + 1`,
        db.sql`CREATE TABLE crews (id int PRIMARY KEY)`,
        db.sql`SELECT count(*) AS n FROM lengths`,
      ]);
      expect(seen.rows).toEqual([{ n: 2000n }]);
      await db.sql`REFRESH MATERIALIZED VIEW lengths`;
      const both = await db.sql`
        SELECT count(*) AS n, count(*) FILTER (WHERE l.length = b.length) AS same
        FROM lengths l JOIN boats b USING (id)`;
      expect(both.rows).toEqual([{ n: 2000n, same: 2000n }]);
    } finally {
      await db.close();
    }
  });

  it('hears its own NOTIFY', async () => {
    const db = await connect({ embedded: true });
    try {
      const heard: string[] = [];
      let wake = (): void => {};
      const both = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const subscription = await db.listen('tide', ({ payload }) => {
        heard.push(payload);
        if (heard.length === 2) wake();
      });
      await db.sql`SELECT pg_notify('tide', 'high')`;
      await db.sql`NOTIFY tide, 'low'`;
      await both;
      expect(heard).toEqual(['high', 'low']);
      subscription.close();
    } finally {
      await db.close();
    }
  });

  it('puts what memory has no room for into files, where it may', async () => {
    const temporaryDirectory = await mkdtemp(join(tmpdir(), 'flotilla-temporary-'));
    const large = `SELECT count(*) AS n FROM (
      SELECT DISTINCT repeat('x', 4000) || i AS t FROM generate_series(1, 20000) AS i) AS s`;
    try {
      const roomy = await connect({ embedded: true, temporaryDirectory });
      expect((await roomy.sql.unsafe(large)).rows).toEqual([{ n: 20_000n }]);
      await roomy.close();
      expect(await readdir(temporaryDirectory)).toEqual([]);
      const without = await connect({ embedded: true });
      await expect(without.sql.unsafe(large)).rejects.toMatchObject({ code: '53200' });
      await without.close();
    } finally {
      await rm(temporaryDirectory, { recursive: true });
    }
  });

  it('keeps tables in a directory', async () => {
    const path = await mkdtemp(join(tmpdir(), 'flotilla-client-'));
    try {
      const first = await connect({ embedded: true, path });
      await first.sql`CREATE TABLE boats (id int PRIMARY KEY)`;
      await first.sql`INSERT INTO boats VALUES (7)`;
      await first.close();
      const second = await connect({ embedded: true, path });
      expect((await second.sql`SELECT id FROM boats`).rows).toEqual([{ id: 7 }]);
      await second.close();
    } finally {
      await rm(path, { recursive: true });
    }
  });
});
