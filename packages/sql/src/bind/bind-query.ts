/** Queries as wholes: WITH around them, set operations between them, ORDER BY and LIMIT over them. */
import type { Node, SelectStmt } from 'libpg-query';
import { describeKind, kindOf, listItems, locationOf, refuseOthers } from './ast.ts';
import { bindCount, ExpressionBinder } from './bind-expression.ts';
import { lockingClauses } from './bind-locking.ts';
import { SelectBinder } from './bind-select.ts';
import { bindWith, withCtes } from './bind-with.ts';
import type { Binder } from './binder.ts';
import { coerceToCommon, requireCommonType, resolveUnknown } from './coerce.ts';
import type { BindContext } from './context.ts';
import { column, type Expression } from './expression.ts';
import { some, startOf } from './expression-tree.ts';
import { bareScope, type Level } from './level.ts';
import type { Relation, SetOperation, SortKey } from './relation.ts';
import { type QueryColumn, Scope, scopeItem } from './scope.ts';
import { type ListItem, listWithStars } from './star.ts';

/** A bound query whose literals of open type still take the type that they meet. */
export interface OpenQuery {
  readonly columns: readonly QueryColumn[];
  /** What the columns are, for types, messages and places. */
  readonly outputs: readonly Expression[];
  /** Columns as `convert` makes them; each must have a type then. */
  finish(convert: (output: Expression, index: number) => Expression): Relation;
}

export interface BoundQuery {
  readonly relation: Relation;
  readonly columns: readonly QueryColumn[];
}

const names: Readonly<Record<string, string>> = {
  intoClause: 'SELECT INTO',
  groupAll: 'GROUP BY ALL',
};
const built = [
  'distinctClause',
  'targetList',
  'fromClause',
  'whereClause',
  'groupClause',
  'groupDistinct',
  'havingClause',
  'windowClause',
  'valuesLists',
  'sortClause',
  'limitOffset',
  'limitCount',
  'limitOption',
  'lockingClause',
  'withClause',
  'op',
  'all',
  'larg',
  'rarg',
];

export function bindOpenQuery(
  context: BindContext,
  statement: SelectStmt,
  outer: Level,
): OpenQuery {
  return context.nested(() => {
    refuseOthers(context, statement, built, names);
    lockingClauses(context, statement);
    const { withClause } = statement;
    if (withClause === undefined) return bindBody(context, statement, outer);
    const bound = bindWith(context, withClause, outer);
    const query = bindBody(context, statement, bound.level);
    return { ...query, finish: (convert) => withCtes(bound, query.finish(convert)) };
  });
}

/** Literals that nothing gave a type are text. */
export function bindClosedQuery(
  context: BindContext,
  statement: SelectStmt,
  level: Level,
): BoundQuery {
  return closeQuery(context, bindOpenQuery(context, statement, level));
}

export function closeQuery(context: BindContext, open: OpenQuery): BoundQuery {
  const relation = open.finish((output) => resolveUnknown(context, output));
  const columns = open.columns.map((one, i) => ({ ...one, type: relation.types[i] ?? one.type }));
  return { relation, columns };
}

function bindBody(context: BindContext, statement: SelectStmt, level: Level): OpenQuery {
  if (statement.op !== undefined && statement.op !== 'SETOP_NONE')
    return bindSetQuery(context, statement, level);
  return new SelectBinder(context, statement, level).bind();
}

/** The projection on top of `input` that `convert` asks for; none where it changes nothing. */
export function converted(
  input: Relation,
  outputs: readonly Expression[],
  convert: (output: Expression, index: number) => Expression,
): Relation {
  const references = outputs.map((output, i) =>
    column(input.types[i] ?? output.type, i, {
      name: output.kind === 'column' ? output.name : '?column?',
      modifier: output.modifier,
      location: output.location,
      standsFor: output,
    }),
  );
  const changed = references.map(convert);
  if (changed.every((one, i) => one === references[i])) return input;
  const types = changed.map((one) => one.type);
  return { kind: 'project', input, outputs: changed, types };
}

