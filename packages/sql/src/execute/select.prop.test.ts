/** Sorting, grouping, distinct, limits and key predicates against the plainest possible second implementation. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Datum } from '../session-api.ts';
import { createHarness, type Harness } from '../testing/harness.ts';

interface Stored {
  readonly id: number;
  readonly g: string | null;
  readonly n: number | null;
  readonly f: number | null;
}

const row = fc.record({
  g: fc.option(fc.constantFrom('', 'a', 'b', 'é', '\uffff', '\u{10000}')),
  n: fc.option(fc.integer({ min: -3, max: 3 })),
  f: fc.option(fc.constantFrom(0, -0, 1.5, -2.25, Number.NaN, Infinity, -Infinity)),
});
const table = fc
  .tuple(
    fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { maxLength: 25 }),
    fc.array(row, { minLength: 25, maxLength: 25 }),
  )
  .map(([ids, rows]) =>
    ids.map((id, i): Stored => ({ id, ...(rows[i] ?? { g: null, n: null, f: null }) })),
  );

let harness: Harness;

beforeAll(async () => {
  harness = await createHarness({ batchPairs: 3 });
  await harness.query('create table t (id int primary key, g text, n int, f float8)');
});

async function load(rows: readonly Stored[]): Promise<void> {
  await harness.query('delete from t');
  for (const { id, g, n, f } of rows)
    await harness.query('insert into t values ($1, $2, $3, $4)', [id, g, n, f]);
}

/** NULLs last; NaN above all; text by UTF-8 bytes. */
function compare(a: Datum, b: Datum): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === 'string' && typeof b === 'string')
    return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? -1 : a > b ? 1 : 0;
}

const runs = { numRuns: 25 };

describe('against a naive implementation', () => {
  it('sorts', async () => {
    const key = fc.record({
      column: fc.constantFrom('g', 'n', 'f') as fc.Arbitrary<'g' | 'n' | 'f'>,
      descending: fc.boolean(),
      nulls: fc.constantFrom('', ' nulls first', ' nulls last'),
    });
    await fc.assert(
      fc.asyncProperty(
        table,
        fc.array(key, { minLength: 1, maxLength: 3 }),
        fc.nat(9),
        fc.nat(30),
        async (rows, keys, offset, limit) => {
          await load(rows);
          const order = keys.map(
            ({ column, descending, nulls }) => `${column}${descending ? ' desc' : ''}${nulls}`,
          );
          const sql = `select id from t order by ${order.join(', ')}, id limit ${limit} offset ${offset}`;
          const expected = [...rows].sort((a, b) => {
            for (const { column, descending, nulls } of keys) {
              const [x, y] = [a[column], b[column]];
              const nullsFirst = nulls === ' nulls first' || (nulls === '' && descending);
              if ((x === null) !== (y === null)) return (x === null) === nullsFirst ? -1 : 1;
              const order = compare(x, y) * (descending ? -1 : 1);
              if (order !== 0) return order;
            }
            return a.id - b.id;
          });
          const ids = expected.slice(offset, offset + limit).map(({ id }) => [id]);
          expect(await harness.query(sql)).toEqual(ids);
        },
      ),
      runs,
    );
  });

  it('groups and aggregates', async () => {
    await fc.assert(
      fc.asyncProperty(table, async (rows) => {
        await load(rows);
        const groups = new Map<string | null, Stored[]>();
        for (const one of rows) groups.set(one.g, [...(groups.get(one.g) ?? []), one]);
        const expected = [...groups]
          .sort(([a], [b]) => compare(a, b))
          .map(([g, members]) => {
            const ns = members.flatMap(({ n }) => n ?? []);
            const fs = members.flatMap(({ f }) => (f === null ? [] : f)).sort(compare);
            return [
              g,
              BigInt(members.length),
              BigInt(ns.length),
              ns.length === 0 ? null : BigInt(ns.reduce((a, b) => a + b, 0)),
              ns.length === 0 ? null : Math.min(...ns),
              BigInt(new Set(ns).size),
              fs[fs.length - 1] ?? null,
            ];
          });
        const sql =
          'select g, count(*), count(n), sum(n), min(n), count(distinct n), max(f) from t group by g order by g';
        const found = await harness.query(sql);
        expect(found.map((one) => one.map(plus))).toEqual(expected.map((one) => one.map(plus)));
      }),
      runs,
    );
  });

  it('finds distinct rows', async () => {
    await fc.assert(
      fc.asyncProperty(table, async (rows) => {
        await load(rows);
        const found = await harness.query('select distinct g, f from t');
        const text = ([g, f]: readonly (Datum | undefined)[]) =>
          JSON.stringify([g, f === null ? null : String(plus(f ?? null))]);
        const expected = new Set(rows.map(({ g, f }) => text([g, f])));
        expect(found.map(text).sort()).toEqual([...expected].sort());
      }),
      runs,
    );
  });

  it('finds rows by predicates on the key, forwards and backwards', async () => {
    const bound = fc.tuple(
      fc.constantFrom('=', '<', '<=', '>', '>=', '<>'),
      fc.integer({ min: -60, max: 60 }),
      fc.boolean(),
    );
    const list = fc.array(fc.integer({ min: -60, max: 60 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        table,
        fc.array(bound, { maxLength: 3 }),
        fc.option(list),
        fc.boolean(),
        async (rows, bounds, members, descending) => {
          await load(rows);
          const conjuncts = bounds.map(
            ([operator, value, wide]) => `id ${operator} ${value}${wide ? '::int8' : ''}`,
          );
          if (members !== null) conjuncts.push(`id in (${members.join(', ')})`);
          const where = conjuncts.length === 0 ? '' : ` where ${conjuncts.join(' and ')}`;
          const expected = rows
            .map(({ id }) => id)
            .filter((id) => bounds.every(([operator, value]) => holds(id, operator, value)))
            .filter((id) => members === null || members.includes(id))
            .sort((a, b) => (descending ? b - a : a - b));
          const sql = `select id from t${where} order by id${descending ? ' desc' : ''}`;
          expect(await harness.query(sql)).toEqual(expected.map((id) => [id]));
        },
      ),
      { numRuns: 60 },
    );
  });
});

function holds(a: number, operator: string, b: number): boolean {
  if (operator === '=') return a === b;
  if (operator === '<>') return a !== b;
  if (operator === '<') return a < b;
  if (operator === '<=') return a <= b;
  return operator === '>' ? a > b : a >= b;
}

/** -0 and 0 are one value. */
function plus(value: Datum): Datum {
  return value === 0 ? 0 : value;
}
