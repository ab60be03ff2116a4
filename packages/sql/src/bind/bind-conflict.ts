/** ON CONFLICT: the primary key is the only thing that rows can conflict on. */
import type { InferClause, OnConflictClause } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { bindAssignments } from './assignments.ts';
import { ExpressionBinder } from './bind-expression.ts';
import type { BoundConflict } from './bound.ts';
import type { BindContext } from './context.ts';
import type { Level } from './level.ts';
import { Scope, scopeItem, tableColumns, tableItem } from './scope.ts';

/** Throws 42P10, 42704, 42703, 42601. */
export function bindConflict(
  context: BindContext,
  level: Level,
  table: TableDescriptor,
  alias: string | undefined,
  clause: OnConflictClause | undefined,
): BoundConflict | undefined {
  if (clause === undefined) return undefined;
  const { action, infer, targetList = [], whereClause, location } = clause;
  if (infer !== undefined) checkTarget(context, table, infer);
  if (action !== 'ONCONFLICT_UPDATE') return { kind: 'nothing' };
  if (infer === undefined)
    throw context.error(
      '42601',
      'ON CONFLICT DO UPDATE requires inference specification or constraint name',
      location,
      { hint: 'For example, ON CONFLICT (column_name).' },
    );
  const target = tableItem(table, alias);
  const excluded = scopeItem({
    alias: 'excluded',
    columns: tableColumns(table),
    offset: table.columns.length,
  });
  const scope = new Scope([target, excluded], level.frame, { ctes: level.ctes });
  const assignments = bindAssignments(
    new ExpressionBinder(context, scope, 'UPDATE'),
    table,
    targetList,
  );
  const where =
    whereClause === undefined
      ? undefined
      : new ExpressionBinder(context, scope, 'WHERE').bindBoolean(whereClause, 'WHERE');
  return { kind: 'update', assignments, where };
}

function checkTarget(context: BindContext, table: TableDescriptor, infer: InferClause): void {
  const { conname, indexElems = [], location } = infer;
  const primary = table.primaryKey;
  if (conname !== undefined) {
    if (primary?.constraint === conname) return;
    throw context.error(
      '42704',
      `constraint "${conname}" for table "${table.name}" does not exist`,
      undefined,
    );
  }
  const wanted = new Set<number>();
  let simple = true;
  for (const element of indexElems) {
    if (!('IndexElem' in element) || element.IndexElem.name === undefined) {
      simple = false;
      continue;
    }
    const { name } = element.IndexElem;
    const index = table.columns.findIndex((column) => column.name === name);
    if (index < 0) throw context.error('42703', `column "${name}" does not exist`, location);
    wanted.add(index);
  }
  const keys = primary?.columns ?? [];
  const matches = simple && keys.length === wanted.size && keys.every((key) => wanted.has(key));
  if (keys.length === 0 || !matches)
    throw context.error(
      '42P10',
      'there is no unique or exclusion constraint matching the ON CONFLICT specification',
      undefined,
    );
}
