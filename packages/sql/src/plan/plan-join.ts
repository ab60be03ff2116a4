/** Joins of two parts that are planned, or of a part and a table by a key: a key lookup, a hash join, a lateral or a nested loop. */
import { conjunction } from '../bind/conjuncts.ts';
import {
  type ComparisonExpression,
  type Expression,
  expressionKey,
  markColumns,
} from '../bind/expression.ts';
import { sharedHashKey } from '../execute/hash-key.ts';
import {
  HashJoinOperator,
  type JoinShape,
  LateralOperator,
  NestedLoopOperator,
  type PhysicalJoinType,
} from '../execute/join.ts';
import { LookupJoinOperator } from '../execute/lookup-join.ts';
import { MergeJoinOperator, type MergeKey } from '../execute/merge-join.ts';
import { SortOperator } from '../execute/relational.ts';
import { ScanOperator } from '../execute/sources.ts';
import { SqlError } from '../sql-error.ts';
import { columnOf, fullScan } from './access-path.ts';
import { filterText, print, sortKeyText, tableText } from './explain.ts';
import { type Ordering, type Part, placed } from './from-part.ts';
import { columnsOf, type Item, type Leaf, localConditions, shifted } from './from-tree.ts';
import { hashJoinCost, mergeJoinCost } from './join-cost.ts';
import { pairsOf } from './join-region.ts';
import type { DecidedStep } from './join-search.ts';
import type { LeafEstimates } from './leaf-estimates.ts';
import { lookupCost, lookupKey } from './lookup-key.ts';
import { type CommonOrder, commonOrder, orderForRight, sharedComparator } from './merge-keys.ts';
import type { SortColumn } from './plan.ts';
import type { ItemPlanner } from './plan-item.ts';
import type { RelationPlanner } from './plan-relation.ts';
import { compileScan } from './plan-table.ts';
import { pushScan } from './push.ts';
import { type RowOrder, withConditions } from './row-order.ts';

export interface JoinRequest {
  readonly type: PhysicalJoinType;
  /** Predicates on the right side alone. */
  readonly own: readonly Expression[];
  /** Those that connect it with the left side. */
  readonly conditions: readonly Expression[];
  /** By offset into FROM's row: what is read above. */
  readonly needed: readonly boolean[];
  /** What the search has decided, if it has. */
  readonly step?: DecidedStep | undefined;
}

export class JoinPlanner {
  private readonly planner: RelationPlanner;
  private readonly items: ItemPlanner;
  private readonly estimates: LeafEstimates;
  private readonly total: number;

  constructor(
    planner: RelationPlanner,
    total: number,
    parts: { readonly items: ItemPlanner; readonly estimates: LeafEstimates },
  ) {
    this.planner = planner;
    this.total = total;
    this.items = parts.items;
    this.estimates = parts.estimates;
  }

  /** Two parts that are there. */
  join(left: Part, right: Part, request: JoinRequest): Part {
    const { type, conditions, needed } = request;
    const merged = this.merge(left, right, request);
    if (merged !== undefined) return merged;
    const hashed: ComparisonExpression[] = [];
    const rest: Expression[] = [];
    for (const one of conditions) {
      const pair = equality(one, left.layout, right.layout);
      if (pair === undefined) rest.push(one);
      else hashed.push(pair);
    }
    const swap = type === 'inner' && left.rows < right.rows;
    const [probe, build] = swap ? [right, left] : [left, right];
    const { shape, layout, width } = this.shape(type, probe, build, rest, needed);
    const { compiler } = this.planner;
    const sides = hashed.map((one) =>
      swap ? { probe: one.right, build: one.left } : { probe: one.left, build: one.right },
    );
    const hash = sharedHashKey(
      sides.map((one) => one.probe.type),
      sides.map((one) => one.build.type),
    );
    const word = joinWord(type);
    if (hashed.length > 0 && hash !== undefined) {
      const text = () => ({
        head: `Hash ${word}`,
        details: [
          ...filterText(conjunction(hashed), 'Hash Cond'),
          ...filterText(conjunction(rest), 'Join Filter'),
        ],
      });
      const operator = new HashJoinOperator(
        [probe.operator, build.operator],
        shape,
        {
          left: sides.map((one) => compiler.evaluator(one.probe, probe.layout)),
          right: sides.map((one) => compiler.evaluator(one.build, build.layout)),
          hash,
        },
        text,
        this.probe(type, probe, sides),
      );
      return { operator, layout, width, rows: Math.max(left.rows, right.rows) };
    }
    if (type === 'full' && !rest.every((one) => one.kind === 'constant'))
      throw new SqlError(
        '0A000',
        'FULL JOIN is only supported with merge-joinable or hash-joinable join conditions',
      );
    const operator = new NestedLoopOperator([probe.operator, build.operator], shape, () => ({
      head: `Nested Loop${word === 'Join' ? '' : ` ${word}`}`,
      details: filterText(conjunction(rest), 'Join Filter'),
    }));
    const order = orderAfter(type, probe.order, rest);
    return { operator, layout, width, rows: left.rows * right.rows, order };
  }

