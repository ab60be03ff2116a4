/**
 * The catalog as the sessions of one database see it: snapshots from within it, and changes of what lies there. Each session
 * has one; what is costly to make is the snapshots', which sessions share. Knows nothing of users.
 */
import type { KvTransaction } from '../kv-transaction.ts';
import { SqlError } from '../sql-error.ts';
import type { Catalog, Pinned } from './catalog.ts';
import type { CatalogEditor } from './editor.ts';
import type { Grant } from './grant.ts';
import { initialDatabaseId } from './role.ts';
import type { CatalogSnapshot } from './snapshot.ts';

export interface DatabaseOptions {
  /** As the session's user wrote it. */
  readonly name: string;
  /** As it was found when the session was let in. Undefined: nobody has asked whether there is such a database. */
  readonly oid: number | undefined;
}

export class DatabaseCatalog {
  readonly cluster: Catalog;
  private readonly name: string;
  private oid: number | undefined;
  /** The snapshot of the cluster that was asked last, and what it looks like from here. */
  private seen: CatalogSnapshot | undefined;
  private view: CatalogSnapshot | undefined;

  constructor(cluster: Catalog, { name, oid }: DatabaseOptions) {
    this.cluster = cluster;
    this.name = name;
    this.oid = oid;
  }

  /** Throws 3D000 where the database has been dropped. */
  get id(): number {
    return this.snapshot.contents.database;
  }

  /** The newest that this process has. Throws 3D000 where the database has been dropped. */
  get snapshot(): CatalogSnapshot {
    const { snapshot } = this.cluster;
    if (this.view !== undefined && this.seen === snapshot) return this.view;
    const view = this.look(snapshot);
    this.seen = snapshot;
    this.view = view;
    return view;
  }

  /** Errors: those of `snapshot` and Catalog.loadNewest. */
  async loadNewest(): Promise<CatalogSnapshot> {
    await this.cluster.loadNewest();
    return this.snapshot;
  }

  /** Errors: those of `snapshot` and Catalog.load. */
  async load(atLeast: number): Promise<CatalogSnapshot> {
    await this.cluster.load(atLeast);
    return this.snapshot;
  }

  /** As Catalog.change. */
  change(editor: CatalogEditor, transaction: KvTransaction): Promise<void> {
    return this.cluster.change(editor, transaction);
  }

  /** As Catalog.pin. */
  pin(transaction: KvTransaction): Promise<Pinned> {
    return this.cluster.pin(transaction);
  }

  /** As Catalog.commit. */
  commit(transaction: KvTransaction, grant: Grant | undefined): Promise<void> {
    return this.cluster.commit(transaction, grant);
  }

  private look(snapshot: CatalogSnapshot): CatalogSnapshot {
    const view = snapshot.at(this.oid ?? this.find(snapshot));
    if (!view.isThere) throw missingDatabase(this.name);
    return view;
  }

  /**
   * Who was let in unasked may have called the database anything, as he may himself: where no database has the name, the
   * initial one is meant. Once found, it stays.
   */
  private find(snapshot: CatalogSnapshot): number {
    const id = snapshot.databases.get(this.name)?.id ?? initialDatabaseId;
    if (this.cluster.isLoaded) this.oid = id;
    return id;
  }
}

export function missingDatabase(name: string): SqlError {
  return new SqlError('3D000', `database "${name}" does not exist`);
}
