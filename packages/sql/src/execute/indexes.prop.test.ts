/** Statements over two tables with the same rows, one with indexes of all kinds: they must give the same. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Datum } from '../session-api.ts';
import { createHarness, type Harness } from '../testing/harness.ts';

let harness: Harness;

/** `x` has indexes, `y` has none. Tables without a key too: `xh` and `yh`. */
beforeAll(async () => {
  harness = await createHarness({ batchPairs: 3 });
  const columns = 'g text, n int, f float8, d numeric(6, 2), b boolean, v varchar(8)';
  for (const name of ['x', 'y'])
    await harness.query(`create table ${name} (id int primary key, ${columns})`);
  for (const name of ['xh', 'yh'])
    await harness.query(`create table ${name} (id int not null, ${columns})`);
  for (const name of ['x', 'xh'])
    await harness.query(`
      create index on ${name} (n);
      create index on ${name} (g desc, n);
      create index on ${name} (f nulls first, g) include (b);
      create index on ${name} (d desc nulls last);
      create unique index on ${name} (n, id);
      create unique index on ${name} (v, g, id);
      create index on ${name} (lower(g), (n + 1));
      create index on ${name} (v) where b;
      create index on ${name} (g) where n > 0;
      create index on ${name} (n desc) where v is not null`);
});

const g = fc.constantFrom(null, '', 'a', 'A', 'ab', 'b', 'é', '\uffff', '\u{10000}');
const n = fc.constantFrom(null, -2, -1, 0, 1, 2, 300);
const f = fc.constantFrom(null, 0, -0, 1.5, -2.25, Number.NaN, Infinity);
const d = fc.constantFrom(null, '0', '1.50', '-2', '10', '9999.99');
const b = fc.constantFrom(null, true, false);
const row = fc.tuple(g, n, f, d, b, g);
const rows = fc.array(row, { minLength: 1, maxLength: 14 });

interface Asked {
  readonly sql: string;
  readonly parameters: readonly Datum[];
}

const text = (sql: string) => fc.constant<Asked>({ sql, parameters: [] });
const asked = (sql: string, ...values: readonly fc.Arbitrary<Datum>[]): fc.Arbitrary<Asked> =>
  fc.tuple(...values).map((parameters) => ({ sql, parameters }));

/** `?` stands for a parameter. */
const condition: fc.Arbitrary<Asked> = fc.oneof(
  asked('n = ?', n),
  asked('n > ?', n),
  asked('n <= ?', n),
  asked('n between ? and ?', n, n),
  asked('n in (?, ?, null)', n, n),
  text('n = any (array[2, 1, null, 1])'),
  asked('n = any (array[?::int, 0])', n),
  text('n is null'),
  text('n is not null'),
  asked('g = ?', g),
  asked('g >= ?', g),
  asked('g < ?', g),
  text('g is null'),
  text("g like 'a%'"),
  text("g like 'a_'"),
  text("v like 'a%' and b"),
  asked("g like ? || '%'", g),
  asked('f = ?', f),
  asked('f > ?', f),
  text('f is null'),
  asked('d = ?', d),
  asked('d < ?', d),
  text('d is null'),
  text('b'),
  text('not b'),
  asked('v = ?', g),
  asked('v = ? and g is null', g),
  asked('lower(g) = ?', g),
  asked('lower(g) = ? and n + 1 > ?', g, n),
  text('n > 0'),
  text('n > 1'),
  asked('id > ?', fc.constantFrom(3, 7)),
  asked('id = ?', fc.constantFrom(3, 7)),
);
const where = fc.array(condition, { maxLength: 3 }).map(
  (all): Asked => ({
    sql: all.map((one) => one.sql).join(' and ') || 'true',
    parameters: all.flatMap((one) => one.parameters),
  }),
);
const key = fc
  .tuple(
    fc.constantFrom('n', 'g', 'f', 'd', 'v', 'lower(g)', 'id'),
    fc.constantFrom('', ' desc'),
    fc.constantFrom('', ' nulls first', ' nulls last'),
  )
  .map((parts) => parts.join(''));
const order = fc.array(key, { maxLength: 3 });

/** With numbers for the question marks and the name of a table. */
function written(sql: string, table: string): string {
  let index = 0;
  return sql.replaceAll('?', () => `$${++index}`).replaceAll('@', table);
}