  /**
   * What a right side would have to be in order of, to be merged: the order that a table comes in, where that was decided for or
   * is less work than a hash join.
   */
  orderOfRight(left: Part, leaf: Leaf, request: JoinRequest): Ordering | undefined {
    const { type, own, conditions, needed, step } = request;
    const method = step?.method ?? 'any';
    if (left.order === undefined || method === 'sort-merge') return undefined;
    // Of inner joins the search knows more.
    if (type === 'inner' && method !== 'merge') return undefined;
    const asked = orderForRight(left.order, pairsOf(conditions, leaf));
    if (asked === undefined) return undefined;
    const below = neededColumns(needed, conditions);
    for (let length = asked.keys.length; length > 0; length--) {
      const order = { ...asked, keys: asked.keys.slice(0, length) };
      const path = this.estimates.orderedPath(leaf, own, { asked: order, needed: below });
      if (path === undefined) continue;
      const plain = this.estimates.leafCost(leaf, own);
      const size = { type, left: left.rows, right: plain.rows, rows: left.rows };
      const isLess = path.cost + mergeJoinCost(size) < plain.cost + hashJoinCost(size);
      if (method !== 'merge' && !isLess) return undefined;
      return { ...order, limit: undefined, found: false, must: true };
    }
    return undefined;
  }

  /** Side by side, where both sides come in the same order, or the search has decided that it pays to sort the right one. */
  private merge(left: Part, right: Part, request: JoinRequest): Part | undefined {
    const { type, conditions, step } = request;
    const method = step?.method ?? 'any';
    if (left.order === undefined) return undefined;
    const pairs = conditions.flatMap((one) => equality(one, left.layout, right.layout) ?? []);
    const common = right.order && commonOrder(left.order, right.order, pairs);
    if (common !== undefined) {
      const size = { type, left: left.rows, right: right.rows, rows: step?.rows ?? 0 };
      const isLess = mergeJoinCost(size) < hashJoinCost(size);
      if (method === 'any' && !isLess) return undefined;
      return this.merged(left, right, request, common);
    }
    if (method !== 'sort-merge') return undefined;
    const asked = orderForRight(left.order, pairs);
    const columns = asked?.keys.flatMap((key): SortColumn[] => {
      const one = asked.outputs[key.output];
      const output = right.layout[(one && columnOf(one)) ?? -1] ?? -1;
      return one === undefined || output < 0 ? [] : [{ ...key, output, type: one.type }];
    });
    if (asked === undefined || columns?.length !== asked.keys.length) return undefined;
    const operator = new SortOperator(right.operator, columns, () => ({
      head: 'Sort',
      details: [
        `Sort Key: ${asked.keys.map((key) => sortKeyText(key, print(asked.outputs[key.output] as Expression, true))).join(', ')}`,
      ],
    }));
    const sorted = this.planner.noted({ ...right, operator, order: undefined });
    const first = asked.pairs[0]?.descending === true;
    const nullsLast = { left: left.order.columns[0]?.nullsFirst === false, right: !first };
    return this.merged(left, sorted, request, {
      pairs: asked.pairs,
      left: asked.pairs.length,
      right: asked.pairs.length,
      nullsLast,
    });
  }

