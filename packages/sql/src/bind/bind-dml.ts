/** INSERT, UPDATE and DELETE. */
import type { DeleteStmt, InsertStmt, Node, SelectStmt, UpdateStmt } from 'libpg-query';
import type { ColumnDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { listItems, locationOf, refuseOthers } from './ast.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { findTable } from './bind-from.ts';
import { bindSelect } from './bind-select.ts';
import type {
  BoundDelete,
  BoundInsert,
  BoundReturning,
  BoundSelect,
  BoundUpdate,
} from './bound.ts';
import { coerceToColumn } from './coerce.ts';
import type { BindContext } from './context.ts';
import { defaultExpression } from './default.ts';
import type { Expression } from './expression.ts';
import { emptyScope, Scope, tableRelation } from './scope.ts';
import { bindTargets, describe } from './target-list.ts';

const names: Readonly<Record<string, string>> = {
  withClause: 'WITH',
  onConflictClause: 'ON CONFLICT',
  fromClause: 'UPDATE … FROM',
  usingClause: 'DELETE … USING',
};

interface Target {
  readonly index: number;
  readonly column: ColumnDescriptor;
}

export function bindInsert(context: BindContext, statement: InsertStmt): BoundInsert {
  refuseOthers(
    context,
    statement,
    ['relation', 'cols', 'selectStmt', 'returningClause', 'override'],
    names,
  );
  if (statement.override !== undefined && statement.override !== 'OVERRIDING_NOT_SET')
    throw context.unsupported('OVERRIDING');
  if (statement.relation === undefined) throw context.unsupported('INSERT without a table');
  const table = findTable(context, statement.relation);
  const targets = insertTargets(context, table, statement.cols);
  const source = insertSource(context, targets, statement);
  const filled = targets.slice(0, source.width).map((target) => target.index);
  return {
    kind: 'insert',
    table,
    targets: filled,
    source: source.bound,
    defaults: table.columns.map((column) => defaultExpression(context, column)),
    returning: bindReturning(context, table, statement.relation.alias?.aliasname, statement),
  };
}

function insertTargets(
  context: BindContext,
  table: TableDescriptor,
  nodes: readonly Node[] | undefined,
): Target[] {
  if (nodes === undefined || nodes.length === 0)
    return table.columns.map((column, index) => ({ index, column }));
  const seen = new Set<number>();
  return nodes.map((node) => {
    if (!('ResTarget' in node)) throw context.unsupported('INSERT target');
    const { name = '', location, indirection } = node.ResTarget;
    if (indirection !== undefined) throw context.unsupported('subscripted INSERT target', location);
    const target = columnByName(context, table, name, location);
    if (seen.has(target.index))
      throw context.error('42701', `column "${name}" specified more than once`, location);
    seen.add(target.index);
    return target;
  });
}

function columnByName(
  context: BindContext,
  table: TableDescriptor,
  name: string,
  location: number | undefined,
): Target {
  const index = table.columns.findIndex((column) => column.name === name);
  const column = table.columns[index];
  if (column !== undefined) return { index, column };
  throw context.error(
    '42703',
    `column "${name}" of relation "${table.name}" does not exist`,
    location,
  );
}

function insertSource(
  context: BindContext,
  targets: readonly Target[],
  statement: InsertStmt,
): { readonly bound: BoundInsert['source']; readonly width: number } {
  const { selectStmt } = statement;
  if (selectStmt === undefined) return { bound: { kind: 'values', rows: [[]] }, width: 0 };
  if (!('SelectStmt' in selectStmt)) throw context.unsupported('INSERT source');
  const select = selectStmt.SelectStmt;
  const lists = select.valuesLists ?? [];
  if (lists.length > 0 && isPlainValues(select)) {
    const items = lists.map(listItems);
    const width = items[0]?.length ?? 0;
    const uneven = items.find((row) => row.length !== width);
    if (uneven !== undefined)
      throw context.error(
        '42601',
        'VALUES lists must all be the same length',
        nodeLocation(uneven[0]),
      );
    checkWidth(context, nodeLocations(items[0]), targets.length, statement.cols);
    const rows = items.map((row) => row.map((node, i) => bindAssigned(context, node, targets[i])));
    return { bound: { kind: 'values', rows }, width };
  }
  const bound = bindSelect(context, select, true);
  const shown = bound.outputs.slice(0, bound.columns.length);
  checkWidth(
    context,
    shown.map((output) => output.location),
    targets.length,
    statement.cols,
  );
  return {
    bound: { kind: 'select', select: assign(context, bound, targets) },
    width: bound.columns.length,
  };
}

function isPlainValues(select: SelectStmt): boolean {
  return (
    select.sortClause === undefined &&
    select.limitCount === undefined &&
    select.limitOffset === undefined &&
    select.withClause === undefined
  );
}

/** @param values locations of the values for one row */
function checkWidth(
  context: BindContext,
  values: readonly (number | undefined)[],
  targets: number,
  named: readonly Node[] | undefined,
): void {
  if (values.length > targets)
    throw context.error(
      '42601',
      'INSERT has more expressions than target columns',
      values[targets],
    );
  if (named !== undefined && named.length > 0 && values.length < targets)
    throw context.error(
      '42601',
      'INSERT has more target columns than expressions',
      nodeLocation(named[values.length]),
    );
}

function nodeLocations(nodes: readonly Node[] | undefined): (number | undefined)[] {
  return (nodes ?? []).map(nodeLocation);
}

function nodeLocation(node: Node | undefined): number | undefined {
  return node === undefined ? undefined : locationOf(node);
}

/** A value of VALUES or SET; undefined = DEFAULT. */
function bindAssigned(
  context: BindContext,
  node: Node,
  target: Target | undefined,
): Expression | undefined {
  if ('SetToDefault' in node || target === undefined) return undefined;
  const bound = new ExpressionBinder(context, emptyScope, 'VALUES').bind(node);
  return coerceToColumn(context, bound, target.column);
}

/** The query's shown columns, coerced to the columns that they fill. */
function assign(
  context: BindContext,
  select: BoundSelect,
  targets: readonly Target[],
): BoundSelect {
  const outputs = select.outputs.map((output, i) => {
    const target = i < select.columns.length ? targets[i] : undefined;
    return target === undefined ? output : coerceToColumn(context, output, target.column);
  });
  return { ...select, outputs };
}

export function bindUpdate(context: BindContext, statement: UpdateStmt): BoundUpdate {
  refuseOthers(
    context,
    statement,
    ['relation', 'targetList', 'whereClause', 'returningClause'],
    names,
  );
  if (statement.relation === undefined) throw context.unsupported('UPDATE without a table');
  const table = findTable(context, statement.relation);
  const alias = statement.relation.alias?.aliasname;
  const scope = new Scope([tableRelation(table, alias)]);
  const seen = new Set<number>();
  const assignments = (statement.targetList ?? []).map((node) => {
    if (!('ResTarget' in node)) throw context.unsupported('UPDATE target');
    const { name = '', val, location, indirection } = node.ResTarget;
    if (indirection !== undefined) throw context.unsupported('subscripted UPDATE target', location);
    const { index, column } = columnByName(context, table, name, location);
    if (seen.has(index))
      throw context.error('42601', `multiple assignments to same column "${name}"`, undefined);
    seen.add(index);
    if (val === undefined || 'SetToDefault' in val)
      return { column: index, value: defaultExpression(context, column) };
    const bound = new ExpressionBinder(context, scope, 'UPDATE').bind(val);
    return { column: index, value: coerceToColumn(context, bound, column) };
  });
  return {
    kind: 'update',
    table,
    alias: alias ?? table.name,
    assignments,
    where: bindWhere(context, scope, statement.whereClause),
    returning: bindReturning(context, table, alias, statement),
  };
}

export function bindDelete(context: BindContext, statement: DeleteStmt): BoundDelete {
  refuseOthers(context, statement, ['relation', 'whereClause', 'returningClause'], names);
  if (statement.relation === undefined) throw context.unsupported('DELETE without a table');
  const table = findTable(context, statement.relation);
  const alias = statement.relation.alias?.aliasname;
  const scope = new Scope([tableRelation(table, alias)]);
  return {
    kind: 'delete',
    table,
    alias: alias ?? table.name,
    where: bindWhere(context, scope, statement.whereClause),
    returning: bindReturning(context, table, alias, statement),
  };
}

function bindWhere(context: BindContext, scope: Scope, node: Node | undefined) {
  if (node === undefined) return undefined;
  return new ExpressionBinder(context, scope, 'WHERE').bindBoolean(node, 'WHERE');
}

/** RETURNING sees the row as it is after the statement; for DELETE, as it was. */
function bindReturning(
  context: BindContext,
  table: TableDescriptor,
  alias: string | undefined,
  statement: InsertStmt | UpdateStmt | DeleteStmt,
): BoundReturning | undefined {
  const clause = statement.returningClause;
  if (clause === undefined) return undefined;
  refuseOthers(context, clause, ['exprs'], { options: 'RETURNING WITH' });
  const scope = new Scope([tableRelation(table, alias)]);
  const targets = bindTargets(
    new ExpressionBinder(context, scope, 'RETURNING'),
    clause.exprs ?? [],
  );
  return {
    outputs: targets.map((target) => target.expression),
    columns: targets.map(describe),
  };
}
