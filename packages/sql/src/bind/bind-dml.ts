/** INSERT, UPDATE, DELETE and MERGE. */
import type {
  DeleteStmt,
  InsertStmt,
  MergeStmt,
  Node,
  RangeVar,
  ReturningClause,
  SelectStmt,
  UpdateStmt,
  WithClause,
} from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { isMaterialized } from '../catalog/relation-word.ts';
import { SqlError } from '../sql-error.ts';
import { int8Type, xidType } from '../types/type.ts';
import { assigned, bindAssignments, columnByName, type Target } from './assignments.ts';
import { locationOf, refuseOthers } from './ast.ts';
import { bindConflict } from './bind-conflict.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { type BoundFrom, bindFromBeside, type FromPart, findTable } from './bind-from.ts';
import { bindOpenQuery, valuesRows } from './bind-query.ts';
import { refuseAggregates } from './bind-select.ts';
import { bindWith } from './bind-with.ts';
import type {
  BoundDelete,
  BoundInsert,
  BoundMerge,
  BoundReturning,
  BoundUpdate,
  BoundWrite,
  MergeAction,
} from './bound.ts';
import { coerceToColumn, resolveUnknown } from './coerce.ts';
import type { BindContext } from './context.ts';
import { defaultExpression } from './default.ts';
import { column as columnOf, type Expression } from './expression.ts';
import { startOf } from './expression-tree.ts';
import { bareScope, type Level } from './level.ts';
import type { Cte } from './relation.ts';
import { Scope, tableItem } from './scope.ts';
import { type ListItem, listWithStars } from './star.ts';
import { bindTargets, describe } from './target-list.ts';

/** Undefined for a statement that is none of these. */
export function bindWriteStatement(
  context: BindContext,
  tree: Node,
  level: Level,
): BoundWrite | undefined {
  const bound = bindWrite(context, tree, level);
  if (bound !== undefined && isMaterialized(bound.table))
    context.access.writesMaterialized(bound.table.name);
  return bound;
}

function bindWrite(context: BindContext, tree: Node, level: Level): BoundWrite | undefined {
  if ('InsertStmt' in tree) return bindInsert(context, tree.InsertStmt, level);
  if ('UpdateStmt' in tree) return bindUpdate(context, tree.UpdateStmt, level);
  if ('DeleteStmt' in tree) return bindDelete(context, tree.DeleteStmt, level);
  if ('MergeStmt' in tree) return bindMerge(context, tree.MergeStmt, level);
  return undefined;
}

function within(
  context: BindContext,
  clause: WithClause | undefined,
  level: Level,
): { readonly level: Level; readonly ctes: readonly Cte[] } {
  return clause === undefined ? { level, ctes: [] } : bindWith(context, clause, level);
}

function bindInsert(context: BindContext, statement: InsertStmt, outer: Level): BoundInsert {
  refuseOthers(
    context,
    statement,
    [
      'relation',
      'cols',
      'selectStmt',
      'onConflictClause',
      'returningClause',
      'withClause',
      'override',
    ],
    {},
  );
  const { relation } = statement;
  if (relation === undefined) throw context.unsupported('INSERT without a table');
  const { level, ctes } = within(context, statement.withClause, outer);
  const table = findTable(context, relation);
  const targets = insertTargets(context, table, statement.cols);
  const source = overriding(
    context,
    targets,
    insertSource(context, level, targets, statement),
    statement.override,
  );
  const filled = targets.slice(0, source.width).map((target) => target.index);
  const written = targets.slice(0, source.width).map(({ column }) => column.attributeNumber);
  context.access.writes(table.id, 'a', written);
  const alias = relation.alias?.aliasname;
  // Behind the row stands whether it was there (execute/insert-node.ts).
  const xmax = columnOf(xidType, table.columns.length, { name: 'xmax' });
  const item = { ...tableItem(table, alias), xmax };
  const scope = new Scope([item], level.frame, { ctes: level.ctes });
  return {
    kind: 'insert',
    table,
    alias: alias ?? table.name,
    ctes,
    targets: filled,
    source: source.bound,
    defaults: defaults(context, table),
    conflict: bindConflict(context, level, table, alias, statement.onConflictClause),
    returning: bindReturning(context, scope, statement.returningClause),
  };
}

