/** Tables that a change touches beside the one that it names. */
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { DdlContext } from './ddl-context.ts';

/**
 * The tables that foreign keys of this one refer to get a new version: plans that write to them were made without knowing
 * of the keys.
 */
export async function lockReferenced(ddl: DdlContext, table: TableDescriptor): Promise<void> {
  const targets = new Set(table.foreignKeys.map((one) => one.target));
  for (const id of targets) {
    const target = ddl.snapshot.table(id);
    if (target !== undefined && id !== table.id) ddl.editor.put(target);
  }
}
