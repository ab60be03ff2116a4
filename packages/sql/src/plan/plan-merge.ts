/** Merge joins of parts: whether the sides come in one order, or are to, and what then comes out. */
import { conjunction } from '../bind/conjuncts.ts';
import type { ComparisonExpression, Expression } from '../bind/expression.ts';
import { expressionKey } from '../bind/expression-key.ts';
import type { PhysicalJoinType } from '../execute/join.ts';
import { MergeJoinOperator, type MergeKey } from '../execute/merge-join.ts';
import { SortOperator } from '../execute/relational.ts';
import { columnOf } from './access-path.ts';
import { pairsOf } from './equalities.ts';
import { filterText, print, sortKeyText } from './explain.ts';
import type { Ordering, Part } from './from-part.ts';
import type { Leaf } from './from-tree.ts';
import { hashJoinCost, mergeJoinCost } from './join-cost.ts';
import {
  equality,
  type JoinRequest,
  joinShape,
  joinWord,
  neededColumns,
  orderAfter,
} from './join-shape.ts';
import type { LeafEstimates } from './leaf-estimates.ts';
import { type CommonOrder, commonOrder, orderForRight, sharedComparator } from './merge-keys.ts';
import type { SortColumn } from './plan.ts';
import type { RelationPlanner } from './plan-relation.ts';
import type { RowOrder } from './row-order.ts';

export class MergePlanner {
  private readonly planner: RelationPlanner;
  private readonly estimates: LeafEstimates;

  constructor(planner: RelationPlanner, estimates: LeafEstimates) {
    this.planner = planner;
    this.estimates = estimates;
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
  merge(left: Part, right: Part, request: JoinRequest): Part | undefined {
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
    const { shape, layout, width } = joinShape(compiler, {
      type,
      left,
      right,
      conditions: rest,
      needed,
    });
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