/** Values for identity and generated columns: what OVERRIDING says about them. Throws 428C9. */
function overriding(
  context: BindContext,
  targets: readonly Target[],
  source: ReturnType<typeof insertSource>,
  how = 'OVERRIDING_NOT_SET',
): ReturnType<typeof insertSource> {
  let { bound } = source;
  targets.slice(0, source.width).forEach(({ column }, i) => {
    if (column.identity === undefined && column.generated === undefined) return;
    if (how === 'OVERRIDING_USER_VALUE' && column.identity !== undefined) {
      if (bound.kind === 'query') throw context.unsupported('OVERRIDING USER VALUE with a query');
      const rows = bound.rows.map((row) => row.map((one, at) => (at === i ? undefined : one)));
      bound = { kind: 'values', rows };
      return;
    }
    const isDefault = bound.kind === 'values' && bound.rows.every((row) => row[i] === undefined);
    if (isDefault || column.identity === 'by default') return;
    if (column.identity === 'always' && how === 'OVERRIDING_SYSTEM_VALUE') return;
    throw context.error(
      '428C9',
      `cannot insert a non-DEFAULT value into column "${column.name}"`,
      undefined,
      column.generated === undefined
        ? {
            detail: `Column "${column.name}" is an identity column defined as GENERATED ALWAYS.`,
            hint: 'Use OVERRIDING SYSTEM VALUE to override.',
          }
        : { detail: `Column "${column.name}" is a generated column.` },
    );
  });
  return { ...source, bound };
}