const operations: Readonly<Record<string, SetOperation['operation']>> = {
  SETOP_UNION: 'union',
  SETOP_INTERSECT: 'intersect',
  SETOP_EXCEPT: 'except',
};

function bindSetQuery(context: BindContext, statement: SelectStmt, level: Level): OpenQuery {
  const { relation: body, columns, outputs } = bindSetTree(context, statement, level);
  const item = scopeItem({ alias: '', columns, offset: 0 });
  const scope = new Scope([{ ...item, alias: undefined }], level.frame, { ctes: level.ctes });
  const keys = (statement.sortClause ?? []).map((node) =>
    bindSetOrder(context, scope, columns, node),
  );
  const empty = bareScope(level);
  const limits = bindLimits(context, statement, empty, keys);
  let relation: Relation = body;
  const { types } = body;
  if (keys.length > 0) relation = { kind: 'sort', input: relation, keys, types };
  relation = limited(relation, limits);
  return { columns, outputs, finish: (convert) => converted(relation, outputs, convert) };
}

/** Throws 0A000 for anything but a result column. */
function bindSetOrder(
  context: BindContext,
  scope: Scope,
  columns: readonly QueryColumn[],
  node: Node,
): SortKey {
  const sort = readSort(context, node);
  const direction = { descending: sort.descending, nullsFirst: sort.nullsFirst };
  const ordinal = sortOrdinal(context, sort.node, columns.length, 'ORDER BY');
  if (ordinal !== undefined) return { output: ordinal, ...direction };
  const bound = new ExpressionBinder(context, scope, 'ORDER BY').bind(sort.node);
  if (bound.kind === 'column') return { output: bound.index, ...direction };
  throw context.error('0A000', 'invalid UNION/INTERSECT/EXCEPT ORDER BY clause', startOf(bound), {
    detail: 'Only result column names can be used, not expressions or functions.',
    hint: 'Add the expression/function to every SELECT, or move the UNION into a FROM clause.',
  });
}

