/** ON COMMIT of temporary tables: what the end of a transaction does to the tables that it made or wrote to. */
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { CatalogEditor } from '../catalog/editor.ts';
import type { KvTransaction } from '../kv-transaction.ts';
import { storageSpan } from '../storage/table-store.ts';

/** ON COMMIT DROP: tables that the change has made go before anybody else sees them, and their sequences. */
export function dropAtCommit(editor: CatalogEditor): void {
  for (const table of editor.snapshot.tables()) {
    if (table.onCommit !== 'drop') continue;
    editor.remove(table.id);
    editor.addGarbage(storageSpan(table.storageId));
    for (const relation of editor.snapshot.sorted()) {
      if (relation.kind !== 'sequence' || relation.ownedBy?.table !== table.id) continue;
      editor.remove(relation.id);
      editor.addGarbage(storageSpan(relation.storageId));
    }
  }
}

/** ON COMMIT DELETE ROWS, of the tables that the transaction has written to. Throws DbError. */
export async function emptyAtCommit(
  tables: Iterable<TableDescriptor>,
  transaction: KvTransaction,
): Promise<void> {
  for (const table of tables) {
    if (table.onCommit !== 'delete') continue;
    const keys: Uint8Array[] = [];
    for await (const pairs of transaction.scan(storageSpan(table.storageId)))
      for (const { key } of pairs) keys.push(key);
    for (const key of keys) transaction.delete(key);
  }
}
