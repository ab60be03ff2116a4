/** ALTER TABLE … DROP COLUMN and DROP CONSTRAINT, with what goes along. */
import { markColumns } from '../bind/expression-tree.ts';
import { bindStored } from '../bind/stored-expression.ts';
import type {
  ColumnDescriptor,
  RelationDescriptor,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import { wordOf } from '../catalog/relation-word.ts';
import { SqlError } from '../sql-error.ts';
import { indexSpan, storageSpan } from '../storage/table-store.ts';
import { byteaType } from '../types/type.ts';
import type { DdlContext } from './ddl-context.ts';
import type { TableDraft } from './table-draft.ts';
import { viewsUsing, withViewsOver } from './view-uses.ts';

interface DropOptions {
  readonly cascade: boolean;
  readonly ifExists: boolean;
  /** Who calls tells what goes along. */
  readonly quiet?: boolean;
}

/** Throws 42703, 2BP01. */
export function dropColumn(draft: TableDraft, name: string, options: DropOptions): void {
  const { table, context } = draft;
  const column = table.columns.find((one) => one.name === name);
  if (column === undefined) {
    const message = `column "${name}" of relation "${table.name}" does not exist`;
    if (!options.ifExists) throw new SqlError('42703', message);
    context.notice('00000', `${message}, skipping`);
    return;
  }
  const { attributeNumber } = column;
  const offset = table.columns.indexOf(column);
  const what = `column ${name} of table ${table.name}`;
  const dependents: Dependent[] = [];
  const views = withViewsOver(context, viewsUsing(context, table.id, name));
  for (const { view, over } of views)
    dependents.push({ what: shown(view), on: over === undefined ? what : shown(over) });
  const references = context.snapshot
    .referencing(table.id)
    .filter(
      ({ foreignKey, table: other }) =>
        other.id !== table.id && foreignKey.targetColumns.includes(attributeNumber),
    );
  for (const { foreignKey, table: other } of references)
    dependents.push({ what: `constraint ${foreignKey.name} on table ${other.name}`, on: what });
  const generated = generatedFrom(table, offset);
  for (const one of generated)
    if (one !== column)
      dependents.push({ what: `column ${one.name} of table ${table.name}`, on: what });
  if (options.quiet !== true) refuseDependents(draft, what, dependents, options.cascade);
  for (const { view } of views) removeView(context, view);
  for (const { foreignKey, table: other } of references)
    removeForeignKey(draft, other.id, foreignKey.oid);
  for (const one of generated) if (one !== column) dropColumn(draft, one.name, options);
  dropWithColumn(draft, attributeNumber);
}

/** What goes along, and what it cannot be without: both as messages have them. */
interface Dependent {
  readonly what: string;
  readonly on: string;
}

function shown(relation: RelationDescriptor): string {
  return `${wordOf(relation)} ${relation.name}`;
}

/** With the rows that it keeps. */
function removeView(ddl: DdlContext, view: RelationDescriptor): void {
  ddl.editor.remove(view.id);
  if (view.kind !== 'view') ddl.editor.addGarbage(storageSpan(view.storageId));
}

/** Keys, checks and indexes that have the column in them go with it. */
function dropWithColumn(draft: TableDraft, attributeNumber: number): void {
  const { table, context } = draft;
  const offset = table.columns.findIndex((one) => one.attributeNumber === attributeNumber);
  const column = table.columns[offset];
  if (column === undefined) return;
  const keyed = table.primaryKey?.columns.includes(offset) === true;
  const numbers = (table.primaryKey?.columns ?? []).map(
    (one) => table.columns[one]?.attributeNumber,
  );
  const indexes = table.indexes.filter(
    (index) =>
      index.columns.some(
        (one) =>
          one.attributeNumber === attributeNumber ||
          (one.expression !== undefined && reads(table, one.expression, offset)),
      ) ||
      index.included.includes(attributeNumber) ||
      (index.predicate !== undefined && reads(table, index.predicate, offset)),
  );
  for (const index of indexes) context.editor.addGarbage(indexSpan(table, index));
  const columns = table.columns.filter((one) => one !== column);
  const checks = table.checks.filter((check) => !reads(table, check.expression, offset));
  draft.change({
    columns,
    checks,
    // The rows hold bytes, whatever becomes of the type.
    dropped: [
      ...table.dropped,
      { attributeNumber, type: column.type.schema === 'pg_catalog' ? column.type : byteaType },
    ],
    indexes: table.indexes.filter((index) => !indexes.includes(index)),
    foreignKeys: table.foreignKeys.filter((one) => !one.columns.includes(attributeNumber)),
    primaryKey:
      table.primaryKey === undefined || keyed
        ? undefined
        : {
            ...table.primaryKey,
            columns: numbers.map((number) =>
              columns.findIndex((one) => one.attributeNumber === number),
            ),
          },
  });
  if (keyed) draft.work.push({ kind: 'rewrite' });
  for (const other of context.snapshot.sorted())
    if (
      other.kind === 'sequence' &&
      other.ownedBy?.table === table.id &&
      other.ownedBy.attributeNumber === attributeNumber
    )
      context.editor.remove(other.id);
}

/** The generated columns that are computed from a column. @param offset of the column; less than 0: none is */
export function generatedFrom(table: TableDescriptor, offset: number): readonly ColumnDescriptor[] {
  return table.columns.filter(
    (one) => one.generated !== undefined && reads(table, one.generated, offset),
  );
}

function reads(table: TableDescriptor, text: string, offset: number): boolean {
  const used: boolean[] = [];
  markColumns(bindStored(text, 'CHECK', table), used);
  return used[offset] === true;
}

/** Throws 42704, 2BP01. */
export function dropConstraint(draft: TableDraft, name: string, options: DropOptions): void {
  const { table, context } = draft;
  const { checks, foreignKeys, primaryKey, indexes } = table;
  const check = checks.find((one) => one.name === name);
  if (check !== undefined) {
    draft.change({ checks: checks.filter((one) => one !== check) });
    return;
  }
  const foreignKey = foreignKeys.find((one) => one.name === name);
  if (foreignKey !== undefined) {
    draft.change({ foreignKeys: foreignKeys.filter((one) => one !== foreignKey) });
    return;
  }
  const index = indexes.find((one) => one.name === name && one.constraintOid !== 0);
  const key =
    index === undefined
      ? primaryKey?.constraint === name
        ? primaryKey.columns.map((offset) => table.columns[offset]?.attributeNumber ?? 0)
        : undefined
      : index.columns.map((one) => one.attributeNumber);
  if (key === undefined) {
    const message = `constraint "${name}" of relation "${table.name}" does not exist`;
    if (!options.ifExists) throw new SqlError('42704', message);
    context.notice('00000', `${message}, skipping`);
    return;
  }
  const wanted = [...key].sort().join();
  const references = context.snapshot
    .referencing(table.id)
    .filter(({ foreignKey: one }) => [...one.targetColumns].sort().join() === wanted);
  refuseDependents(
    draft,
    `constraint ${name} on table ${table.name}`,
    references.map(({ foreignKey: one, table: other }) => ({
      what: `constraint ${one.name} on table ${other.name}`,
      on: `index ${name}`,
    })),
    options.cascade,
  );
  for (const { foreignKey: one, table: other } of references)
    removeForeignKey(draft, other.id, one.oid);
  if (index !== undefined) {
    context.editor.addGarbage(indexSpan(table, index));
    draft.change({ indexes: draft.table.indexes.filter((one) => one !== index) });
    return;
  }
  draft.change({ primaryKey: undefined });
  draft.work.push({ kind: 'rewrite' });
}

function removeForeignKey(draft: TableDraft, tableId: number, oid: number): void {
  if (tableId === draft.table.id) {
    draft.change({ foreignKeys: draft.table.foreignKeys.filter((one) => one.oid !== oid) });
    return;
  }
  const { editor, snapshot } = draft.context;
  const other = snapshot.table(tableId);
  if (other !== undefined)
    editor.put({ ...other, foreignKeys: other.foreignKeys.filter((one) => one.oid !== oid) });
}

/** Throws 2BP01. */
function refuseDependents(
  draft: TableDraft,
  what: string,
  dependents: readonly Dependent[],
  cascade: boolean,
): void {
  const [only] = dependents;
  if (only === undefined) return;
  if (!cascade)
    throw new SqlError('2BP01', `cannot drop ${what} because other objects depend on it`, {
      detail: dependents.map((one) => `${one.what} depends on ${one.on}`).join('\n'),
      hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
    });
  draft.context.notice(
    '00000',
    dependents.length === 1
      ? `drop cascades to ${only.what}`
      : `drop cascades to ${dependents.length} other objects`,
  );
}
