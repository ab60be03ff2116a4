/** Expressions on their way into a plan: over the physical row, with the plans of the queries inside them. */
import type { Expression } from '../bind/expression.ts';
import { isRowIndependent, mapChildren, some } from '../bind/expression-tree.ts';
import type { Relation } from '../bind/relation.ts';
import type { IndexDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { type Evaluator, evaluatorOf } from '../execute/evaluate.ts';
import type { Operator } from '../execute/operator.ts';
import { Subplan } from '../execute/subplan.ts';

/** Where each logical column lies in the physical row; -1: nowhere. Undefined: each in its own place. */
export type Layout = readonly number[] | undefined;

/** A secondary index that a plan reads. */
export interface IndexUse {
  readonly table: TableDescriptor;
  readonly index: IndexDescriptor;
}

export class Compiler {
  readonly subplans: Subplan[] = [];
  readonly indexes: IndexUse[] = [];
  private readonly plan: (query: Relation) => Operator;
  private readonly byQuery = new Map<Relation, Subplan>();

  constructor(plan: (query: Relation) => Operator) {
    this.plan = plan;
  }

  evaluator(expression: Expression, layout?: Layout): Evaluator {
    return evaluatorOf(placed(this.planned(expression), layout));
  }

  /** Something that was planned reads this index. */
  noteIndex(table: TableDescriptor, index: IndexDescriptor): void {
    this.indexes.push({ table, index });
  }

  maybe(expression: Expression | undefined, layout?: Layout): Evaluator | undefined {
    return expression === undefined ? undefined : this.evaluator(expression, layout);
  }

  /** With a plan for each query in it. */
  planned(expression: Expression): Expression {
    if (!some(expression, (node) => node.kind === 'subquery' && node.subplan === undefined))
      return expression;
    const mapped = mapChildren(expression, (child) => this.planned(child));
    if (mapped.kind !== 'subquery') return mapped;
    const { query, form } = mapped;
    let subplan = this.byQuery.get(query);
    if (subplan === undefined) {
      const number = this.subplans.length + 1;
      const operator = this.plan(query);
      const correlated = mapped.arguments.some((one) => !isRowIndependent(one));
      subplan = new Subplan({
        name: `${correlated ? 'SubPlan' : 'InitPlan'} ${number}`,
        operator,
        form,
        argumentTypes: mapped.arguments.map((one) => one.type),
      });
      this.byQuery.set(query, subplan);
      this.subplans.push(subplan);
    }
    return { ...mapped, subplan };
  }
}

function placed(expression: Expression, layout: Layout): Expression {
  if (layout === undefined) return expression;
  if (expression.kind === 'column') {
    const index = layout[expression.index];
    if (index === undefined || index < 0)
      throw new RangeError(`column ${expression.relation}.${expression.name} is in the row`);
    return { ...expression, index };
  }
  return mapChildren(expression, (child) => placed(child, layout));
}

export function hasSubquery(expression: Expression): boolean {
  return some(expression, (node) => node.kind === 'subquery');
}