  private merged(left: Part, right: Part, request: JoinRequest, common: CommonOrder): Part {
    const { type, conditions, needed } = request;
    const { compiler } = this.planner;
    const used = new Set(common.pairs.map(({ condition }) => conditionKey(condition)));
    const rest = conditions.filter((one) => {
      const pair = equality(one, left.layout, right.layout);
      return pair === undefined || !used.has(conditionKey(pair));
    });
    const { shape, layout, width } = this.shape(type, left, right, rest, needed);
    const columns = common.pairs.map(({ condition, descending }): MergeKey => {
      const [a, b] = [condition.left, condition.right];
      const [both, own] = [sharedComparator(a.type, b.type), sharedComparator(b.type, b.type)];
      return {
        left: compiler.evaluator(a, left.layout),
        right: compiler.evaluator(b, right.layout),
        compare: descending ? (x, y) => both(y, x) : both,
        compareRight: own,
      };
    });
    const text = () => ({
      head: `Merge ${joinWord(type)}`,
      details: [
        ...filterText(conjunction(common.pairs.map(({ condition }) => condition)), 'Merge Cond'),
        ...filterText(conjunction(rest), 'Join Filter'),
      ],
    });
    const { nullsLast } = common;
    const operator = new MergeJoinOperator(
      [left.operator, right.operator],
      shape,
      { columns, nullsLast },
      text,
    );
    const rows = Math.max(left.rows, right.rows);
    return {
      operator,
      layout,
      width,
      rows,
      order: orderOfMerged(type, left, right, common, conditions),
    };
  }

  /** Whether the scan of the probing side leaves out rows by a filter of the other side's keys. */
  private probe(
    type: PhysicalJoinType,
    { operator }: Part,
    sides: readonly { readonly probe: Expression; readonly build: Expression }[],
  ): boolean {
    const question = this.planner.scans.get(operator);
    if (question === undefined || !(operator instanceof ScanOperator)) return false;
    if (this.planner.locks !== undefined) return false;
    if (type !== 'inner' && type !== 'semi' && type !== 'right') return false;
    const pushed = pushScan(
      question,
      sides.map(({ probe, build }) => ({
        key: shifted(probe, -question.offset),
        against: build.type,
      })),
    );
    if (pushed === undefined) return false;
    operator.probed = {
      program: pushed.program,
      rest: this.planner.compiler.maybe(pushed.rest),
    };
    return true;
  }

  /** Which columns of both sides the joined row takes, and where they then are. */
  private shape(
    type: PhysicalJoinType,
    left: Part,
    right: Pick<Part, 'layout'>,
    conditions: readonly Expression[],
    needed: readonly boolean[],
  ): { readonly shape: JoinShape; readonly layout: number[]; readonly width: number } {
    const wanted = neededColumns(needed, conditions);
    const layout = new Array<number>(this.total).fill(-1);
    let width = 0;
    const take = (from: readonly number[]): number[] => {
      const columns: number[] = [];
      for (let i = 0; i < this.total; i++) {
        const place = from[i] ?? -1;
        if (place < 0 || wanted[i] !== true) continue;
        layout[i] = width++;
        columns.push(place);
      }
      return columns;
    };
    const shape = { type, left: take(left.layout), right: take(right.layout) };
    const condition = conjunction(conditions);
    const evaluator =
      condition === undefined ? undefined : this.planner.compiler.evaluator(condition, layout);
    return { shape: { ...shape, condition: evaluator }, layout, width };
  }

  /** Rows of a table by keys that the left side has, where that is less than reading the table. */
  lookup(left: Part, leaf: Leaf, request: JoinRequest): Part | undefined {
    const { type, own, conditions, needed } = request;
    const { tree } = leaf;
    if (type === 'full') return undefined;
    if (tree.kind !== 'item' || tree.source.kind !== 'table') return undefined;
    const { source, offset, alias } = tree;
    const local = localConditions(leaf, own);
    const found = lookupKey(leaf, [...conditions, ...own], conditions, local, this.planner.sources);
    if (found === undefined) return undefined;
    const { index, values, used, single, matches } = found;
    const whole = this.estimates.tablePath(source, local);
    const size = { type, left: left.rows, right: whole.rows };
    const isLess = lookupCost(found, left.rows) <= whole.cost + hashJoinCost(size);
    if (!isLess && request.step?.method !== 'lookup') return undefined;
    const { compiler } = this.planner;
    const rest = conditions.filter((one) => !used.has(one));
    const plain = conjunction(local.filter((_one, i) => !used.has(own[i] as Expression)));
    const filter = plain && compiler.planned(plain);
    const right = { layout: placed(this.total, offset, source.types.length, (i) => i) };
    const { shape, layout, width } = this.shape(type, left, right, rest, needed);
    const read = neededColumns(needed, rest);
    const columns = source.types.map((_type, i) => read[offset + i] === true);
    if (filter !== undefined) markColumns(filter, columns);
    const path = { access: fullScan, index };
    const scan = compileScan(compiler, source, path, { needed: columns, reverse: false });
    const operator = new LookupJoinOperator(
      left.operator,
      shape,
      {
        scan,
        keys: values.map((one) => compiler.evaluator(one, left.layout)),
        single,
        filter: compiler.maybe(filter),
      },
      () => ({
        head: `${index === undefined ? 'Key' : 'Index'} Lookup ${joinWord(type)}${index === undefined ? '' : ` using ${index.store.index.name}`} on ${tableText(source.table.name, alias)}`,
        details: [
          ...filterText(conjunction([...used]), index === undefined ? 'Key Cond' : 'Index Cond'),
          ...filterText(filter),
          ...filterText(conjunction(rest), 'Join Filter'),
        ],
      }),
    );
    const order = orderAfter(type, left.order, [...conditions, ...own]);
    return { operator, layout, width, rows: Math.max(1, left.rows * matches), order };
  }

