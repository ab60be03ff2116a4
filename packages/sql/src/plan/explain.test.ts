/** EXPLAIN with its options: estimates, what really happened, JSON. */
import { beforeAll, describe, expect, it } from 'vitest';
import { createHarness, type Harness } from '../testing/harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
  await harness.query(`
    create table t (id int primary key, n int, s text);
    create index t_n on t (n);
    insert into t select i, i % 10, 'x' from generate_series(1, 200) i;
    analyze t`);
});

async function lines(sql: string): Promise<string[]> {
  const rows = await harness.query(sql);
  return rows.map(([line]) => String(line).replace(/[\d.]+ ms$/, '? ms'));
}

describe('EXPLAIN', () => {
  it('shows how many rows are expected', async () => {
    expect(await lines('explain select * from t where id = 3')).toEqual([
      'Point Lookup on t  (rows=1)',
      '  Key Cond: (id = 3)',
    ]);
    expect(await lines('explain select s from t where n = 3 and id < 101')).toEqual([
      'Index Scan using t_n on t  (rows=10)',
      '  Index Cond: (n = 3) AND (id < 101)',
    ]);
  });

  it('ANALYZE runs the statement and shows what it read', async () => {
    expect(await lines('explain (analyze, costs off) select s from t where n = 3')).toEqual([
      'Index Scan using t_n on t (actual rows=20 loops=1)',
      '  Index Cond: (n = 3)',
      expect.stringMatching(/^Storage: requests=2 rows=40 bytes=\d+$/),
      'Execution Time: ? ms',
    ]);
    expect(
      await lines('explain (analyze, summary off) select id from t order by n limit 3'),
    ).toEqual([
      'Limit  (rows=3) (actual rows=3 loops=1)',
      '  ->  Index Only Scan using t_n on t  (rows=200) (actual rows=3 loops=1)',
      expect.stringMatching(/^Storage: requests=1 rows=3 /),
    ]);
  });

  it('ANALYZE of a write writes', async () => {
    const update = 'update t set s = upper(s) where n = 4';
    await harness.query('begin');
    expect(await lines(`explain (analyze, costs off, summary off) ${update}`)).toEqual([
      'Update on t (actual rows=20 loops=1)',
      '  ->  Index Scan using t_n on t (actual rows=20 loops=1)',
      '        Index Cond: (n = 4)',
      expect.stringMatching(/^Storage: /),
    ]);
    expect(await harness.query("select count(*) from t where s = 'X'")).toEqual([[20n]]);
    await harness.query('rollback; begin read only');
    await expect(harness.query(`explain analyze ${update}`)).rejects.toMatchObject({
      code: '25006',
    });
    await harness.query('rollback');
    await harness.query(`explain ${update}`);
    expect(await harness.query("select count(*) from t where s = 'X'")).toEqual([[0n]]);
  });

  it('tells runs of a part from each other, and parts that never ran', async () => {
    const sql =
      'select (select max(id) from t) from generate_series(1, 2) i where i > 5 or i = (select 1)';
    expect(await lines(`explain (analyze, costs off, summary off) ${sql}`)).toEqual([
      expect.stringContaining('Function Scan'),
      expect.stringContaining('Filter'),
      expect.anything(),
      expect.stringContaining('actual rows=1 loops=1'),
      expect.anything(),
      expect.stringContaining('actual rows=1 loops=1'),
      expect.stringContaining('Full Scan Backward on t (actual rows=1 loops=1)'),
      expect.stringMatching(/^Storage: /),
    ]);
  });

  it('FORMAT JSON gives a document', async () => {
    const [[text] = []] = await harness.query(
      'explain (analyze, format json) select s from t where n = 3',
    );
    expect(JSON.parse(String(text))).toEqual([
      {
        Plan: {
          'Node Type': 'Index Scan',
          'Index Name': 't_n',
          'Relation Name': 't',
          Alias: 't',
          'Plan Rows': 20,
          'Actual Rows': 20,
          'Actual Loops': 1,
          'Index Cond': '(n = 3)',
        },
        'Storage Requests': 2,
        'Storage Rows': 40,
        'Storage Bytes': expect.any(Number),
        'Execution Time': expect.any(Number),
      },
    ]);
  });

  it('refuses what it does not do', async () => {
    await expect(harness.query('explain (buffers) select 1')).rejects.toMatchObject({
      code: '0A000',
    });
    await expect(harness.query('explain (format xml) select 1')).rejects.toMatchObject({
      code: '0A000',
    });
  });
});
