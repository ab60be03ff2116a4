/**
 * A change of the catalog that took long is made of the newest one, if nobody has changed what it rests on meanwhile: else a
 * refresh of minutes would lose to every table that somebody makes. Called by run-ddl.ts, outside of blocks.
 */
import { DbError } from '@flotilla/base';
import type { CatalogDependent } from '../catalog/catalog.ts';
import type { DatabaseCatalog } from '../catalog/database-catalog.ts';
import { CatalogEditor } from '../catalog/editor.ts';
import type { KvTransaction } from '../kv-transaction.ts';

export interface Rebasable {
  /** What the change rests on, and what it changes. */
  readonly on: CatalogDependent;
  /** Makes it of a catalog in which all of that is as it was. */
  readonly apply: (editor: CatalogEditor) => void;
}

/**
 * @param transaction under read committed: it sees the newest version from now on, and its commit checks that it still is
 * @returns the editor, or one over the newest catalog. Throws DbError CONFLICT.
 */
export async function rebased(
  editor: CatalogEditor,
  change: Rebasable,
  {
    catalog,
    transaction,
  }: { readonly catalog: DatabaseCatalog; readonly transaction: KvTransaction },
): Promise<CatalogEditor> {
  const newest = await catalog.loadNewest();
  transaction.beginStatement();
  if (newest.version === editor.snapshot.version) return editor;
  if (!catalog.cluster.stillNamed(change.on))
    throw new DbError('CONFLICT', 'what the change rests on was changed meanwhile');
  const next = new CatalogEditor(newest);
  change.apply(next);
  return next;
}
