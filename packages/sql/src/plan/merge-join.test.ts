/** When joins are merged, what of a sort that spares, and what is read for it. */
import { SeededPrng, SystemClock } from '@flotilla/base';
import { beforeAll, describe, expect, it } from 'vitest';
import { statisticsKey } from '../catalog/keys.ts';
import { encodeStatistics } from '../catalog/statistics.ts';
import { createSqlEngine } from '../engine.ts';
import { createHarness, type Harness, harnessOver } from '../testing/harness.ts';
import { hashJoinCost, mergeJoinCost } from './join-cost.ts';

let harness: Harness;
/** Over the same data, with tables that are said to be large. */
let large: Harness;

beforeAll(async () => {
  harness = await createHarness({ batchPairs: 100 });
  await harness.query(`
    create table a (id int primary key, n int, s text);
    create table b (id int8 primary key, a_id int, s text);
    create table l (a_id int, line int, s text, primary key (a_id, line));
    create index b_a on b (a_id desc);
    create table h (x int, y int);
    create table f (x float8 primary key);
    create table c (x varchar(9) primary key);
    create view sorted as select a_id, line from l order by a_id limit 1000;
    insert into a select i, i % 7, 'x' from generate_series(1, 5000) i;
    insert into b select i, i, 'x' from generate_series(1, 5000) i;
    insert into l select i, j, 'x' from generate_series(1, 2500) i, generate_series(1, 2) j`);
  const { database } = harness;
  const sizes = { a: 2_000_000, b: 2_000_000, l: 4_000_000, h: 1_000_000 };
  const transaction = database.begin();
  for (const [name, rows] of Object.entries(sizes)) {
    const [[id] = []] = await harness.query(`select '${name}'::regclass::oid::int8`);
    const column = (attributeNumber: number, distinct: number) => ({
      attributeNumber,
      nullFraction: 0,
      averageWidth: 8,
      distinct,
      common: [],
      histogram: [],
    });
    const columns = [column(1, name === 'l' ? -0.5 : -1), column(2, -0.5)];
    const value = encodeStatistics({ table: Number(id), rows, columns });
    transaction.put(statisticsKey(Number(id)), value);
  }
  await transaction.commit();
  const options = { database, clock: new SystemClock(), prng: new SeededPrng(1) };
  large = harnessOver(database, await createSqlEngine(options));
});

async function plan(sql: string, by = harness): Promise<string[]> {
  const rows = await by.query(`explain (costs off) ${sql}`);
  return rows.map(([line]) => String(line)).filter((line) => !line.includes('At Stores: '));
}

const merged: readonly (readonly [string, readonly string[]])[] = [
  [
    'select * from a join b on a.id = b.id',
    ['Merge Join', '  Merge Cond: (a.id = b.id)', '  ->  Full Scan on a', '  ->  Full Scan on b'],
  ],
  [
    'select * from a join b on a.id = b.id and a.n < b.a_id order by b.id desc limit 10',
    [
      'Limit',
      '  ->  Merge Join',
      '        Merge Cond: (a.id = b.id)',
      '        Join Filter: (a.n < b.a_id)',
      '        ->  Full Scan Backward on a',
      '        ->  Full Scan Backward on b',
    ],
  ],
  [
    'select * from a left join l on l.a_id = a.id and l.line > a.n order by a.id',
    [
      'Merge Left Join',
      '  Merge Cond: (a.id = l.a_id)',
      '  Join Filter: (l.line > a.n)',
      '  ->  Full Scan on a',
      '  ->  Full Scan on l',
    ],
  ],
  [
    'select * from a right join b on a.id = b.id',
    [
      'Merge Left Join',
      '  Merge Cond: (b.id = a.id)',
      '  ->  Full Scan on b',
      '  ->  Full Scan on a',
    ],
  ],
  [
    'select * from a full join b on a.id = b.id order by a.id',
    [
      'Sort',
      '  Sort Key: id',
      '  ->  Merge Full Join',
      '        Merge Cond: (a.id = b.id)',
      '        ->  Full Scan on a',
      '        ->  Full Scan on b',
    ],
  ],
  [
    'select a.id, b.a_id from a join b on a.id = b.a_id order by 2',
    [
      'Merge Join',
      '  Merge Cond: (a.id = b.a_id)',
      '  ->  Full Scan on a',
      '  ->  Index Only Scan Backward using b_a on b',
    ],
  ],
  [
    'select * from a join l on l.a_id = a.id left join b on b.id = a.id order by a.id limit 3',
    [
      'Limit',
      '  ->  Merge Left Join',
      '        Merge Cond: (a.id = b.id)',
      '        ->  Merge Join',
      '              Merge Cond: (a.id = l.a_id)',
      '              ->  Full Scan on a',
      '              ->  Full Scan on l',
      '        ->  Full Scan on b',
    ],
  ],
  [
    // Of two columns both are of use.
    'select * from l x join l y on x.line = y.line and x.a_id = y.a_id order by y.a_id, x.line',
    [
      'Merge Join',
      '  Merge Cond: ((x.a_id = y.a_id) AND (x.line = y.line))',
      '  ->  Full Scan on l x',
      '  ->  Full Scan on l y',
    ],
  ],
  [
    // Behind a key nothing else is of interest.
    'select * from a join b on a.id = b.id order by a.id, b.s, a.n limit 3',
    [
      'Limit',
      '  ->  Merge Join',
      '        Merge Cond: (a.id = b.id)',
      '        ->  Full Scan on a',
      '        ->  Full Scan on b',
    ],
  ],
];

