/** Merge joins of generated rows against every row of one side beside every row of the other, in memory and out of it. */
import { SystemClock } from '@flotilla/base';
import { MemoryDisk } from '@flotilla/base/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import { pairComparator } from '../types/compare.ts';
import { storedText } from '../types/stored-text.ts';
import { parseText } from '../types/text-codec.ts';
import { float8Type, int4Type, int8Type, numericType, type SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';
import type { PhysicalJoinType } from './join.ts';
import { MergeJoinOperator } from './merge-join.ts';
import type { Batches, Operator } from './operator.ts';
import { MemoryAccount, Pace, type Run } from './run.ts';
import { rowComparator } from './sort.ts';
import { SpillSpace } from './spill/spill-space.ts';

const disk = new MemoryDisk();

function runOf(spillAt: number, signal?: AbortSignal): Run & { readonly memory: MemoryAccount } {
  const clock = new SystemClock();
  return {
    pace: new Pace(clock, signal),
    memory: new MemoryAccount(1024 * 1024, spillAt),
    spill: new SpillSpace({ disk, directory: 'spill', prefix: 'row-', chunkBytes: 200 }),
    evaluation: {} as EvalContext,
  } as Partial<Run> as Run;
}

/** Rows as an input, a few at a time. */
class Rows implements Operator {
  readonly inputs: readonly Operator[] = [];
  readonly text = undefined;
  taken = 0;
  closed = false;
  private readonly rows: readonly Row[];
  private readonly size: number;

  constructor(rows: readonly Row[], size: number) {
    this.rows = rows;
    this.size = size;
  }

  async *open(): Batches {
    try {
      for (let at = 0; at < this.rows.length; at += this.size) {
        yield this.rows.slice(at, at + this.size);
        this.taken = Math.min(this.rows.length, at + this.size);
        if (at % 3 === 0) yield [];
      }
    } finally {
      this.closed = true;
    }
  }
}

interface Direction {
  readonly descending: boolean;
  readonly leftNullsFirst: boolean;
  readonly rightNullsFirst: boolean;
}

type Condition = ((row: Row) => Datum) | undefined;

interface Problem {
  readonly type: PhysicalJoinType;
  readonly types: readonly (readonly [SqlType, SqlType])[];
  readonly directions: readonly Direction[];
  readonly condition: Condition;
}

const rowWidth = 3;
const shapeColumns = [0, 1, 2];

function sorted(
  rows: readonly Row[],
  { types, directions }: Problem,
  side: 'left' | 'right',
): readonly Row[] {
  const columns = directions.map((one, i) => ({
    output: i,
    type: types[i]?.[side === 'left' ? 0 : 1] ?? int4Type,
    descending: one.descending,
    nullsFirst: side === 'left' ? one.leftNullsFirst : one.rightNullsFirst,
  }));
  return [...rows].sort(rowComparator(columns));
}

function operatorOf(problem: Problem, left: Operator, right: Operator): MergeJoinOperator {
  const { type, types, directions, condition } = problem;
  const [first] = directions;
  const context = {} as EvalContext;
  const columns = types.map(([a, b], i) => {
    const sign = directions[i]?.descending === true ? -1 : 1;
    const [pair, own] = [pairComparator(a, b), pairComparator(b, b)];
    return {
      left: (row: Row) => row[i] ?? null,
      right: (row: Row) => row[i] ?? null,
      compare: (x: Datum, y: Datum) => sign * pair(x, y, context),
      compareRight: (x: Datum, y: Datum) => own(x, y, context),
    };
  });
  const nullsLast = {
    left: first?.leftNullsFirst === false,
    right: first?.rightNullsFirst === false,
  };
  const shape = { type, left: shapeColumns, right: shapeColumns, condition };
  return new MergeJoinOperator([left, right], shape, { columns, nullsLast }, () => ({
    head: '',
    details: [],
  }));
}

/** In the order of the left side, then of the right; the right side's rows without a match at the end. */
function expected(problem: Problem, lefts: readonly Row[], rights: readonly Row[]): Row[] {
  const { type, types, condition } = problem;
  const nothing = new Array<Datum>(rowWidth).fill(null);
  const matched = new Set<Row>();
  const rows: Row[] = [];
  const context = {} as EvalContext;
  for (const left of lefts) {
    let found = 0;
    for (const right of rights) {
      const isEqual = types.every(([a, b], i) => {
        const [x = null, y = null] = [left[i], right[i]];
        return x !== null && y !== null && pairComparator(a, b)(x, y, context) === 0;
      });
      const both = [...left, ...right];
      if (!isEqual || (condition !== undefined && condition(both) !== true)) continue;
      found++;
      matched.add(right);
      if (type !== 'semi' && type !== 'anti') rows.push(both);
    }
    if (type === 'semi' ? found > 0 : type === 'anti' && found === 0) rows.push(left);
    if (found === 0 && (type === 'left' || type === 'full')) rows.push([...left, ...nothing]);
  }
  if (type === 'right' || type === 'full')
    for (const right of rights) if (!matched.has(right)) rows.push([...nothing, ...right]);
  return rows;
}

async function collected(batches: Batches): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const batch of batches) rows.push(...batch);
  return rows;
}

