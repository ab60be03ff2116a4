/**
 * Set-returning functions in a target list. A call is an expression until the clauses are bound; then all calls of one depth
 * become columns of an operator below the projection, which gives their rows side by side, padded with NULLs.
 */
import type { FuncCall } from 'libpg-query';
import { recordType, type SqlType } from '../types/type.ts';
import { bindSetCall } from './bind-table-function.ts';
import { type Binder, type Clause, clauseWord } from './binder.ts';
import type { BindContext } from './context.ts';
import { column, type Expression, type SetExpression } from './expression.ts';
import { expressionKey } from './expression-key.ts';
import { mapChildren, some } from './expression-tree.ts';
import type { ProjectSet, Relation } from './relation.ts';
import { recordCall } from './whole-row.ts';

const clauses: ReadonlySet<Clause> = new Set(['SELECT', 'ORDER BY', 'GROUP BY', 'DISTINCT ON']);

const lateralHint = {
  hint: 'You might be able to move the set-returning function into a LATERAL FROM item.',
};

/** @param name of a set-returning function. Throws 0A000 where none may stand, and as any call does. */
export function bindSetFunction(binder: Binder, call: FuncCall, name: string): SetExpression {
  const { context } = binder;
  const { location } = call;
  const { signature, arguments: values, columns } = bindSetCall(context, binder, call, name);
  if (binder.insideAggregate || binder.insideWindow)
    throw context.error(
      '0A000',
      `${binder.insideAggregate ? 'aggregate' : 'window'} function calls cannot contain set-returning function calls`,
      location,
      lateralHint,
    );
  if (!clauses.has(binder.clause))
    throw context.error(
      '0A000',
      binder.clause === 'FROM'
        ? 'set-returning functions must appear at top level of FROM'
        : `set-returning functions are not allowed in ${clauseWord(binder.clause)}`,
      location,
    );
  const [only, second] = columns;
  const types = columns.map((one) => one.type);
  const names = columns.map((one) => one.name ?? name);
  const scalar = only !== undefined && second === undefined ? only.type : undefined;
  return {
    kind: 'set',
    type: scalar ?? recordType,
    modifier: scalar === undefined ? context.recordModifier({ names, types }) : -1,
    location,
    signature,
    arguments: values,
    names,
    columnTypes: types,
    field: second === undefined ? 0 : undefined,
  };
}

/** One column of a call that gives several. Undefined: it has none of that name. */
export function fieldOf(set: SetExpression, name: string): SetExpression | undefined {
  const field = set.names.indexOf(name);
  const type = set.columnTypes[field];
  if (set.type !== recordType || type === undefined) return undefined;
  return { ...set, type, modifier: -1, field };
}

export function isSet(node: Expression): node is SetExpression {
  return node.kind === 'set';
}

export function hasSet(expression: Expression): boolean {
  return some(expression, isSet);
}

/** CASE and COALESCE do not evaluate all that stands in them. Throws 0A000. */
export function refuseSets(
  context: BindContext,
  expressions: readonly Expression[],
  construct: 'CASE' | 'COALESCE',
): void {
  for (const expression of expressions)
    some(expression, (node) => {
      if (!isSet(node)) return false;
      throw context.error(
        '0A000',
        `set-returning functions are not allowed in ${construct}`,
        node.location,
        lateralHint,
      );
    });
}

interface Lifted {
  readonly relation: Relation;
  /** The expression over the relation's row. */
  readonly replace: (expression: Expression) => Expression;
}

/** Computes the calls in these expressions above a relation. The relation's own columns stay in their places. */
export function liftSets(input: Relation, expressions: readonly Expression[]): Lifted {
  let relation = input;
  let rest = expressions.filter(hasSet);
  const replacements: ((expression: Expression) => Expression)[] = [];
  while (rest.length > 0) {
    const { operator, replace } = liftInnermost(relation, rest);
    relation = operator;
    replacements.push(replace);
    rest = rest.map(replace).filter(hasSet);
  }
  return {
    relation,
    replace: (expression) => replacements.reduce((one, replace) => replace(one), expression),
  };
}

function liftInnermost(
  input: Relation,
  expressions: readonly Expression[],
): { readonly operator: ProjectSet; readonly replace: (one: Expression) => Expression } {
  const sets: { readonly set: SetExpression; readonly offset: number }[] = [];
  const types: SqlType[] = [...input.types];
  const known = new Map<string, number>();
  const visit = (expression: Expression): void => {
    some(expression, (node) => {
      if (!isSet(node) || node.arguments.some(hasSet)) return false;
      const key = setKey(node);
      if (!known.has(key)) {
        known.set(key, types.length);
        sets.push({ set: node, offset: types.length });
        types.push(...node.columnTypes);
      }
      return false;
    });
  };
  for (const expression of expressions) visit(expression);
  const replace = (expression: Expression): Expression => {
    if (isSet(expression) && !expression.arguments.some(hasSet)) {
      const offset = known.get(setKey(expression));
      if (offset !== undefined) return resultOf(expression, offset);
    }
    return mapChildren(expression, replace);
  };
  const operator: ProjectSet = {
    kind: 'project-set',
    input,
    sets: sets.map(({ set }) => ({
      signature: set.signature,
      arguments: set.arguments,
      width: set.columnTypes.length,
    })),
    ordinality: false,
    types,
  };
  return { operator, replace };
}

/** The same for calls that give the same rows, whichever of their columns is asked for. */
function setKey(set: SetExpression): string {
  const { field: _, ...rest } = set;
  return expressionKey({ ...rest, type: recordType, modifier: -1, field: undefined });
}

function resultOf(set: SetExpression, offset: number): Expression {
  const { columnTypes, names, field, type, modifier, location } = set;
  const fieldAt = (at: number) =>
    column(columnTypes[at] ?? type, offset + at, { modifier: -1, location, standsFor: set });
  if (field !== undefined) return fieldAt(field);
  const fields = columnTypes.map((_type, at) => fieldAt(at));
  return recordCall(fields, names, { modifier, maybeMissing: true, location });
}
