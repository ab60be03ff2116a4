import { beforeAll, describe, expect, it } from 'vitest';
import { createHarness, type Harness } from '../testing/harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
  await harness.query('create table t (id int primary key, name text, n int8)');
  await harness.query(
    'create table c (a int, b text, d float8, v varchar(5), primary key (a, b, v))',
  );
  await harness.query('create table h (x int)');
  await harness.query(`
    create table i (id int primary key, n int, g text, s text not null, b boolean, d int);
    create index i_n on i (n);
    create index i_gn on i (g desc, n);
    create unique index i_s on i (s);
    create index i_lower on i (lower(g));
    create index i_d on i (d) where b`);
});

async function explain(sql: string): Promise<string[]> {
  const parameters = (sql.match(/\$\d/g) ?? []).map(() => null);
  const rows = await harness.query(`explain (costs off) ${sql}`, parameters);
  // What of it the stores do is not the planner's choice of a way: see execute/push.
  return rows.map(([line]) => String(line)).filter((line) => !line.includes('At Stores: '));
}

const chosen: readonly (readonly [string, readonly string[]])[] = [
  ['select * from t where id = 1', ['Point Lookup on t', '  Key Cond: (id = 1)']],
  ['select * from t where 1 = id', ['Point Lookup on t', '  Key Cond: (id = 1)']],
  ['select * from t where id = $1', ['Point Lookup on t', '  Key Cond: (id = $1)']],
  ['select * from t where id = 1::int8', ['Point Lookup on t', "  Key Cond: (id = '1'::bigint)"]],
  ['select * from t where id = $1::int2', ['Point Lookup on t', '  Key Cond: (id = $1)']],
  ['select * from t where id in (3, 1)', ['Point Lookup on t', '  Key Cond: (id IN (3, 1))']],
  [
    'select * from t where id in ($1, 2::int8)',
    ['Point Lookup on t', "  Key Cond: (id IN ($1, '2'::bigint))"],
  ],
  [
    'select * from t where id = 1 and name = $1',
    ['Point Lookup on t', '  Key Cond: (id = 1)', '  Filter: (name = $1)'],
  ],
  [
    'select * from t where id = 1 and id = 2',
    ['Point Lookup on t', '  Key Cond: (id = 1)', '  Filter: (id = 2)'],
  ],
  ['select * from t where id = 1.5', ['Full Scan on t', '  Filter: (id::numeric = 1.5)']],
  ['select * from t where id = id', ['Full Scan on t', '  Filter: (id = id)']],
  [
    'select * from t where id = 1 or id = 2',
    ['Full Scan on t', '  Filter: ((id = 1) OR (id = 2))'],
  ],
  ['select * from t where id not in (1, 2)', ['Full Scan on t', '  Filter: (id NOT IN (1, 2))']],
  [
    'select * from t where id between 2 and 4',
    ['Key Range Scan on t', '  Key Cond: (id >= 2) AND (id <= 4)'],
  ],
  ['select * from t where id > 2', ['Key Range Scan on t', '  Key Cond: (id > 2)']],
  ['select * from t where 5 > id', ['Key Range Scan on t', '  Key Cond: (id < 5)']],
  [
    'select * from t where id > 2 and id > 3',
    ['Key Range Scan on t', '  Key Cond: (id > 2)', '  Filter: (id > 3)'],
  ],
  ['select * from t order by id', ['Full Scan on t']],
  ['select * from t order by id desc', ['Full Scan Backward on t']],
  [
    'select * from t where id < 9 order by id desc limit 2',
    ['Limit', '  ->  Key Range Scan Backward on t', '        Key Cond: (id < 9)'],
  ],
  ['select id from t order by id, name', ['Full Scan on t']],
  ['select id from t order by name, id', ['Sort', '  Sort Key: name, id', '  ->  Full Scan on t']],
  ['select id from t order by id nulls first', ['Full Scan on t']],
  ['select -id from t order by -id', ['Sort', '  Sort Key: (- id)', '  ->  Full Scan on t']],
  [
    'select * from t where id in (2, 1) order by id desc',
    ['Point Lookup Backward on t', '  Key Cond: (id IN (2, 1))'],
  ],
  ['select * from c where a = 1', ['Key Range Scan on c', '  Key Cond: (a = 1)']],
  [
    "select * from c where a = 1 and b > 'x'",
    ['Key Range Scan on c', "  Key Cond: (a = 1) AND (b > 'x'::text)"],
  ],
  [
    "select * from c where a in (1, 2) and b = 'x' and v = 'y'",
    ['Point Lookup on c', "  Key Cond: (a IN (1, 2)) AND (b = 'x'::text) AND (v = 'y'::text)"],
  ],
  ["select * from c where b = 'x'", ['Full Scan on c', "  Filter: (b = 'x'::text)"]],
  [
    'select * from c where a > 1 and b = $1',
    ['Key Range Scan on c', '  Key Cond: (a > 1)', '  Filter: (b = $1)'],
  ],
  ['select * from c where a = 1 order by b', ['Key Range Scan on c', '  Key Cond: (a = 1)']],
  ['select * from c order by a, b, v, d', ['Full Scan on c']],
  ['select * from c order by a desc, b desc', ['Full Scan Backward on c']],
  ['select a from c order by a, b desc', ['Sort', '  Sort Key: a, b DESC', '  ->  Full Scan on c']],
  ['select a from c order by b', ['Sort', '  Sort Key: b', '  ->  Full Scan on c']],
  [
    'select a from c where a in (1, 2) order by b',
    ['Sort', '  Sort Key: b', '  ->  Key Range Scan on c', '        Key Cond: (a IN (1, 2))'],
  ],
  ['select x from h order by x', ['Sort', '  Sort Key: x', '  ->  Full Scan on h']],
  ['select count(*) from t', ['Aggregate', '  ->  Full Scan on t']],
  [
    'select name, sum(n) from t where id > 1 group by name having sum(n) > 5 order by 1',
    [
      'Sort',
      '  Sort Key: name',
      '  ->  HashAggregate',
      '        Group Key: name',
      '        Filter: (sum(n) > 5)',
      '        ->  Key Range Scan on t',
      '              Key Cond: (id > 1)',
    ],
  ],
  ['select distinct name from t', ['HashAggregate', '  Group Key: name', '  ->  Full Scan on t']],
  ['select 1', ['Result']],
  ['select * from i where n = 1', ['Index Scan using i_n on i', '  Index Cond: (n = 1)']],
  [
    'select id, n from i where n = $1',
    ['Index Only Scan using i_n on i', '  Index Cond: (n = $1)'],
  ],
  [
    'select * from i where n = any ($1) and b',
    ['Index Scan using i_n on i', '  Index Cond: (n = ANY ($1))', '  Filter: b'],
  ],
  ['select * from i where n is null', ['Index Scan using i_n on i', '  Index Cond: (n IS NULL)']],
  [
    'select * from i where n = 1 and id > 5 order by id limit 3',
    ['Limit', '  ->  Index Scan using i_n on i', '        Index Cond: (n = 1) AND (id > 5)'],
  ],
  [
    "select * from i where g = 'a' and n > 3",
    ['Index Scan using i_gn on i', "  Index Cond: (g = 'a'::text) AND (n > 3)"],
  ],
  [
    "select * from i where g like 'ab%'",
    [
      'Index Scan using i_gn on i',
      "  Index Cond: (g ~~ 'ab%'::text)",
      "  Filter: (g ~~ 'ab%'::text)",
    ],
  ],
  ["select * from i where g like '%ab'", ['Full Scan on i', "  Filter: (g ~~ '%ab'::text)"]],
  [
    'select * from i where lower(g) = $1',
    ['Index Scan using i_lower on i', '  Index Cond: (lower(g) = $1)'],
  ],
  ['select * from i where d = 1', ['Full Scan on i', '  Filter: (d = 1)']],
  ['select * from i where d = 1 and b', ['Index Scan using i_d on i', '  Index Cond: (d = 1)']],
  ['select * from i where s = $1', ['Index Scan using i_s on i', '  Index Cond: (s = $1)']],
  ['select * from i order by n limit 10', ['Limit', '  ->  Index Scan using i_n on i']],
  [
    'select * from i order by n desc nulls first, id desc limit 10',
    ['Limit', '  ->  Index Scan Backward using i_n on i'],
  ],
  [
    'select * from i order by n desc nulls last limit 10',
    ['Limit', '  ->  Sort', '        Sort Key: n DESC NULLS LAST', '        ->  Full Scan on i'],
  ],
  [
    'select * from i where n > 3 order by n desc nulls last limit 10',
    ['Limit', '  ->  Index Scan Backward using i_n on i', '        Index Cond: (n > 3)'],
  ],
  [
    'select id from i where id = 3 and n = 1',
    ['Point Lookup on i', '  Key Cond: (id = 3)', '  Filter: (n = 1)'],
  ],
  [
    'update i set b = true where n = 1',
    ['Update on i', '  ->  Index Scan using i_n on i', '        Index Cond: (n = 1)'],
  ],
  [
    'select max(n) from i',
    [
      'Aggregate',
      '  ->  Index Only Scan Backward using i_n on i',
      '        Index Cond: (n IS NOT NULL)',
    ],
  ],
  [
    'select min(id) from i where id > 3',
    ['Aggregate', '  ->  Key Range Scan on i', '        Key Cond: (id > 3)'],
  ],
  ['select min(d) from i', ['Aggregate', '  ->  Full Scan on i']],
  [
    'select * from t join i on i.n = t.n where t.id = 1',
    [
      'Index Lookup Join using i_n on i',
      '  Index Cond: (i.n = t.n)',
      '  ->  Point Lookup on t',
      '        Key Cond: (id = 1)',
    ],
  ],
  [
    'select * from i where n = 1 for update',
    ['LockRows', '  ->  Index Scan using i_n on i', '        Index Cond: (n = 1)'],
  ],
  [
    'update t set n = 1 where id = 2',
    ['Update on t', '  ->  Point Lookup on t', '        Key Cond: (id = 2)'],
  ],
  [
    'delete from t where id < 2',
    ['Delete on t', '  ->  Key Range Scan on t', '        Key Cond: (id < 2)'],
  ],
  ['insert into t values (1)', ['Insert on t']],
  [
    'select * from t a join t b on a.n = b.n',
    ['Hash Join', '  Hash Cond: (a.n = b.n)', '  ->  Full Scan on t a', '  ->  Full Scan on t b'],
  ],
  [
    'select * from t a left join h on h.x = a.id where a.id = 1',
    [
      'Hash Left Join',
      '  Hash Cond: (a.id = h.x)',
      '  ->  Point Lookup on t a',
      '        Key Cond: (id = 1)',
      '  ->  Full Scan on h',
    ],
  ],
  [
    'select * from h, t where h.x = 1 and t.id = h.x and t.n > 2',
    [
      'Key Lookup Join on t',
      '  Key Cond: (t.id = h.x)',
      '  Filter: (n > 2)',
      '  ->  Full Scan on h',
      '        Filter: (x = 1)',
    ],
  ],
  [
    "select * from t, c where t.id = 1 and c.a = t.id and c.b = 'x'",
    [
      'Key Lookup Join on c',
      "  Key Cond: ((c.a = t.id) AND (c.b = 'x'::text))",
      '  ->  Point Lookup on t',
      '        Key Cond: (id = 1)',
    ],
  ],
  [
    'select * from t a, t b where a.id < b.id',
    [
      'Nested Loop',
      '  Join Filter: (a.id < b.id)',
      '  ->  Full Scan on t a',
      '  ->  Full Scan on t b',
    ],
  ],
  [
    'select * from t left join h on h.x = t.id where h.x > 0',
    [
      'Hash Join',
      '  Hash Cond: (t.id = h.x)',
      '  ->  Full Scan on t',
      '  ->  Full Scan on h',
      '        Filter: (x > 0)',
    ],
  ],
  [
    'select * from t where id = (select max(x) from h)',
    [
      'Point Lookup on t',
      '  Key Cond: (id = (InitPlan 1))',
      '  InitPlan 1',
      '    ->  Aggregate',
      '          ->  Full Scan on h',
    ],
  ],
  ['select 1 union all select 2', ['Append', '  ->  Result', '  ->  Result']],
  [
    'with w as materialized (select * from h) select * from w',
    ['CTE Scan on w', '  CTE w', '    ->  Full Scan on h'],
  ],
  ['with w as (select * from h) select * from w', ['Full Scan on h']],
  [
    'select row_number() over (partition by name order by n) from t',
    ['WindowAgg', '  Partition By: name', '  Order By: n', '  ->  Full Scan on t'],
  ],
  [
    'insert into t select x from h on conflict (id) do nothing',
    ['Insert on t', '  Conflict Resolution: NOTHING', '  ->  Full Scan on h'],
  ],
  ['insert into h select id from t', ['Insert on h', '  ->  Full Scan on t']],
];

describe('the planner', () => {
  for (const [sql, lines] of chosen)
    it(sql, async () => {
      expect(await explain(sql)).toEqual(lines);
    });
});

describe('what storage is asked for', () => {
  beforeAll(async () => {
    await harness.query('insert into t select x, null, x from generate_series(1, 5000) x');
  });

  async function operations(sql: string): Promise<{ get: number; scan: number }> {
    const before = { ...harness.database.counts };
    await harness.query(sql);
    const { get, scan } = harness.database.counts;
    return { get: get - before.get, scan: scan - before.scan };
  }

  it('reads one key and the catalog version for a point', async () => {
    expect(await operations('select * from t where id = 17')).toEqual({ get: 2, scan: 0 });
    expect(await operations('select * from t where id = -17')).toEqual({ get: 2, scan: 0 });
  });

  it('stops scanning when the limit is met', async () => {
    expect((await operations('select * from t order by id limit 10')).scan).toBe(1);
    expect((await operations('select * from t where n > 5 order by id desc limit 10')).scan).toBe(
      1,
    );
    expect((await operations('select count(*) from t')).scan).toBe(5);
  });
});
