/** UPDATE and DELETE that a row's leaseholder computes against what the executor makes of them: the same rows, tags and errors. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { SqlError } from '../../sql-error.ts';
import { createHarness, type Harness } from '../../testing/harness.ts';

const schema = `
  create type mood as enum ('low', 'high');
  create table other (id int primary key);
  insert into other values (0), (1);
  create table r (
    id int primary key, a int, b bigint not null default 7 check (b <> 13), n numeric(6, 2), s varchar(5), f float8,
    d date, k boolean, e mood, l int[], o int references other (id), i int, p int, gone text,
    g int generated always as (a + i) stored, constraint small check (a < 1000 and length(s) < 5)
  );
  alter table r drop column gone;
  alter table r add column late int not null default 3;
  create index on r (i) where p > 0;
  create table plain (id int, part text, v bigint, w text, primary key (id, part));
`;

const assignment = fc.constantFrom(
  'a = a + 1',
  'a = a * a',
  'a = null',
  'a = id',
  'b = b + a',
  'b = default',
  'b = null',
  'n = n / 3',
  'n = n * 1000',
  "s = s || 'x'",
  "s = 'abcdef'",
  's = upper(s)',
  'f = f * 2',
  'd = d + 1',
  'd = current_date',
  'k = not k',
  'e = null',
  "e = 'low'",
  'l = array[1]',
  'o = 1',
  'o = 9',
  'i = i + 1',
  'p = 1',
  'late = late + 1',
  'a = 10 / a',
  'a = (select 5)',
  'b = random()::int + 20',
);
const condition = fc.constantFrom(
  '',
  ' and a > 0',
  ' and 10 / a > 1',
  ' and k',
  ' and b <> 8',
  ' and false',
  ' and i = 2',
);
const id = fc.integer({ min: 0, max: 3 });
const ofR = fc
  .oneof(
    {
      weight: 8,
      arbitrary: fc.tuple(
        fc.uniqueArray(assignment, {
          minLength: 1,
          maxLength: 3,
          selector: (one) => one.split(' ')[0],
        }),
        id,
        condition,
      ),
    },
    { weight: 1, arbitrary: fc.tuple(fc.constant('delete' as const), id, condition) },
  )
  .map(([what, key, rest]) =>
    what === 'delete'
      ? `delete from r where id = ${key}${rest}`
      : `update r set ${what.join(', ')} where id = ${key}${rest}`,
  );
const ofPlain = fc
  .tuple(
    fc.constantFrom(
      'update plain set v = v + 1',
      "update plain set w = w || 'é', v = id",
      'delete from plain',
      'update plain set w = null',
    ),
    id,
    fc.constantFrom("'x'", "'y'", 'null', "'x' || ''"),
  )
  .map(([what, key, part]) => `${what} where id = ${key} and part = ${part}`);

const row = fc
  .tuple(
    fc.constantFrom('null', '0', '2', '-3', '999'),
    fc.constantFrom('0', '8', '12', '9223372036854775807'),
    fc.constantFrom('null', '1.5', '9999.99'),
    fc.constantFrom('null', "''", "'abc'", "'ab'"),
    fc.constantFrom('null', "'-0'", "'NaN'", '1.5'),
    fc.constantFrom('null', "'2024-02-29'", "'infinity'"),
    fc.constantFrom('null', 'true', 'false'),
    fc.constantFrom('null', "'high'"),
    fc.constantFrom('null', 'array[1, null]'),
    fc.constantFrom('null', '0'),
    fc.constantFrom('1', '2'),
    fc.constantFrom('null', '0', '1'),
  )
  .map((values) => values.join(', '));

let stores: Harness;
let executor: Harness;

beforeAll(async () => {
  stores = await createHarness({ catalogLease: true });
  executor = await createHarness({ catalogLease: true });
  executor.database.evaluates = false;
  for (const one of [stores, executor]) await one.query(schema);
  await stores.query("insert into plain values (100, 'x', 0, '')");
  // What is computed rests on the lease of the catalog, which is taken behind the statements.
  await vi.waitFor(async () =>
    expect(await writesOf("update plain set v = v + 1 where id = 100 and part = 'x'")).toBe(1),
  );
  await stores.query('delete from plain');
});

async function writesOf(sql: string): Promise<number> {
  const before = stores.database.evaluated.writes;
  await stores.query(sql);
  return stores.database.evaluated.writes - before;
}

async function outcome({ session }: Harness, sql: string): Promise<unknown> {
  const [statement] = session.parse(sql);
  if (statement === undefined) throw new RangeError('a statement');
  try {
    return (await session.execute(await session.prepare(statement, []), [])).commandTag();
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    const { code, message, detail } = error as SqlError & { detail?: string };
    return { code, message, detail };
  }
}

describe('rows that are written where they lie', () => {
  it('are what the executor makes of them', async () => {
    let written = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 3, maxLength: 4 }),
        fc.array(fc.oneof({ weight: 4, arbitrary: ofR }, { weight: 1, arbitrary: ofPlain }), {
          minLength: 1,
          maxLength: 12,
        }),
        async (all, statements) => {
          const columns = 'id, a, b, n, s, f, d, k, e, l, o, i, p';
          const setUp = [
            'delete from r',
            'delete from plain',
            `insert into r (${columns}) values ${all.map((one, at) => `(${at}, ${one})`).join(', ')} on conflict do nothing`,
            "insert into plain select n, part, 1, 'w' from generate_series(0, 3) n, (values ('x'), ('y')) as parts (part)",
          ];
          const loaded = await Promise.all(
            [stores, executor].map(async (one) => {
              const found: unknown[] = [];
              for (const sql of setUp) found.push(await outcome(one, sql));
              return found;
            }),
          );
          expect(loaded[0]).toEqual(loaded[1]);
          for (const sql of statements) {
            if (sql.includes('random')) continue;
            const before = stores.database.evaluated.writes;
            const found = await outcome(stores, sql);
            written += stores.database.evaluated.writes - before;
            expect(found, sql).toEqual(await outcome(executor, sql));
            for (const table of ['r', 'plain'])
              expect(await stores.query(`select * from ${table} order by 1, 2`), sql).toEqual(
                await executor.query(`select * from ${table} order by 1, 2`),
              );
            expect(
              await stores.query('select id from r where i = 2 and p > 0 order by 1'),
              sql,
            ).toEqual(await executor.query('select id from r where i = 2 and p > 0 order by 1'));
          }
        },
      ),
      { numRuns: 160 },
    );
    expect(written).toBeGreaterThan(150);
  });
});

describe('what is written where it lies', () => {
  const reset = async () => {
    await stores.query('delete from r; delete from plain');
    await stores.query(
      "insert into r (id, a, s, i, p) values (1, 2, 'x', 1, 1); insert into plain values (1, 'x', 1, 'w')",
    );
  };

  it.each([
    'update r set a = a + 1 where id = 1',
    'update r set b = b + 1, n = 2.5 where id = 1 and a = 2',
    'update r set d = current_date where 1 = id',
    "update plain set v = v + 1 where id = 1 and part = 'x'",
    "delete from plain where part = 'x' and id = 1",
  ])('%s', async (sql) => {
    await reset();
    expect(await writesOf(sql)).toBe(1);
    expect((await stores.query(`explain ${sql}`)).map(([line]) => String(line).trim())).toContain(
      'At Stores: row',
    );
  });

  it.each([
    ['a column that tells which rows an index has', 'update r set p = 2 where id = 1'],
    ['a column of an index', 'update r set i = 5 where id = 1'],
    ['a foreign key', 'update r set o = 1 where id = 1'],
    ['the key itself', 'update r set id = 2 where id = 1'],
    ['a type of the user', "update r set e = 'low' where id = 1"],
    ['rows that have to be found', 'update r set a = 5 where a = 2'],
    ['several rows', 'update r set a = 5 where id in (1, 2)'],
    ['entries of indexes', 'delete from r where id = 1'],
    ['rows that others refer to', 'delete from other where id = 1'],
    ['something to return', 'update r set a = a + 1 where id = 1 returning a'],
    ['a subquery', 'update r set a = (select 4) where id = 1'],
    ['chance', 'update r set a = random()::int where id = 1'],
    ['a part of the key', 'delete from plain where id = 1'],
    ['a transaction block', 'begin; update r set a = a + 1 where id = 1; commit'],
  ])('not: %s', async (_why, sql) => {
    await reset();
    expect(await writesOf(sql)).toBe(0);
  });

  it('not where somebody has the row locked', async () => {
    await reset();
    const other = stores.engine.createSession({ user: 'ann', database: 'main' });
    const run = async (sql: string) => {
      for (const statement of other.parse(sql))
        await other.execute(await other.prepare(statement, []), []);
    };
    await run('begin; update r set a = 40 where id = 1');
    const waiting = stores.query('update r set a = a + 2 where id = 1');
    const writes = stores.database.evaluated.writes;
    await run('commit');
    await waiting;
    expect(await stores.query('select a from r')).toEqual([[42]]);
    expect(stores.database.evaluated.writes).toBe(writes);
  });
});
