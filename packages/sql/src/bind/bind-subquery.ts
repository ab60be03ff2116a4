/** Queries in expressions: scalar, EXISTS, IN, ANY, ALL; and comparisons of rows, with which they often come. */
import type { Node, SelectStmt, SubLink } from 'libpg-query';
import { baseType } from '../types/domain.ts';
import { arrayTypeOf, boolType } from '../types/type.ts';
import { listItems, nameParts } from './ast.ts';
import type { ExpressionBinder } from './bind-expression.ts';
import { bindOperator } from './bind-operator.ts';
import { type BoundQuery, bindClosedQuery } from './bind-query.ts';
import type { BindContext } from './context.ts';
import { column, type Expression, type SubqueryExpression } from './expression.ts';
import { innerLevel, type Level } from './level.ts';
import { bindList } from './star.ts';

interface InnerQuery extends BoundQuery {
  readonly arguments: readonly Expression[];
  readonly written: string;
}

function bindInner(binder: ExpressionBinder, node: Node | undefined): InnerQuery {
  const { context } = binder;
  if (node === undefined || !('SelectStmt' in node)) throw context.unsupported('subquery');
  const level: Level = innerLevel(binder.scope);
  const bound = bindClosedQuery(context, node.SelectStmt, level);
  context.subqueryNames.set(node, bound.columns[0]?.name ?? '?column?');
  return { ...bound, arguments: level.frame.arguments, written: writtenAs(node.SelectStmt) };
}

/** The query without the places of its parts. */
function writtenAs(statement: SelectStmt): string {
  return JSON.stringify(statement, (key, value: unknown) =>
    key === 'location' || key.startsWith('rexpr_list_') ? undefined : value,
  );
}

function expressionOf(
  query: InnerQuery,
  form: SubqueryExpression['form'],
  location: number | undefined,
): SubqueryExpression {
  return {
    kind: 'subquery',
    form,
    type: boolType,
    modifier: -1,
    location,
    query: query.relation,
    arguments: query.arguments,
    operands: [],
    test: undefined,
    written: query.written,
    column: 0,
  };
}

/** Throws 42601 for too many columns, and what binding the query throws. */
export function bindSubLink(binder: ExpressionBinder, link: SubLink): Expression {
  const { context } = binder;
  const { subLinkType = 'EXISTS_SUBLINK', location, subselect } = link;
  switch (subLinkType) {
    case 'EXISTS_SUBLINK':
      return expressionOf(bindInner(binder, subselect), 'exists', location);
    case 'EXPR_SUBLINK': {
      const query = bindInner(binder, subselect);
      if (query.columns.length !== 1)
        throw context.error('42601', 'subquery must return only one column', location);
      return scalar(query, 0, location);
    }
    case 'ANY_SUBLINK':
    case 'ALL_SUBLINK':
      return bindQuantified(binder, link);
    case 'ARRAY_SUBLINK':
      return bindArrayQuery(bindInner(binder, subselect), context, location);
    default:
      throw context.unsupported('subquery', location);
  }
}

/** ARRAY(SELECT …): the column's values as an array, or arrays as one with a dimension more. */
function bindArrayQuery(
  query: InnerQuery,
  context: BindContext,
  location: number | undefined,
): Expression {
  const [output, second] = query.columns;
  if (output === undefined || second !== undefined)
    throw context.error('42601', 'subquery must return only one column', location);
  const own = baseType(output.type);
  const type = arrayTypeOf(output.type) ?? (own.element === undefined ? arrayTypeOf(own) : own);
  if (type === undefined)
    throw context.error(
      '42704',
      `could not find array type for data type ${output.type.display}`,
      location,
    );
  return { ...expressionOf(query, 'array', location), type };
}

function scalar(query: InnerQuery, index: number, location: number | undefined): Expression {
  const output = query.columns[index];
  const expression = expressionOf(query, 'scalar', location);
  if (output === undefined) return expression;
  return { ...expression, type: output.type, modifier: output.modifier, column: index };
}

/** Every column of a query that has one row, as values: for rows that are compared or assigned. */
export function bindRowSubquery(binder: ExpressionBinder, link: SubLink): readonly Expression[] {
  const query = bindInner(binder, link.subselect);
  return query.columns.map((_column, i) => scalar(query, i, link.location));
}