async function outcome(sql: string, table: string, parameters: readonly Datum[]): Promise<unknown> {
  try {
    return (await harness.query(written(sql, table), parameters)).map((one) => one.map(String));
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll(table, '@') : error;
  }
}

async function load(table: string, all: readonly (readonly Datum[])[]): Promise<void> {
  if (harness.session.transactionStatus !== 'idle') await harness.query('rollback');
  await harness.query(`truncate ${table}`);
  const lines = all.map((values, i) => `(${i}, ${values.map((_, j) => `$${i * 6 + j + 1}`)})`);
  await harness.query(`insert into ${table} values ${lines.join(', ')}`, all.flat());
}

let indexed = 0;
let asking = 0;

async function same(
  tables: readonly [string, string],
  sql: string,
  parameters: readonly Datum[],
): Promise<void> {
  const [x, y] = tables;
  const plan = await harness.query(`explain (costs off) ${written(sql, x)}`, parameters);
  asking++;
  if (plan.some(([line]) => String(line).includes('Index'))) indexed++;
  const found = await outcome(sql, x, parameters);
  expect(found, `${sql}\n${plan.join('\n')}`).toEqual(await outcome(sql, y, parameters));
}

const tables = fc.constantFrom(['x', 'y'] as const, ['xh', 'yh'] as const);

describe('with indexes and without', () => {
  it('queries find the same rows in the same order', async () => {
    const property = fc.asyncProperty(
      tables,
      rows,
      fc.array(
        fc.tuple(
          where,
          order,
          fc.constantFrom('', ' limit 2', ' limit 3 offset 1'),
          fc.constantFrom('id', 'id, n', '*', 'g, id, f'),
        ),
        { minLength: 8, maxLength: 8 },
      ),
      async (both, all, queries) => {
        for (const table of both) await load(table, all);
        for (const [{ sql, parameters }, keys, limit, columns] of queries) {
          const sorted = ` order by ${[...keys, 'id'].join(', ')}${limit}`;
          await same(both, `select ${columns} from @ where ${sql}${sorted}`, parameters);
          const joins = 'select a.id, b.id, b.g from @ a';
          const on = `on b.n = a.n where a.id < 3 order by 1, 2`;
          await same(both, `${joins} join @ b ${on}`, []);
          await same(
            both,
            `${joins} left join @ b on lower(b.g) = a.v where a.id = 2 order by 1, 2`,
            [],
          );
          const extremes = 'count(*), min(n), max(n), min(g), max(f)';
          await same(both, `select ${extremes} from @ where ${sql}`, parameters);
        }
      },
    );
    // How often an index is asked depends on the statements: these are always the same ones.
    await fc.assert(property, { seed: 1, numRuns: 2 });
    expect(indexed / asking).toBeGreaterThan(0.3);
    await fc.assert(property, { numRuns: 3 });
  });

  it('writes change the same rows, and a block sees its own', async () => {
    const write = fc.oneof(
      fc.record({ sql: fc.constant('update @ set n = n + 1 where '), where }),
      fc.record({ sql: fc.constant("update @ set g = 'b', v = g where "), where }),
      fc.record({ sql: fc.constant('update @ set b = not b, id = id + 100 where '), where }),
      fc.record({ sql: fc.constant('delete from @ where '), where }),
    );
    await fc.assert(
      fc.asyncProperty(
        tables,
        rows,
        fc.array(fc.tuple(write, where), { minLength: 4, maxLength: 4 }),
        fc.constantFrom('commit', 'rollback', 'savepoint'),
        async (both, all, steps, end) => {
          for (const table of both) await load(table, all);
          await harness.query('begin');
          for (const [i, [change, query]] of steps.entries()) {
            if (end === 'savepoint' && i === 1) await harness.query('savepoint s');
            if (end === 'savepoint' && i === 3) await harness.query('rollback to s');
            const { sql, parameters } = change.where;
            await same(both, `${change.sql}${sql}`, parameters);
            await same(
              both,
              `select * from @ where ${query.sql} order by id, n, g`,
              query.parameters,
            );
            await same(
              both,
              `select id from @ where ${query.sql} order by id for update`,
              query.parameters,
            );
          }
          await harness.query(end === 'rollback' ? 'rollback' : 'commit');
          for (const [, query] of steps)
            await same(both, `select * from @ where ${query.sql} order by id`, query.parameters);
          await same(both, 'select n, id from @ where n > -100 order by n, id', []);
        },
      ),
      { numRuns: 4 },
    );
  });
});