function textOf(rows: readonly Row[]): string[] {
  return rows.map((row) =>
    row.map((value) => (Object.is(value, -0) ? '-0' : `${value}`)).join('|'),
  );
}

const numeric = (text: string) => parseText(numericType, text, storedText);

/** Values of either side that may be equal. */
const kinds: readonly {
  readonly types: readonly [SqlType, SqlType];
  readonly left: readonly Datum[];
  readonly right: readonly Datum[];
}[] = [
  { types: [int4Type, int4Type], left: [null, 1, 2, 3], right: [null, 1, 2, 4] },
  { types: [int4Type, int8Type], left: [null, -1, 1, 2], right: [null, -1n, 1n, 3n] },
  {
    types: [float8Type, float8Type],
    left: [null, 0, -0, Number.NaN, 1.5, -Infinity],
    right: [null, -0, 0, Number.NaN, Infinity],
  },
  {
    types: [numericType, numericType],
    left: [null, numeric('1.0'), numeric('1.00'), numeric('NaN'), numeric('-2')],
    right: [null, numeric('1'), numeric('1.000'), numeric('NaN'), numeric('7')],
  },
];

const conditions: readonly Condition[] = [
  undefined,
  (row) => (row[2] === null ? null : (row[2] as number) % 2 === 0),
  (row) => (row[2] as number) !== (row[5] as number),
  () => false,
];

const types: readonly PhysicalJoinType[] = ['inner', 'left', 'right', 'full', 'semi', 'anti'];

const problem = fc
  .record({
    type: fc.constantFrom(...types),
    kinds: fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 2 }),
    directions: fc.array(
      fc.record({
        descending: fc.boolean(),
        leftNullsFirst: fc.boolean(),
        rightNullsFirst: fc.boolean(),
      }),
      { minLength: 2, maxLength: 2 },
    ),
    condition: fc.constantFrom(...conditions),
    sizes: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
    spillAt: fc.constantFrom(1, 400, 1024 * 1024),
  })
  .chain((one) => {
    const side = (which: 'left' | 'right') =>
      fc.array(
        fc.tuple(
          fc.constantFrom(...(one.kinds[0]?.[which] ?? [null])),
          fc.constantFrom(...(one.kinds[1]?.[which] ?? [null])),
          fc.integer({ min: 0, max: 3 }),
        ),
        { maxLength: 24 },
      );
    return fc.record({ ...constants(one), lefts: side('left'), rights: side('right') });
  });

function constants<T extends object>(one: T): { [K in keyof T]: fc.Arbitrary<T[K]> } {
  return Object.fromEntries(
    Object.entries(one).map(([name, value]) => [name, fc.constant(value)]),
  ) as { [K in keyof T]: fc.Arbitrary<T[K]> };
}

