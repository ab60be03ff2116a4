/** What the parts of the expression binder know of the whole: which clause they work for, and how to bind what is inside. */
import type { Node } from 'libpg-query';
import type { BindContext } from './context.ts';
import type { Expression } from './expression.ts';
import type { Scope } from './scope.ts';
import type { WindowClause } from './window-clause.ts';

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
  | 'CHECK'
  | 'GENERATED'
  | 'INDEX'
  | 'INDEX WHERE'
  | 'USING'
  | 'FROM'
  | 'JOIN'
  | 'WINDOW'
  | 'DISTINCT ON'
  | 'FILTER'
  | 'MERGE WHEN'
  | 'ON CONFLICT';

const clauseWords: Partial<Readonly<Record<Clause, string>>> = {
  DEFAULT: 'DEFAULT expressions',
  CHECK: 'check constraints',
  GENERATED: 'column generation expressions',
  INDEX: 'index expressions',
  'INDEX WHERE': 'index predicates',
  USING: 'transform expressions',
  FROM: 'functions in FROM',
  JOIN: 'JOIN conditions',
  WINDOW: 'window definitions',
  'MERGE WHEN': 'MERGE WHEN conditions',
  'ON CONFLICT': 'ON CONFLICT',
};

/** A clause as messages name it. */
export function clauseWord(clause: Clause): string {
  return clauseWords[clause] ?? clause;
}

export interface Binder {
  readonly context: BindContext;
  readonly clause: Clause;
  readonly scope: Scope;
  readonly allowsAggregates: boolean;
  readonly allowsWindows: boolean;
  /** Set while the argument of an aggregate is bound. */
  insideAggregate: boolean;
  /** Set while the argument of a window function is bound. */
  insideWindow: boolean;
  /** The windows of the query level. */
  windows: WindowClause | undefined;
  /** The same place, another clause of it. */
  as(clause: Clause): Binder;
  bindBoolean(node: Node | undefined, construct: string): Expression;
  /** A value of a domain as one of what it is over: nothing computes with domains. */
  bind(node: Node | undefined): Expression;
  /** Of the type that it has, be it a domain: for what is given out or stored as it is. */
  bindAsIs(node: Node | undefined): Expression;
}
