/** TRUNCATE: each table gets a new, empty place for its rows; the old one is deleted once the change is committed. */
import type { TruncateStmt } from 'libpg-query';
import type { SequenceDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { holds } from '../roles/access.ts';
import { denied } from '../roles/role-errors.ts';
import { SqlError } from '../sql-error.ts';
import { storageSpan } from '../storage/table-store.ts';
import type { DdlContext } from './ddl-context.ts';

export async function truncate(ddl: DdlContext, statement: TruncateStmt): Promise<string> {
  const cascade = statement.behavior === 'DROP_CASCADE';
  const tables = new Map<number, TableDescriptor>();
  for (const node of statement.relations ?? []) {
    if (!('RangeVar' in node)) throw ddl.binder().unsupported('TRUNCATE target');
    const table = ddl.table(node.RangeVar);
    requireTruncate(ddl, table);
    tables.set(table.id, table);
  }
  // Cascading may reach further tables while it goes: Map iteration sees what is added.
  for (const table of tables.values())
    for (const { table: other } of ddl.snapshot.referencing(table.id)) {
      if (tables.has(other.id)) continue;
      if (!cascade)
        throw new SqlError(
          '0A000',
          'cannot truncate a table referenced in a foreign key constraint',
          {
            detail: `Table "${other.name}" references "${table.name}".`,
            hint: `Truncate table "${other.name}" at the same time, or use TRUNCATE ... CASCADE.`,
          },
        );
      ddl.notice('00000', `truncate cascades to table "${other.name}"`);
      requireTruncate(ddl, other);
      tables.set(other.id, ddl.snapshot.table(other.id) ?? other);
    }
  for (const table of tables.values()) ddl.requireSettled(table, 'TRUNCATE');
  for (const { id } of tables.values()) {
    const table = ddl.snapshot.table(id);
    if (table === undefined) continue;
    ddl.editor.addGarbage(storageSpan(table.storageId));
    const { filledAt: _, ...rest } = table;
    const storageId = await ddl.takeStorageId();
    ddl.claim(storageSpan(storageId));
    ddl.editor.put({ ...rest, storageId });
    if (statement.restart_seqs === true) await restartSequences(ddl, id);
  }
  return 'TRUNCATE TABLE';
}

/** Throws 42501. */
function requireTruncate(ddl: DdlContext, table: TableDescriptor): void {
  if (!holds(table, ddl.authority, 'D')) throw denied(`permission denied for table ${table.name}`);
}

async function restartSequences(ddl: DdlContext, table: number): Promise<void> {
  const owned = ddl.snapshot
    .sorted()
    .filter(
      (one): one is SequenceDescriptor => one.kind === 'sequence' && one.ownedBy?.table === table,
    );
  for (const sequence of owned) {
    ddl.editor.addGarbage(storageSpan(sequence.storageId));
    ddl.editor.put({ ...sequence, storageId: await ddl.takeStorageId() });
  }
}
