import { DbError } from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import type { Flotilla } from './flotilla.ts';
import type { OperationReport } from './operations.ts';

let db: Flotilla;
let reports: OperationReport[];

beforeEach(async () => {
  reports = [];
  db = await connect({ embedded: true, onOperation: (report) => reports.push(report) });
});
afterEach(() => db.close());

/** All but the time, which must be one. */
function told(): Omit<OperationReport, 'durationMs'>[] {
  return reports.splice(0).map(({ durationMs, ...rest }) => {
    expect(durationMs).toBeGreaterThanOrEqual(0);
    return rest;
  });
}

describe('onOperation', () => {
  it('hears of keys', async () => {
    await db.kv.put('a', '1');
    await db.kv.get('a');
    await db.kv.getMany(['a', 'b']);
    for await (const _ of db.kv.scan()) break;
    for await (const _ of db.kv.scan());
    await db.kv.delete('a');
    await db.kv.put('a', '2', { ifAbsent: true, ifVersion: 1 }).catch(() => {});
    const ok = { outcome: 'ok', retries: 0 };
    expect(told()).toEqual([
      { operation: 'kv.put', ...ok },
      { operation: 'kv.get', ...ok },
      { operation: 'kv.getMany', ...ok },
      { operation: 'kv.scan', outcome: 'stopped', retries: 0, rows: 1 },
      { operation: 'kv.scan', ...ok, rows: 1 },
      { operation: 'kv.delete', ...ok },
      { operation: 'kv.put', outcome: 'failed', code: 'INVALID_ARGUMENT', retries: 0 },
    ]);
  });

  it('hears of statements, on connections and in transactions too, with their text', async () => {
    const ok = { outcome: 'ok', retries: 0 };
    await db.sql`CREATE TABLE t (n int PRIMARY KEY)`;
    expect(told()).toEqual([
      { operation: 'sql', ...ok, rows: 0, text: 'CREATE TABLE t (n int PRIMARY KEY)' },
    ]);
    await db.bulkInsert('t', [[1], [2]]);
    const connection = db.openConnection();
    await connection.sql`SELECT ${1}::int`;
    await connection.close();
    await db.transaction(({ sql }) => sql`SELECT n FROM t`);
    for await (const _ of db.sql.stream`SELECT n FROM t`);
    await db.sql`SELECT 1 / ${0}::int`.catch(() => {});
    expect(told()).toEqual([
      { operation: 'bulkInsert', ...ok, rows: 2 },
      { operation: 'sql', ...ok, rows: 1, text: 'SELECT $1::int' },
      { operation: 'sql', ...ok, rows: 2, text: 'SELECT n FROM t' },
      { operation: 'transaction', ...ok },
      { operation: 'sql.stream', ...ok, rows: 2, text: 'SELECT n FROM t' },
      {
        operation: 'sql',
        outcome: 'failed',
        code: '22012',
        retries: 0,
        text: 'SELECT 1 / $1::int',
      },
    ]);
  });

  it('hears how often a statement was run again', async () => {
    await db.sql`CREATE TABLE counters (id int PRIMARY KEY, n int)`;
    await db.sql`INSERT INTO counters VALUES (1, 0)`;
    await Promise.all(
      Array.from(
        { length: 8 },
        () => db.sql`UPDATE counters SET n = n + 1 WHERE id = 1 RETURNING n`,
      ),
    );
    const updates = told().filter(({ text }) => text?.startsWith('UPDATE'));
    expect(updates).toHaveLength(8);
    expect(updates.some(({ retries }) => retries > 0)).toBe(true);
  });

  it('hears how often a function was run again', async () => {
    let meddled = false;
    await db.kv.update('n', async (entry) => {
      if (!meddled) {
        meddled = true;
        await db.kv.put('n', '5');
      }
      return `${Number(entry?.text() ?? 0) + 1}`;
    });
    expect((await db.kv.get('n'))?.text()).toBe('6');
    let runs = 0;
    await db.transaction(async ({ kv }) => {
      await kv.get('n');
      if (runs++ === 0) await db.kv.put('n', '9');
      kv.put('n', '10');
    });
    const again = told().filter(({ retries }) => retries > 0);
    expect(again).toEqual([
      { operation: 'kv.update', outcome: 'ok', retries: 1 },
      { operation: 'transaction', outcome: 'ok', retries: 1 },
    ]);
  });

  it('tells an unknown outcome from a failure, and a caller’s own error from ours', async () => {
    const unknown = new DbError('OUTCOME_UNKNOWN', 'lost', { outcome: 'unknown' });
    await db.transaction(() => Promise.reject(unknown)).catch(() => {});
    await db.transaction(() => Promise.reject(new Error('mine'))).catch(() => {});
    expect(told()).toEqual([
      { operation: 'transaction', outcome: 'unknown', code: 'OUTCOME_UNKNOWN', retries: 0 },
      { operation: 'transaction', outcome: 'failed', retries: 0 },
    ]);
  });
});

it('a hook that throws fails no operation', async () => {
  const own = await connect({
    embedded: true,
    onOperation: () => {
      throw new Error('the hook is broken');
    },
  });
  await own.kv.put('a', '1');
  expect((await own.kv.get('a'))?.text()).toBe('1');
  await own.close();
});