/** IN, = ANY, <> ALL, … over a query. */
function bindQuantified(binder: ExpressionBinder, link: SubLink): Expression {
  const { context } = binder;
  const { location, testexpr, operName } = link;
  const form = link.subLinkType === 'ALL_SUBLINK' ? 'all' : 'any';
  const left = leftItems(binder, testexpr);
  const query = bindInner(binder, link.subselect);
  const { columns } = query;
  if (columns.length > left.length)
    throw context.error('42601', 'subquery has too many columns', location);
  if (columns.length < left.length)
    throw context.error('42601', 'subquery has too few columns', location);
  const operator = operName === undefined ? '=' : (nameParts(operName).pop() ?? '=');
  const right = columns.map((one, i) =>
    column(one.type, left.length + i, { modifier: one.modifier, name: one.name }),
  );
  const operands: Expression[] = [];
  const compare = (name: string, i: number): Expression => {
    const [a, b] = [left[i], right[i]];
    if (a === undefined || b === undefined) throw new RangeError('rows are of one length');
    const bound = bindOperator(context, name, [a, b], location, false);
    if (bound.type !== boolType)
      throw context.error(
        '42804',
        left.length > 1
          ? `row comparison operator must yield type boolean, not type ${bound.type.display}`
          : `operator ${name} must return boolean, not type ${bound.type.display}`,
        location,
      );
    return overOperands(bound, i, operands);
  };
  const test = compareRows(context, operator, left.length, compare, location);
  return { ...expressionOf(query, form, location), operands, test };
}

/** The operator with its left side computed beforehand: operand `i` of the test's row. */
function overOperands(bound: Expression, i: number, operands: Expression[]): Expression {
  if (bound.kind === 'comparison') {
    operands[i] = bound.left;
    return { ...bound, left: operandColumn(bound.left, i) };
  }
  if (bound.kind !== 'call') return bound;
  const [first, ...rest] = bound.arguments;
  if (first === undefined) return bound;
  operands[i] = first;
  return { ...bound, arguments: [operandColumn(first, i), ...rest] };
}

function operandColumn(operand: Expression, i: number): Expression {
  return column(operand.type, i, { modifier: operand.modifier, standsFor: operand });
}

function leftItems(binder: ExpressionBinder, node: Node | undefined): readonly Expression[] {
  if (node !== undefined && 'RowExpr' in node) return bindList(binder, node.RowExpr.args ?? []);
  return listItems(node).map((one) => binder.bind(one));
}

const rowOperators: ReadonlySet<string> = new Set(['=', '<>', '<', '<=', '>', '>=']);

/**
 * A comparison of rows by comparisons of their items: = and <> item by item, the others by the first items that differ.
 * @param compare binds one comparison of the items at an index
 */
export function compareRows(
  context: BindContext,
  operator: string,
  length: number,
  compare: (operator: string, index: number) => Expression,
  location: number | undefined,
): Expression {
  if (length === 1) return compare(operator, 0);
  if (!rowOperators.has(operator))
    throw context.error(
      '0A000',
      `could not determine interpretation of row comparison operator ${operator}`,
      location,
      { hint: 'Row comparison operators must be associated with btree operator families.' },
    );
  const every = (name: string, end: number) =>
    Array.from({ length: end }, (_item, i) => compare(name, i));
  const join = (kind: 'and' | 'or', all: readonly Expression[]): Expression => {
    const [only] = all;
    if (only !== undefined && all.length === 1) return only;
    return { kind, type: boolType, modifier: -1, location, arguments: all };
  };
  if (operator === '=') return join('and', every('=', length));
  if (operator === '<>') return join('or', every('<>', length));
  const strict = operator.slice(0, 1);
  const alternatives = Array.from({ length }, (_item, i) => {
    const last = compare(i === length - 1 ? operator : strict, i);
    return join('and', [...every('=', i), last]);
  });
  return join('or', alternatives);
}

/** `(a, b) = (1, 2)`, `(a, b) < (select …)`; undefined where neither side is a row. Throws 42601. */
export function bindRowComparison(
  binder: ExpressionBinder,
  operator: string,
  sides: { readonly left: Node | undefined; readonly right: Node | undefined },
  location: number | undefined,
): Expression | undefined {
  const { left, right } = sides;
  if (left === undefined || right === undefined || !('RowExpr' in left)) return undefined;
  let items: readonly Expression[];
  const { context } = binder;
  const bound = bindList(binder, left.RowExpr.args ?? []);
  if ('RowExpr' in right) items = bindList(binder, right.RowExpr.args ?? []);
  else if ('SubLink' in right && right.SubLink.subLinkType === 'EXPR_SUBLINK') {
    items = bindRowSubquery(binder, right.SubLink);
    const { location: at } = right.SubLink;
    if (items.length > bound.length)
      throw context.error('42601', 'subquery has too many columns', at);
    if (items.length < bound.length)
      throw context.error('42601', 'subquery has too few columns', at);
  } else return undefined;
  if (items.length !== bound.length)
    throw context.error('42601', 'unequal number of entries in row expressions', location);
  if (bound.length === 0)
    throw context.error('0A000', 'cannot compare rows of zero length', location);
  return compareRows(
    context,
    operator,
    bound.length,
    (name, i) => bindOperator(context, name, pair(bound[i], items[i]), location, false),
    location,
  );
}

function pair(a: Expression | undefined, b: Expression | undefined): readonly Expression[] {
  return a === undefined || b === undefined ? [] : [a, b];
}