describe('a merge join', () => {
  it('is what a look at all pairs finds', async () => {
    await fc.assert(
      fc.asyncProperty(problem, async (one) => {
        const { type, condition, sizes, spillAt } = one;
        const keys = one.kinds.map((kind) => kind.types);
        const directions = one.directions.slice(0, keys.length);
        const asked: Problem = { type, types: keys, directions, condition };
        const [lefts, rights] = [
          sorted(one.lefts, asked, 'left'),
          sorted(one.rights, asked, 'right'),
        ];
        const run = runOf(spillAt);
        const [left, right] = [new Rows(lefts, sizes[0]), new Rows(rights, sizes[1])];
        const found = textOf(await collected(operatorOf(asked, left, right).open(run)));
        const wanted = textOf(expected(asked, lefts, rights));
        const keepsOrder = type !== 'right' && type !== 'full';
        expect(keepsOrder ? found : [...found].sort()).toEqual(keepsOrder ? wanted : wanted.sort());
        expect(run.memory.held).toBe(0);
        expect(await disk.list('spill')).toEqual([]);
      }),
      { numRuns: 600 },
    );
  });

  it('gives rows of a RIGHT join in the order of the right side', async () => {
    const directions = [{ descending: false, leftNullsFirst: false, rightNullsFirst: false }];
    const keys = [[int4Type, int4Type]] as const;
    const asked: Problem = { type: 'right', types: keys, directions, condition: undefined };
    const lefts = [2, 2, 5].map((key, i) => [key, null, i]);
    const rights = [1, 2, 2, 3, 5, 6, null].map((key, i) => [key, null, i]);
    const batches = operatorOf(asked, new Rows(lefts, 2), new Rows(rights, 2)).open(runOf(1000));
    const rows = await collected(batches);
    expect(rows.map((row) => row[3])).toEqual([1, 2, 2, 2, 2, 3, 5, 6, null]);
  });

  it('stops reading when one side has ended, at NULLs too, and when nobody reads on', async () => {
    const directions = [{ descending: false, leftNullsFirst: false, rightNullsFirst: false }];
    const keys = [[int4Type, int4Type]] as const;
    const asked: Problem = { type: 'inner', types: keys, directions, condition: undefined };
    const many = Array.from({ length: 1000 }, (_none, i) => [i, null, i]);
    const left = new Rows([[1, null, 0], ...many.map(() => [null, null, 0])], 10);
    const right = new Rows(many, 10);
    const rows = await collected(operatorOf(asked, left, right).open(runOf(1000)));
    expect(rows).toHaveLength(1);
    expect([left.taken, right.taken]).toEqual([0, 0]);
    const [first, second] = [new Rows(many, 10), new Rows(many, 10)];
    for await (const batch of operatorOf(asked, first, second).open(runOf(1000), 15)) {
      expect(batch).toHaveLength(15);
      break;
    }
    expect([first.taken, second.taken]).toEqual([10, 10]);
    expect([first.closed, second.closed]).toEqual([true, true]);
  });

  it('is 53200 where one key has more rows than memory holds, and there is nowhere to put them', async () => {
    const directions = [{ descending: false, leftNullsFirst: false, rightNullsFirst: false }];
    const keys = [[int4Type, int4Type]] as const;
    const asked: Problem = { type: 'inner', types: keys, directions, condition: undefined };
    const many = Array.from({ length: 20_000 }, (_none, i) => [7, null, i]);
    const operator = operatorOf(asked, new Rows([[7, null, 0]], 1), new Rows(many, 500));
    const run: Run = { ...runOf(512 * 1024), spill: undefined };
    await expect(collected(operator.open(run))).rejects.toMatchObject({ code: '53200' });
    expect(run.memory.held).toBe(0);
    const spilling = runOf(16 * 1024);
    expect(await collected(operator.open(spilling))).toHaveLength(20_000);
  });

  it('ends when it is cancelled', async () => {
    const directions = [{ descending: false, leftNullsFirst: false, rightNullsFirst: false }];
    const keys = [[int4Type, int4Type]] as const;
    const controller = new AbortController();
    let calls = 0;
    const condition: Condition = () => {
      if (++calls === 10_000) controller.abort();
      return false;
    };
    const asked: Problem = { type: 'anti', types: keys, directions, condition };
    const many = Array.from({ length: 2000 }, (_none, i) => [7, null, i]);
    const operator = operatorOf(asked, new Rows(many, 500), new Rows(many, 500));
    const result = collected(operator.open(runOf(1024 * 1024, controller.signal)));
    await expect(result).rejects.toMatchObject({ code: '57014' });
    expect(calls).toBeLessThan(2000 * 2000);
  });
});