  lateral(left: Part, item: Item, request: JoinRequest): Part {
    const { type, own, conditions, needed } = request;
    const values = item.arguments;
    const withArguments = values.length > 0;
    if (type === 'full') throw new SqlError('0A000', 'LATERAL in a FULL JOIN is not supported yet');
    // Inside a lateral item arguments mean its own; predicates from outside stay outside.
    const inside = withArguments ? [] : own;
    const outside = withArguments ? [...own, ...conditions] : conditions;
    const below = neededColumns(needed, outside);
    const right = this.items.item({ ...item, arguments: [] }, inside, below);
    const { shape, layout, width } = this.shape(type, left, right, outside, needed);
    const { compiler } = this.planner;
    const operator = new LateralOperator(
      [left.operator, right.operator],
      shape,
      values.map((one) => compiler.evaluator(one, left.layout)),
      () => ({
        head: `Nested Loop${type === 'left' ? ' Left Join' : ''}`,
        details: filterText(conjunction(outside), 'Join Filter'),
      }),
    );
    const order = orderAfter(type, left.order, outside);
    return { operator, layout, width, rows: left.rows * Math.min(right.rows, 100), order };
  }
}

/** The left side's order, where its rows go on one after the other. */
function orderAfter(
  type: PhysicalJoinType,
  order: RowOrder | undefined,
  conditions: readonly Expression[],
): RowOrder | undefined {
  if (type === 'full' || type === 'right') return undefined;
  return type === 'inner' ? withConditions(order, conditions) : order;
}

function orderOfMerged(
  type: PhysicalJoinType,
  left: Part,
  right: Part,
  common: CommonOrder,
  conditions: readonly Expression[],
): RowOrder | undefined {
  const order = orderAfter(type, left.order, conditions);
  if (order === undefined || type !== 'inner') return order;
  // Rows that are equal in what is merged have one partner, if that is a key of it.
  const isKey = right.order?.keys.filter((key) => key.columns <= common.right) ?? [];
  const keys = isKey.map(({ span }) => ({ columns: common.left, span }));
  return { ...order, keys: [...order.keys, ...keys] };
}

function conditionKey({ left, right }: ComparisonExpression): string {
  return `${expressionKey(left)}=${expressionKey(right)}`;
}

function joinWord(type: PhysicalJoinType): string {
  switch (type) {
    case 'inner':
      return 'Join';
    case 'left':
      return 'Left Join';
    case 'right':
      return 'Right Join';
    case 'full':
      return 'Full Join';
    case 'semi':
      return 'Semi Join';
    case 'anti':
      return 'Anti Join';
  }
}

/** `left = right` with one side over either part: sides in the order of the parts. */
function equality(
  one: Expression,
  left: readonly number[],
  right: readonly number[],
): ComparisonExpression | undefined {
  if (one.kind !== 'comparison' || one.operator !== '=') return undefined;
  const over = (side: Expression, layout: readonly number[]) => {
    const columns = columnsOf(side);
    return columns.length > 0 && columns.every((column) => (layout[column] ?? -1) >= 0);
  };
  if (sharedHashKey([one.left.type], [one.right.type]) === undefined) return undefined;
  if (over(one.left, left) && over(one.right, right)) return one;
  if (over(one.left, right) && over(one.right, left))
    return { ...one, left: one.right, right: one.left };
  return undefined;
}

/** What is read above, and by what has not been applied yet. */
export function neededColumns(
  required: readonly boolean[],
  pending: Iterable<Expression>,
  left: Iterable<Leaf> = [],
): boolean[] {
  const needed = [...required];
  for (const one of pending) markColumns(one, needed);
  for (const leaf of left) for (const column of leaf.needs) needed[column] = true;
  return needed;
}
