/** Joins of two parts that are planned, or of a part and a table by a key: a key lookup, a hash join, a lateral or a nested loop. */
import { conjunction } from '../bind/conjuncts.ts';
import type { ComparisonExpression, Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import { sharedHashKey } from '../execute/hash-key.ts';
import {
  HashJoinOperator,
  LateralOperator,
  NestedLoopOperator,
  type PhysicalJoinType,
} from '../execute/join.ts';
import { LookupJoinOperator } from '../execute/lookup-join.ts';
import { ScanOperator } from '../execute/sources.ts';
import { SqlError } from '../sql-error.ts';
import { fullScan } from './access-path.ts';
import { filterText, tableText } from './explain.ts';
import { type Part, placed } from './from-part.ts';
import { type Item, type Leaf, localConditions, shifted } from './from-tree.ts';
import { hashJoinCost } from './join-cost.ts';
import {
  equality,
  type JoinRequest,
  joinShape,
  joinWord,
  neededColumns,
  orderAfter,
} from './join-shape.ts';
import type { LeafEstimates } from './leaf-estimates.ts';
import { lookupCost, lookupKey } from './lookup-key.ts';
import type { TableScan } from './plan.ts';
import type { ItemPlanner } from './plan-item.ts';
import type { RelationPlanner } from './plan-relation.ts';
import { compileScan } from './plan-table.ts';
import { pushFetch } from './push-join.ts';

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

  /** Two parts that are there, in whatever order. */
  join(left: Part, right: Part, request: JoinRequest): Part {
    const { type, conditions, needed } = request;
    const hashed: ComparisonExpression[] = [];
    const rest: Expression[] = [];
    for (const one of conditions) {
      const pair = equality(one, left.layout, right.layout);
      if (pair === undefined) rest.push(one);
      else hashed.push(pair);
    }
    const swap = type === 'inner' && left.rows < right.rows;
    const [probe, build] = swap ? [right, left] : [left, right];
    const { compiler } = this.planner;
    const { shape, layout, width } = joinShape(compiler, {
      type,
      left: probe,
      right: build,
      conditions: rest,
      needed,
    });
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

  /** Whether the scan of the probing side leaves out rows by a filter of the other side's keys. */
  private probe(
    type: PhysicalJoinType,
    { operator }: Part,
    sides: readonly { readonly probe: Expression; readonly build: Expression }[],
  ): boolean {
    const question = this.planner.scans.get(operator);
    if (question === undefined || !(operator instanceof ScanOperator)) return false;
    if (type !== 'inner' && type !== 'semi' && type !== 'right') return false;
    const pushed = this.items.pushed(
      question,
      sides.map(({ probe, build }) => ({
        key: shifted(probe, -question.offset),
        against: build.type,
      })),
    );
    if (pushed === undefined) return false;
    operator.probed = this.items.pushedSource(pushed);
    return true;
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
    const { shape, layout, width } = joinShape(compiler, {
      type,
      left,
      right,
      conditions: rest,
      needed,
    });
    const read = neededColumns(needed, rest);
    const columns = source.types.map((_type, i) => read[offset + i] === true);
    const above = [...columns];
    if (filter !== undefined) markColumns(filter, columns);
    const path = { access: fullScan, index };
    const scan = compileScan(compiler, source, path, { needed: columns, reverse: false });
    const rows = Math.max(1, left.rows * matches);
    const pushed =
      this.planner.locks === undefined && fetchesRows(scan, single)
        ? pushFetch({ scan, filter, above, rows })
        : undefined;
    const operator = new LookupJoinOperator(
      left.operator,
      shape,
      {
        scan,
        keys: values.map((one) => compiler.evaluator(one, left.layout)),
        single,
        filter: compiler.maybe(filter),
        pushed: pushed && { rows: pushed.rows, rest: compiler.maybe(pushed.rest) },
      },
      () => ({
        head: `${index === undefined ? 'Key' : 'Index'} Lookup ${joinWord(type)}${index === undefined ? '' : ` using ${index.store.index.name}`} on ${tableText(source.table.name, alias)}`,
        details: [
          ...filterText(conjunction([...used]), index === undefined ? 'Key Cond' : 'Index Cond'),
          ...filterText(filter),
          ...filterText(conjunction(rest), 'Join Filter'),
          ...(pushed === undefined ? [] : [`At Stores: ${pushed.words}`]),
        ],
      }),
    );
    const order = orderAfter(type, left.order, [...conditions, ...own]);
    return { operator, layout, width, rows, order };
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
    const { compiler } = this.planner;
    const { shape, layout, width } = joinShape(compiler, {
      type,
      left,
      right,
      conditions: outside,
      needed,
    });
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

/** Whether a lookup fetches rows by their whole keys. */
function fetchesRows({ index }: TableScan, single: boolean): boolean {
  return index === undefined ? single : !index.covering;
}
