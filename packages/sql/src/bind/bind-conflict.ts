/** ON CONFLICT: which unique indexes are looked at, and what is done about a row that is there. */
import type { InferClause, OnConflictClause } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { print } from '../plan/explain.ts';
import { impliedBy } from '../plan/index-path.ts';
import { assigned, bindAssignments } from './assignments.ts';
import { ExpressionBinder } from './bind-expression.ts';
import type { BoundConflict } from './bound.ts';
import { conjuncts } from './conjuncts.ts';
import type { BindContext } from './context.ts';
import type { Level } from './level.ts';
import { Scope, scopeItem, tableColumns, tableItem } from './scope.ts';
import { bindStored, tableScope } from './stored-expression.ts';

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
  const on = infer === undefined ? undefined : arbiters(context, table, infer);
  if (action !== 'ONCONFLICT_UPDATE') return { kind: 'nothing', on };
  if (on === undefined)
    throw context.error(
      '42601',
      'ON CONFLICT DO UPDATE requires inference specification or constraint name',
      location,
      { hint: 'For example, ON CONFLICT (column_name).' },
    );
  const target = tableItem(table, alias);
  const excluded = scopeItem({
    alias: 'excluded',
    // Nothing is read there: these are the statement's own values.
    columns: tableColumns(table).map((one) => ({ ...one, tableOid: 0 })),
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
  context.access.writes(table.id, 'w', assigned(table, assignments));
  return { kind: 'update', on, assignments, where };
}

/** The unique indexes that a conflict target means. Throws 42704, 42703, 42P10. */
function arbiters(context: BindContext, table: TableDescriptor, infer: InferClause): number[] {
  const { conname, indexElems = [], whereClause, location } = infer;
  const { primaryKey, indexes } = table;
  if (conname !== undefined) {
    if (primaryKey?.constraint === conname) return [primaryKey.indexOid];
    const index = indexes.find((one) => one.name === conname && one.constraintOid !== 0);
    if (index !== undefined) return [index.oid];
    throw context.error(
      '42704',
      `constraint "${conname}" for table "${table.name}" does not exist`,
      undefined,
    );
  }
  const binder = new ExpressionBinder(context, tableScope(table), 'INDEX');
  const wanted = new Set<string>();
  for (const element of indexElems) {
    if (!('IndexElem' in element)) throw context.unsupported('conflict target');
    const { name, expr } = element.IndexElem;
    if (name === undefined) {
      wanted.add(print(binder.bind(expr)));
      continue;
    }
    const column = table.columns.find((one) => one.name === name);
    if (column === undefined)
      throw context.error('42703', `column "${name}" does not exist`, location);
    context.access.readsColumn(table.id, column.attributeNumber);
    wanted.add(String(column.attributeNumber));
  }
  const said = whereClause === undefined ? [] : conjuncts(binder.bindBoolean(whereClause, 'WHERE'));
  const isSaid = (predicate: string) =>
    impliedBy(conjuncts(bindStored(predicate, 'INDEX WHERE', table)), said) !== undefined;
  const keys = [
    ...(primaryKey === undefined
      ? []
      : [
          {
            oid: primaryKey.indexOid,
            parts: primaryKey.columns.map((offset) =>
              String(table.columns[offset]?.attributeNumber ?? 0),
            ),
            predicate: undefined,
          },
        ]),
    ...indexes
      .filter((one) => one.unique)
      .map((one) => ({
        oid: one.oid,
        parts: one.columns.map((part) => part.expression ?? String(part.attributeNumber)),
        predicate: one.predicate,
      })),
  ];
  const matching = keys.filter(
    (key) =>
      key.parts.length === wanted.size &&
      key.parts.every((part) => wanted.has(part)) &&
      (key.predicate === undefined || isSaid(key.predicate)),
  );
  if (matching.length > 0) return matching.map((key) => key.oid);
  throw context.error(
    '42P10',
    'there is no unique or exclusion constraint matching the ON CONFLICT specification',
    undefined,
  );
}
