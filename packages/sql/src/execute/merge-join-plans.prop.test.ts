/**
 * Statements that are merged by keys and indexes against the same statements over expressions, which no key has: those are hashed
 * and sorted. Values that are equal in several forms, NULLs, duplicates, several columns, both directions.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Datum } from '../session-api.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { datumKey } from '../types/values.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await createHarness({ batchPairs: 3 });
  await harness.query(`
    create table a (id int primary key, x int, y int8, t text, f float8, n numeric, c char(3), d date);
    create table b (x int8, y int2, id int, t varchar(9), f float8, n numeric, c char(3), d date,
      primary key (x, y, id));
    create index on a (x, y);
    create index on a (x desc nulls last, y desc nulls first);
    create index on a (y desc, x);
    create index on b (x desc, y desc);
    create index on b (y, x desc);
    create index on b (id);
    create index on a (t); create index on b (t desc);
    create index on a (f); create index on b (f desc nulls last);
    create index on a (n desc); create index on b (n nulls first);
    create index on a (c); create index on b (c);
    create index on a (d); create index on b (d)`);
});

interface Keys {
  readonly columns: readonly (readonly [left: string, right: string])[];
  /** What a column is written as where no key is to be of use. */
  readonly hidden: (column: string) => string;
}

const plus = (column: string) => `${column} + 0`;
const keys: readonly Keys[] = [
  { columns: [['a.x', 'b.x']], hidden: plus },
  {
    columns: [
      ['a.x', 'b.x'],
      ['a.y', 'b.y'],
    ],
    hidden: plus,
  },
  {
    columns: [
      ['a.y', 'b.y'],
      ['a.x', 'b.x'],
    ],
    hidden: plus,
  },
  { columns: [['a.id', 'b.id']], hidden: plus },
  { columns: [['a.t', 'b.t']], hidden: (column) => `${column} || ''` },
  { columns: [['a.f', 'b.f']], hidden: plus },
  { columns: [['a.n', 'b.n']], hidden: plus },
  { columns: [['a.c', 'b.c']], hidden: (column) => `rtrim(${column})` },
  { columns: [['a.d', 'b.d']], hidden: (column) => `${column} + 0` },
];

const small = fc.option(fc.integer({ min: -1, max: 2 }));
const row = fc.record({
  x: small,
  y: small,
  t: fc.option(fc.constantFrom("''", "'a'", "'b'", "'B'", "'é'", "'\u{10000}'", "'\uffff'")),
  f: fc.option(fc.constantFrom("'0'", "'-0'", "'NaN'", "'1.5'", "'-Infinity'")),
  n: fc.option(fc.constantFrom("'1'", "'1.00'", "'-2.5'", "'NaN'", "'0.0'", "'Infinity'")),
  c: fc.option(fc.constantFrom("''", "'a'", "'a  '", "'ab'", "'b'")),
  d: fc.option(fc.constantFrom("'2024-02-29'", "'infinity'", "'-infinity'", "'0044-03-15 BC'")),
});
type Stored = typeof row extends fc.Arbitrary<infer T> ? T : never;

const joins = ['join', 'left join', 'right join', 'full join'] as const;
const residuals = [
  '',
  ' and a.id > b.id',
  ' and (a.id + b.id) % 2 = 0',
  ' and a.id < 3',
  ' and false',
];

const question = fc.record({
  keys: fc.constantFrom(...keys),
  join: fc.constantFrom(...joins),
  residual: fc.constantFrom(...residuals),
  order: fc.option(
    fc.record({
      side: fc.constantFrom(0, 1),
      descending: fc.boolean(),
      nulls: fc.constantFrom('', ' nulls first', ' nulls last'),
    }),
  ),
  limit: fc.option(fc.integer({ min: 0, max: 9 })),
  swapped: fc.boolean(),
});
type Question = typeof question extends fc.Arbitrary<infer T> ? T : never;

async function load(as: readonly Stored[], bs: readonly Stored[]): Promise<void> {
  await harness.query('delete from a; delete from b');
  const values = ({ t, f, n, c, d }: Stored) =>
    [t, f, n, c, d].map((one) => one ?? 'null').join(', ');
  for (const [i, one] of as.entries())
    await harness.query(`insert into a values (${i}, ${one.x}, ${one.y}, ${values(one)})`);
  for (const [i, one] of bs.entries())
    await harness.query(
      `insert into b values (${one.x ?? 7}, ${one.y ?? 7}, ${i % 5}, ${values(one)}) on conflict do nothing`,
    );
}

/** @param visible as keys can be of use */
function statement({ keys, join, residual, order, limit, swapped }: Question, visible: boolean) {
  const { columns, hidden } = keys;
  const shown = (column: string) => (visible ? column : hidden(column));
  const on = columns
    .map((pair) => (swapped ? [pair[1], pair[0]] : pair).map((one) => shown(one ?? '')).join(' = '))
    .join(' and ');
  const from = swapped ? `b ${join} a` : `a ${join} b`;
  const nulls = order === null ? '' : `${order.descending ? ' desc' : ''}${order.nulls}`;
  const sorting = columns.map((pair) => `${shown(pair[order?.side ?? 0] ?? '')}${nulls}`);
  return [
    `select ${columns.flat().join(', ')}, a.id, b.id from ${from} on ${on}${residual}`,
    ...(order === null ? [] : [`order by ${sorting.join(', ')}`]),
    ...(order === null || limit === null ? [] : [`limit ${limit}`]),
  ].join(' ');
}

function textOf(rows: readonly (readonly Datum[])[]): string[] {
  return rows.map((one) => one.map((value) => datumKey(value === 0 ? 0 : value)).join('|'));
}

/** What the rows are sorted by. Numbers that are equal in several forms are one. */
function sortedBy(rows: readonly (readonly Datum[])[], { keys, order }: Question): string[] {
  const own = keys.columns.map((_pair, i) => 2 * i + (order?.side ?? 0));
  return rows.map((one) =>
    own
      .map((at) => {
        const value = one[at] ?? null;
        const text = value === null ? 'null' : String(value).trimEnd();
        return keys.columns[0]?.[0] === 'a.n' && Number.isFinite(Number(text))
          ? String(Number(text))
          : text === '-0'
            ? '0'
            : text;
      })
      .join('|'),
  );
}

describe('statements with merge joins', () => {
  it('have the rows and the order that others have', async () => {
    let [merged, sorted, runs] = [0, 0, 0];
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 12 }),
        fc.array(row, { maxLength: 12 }),
        fc.array(question, { minLength: 6, maxLength: 6 }),
        async (as, bs, questions) => {
          await load(as, bs);
          for (const one of questions) {
            const sql = statement(one, true);
            const plan = String((await harness.query(`explain ${sql}`)).flat());
            runs++;
            if (plan.includes('Merge')) merged++;
            if (plan.includes('Merge') && one.order !== null && !plan.includes('Sort')) sorted++;
            const [found, wanted] = [
              await harness.query(sql),
              await harness.query(statement(one, false)),
            ];
            if (one.order !== null) expect(sortedBy(found, one)).toEqual(sortedBy(wanted, one));
            if (one.order === null || one.limit === null)
              expect(textOf(found).sort(), sql).toEqual(textOf(wanted).sort());
          }
        },
      ),
      { numRuns: 25 },
    );
    // Otherwise this shows nothing.
    expect(merged / runs).toBeGreaterThan(0.4);
    expect(sorted / runs).toBeGreaterThan(0.1);
  });
});