export interface SortClause {
  readonly node: Node;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

export function readSort(context: BindContext, item: Node): SortClause {
  if (!('SortBy' in item) || item.SortBy.node === undefined)
    throw context.unsupported(describeKind(kindOf(item)));
  const { sortby_dir, sortby_nulls, node, location } = item.SortBy;
  if (sortby_dir === 'SORTBY_USING') throw context.unsupported('ORDER BY … USING', location);
  const descending = sortby_dir === 'SORTBY_DESC';
  const nullsFirst =
    sortby_nulls === 'SORTBY_NULLS_FIRST' || (sortby_nulls !== 'SORTBY_NULLS_LAST' && descending);
  return { node, descending, nullsFirst };
}

/** `ORDER BY 2`, from 0. Throws 42P10 for a place that there is not, 42601 for other constants. */
export function sortOrdinal(
  context: BindContext,
  node: Node,
  columns: number,
  clause: string,
): number | undefined {
  if (!('A_Const' in node)) return undefined;
  const { ival, location } = node.A_Const;
  if (ival === undefined)
    throw context.error('42601', `non-integer constant in ${clause}`, location);
  const place = ival.ival ?? 0;
  if (place < 1 || place > columns)
    throw context.error('42P10', `${clause} position ${place} is not in select list`, location);
  return place - 1;
}

export interface BoundSetTree extends BoundQuery {
  readonly outputs: readonly Expression[];
}

/** The operands of one operator, as deep as they are operators themselves. */
function bindOperand(context: BindContext, statement: SelectStmt, level: Level): OpenQuery {
  const isOperation = statement.op !== undefined && statement.op !== 'SETOP_NONE';
  const plain =
    statement.sortClause === undefined &&
    statement.limitCount === undefined &&
    statement.limitOffset === undefined &&
    statement.withClause === undefined;
  if (!isOperation || !plain) return bindOpenQuery(context, statement, level);
  const { relation, columns, outputs } = context.nested(() =>
    bindSetTree(context, statement, level),
  );
  return { columns, outputs, finish: (convert) => converted(relation, outputs, convert) };
}

/** Throws 42601 for a different number of columns, 42804 for types that do not go together. */
export function bindSetTree(
  context: BindContext,
  statement: SelectStmt,
  level: Level,
): BoundSetTree {
  const { larg, rarg, op = '', all = false } = statement;
  const operation = operations[op];
  if (operation === undefined || larg === undefined || rarg === undefined)
    throw context.unsupported(op.replace('SETOP_', ''));
  const left = bindOperand(context, larg, level);
  const right = bindOperand(context, rarg, level);
  return joinOperands(context, { operation, all }, left, right);
}

export function joinOperands(
  context: BindContext,
  { operation, all }: Pick<SetOperation, 'operation' | 'all'>,
  left: OpenQuery,
  right: OpenQuery,
): BoundSetTree {
  const word = operation.toUpperCase();
  if (left.columns.length !== right.columns.length)
    throw context.error(
      '42601',
      `each ${word} query must have the same number of columns`,
      right.outputs[0]?.location,
    );
  const types = left.outputs.map((output, i) => {
    const other = right.outputs[i];
    return requireCommonType(context, other === undefined ? [output] : [output, other], word);
  });
  const convert = (output: Expression, i: number) => {
    const type = types[i];
    return type === undefined ? output : coerceToCommon(context, output, type, word);
  };
  const relation: SetOperation = {
    kind: 'set-operation',
    operation,
    all,
    left: left.finish(convert),
    right: right.finish(convert),
    types,
  };
  const columns = left.columns.map((one, i): QueryColumn => {
    const other = right.columns[i];
    const type = types[i] ?? one.type;
    const same = other?.modifier === one.modifier && other.type === type && one.type === type;
    const modifier = same ? one.modifier : -1;
    return { name: one.name, type, modifier, tableOid: 0, attributeNumber: 0 };
  });
  const outputs = columns.map((one, i) =>
    column(one.type, i, {
      name: one.name,
      modifier: one.modifier,
      location: left.outputs[i]?.location,
    }),
  );
  return { relation, columns, outputs };
}

export interface BoundLimits {
  readonly limit: Expression | undefined;
  readonly offset: Expression | undefined;
  readonly ties: readonly SortKey[] | undefined;
}

/** Throws 42P10 where a bound depends on rows, 42804. */
export function bindLimits(
  context: BindContext,
  statement: SelectStmt,
  scope: Scope,
  keys: readonly SortKey[],
): BoundLimits {
  const { limitCount, limitOffset, limitOption } = statement;
  const count = (node: Node | undefined, clause: 'LIMIT' | 'OFFSET') => {
    if (node === undefined) return undefined;
    const bound = bindCount(new ExpressionBinder(context, scope, clause), node);
    const variable = findColumn(bound);
    if (variable !== undefined)
      throw context.error(
        '42P10',
        `argument of ${clause} must not contain variables`,
        variable.location,
      );
    return bound;
  };
  const offset = count(limitOffset, 'OFFSET');
  const limit = count(limitCount, 'LIMIT');
  return { offset, limit, ties: limitOption === 'LIMIT_OPTION_WITH_TIES' ? keys : undefined };
}

function findColumn(expression: Expression): Expression | undefined {
  let found: Expression | undefined;
  some(expression, (node) => {
    if (node.kind === 'column') found = node;
    return found !== undefined;
  });
  return found;
}

export function limited(input: Relation, limits: BoundLimits): Relation {
  if (limits.limit === undefined && limits.offset === undefined) return input;
  return { kind: 'limit', input, ...limits, types: input.types };
}

/** The items of VALUES' lists, all of one length. Throws 42601. */
export function valuesRows(
  binder: Binder,
  lists: readonly Node[],
): readonly (readonly ListItem[])[] {
  const rows = lists.map((list) => listWithStars(binder, listItems(list)));
  const width = rows[0]?.length ?? 0;
  const uneven = rows.find((row) => row.length !== width);
  const first = uneven?.[0];
  if (uneven !== undefined)
    throw binder.context.error(
      '42601',
      'VALUES lists must all be the same length',
      first === undefined ? undefined : locationOf(first.node),
    );
  return rows;
}
