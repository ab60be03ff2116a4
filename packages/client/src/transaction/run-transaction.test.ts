import { DbError } from '@flotilla/base';
import type { FakeTransactionCluster } from '@flotilla/router/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Flotilla } from '../flotilla.ts';
import { pretendFlotilla } from '../pretended-flotilla.test-kit.ts';

let cluster: FakeTransactionCluster;
let db: Flotilla;

beforeEach(async () => {
  ({ cluster, db } = await pretendFlotilla());
});

afterEach(() => db.close());

async function textAt(key: string): Promise<string | undefined> {
  return (await db.kv.get(key))?.text();
}

describe('db.transaction', () => {
  it('makes keys and rows at one instant, or neither', async () => {
    await db.sql`CREATE TABLE boats (id int PRIMARY KEY, name text)`;
    const result = await db.transaction(async ({ kv, sql }) => {
      kv.put('count', '1');
      await sql`INSERT INTO boats VALUES (${1}, ${'Ariel'})`;
      expect(await textAt('count')).toBeUndefined();
      expect((await sql`SELECT name FROM boats`).rows).toEqual([{ name: 'Ariel' }]);
      return 'done';
    });
    expect(result).toBe('done');
    expect(await textAt('count')).toBe('1');
    const failed = db.transaction(async ({ kv, sql }) => {
      kv.put('count', '2');
      await sql`INSERT INTO boats VALUES (2, 'Miranda')`;
      throw new Error('changed my mind');
    });
    await expect(failed).rejects.toThrow('changed my mind');
    expect(await textAt('count')).toBe('1');
    expect((await db.sql`SELECT id FROM boats`).rows).toEqual([{ id: 1 }]);
    await expect.poll(() => cluster.isClean).toBe(true);
  });

  it('is run again after conflicts, so that side by side none is lost', async () => {
    const increment = (): Promise<void> =>
      db.transaction(
        async ({ kv }) => {
          const found = await kv.get('n');
          const n = found === undefined ? 0 : Number(Buffer.from(found).toString());
          kv.put('n', String(n + 1));
        },
        { retries: 100 },
      );
    await Promise.all(Array.from({ length: 12 }, increment));
    expect(await textAt('n')).toBe('12');
  });

  it('locked reads queue instead: nobody is run twice', async () => {
    let runs = 0;
    const increment = (): Promise<void> =>
      db.transaction(async ({ kv }) => {
        runs++;
        const found = await kv.getForUpdate('n');
        kv.put('n', String(Number(Buffer.from(found ?? []).toString()) + 1));
      });
    await Promise.all(Array.from({ length: 5 }, increment));
    expect(await textAt('n')).toBe('5');
    expect(runs).toBe(5);
  });

  it('gives up after its retries, in time, and when it is told to', async () => {
    await db.kv.put('n', '0');
    let runs = 0;
    const hopeless = async ({
      kv,
    }: Parameters<Parameters<Flotilla['transaction']>[0]>[0]): Promise<void> => {
      runs++;
      await kv.get('n');
      await db.kv.put('n', `${runs}`);
      kv.put('n', 'mine');
    };
    await expect(db.transaction(hopeless, { retries: 2 })).rejects.toMatchObject({
      code: 'CONFLICT',
      outcome: 'not_applied',
    });
    expect(runs).toBe(3);
    await expect(db.transaction(hopeless, { retries: 1e9, timeoutMs: 60 })).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
    const cancelled = db.transaction(hopeless, { signal: AbortSignal.abort() });
    await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('does not commit what has failed, and does not end early', async () => {
    const swallowed = db.transaction(async ({ kv, sql }) => {
      kv.put('n', '1');
      await sql`SELECT 1/0`.catch(() => {});
    });
    await expect(swallowed).rejects.toMatchObject({ code: '25P02' });
    await expect(db.transaction(({ sql }) => sql`COMMIT`)).rejects.toBeInstanceOf(DbError);
    expect(await textAt('n')).toBeUndefined();
  });
});