const otherwise: readonly (readonly [string, string])[] = [
  // Few keys.
  ['select * from a join b on a.id = b.id where a.n = 5', 'Key Lookup Join on b'],
  // In order of what is not compared.
  ['select * from a join b on a.n = b.id', 'Hash Join'],
  ['select * from a join h on h.x = a.id', 'Hash Join'],
  // Values of different types have different keys.
  ['select * from f join a on a.id = f.x', 'Hash Join'],
  ['select * from a join b on a.id < b.id', 'Nested Loop'],
];

describe('a join', () => {
  it.each(merged)('%s', async (sql, lines) => {
    expect(await plan(sql)).toEqual(lines);
  });

  it.each(otherwise)('is not merged: %s', async (sql, head) => {
    expect((await plan(sql))[0]).toBe(head);
  });

  it('in order by a key spares the sort', async () => {
    expect(await plan('select * from a join b on b.a_id = a.n order by a.id limit 3')).toEqual([
      'Limit',
      '  ->  Index Lookup Join using b_a on b',
      '        Index Cond: (b.a_id = a.n)',
      '        ->  Full Scan on a',
    ]);
  });

  it('whose other side has few keys leaves rows out at the stores, which only a hash join does', () => {
    const size = { type: 'inner', left: 100_000, right: 10_000 } as const;
    expect(mergeJoinCost({ ...size, rows: 10_000 })).toBeGreaterThan(hashJoinCost(size));
    expect(mergeJoinCost({ ...size, rows: 100_000 })).toBeLessThan(hashJoinCost(size));
  });

  it('with a query that is in order is merged with it', async () => {
    const sql =
      'select * from (select id, n from a where id > 7 order by id) q full join b on b.id = q.id';
    expect(await plan(sql)).toEqual([
      'Merge Full Join',
      '  Merge Cond: (q.id = b.id)',
      '  ->  Key Range Scan on a',
      '        Key Cond: (id > 7)',
      '  ->  Full Scan on b',
    ]);
  });

  it('whose hash table would not fit is merged, a side is sorted for it', async () => {
    const unsorted = 'select * from l join h on h.x = l.a_id';
    expect((await plan(unsorted))[0]).toBe('Hash Join');
    expect(await plan('select * from a join l on l.a_id = a.id', large)).toContain('Merge Join');
    expect(await plan(`${unsorted} order by l.a_id limit 10`, large)).toEqual([
      'Limit',
      '  ->  Merge Join',
      '        Merge Cond: (l.a_id = h.x)',
      '        ->  Full Scan on l',
      '        ->  Sort',
      '              Sort Key: h.x',
      '              ->  Full Scan on h',
    ]);
    expect(await large.query(`${unsorted} order by l.a_id limit 10`)).toEqual([]);
  });
});

describe('a merge join', () => {
  it('reads the beginning of both sides for a LIMIT', async () => {
    const sql = 'select a.id, b.id from a join b on a.id = b.id order by a.id desc limit 10';
    const before = { ...harness.database.counts };
    expect(await harness.query(sql)).toHaveLength(10);
    expect(harness.database.counts.scan - before.scan).toBe(2);
    const lines = await harness.query(`explain (analyze, costs off, summary off) ${sql}`);
    const [storage] = lines.map(([line]) => String(line)).filter((line) => /^Storage/.test(line));
    expect(Number(/rows=(\d+)/.exec(storage ?? '')?.[1])).toBeLessThanOrEqual(2_000);
  });

  it('counts its rows', async () => {
    const sql = 'select * from a join l on l.a_id = a.id and l.line = 1 where a.id <= 100';
    const lines = await harness.query(
      `explain (analyze, costs off, summary off) ${sql} order by a.id`,
    );
    expect(String(lines[0])).toMatch(/^(Merge|Key Lookup) Join.* \(actual rows=100 loops=1\)$/);
  });

  it('is a node of its own in JSON', async () => {
    const [[text] = []] = await harness.query(
      'explain (format json, costs off) select * from a left join b on a.id = b.id and a.n > 2',
    );
    const [{ Plan }] = JSON.parse(String(text));
    expect(Plan).toMatchObject({
      'Node Type': 'Merge Join',
      'Join Type': 'Left',
      'Merge Cond': '(a.id = b.id)',
      'Join Filter': '(a.n > 2)',
    });
    expect(Plan.Plans).toHaveLength(2);
  });
});
