/**
 * GROUP BY and aggregates: expressions over the source's row are rewritten over the group's row, which holds the group's
 * keys, its aggregates and, where there are several grouping sets, the number of its set. Columns that are neither are
 * refused, but for those that a primary key among the keys determines.
 */
import { int4Type } from '../types/type.ts';
import type { GroupClause } from './bind-group.ts';
import type { BindContext } from './context.ts';
import {
  type AggregateExpression,
  type ColumnExpression,
  column,
  constant,
  type Expression,
  type GroupingExpression,
} from './expression.ts';
import { expressionKey } from './expression-key.ts';
import { mapChildren } from './expression-tree.ts';
import type { FromTree, Relation } from './relation.ts';

/** Aggregates follow the keys, whose number is known only at the end: till then they count from here. */
const aggregateOffset = 1_000_000;
/** Stands for the column that holds the number of the grouping set. */
const setOffset = 2_000_000;

export class Grouping {
  private readonly keys: Expression[] = [];
  private readonly aggregates: AggregateExpression[] = [];
  private readonly context: BindContext;
  private readonly sets: GroupClause['sets'];
  private readonly keyIndex = new Map<string, number>();
  private readonly aggregateIndex = new Map<string, number>();
  /** Spans of columns that the keys determine. */
  private readonly determined: (readonly [from: number, end: number])[] = [];

  constructor(context: BindContext, group: GroupClause, tree: FromTree | undefined) {
    this.context = context;
    this.sets = group.sets;
    for (const key of group.keys) this.addKey(key);
    if (tree !== undefined && group.sets === undefined) this.determine(tree);
  }

  /** Rewrites an expression over the group's row. Throws 42803. Follow with `settle` once all are lifted. */
  lift(expression: Expression, insideSubquery = false): Expression {
    if (expression.kind === 'aggregate') return this.liftAggregate(expression);
    if (expression.kind === 'grouping') return this.liftGrouping(expression);
    const index = this.keyIndex.get(expressionKey(expression));
    if (index !== undefined) return reference(expression, index);
    if (expression.kind === 'subquery')
      return {
        ...expression,
        arguments: expression.arguments.map((one) => this.lift(one, true)),
        operands: expression.operands.map((one) => this.lift(one, insideSubquery)),
      };
    if (expression.kind !== 'column')
      return mapChildren(expression, (child) => this.lift(child, insideSubquery));
    const { index: place } = expression;
    if (this.determined.some(([from, end]) => place >= from && place < end))
      return reference(expression, this.addKey(expression));
    const name = `${expression.relation}.${expression.name}`;
    throw this.context.error(
      '42803',
      insideSubquery
        ? `subquery uses ungrouped column "${name}" from outer query`
        : `column "${name}" must appear in the GROUP BY clause or be used in an aggregate function`,
      expression.location,
    );
  }

  /** Puts aggregates behind the keys. */
  settle(expression: Expression): Expression {
    if (expression.kind === 'column' && expression.index >= aggregateOffset) {
      const behind = this.keys.length;
      const index =
        expression.index >= setOffset
          ? behind + this.aggregates.length
          : expression.index - aggregateOffset + behind;
      return { ...expression, index };
    }
    return mapChildren(expression, (child) => this.settle(child));
  }

  /** The operator, once all expressions are lifted. */
  relation(input: Relation): Relation {
    const { keys, aggregates, sets } = this;
    const types = [...keys, ...aggregates].map((one) => one.type);
    if (sets !== undefined) types.push(int4Type);
    return { kind: 'aggregate', input, keys, aggregates, sets, types };
  }

  private determine(tree: FromTree): void {
    if (tree.kind === 'join') {
      this.determine(tree.left);
      this.determine(tree.right);
      return;
    }
    const { source, offset } = tree;
    if (source.kind !== 'table') return;
    const primary = source.table.primaryKey?.columns;
    const isKey = (index: number) =>
      this.keys.some((key) => key.kind === 'column' && key.index === offset + index);
    if (primary?.every(isKey) === true)
      this.determined.push([offset, offset + source.types.length]);
  }

  private addKey(key: Expression): number {
    const text = expressionKey(key);
    const known = this.keyIndex.get(text);
    if (known !== undefined) return known;
    this.keyIndex.set(text, this.keys.length);
    return this.keys.push(key) - 1;
  }

  private liftAggregate(aggregate: AggregateExpression): Expression {
    const text = expressionKey(aggregate);
    let index = this.aggregateIndex.get(text);
    if (index === undefined) {
      index = this.aggregates.push(aggregate) - 1;
      this.aggregateIndex.set(text, index);
    }
    return reference(aggregate, aggregateOffset + index);
  }

  private liftGrouping(grouping: GroupingExpression): Expression {
    const places = grouping.arguments.map((argument) => {
      const place = this.keyIndex.get(expressionKey(argument));
      if (place !== undefined) return place;
      throw this.context.error(
        '42803',
        'arguments to GROUPING must be grouping expressions of the associated query level',
        argument.location,
      );
    });
    if (this.sets === undefined) return constant(int4Type, 0, grouping.location);
    const masks = this.sets.map((set) =>
      places.reduce((mask, place) => mask * 2 + (set.includes(place) ? 0 : 1), 0),
    );
    return { ...grouping, arguments: [column(int4Type, setOffset)], masks };
  }
}

/** A column that was grouped by keeps its name and table for the client. */
function reference(expression: Expression, index: number): ColumnExpression {
  if (expression.kind === 'column') return { ...expression, index };
  const { type, modifier, location } = expression;
  return column(type, index, { modifier, location, standsFor: expression });
}
