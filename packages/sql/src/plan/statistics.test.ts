/** What ANALYZE finds out, and what the planner makes of it. */
import { beforeAll, describe, expect, it } from 'vitest';
import { createHarness, type Harness, harnessOver } from '../testing/harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
  await harness.query(`
    create table big (id int primary key, kind int, state text, note text, ref int);
    create index big_kind on big (kind);
    create index big_state on big (state);
    create table small (id int primary key, name text);
    create table middle (id int primary key, small int);
    insert into big select i, i % 500, case when i % 100 = 0 then 'rare' else 'common' end,
      case when i % 4 = 0 then null else 'x' end, i % 50 from generate_series(1, 2000) i;
    insert into middle select i, i % 5 from generate_series(0, 49) i;
    insert into small select i, 'name ' || i from generate_series(0, 4) i`);
});

async function heads(sql: string): Promise<string[]> {
  const rows = await harness.query(`explain (costs off) ${sql}`);
  return rows
    .map(([line]) => String(line).replace('->', '').trim())
    .filter((line) => !/^\w[\w ]*: /.test(line));
}

describe('without statistics', () => {
  it('equality is worth an index', async () => {
    expect(await heads("select note from big where state = 'common'")).toEqual([
      'Index Scan using big_state on big',
    ]);
    expect(await harness.query("select reltuples from pg_class where relname = 'big'")).toEqual([
      [-1],
    ]);
  });
});

describe('with statistics', () => {
  beforeAll(async () => {
    await harness.query('analyze');
  });

  it('they can be read', async () => {
    expect(await harness.query("select reltuples from pg_class where relname = 'big'")).toEqual([
      [2000],
    ]);
    const columns = await harness.query(
      "select attname, null_frac, n_distinct, most_common_vals from pg_stats where tablename = 'big' and attname in ('id', 'state', 'note') order by attname",
    );
    expect(columns).toEqual([
      ['id', 0, -1, null],
      ['note', 0.25, 1, '{x}'],
      ['state', 0, 2, '{common,rare}'],
    ]);
    const [[bounds] = []] = await harness.query(
      "select histogram_bounds from pg_stats where tablename = 'big' and attname = 'id'",
    );
    expect(String(bounds)).toMatch(/^\{1,\d+,.*,2000\}$/);
  });

  it('a common value is scanned for, a rare one is looked up', async () => {
    expect(await heads("select note from big where state = 'common'")).toEqual([
      'Full Scan on big',
    ]);
    expect(await heads("select note from big where state = 'rare'")).toEqual([
      'Index Scan using big_state on big',
    ]);
  });

  it('a wide range is scanned for, a narrow one is looked up', async () => {
    expect(await heads('select note from big where kind > 10')).toEqual(['Full Scan on big']);
    expect(await heads('select note from big where kind > 495')).toEqual([
      'Index Scan using big_kind on big',
    ]);
  });

  it('joins begin with what is small', async () => {
    const sql = `select count(*) from big join middle on middle.id = big.ref
      join small on small.id = middle.small where small.name = 'name 3'`;
    const plan = await heads(sql);
    expect(plan[0]).toBe('Aggregate');
    // Nothing is joined with all of big before the rest is joined.
    expect(plan.filter((line) => line.startsWith('Full Scan')).at(-1)).not.toBe('Full Scan on big');
    expect(await harness.query(sql)).toEqual([[400n]]);
  });

  it('another process plans by them, and cached plans give way', async () => {
    const other = harnessOver(harness.database, harness.engine);
    const [statement] = other.session.parse(
      "explain (costs off) select note from big where state = 'rare'",
    );
    if (statement === undefined) throw new Error('there is a statement');
    await other.session.prepare(statement, []);
    await other.query("update big set state = 'rare' where id <= 1600; analyze big");
    const rows = await other.query("explain (costs off) select note from big where state = 'rare'");
    expect(rows[0]).toEqual(['Full Scan on big']);
  });
});
