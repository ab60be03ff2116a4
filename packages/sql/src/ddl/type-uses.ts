/** What rests on types that users made: columns, and what DROP TYPE … CASCADE does to them. Called by drop.ts. */
import type { ColumnDescriptor, TableDescriptor, TypeDescriptor } from '../catalog/descriptor.ts';
import { displayOf } from '../catalog/descriptor.ts';
import { isMaterialized } from '../catalog/relation-word.ts';
import { storageSpan } from '../storage/table-store.ts';
import { applyWork } from './apply-work.ts';
import type { DdlContext } from './ddl-context.ts';
import { dropColumn } from './drop-parts.ts';
import { lockReferenced } from './locks.ts';
import { TableDraft } from './table-draft.ts';

/** With its schema where the name alone would not lead to it. */
export function typeText(ddl: DdlContext, type: TypeDescriptor): string {
  const visible = ddl.binder().names.path.includes(type.schema);
  return visible ? displayOf(type.name) : displayOf(type.name, type.schema);
}

/** Columns of the types or of arrays of them. */
export function columnsOf(
  ddl: DdlContext,
  types: ReadonlyMap<number, TypeDescriptor>,
): readonly {
  readonly table: TableDescriptor;
  readonly column: ColumnDescriptor;
  readonly type: TypeDescriptor;
}[] {
  if (types.size === 0) return [];
  // Of a materialized view the query uses the type, and goes as a whole.
  const tables = ddl.snapshot.tables().filter((table) => !isMaterialized(table));
  return tables.flatMap((table) =>
    table.columns.flatMap((column) => {
      const type = types.get(column.type.element?.oid ?? column.type.oid);
      return type === undefined ? [] : [{ table, column, type }];
    }),
  );
}

/** ALTER TABLE … DROP COLUMN … CASCADE, unless the column has gone with another one. */
export async function dropColumnOf(
  ddl: DdlContext,
  tableId: number,
  column: ColumnDescriptor,
): Promise<void> {
  const before = ddl.snapshot.table(tableId);
  if (before?.columns.some((one) => one.name === column.name) !== true) return;
  const draft = new TableDraft(ddl, before);
  dropColumn(draft, column.name, { cascade: true, ifExists: false, quiet: true });
  await draft.finish();
  await lockReferenced(ddl, before);
  const after = await applyWork(draft, before);
  if (after.storageId !== before.storageId) ddl.editor.addGarbage(storageSpan(before.storageId));
  ddl.editor.put(after);
}