function defaults(context: BindContext, table: TableDescriptor): (Expression | undefined)[] {
  return table.columns.map((column) => defaultExpression(context, column));
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

function insertSource(
  context: BindContext,
  level: Level,
  targets: readonly Target[],
  statement: InsertStmt,
): { readonly bound: BoundInsert['source']; readonly width: number } {
  const { selectStmt, cols } = statement;
  if (selectStmt === undefined) return { bound: { kind: 'values', rows: [[]] }, width: 0 };
  if (!('SelectStmt' in selectStmt)) throw context.unsupported('INSERT source');
  const select = selectStmt.SelectStmt;
  const lists = select.valuesLists ?? [];
  if (lists.length > 0 && isPlainValues(select)) {
    const binder = new ExpressionBinder(context, bareScope(level), 'VALUES');
    const items = valuesRows(binder, lists);
    const width = items[0]?.length ?? 0;
    checkWidth(context, itemLocations(items[0]), targets.length, cols);
    const rows = items.map((row) => row.map((item, i) => bindValue(binder, item, targets[i])));
    return { bound: { kind: 'values', rows }, width };
  }
  const open = bindOpenQuery(context, select, level);
  checkWidth(
    context,
    open.outputs.map((output) => output.location),
    targets.length,
    cols,
  );
  const relation = open.finish((output, i) => {
    const target = targets[i];
    return target === undefined ? output : coerceToColumn(context, output, target.column);
  });
  return { bound: { kind: 'query', relation }, width: open.columns.length };
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
  const missing = named?.[values.length];
  if (named !== undefined && named.length > 0 && values.length < targets)
    throw context.error(
      '42601',
      'INSERT has more target columns than expressions',
      missing === undefined ? undefined : locationOf(missing),
    );
}

function itemLocations(items: readonly ListItem[] | undefined): (number | undefined)[] {
  return (items ?? []).map(({ node, bound }) =>
    bound === undefined ? locationOf(node) : startOf(bound),
  );
}

/** A value of VALUES; undefined = DEFAULT. */
function bindValue(
  binder: ExpressionBinder,
  { node, bound }: ListItem,
  target: Target | undefined,
): Expression | undefined {
  if ('SetToDefault' in node || target === undefined) return undefined;
  return coerceToColumn(binder.context, bound ?? binder.bindAsIs(node), target.column);
}

interface BoundTarget extends BoundFrom {
  readonly table: TableDescriptor;
  readonly alias: string;
}

function targetPart(
  table: TableDescriptor,
  alias: string | undefined,
): { readonly part: FromPart; readonly types: BoundFrom['types'] } {
  const item = tableItem(table, alias);
  const withRowId = table.primaryKey === undefined;
  const own = table.columns.map((column) => column.type);
  const types = withRowId ? [...own, int8Type] : own;
  const source = { kind: 'table', table, withRowId, types } as const;
  const tree = {
    kind: 'item',
    source,
    offset: 0,
    alias: alias ?? table.name,
    arguments: [],
  } as const;
  return { part: { tree, items: [item], columns: item.columns }, types };
}

/** The written table joined with the items of FROM or USING. */
function bindTarget(
  context: BindContext,
  level: Level,
  relation: RangeVar | undefined,
  others: readonly Node[] | undefined,
): BoundTarget {
  if (relation === undefined) throw context.unsupported('statement without a table');
  const table = findTable(context, relation);
  const alias = relation.alias?.aliasname;
  const bound = bindFromBeside(context, level, others ?? [], targetPart(table, alias));
  return { ...bound, table, alias: alias ?? table.name };
}

function treeOf(from: BoundFrom) {
  if (from.tree === undefined) throw new RangeError('a written table is an item of its FROM');
  return from.tree;
}

function bindUpdate(context: BindContext, statement: UpdateStmt, outer: Level): BoundUpdate {
  refuseOthers(
    context,
    statement,
    ['relation', 'targetList', 'fromClause', 'whereClause', 'returningClause', 'withClause'],
    {},
  );
  const { level, ctes } = within(context, statement.withClause, outer);
  const from = bindTarget(context, level, statement.relation, statement.fromClause);
  const binder = new ExpressionBinder(context, from.scope, 'UPDATE');
  const assignments = bindAssignments(binder, from.table, statement.targetList ?? []);
  context.access.writes(from.table.id, 'w', assigned(from.table, assignments));
  return {
    kind: 'update',
    table: from.table,
    alias: from.alias,
    ctes,
    tree: treeOf(from),
    types: from.types,
    where: bindWhere(context, from.scope, statement.whereClause),
    assignments,
    returning: bindReturning(context, from.scope, statement.returningClause),
  };
}

function bindDelete(context: BindContext, statement: DeleteStmt, outer: Level): BoundDelete {
  refuseOthers(
    context,
    statement,
    ['relation', 'usingClause', 'whereClause', 'returningClause', 'withClause'],
    {},
  );
  const { level, ctes } = within(context, statement.withClause, outer);
  const from = bindTarget(context, level, statement.relation, statement.usingClause);
  context.access.writes(from.table.id, 'd');
  return {
    kind: 'delete',
    table: from.table,
    alias: from.alias,
    ctes,
    tree: treeOf(from),
    types: from.types,
    where: bindWhere(context, from.scope, statement.whereClause),
    returning: bindReturning(context, from.scope, statement.returningClause),
  };
}

function bindMerge(context: BindContext, statement: MergeStmt, outer: Level): BoundMerge {
  refuseOthers(
    context,
    statement,
    ['relation', 'sourceRelation', 'joinCondition', 'mergeWhenClauses', 'withClause'],
    { returningClause: 'MERGE … RETURNING' },
  );
  const { level, ctes } = within(context, statement.withClause, outer);
  const { relation, sourceRelation } = statement;
  if (relation === undefined || sourceRelation === undefined)
    throw context.unsupported('MERGE without a table');
  const table = findTable(context, relation);
  if (isMaterialized(table))
    throw new SqlError('0A000', `cannot execute MERGE on relation "${table.name}"`, {
      detail: 'This operation is not supported for materialized views.',
    });
  const alias = relation.alias?.aliasname;
  const from = bindFromBeside(context, level, [sourceRelation], targetPart(table, alias));
  const tree = treeOf(from);
  if (tree.kind !== 'join') throw new RangeError('MERGE joins its two tables');
  const condition = new ExpressionBinder(context, from.scope, 'JOIN').bindBoolean(
    statement.joinCondition,
    'JOIN/ON',
  );
  const [, ...sourceItems] = from.scope.items;
  const sourceScope = new Scope(sourceItems, level.frame, {
    ctes: level.ctes,
    entries: from.scope.entries,
  });
  const actions = (statement.mergeWhenClauses ?? []).map((node) =>
    bindMergeAction(context, table, { all: from.scope, source: sourceScope }, node),
  );
  const inserts = actions.some((one) => !one.matched);
  return {
    kind: 'merge',
    table,
    alias: alias ?? table.name,
    ctes,
    tree: { ...tree, type: inserts ? 'right' : 'inner', condition },
    types: from.types,
    where: undefined,
    actions,
    defaults: defaults(context, table),
    returning: undefined,
  };
}

function bindMergeAction(
  context: BindContext,
  table: TableDescriptor,
  scopes: { readonly all: Scope; readonly source: Scope },
  node: Node,
): MergeAction {
  if (!('MergeWhenClause' in node)) throw context.unsupported('MERGE action');
  const clause = node.MergeWhenClause;
  const matched = clause.matchKind === 'MERGE_WHEN_MATCHED';
  if (clause.matchKind === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE')
    throw context.unsupported('WHEN NOT MATCHED BY SOURCE');
  const scope = matched ? scopes.all : scopes.source;
  const condition =
    clause.condition === undefined
      ? undefined
      : new ExpressionBinder(context, scope, 'MERGE WHEN').bindBoolean(clause.condition, 'WHEN');
  const list = clause.targetList ?? [];
  switch (clause.commandType) {
    case 'CMD_DELETE':
      context.access.writes(table.id, 'd');
      return { matched, condition, action: { kind: 'delete' } };
    case 'CMD_UPDATE': {
      const binder = new ExpressionBinder(context, scope, 'UPDATE');
      const assignments = bindAssignments(binder, table, list);
      context.access.writes(table.id, 'w', assigned(table, assignments));
      return { matched, condition, action: { kind: 'update', assignments } };
    }
    case 'CMD_INSERT': {
      const targets = insertTargets(context, table, list);
      const binder = new ExpressionBinder(context, scope, 'VALUES');
      const items = listWithStars(binder, clause.values ?? []);
      checkWidth(context, itemLocations(items), targets.length, list);
      const values = items.map((item, i) => bindValue(binder, item, targets[i]));
      const filled = targets.slice(0, values.length).map((target) => target.index);
      const written = targets.slice(0, values.length).map(({ column }) => column.attributeNumber);
      context.access.writes(table.id, 'a', written);
      return { matched, condition, action: { kind: 'insert', targets: filled, values } };
    }
    default:
      return { matched, condition, action: { kind: 'nothing' } };
  }
}

function bindWhere(context: BindContext, scope: Scope, node: Node | undefined) {
  if (node === undefined) return undefined;
  const bound = new ExpressionBinder(context, scope, 'WHERE').bindBoolean(node, 'WHERE');
  refuseAggregates(context, bound, 'WHERE');
  return bound;
}

/** RETURNING sees the row as it is after the statement; for DELETE, as it was. */
function bindReturning(
  context: BindContext,
  scope: Scope,
  clause: ReturningClause | undefined,
): BoundReturning | undefined {
  if (clause === undefined) return undefined;
  refuseOthers(context, clause, ['exprs'], { options: 'RETURNING WITH' });
  const binder = new ExpressionBinder(context, scope, 'RETURNING');
  const targets = bindTargets(binder, clause.exprs ?? []).map(({ name, expression }) => ({
    name,
    expression: resolveUnknown(context, expression),
  }));
  return {
    outputs: targets.map((target) => target.expression),
    columns: targets.map(describe),
  };
}
