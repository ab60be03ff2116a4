/** What the parts of the expression binder know of the whole: which clause they work for, and how to bind what is inside. */
import type { Node } from 'libpg-query';
import type { BindContext } from './context.ts';
import type { Expression } from './expression.ts';

/** The clause an expression stands in, in PostgreSQL's words. */
export type Clause =
  | 'SELECT'
  | 'WHERE'
  | 'HAVING'
  | 'GROUP BY'
  | 'ORDER BY'
  | 'LIMIT'
  | 'OFFSET'
  | 'VALUES'
  | 'UPDATE'
  | 'RETURNING'
  | 'DEFAULT'
  | 'FROM';

export interface Binder {
  readonly context: BindContext;
  readonly clause: Clause;
  readonly allowsAggregates: boolean;
  /** Set while the argument of an aggregate is bound. */
  insideAggregate: boolean;
  bind(node: Node | undefined): Expression;
}
