/**
 * GROUP BY and aggregates: expressions over the source's row are rewritten over the group's row, which holds the group's
 * keys and then its aggregates. Columns that are neither are refused, but for those that the primary key determines.
 */
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { BindContext } from './context.ts';
import {
  type AggregateExpression,
  type ColumnExpression,
  type Expression,
  expressionKey,
  mapChildren,
} from './expression.ts';

/** Aggregates follow the keys, whose number is known only at the end: till then they count from here. */
const aggregateOffset = 1_000_000;

export class Grouping {
  readonly keys: Expression[];
  readonly aggregates: AggregateExpression[] = [];
  private readonly context: BindContext;
  private readonly keyIndex = new Map<string, number>();
  private readonly aggregateIndex = new Map<string, number>();
  private readonly keyDetermines: boolean;

  constructor(
    context: BindContext,
    keys: readonly Expression[],
    table: TableDescriptor | undefined,
  ) {
    this.context = context;
    this.keys = [];
    for (const key of keys) this.addKey(key);
    const primary = table?.primaryKey?.columns;
    this.keyDetermines =
      primary?.every((index) =>
        this.keys.some((key) => key.kind === 'column' && key.index === index),
      ) ?? false;
  }

  /** Rewrites an expression over the group's row. Throws 42803. Follow with `settle` once all are lifted. */
  lift(expression: Expression): Expression {
    if (expression.kind === 'aggregate') return this.liftAggregate(expression);
    const index = this.keyIndex.get(expressionKey(expression));
    if (index !== undefined) return reference(expression, index);
    if (expression.kind !== 'column') return mapChildren(expression, (child) => this.lift(child));
    if (this.keyDetermines) return reference(expression, this.addKey(expression));
    throw this.context.error(
      '42803',
      `column "${expression.relation}.${expression.name}" must appear in the GROUP BY clause or be used in an aggregate function`,
      expression.location,
    );
  }

  /** Puts aggregates behind the keys. */
  settle(expression: Expression): Expression {
    if (expression.kind === 'column' && expression.index >= aggregateOffset)
      return { ...expression, index: expression.index - aggregateOffset + this.keys.length };
    return mapChildren(expression, (child) => this.settle(child));
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
}

/** A column that was grouped by keeps its name and table for the client. */
function reference(expression: Expression, index: number): ColumnExpression {
  if (expression.kind === 'column') return { ...expression, index };
  return {
    kind: 'column',
    type: expression.type,
    modifier: expression.modifier,
    location: expression.location,
    index,
    name: '?column?',
    relation: '',
    tableOid: 0,
    attributeNumber: 0,
  };
}
