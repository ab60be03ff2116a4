/**
 * Changes of the catalog in the making: a snapshot and what was put in the place of its parts. One DDL statement has one,
 * or one transaction block with DDL in it. Reads nothing and writes nothing before `flush`; the version key is read and
 * written there, so that of two changes at once one conflicts.
 */
import { DbError, type Span, timestampToWallMs, toTimestamp } from '@flotilla/base';
import { droppedKey, encodeDropped } from '../dropped/dropped-rows.ts';
import type { KvTransaction } from '../kv-transaction.ts';
import { storedText } from '../types/stored-text.ts';
import { arrayTypeOf, type SqlType } from '../types/type.ts';
import {
  type RelationDescriptor,
  type SchemaDescriptor,
  sqlTypeOf,
  type TableDescriptor,
  type TypeDescriptor,
} from './descriptor.ts';
import { encodeDescriptor } from './descriptor-codec.ts';
import { KeyNames } from './key-names.ts';
import {
  accessKey,
  catalogVersionKey,
  decodeCounter,
  descriptorKey,
  encodeCounter,
  schemaKey,
  statisticsKey,
} from './keys.ts';
import {
  type AccessDescriptor,
  accessName,
  builtInDatabases,
  type DatabaseDescriptor,
  databaseKey,
  initialDatabase,
  initialDatabaseId,
  roleKey,
} from './role.ts';
import {
  CatalogSnapshot,
  contentsOf,
  type DatabaseContents,
  databasesIn,
  publicSchema,
} from './snapshot.ts';

/** A state to go back to. */
export interface EditorMark {
  readonly current: CatalogSnapshot;
  readonly garbage: readonly Span[];
}

export class CatalogEditor {
  private readonly base: CatalogSnapshot;
  private current: CatalogSnapshot;
  private spans: readonly Span[] = [];

  constructor(base: CatalogSnapshot) {
    this.base = base;
    this.current = base;
  }

  /** The catalog that is changed, as it was. */
  get before(): CatalogSnapshot {
    return this.base;
  }

  /** The catalog with the changes so far. */
  get snapshot(): CatalogSnapshot {
    return this.current;
  }

  get changed(): boolean {
    return this.current !== this.base;
  }

  /** Rows that nobody can read once the changes are committed. */
  get garbage(): readonly Span[] {
    return this.spans;
  }

  mark(): EditorMark {
    return { current: this.current, garbage: this.spans };
  }

  restore(mark: EditorMark): void {
    this.current = mark.current;
    this.spans = mark.garbage;
  }

  /** Puts a relation in the place of the one with its id. @returns it, with the version it will have */
  put<T extends RelationDescriptor>(relation: T): T {
    const { contents } = this.current;
    const versioned = { ...relation, version: this.base.version + 1 };
    const relations = new Map(contents.relations).set(relation.id, versioned);
    this.current = new CatalogSnapshot({ ...contents, relations });
    return versioned;
  }

  remove(id: number): void {
    const { contents } = this.current;
    const relations = new Map(contents.relations);
    relations.delete(id);
    this.current = new CatalogSnapshot({ ...contents, relations });
  }

  /** Puts a type in the place of the one with its oid, in all relations with columns of it and domains over it too. */
  putType(descriptor: TypeDescriptor): void {
    const { contents } = this.current;
    const versioned = { ...descriptor, version: this.base.version + 1 };
    const types = new Map(contents.types).set(descriptor.id, versioned);
    this.current = new CatalogSnapshot({ ...contents, types });
    const type = sqlTypeOf(versioned);
    const successor = new Map([[versioned.id, type]]);
    const array = arrayTypeOf(type);
    if (array !== undefined) successor.set(array.oid, array);
    for (const relation of this.current.relations.values()) {
      const next = withTypes(relation, successor);
      if (next !== relation) this.put(next);
    }
    for (const other of this.current.types()) {
      const base = other.domain && successor.get(other.domain.type.oid);
      if (other.domain !== undefined && base !== undefined)
        this.putType({ ...other, domain: { ...other.domain, type: base } });
    }
  }

  removeType(oid: number): void {
    const { contents } = this.current;
    const types = new Map(contents.types);
    types.delete(oid);
    this.current = new CatalogSnapshot({ ...contents, types });
  }

  putSchema(schema: SchemaDescriptor): void {
    const { contents } = this.current;
    const schemas = new Map(contents.schemas).set(schema.name, schema);
    this.current = new CatalogSnapshot({ ...contents, schemas });
  }

  /** A dropped `public` leaves a mark, because without one it is there. */
  removeSchema(schema: SchemaDescriptor): void {
    if (schema.name === publicSchema) {
      this.putSchema({ ...schema, id: 0 });
      return;
    }
    const { contents } = this.current;
    const schemas = new Map(contents.schemas);
    schemas.delete(schema.name);
    this.current = new CatalogSnapshot({ ...contents, schemas });
  }

  /** Puts a role or a database in the place of the one that has its name, or its oid. */
  putAccess(descriptor: AccessDescriptor): void {
    const { contents } = this.current;
    const access = new Map(contents.access).set(accessName(descriptor), descriptor);
    this.current = new CatalogSnapshot({ ...contents, access });
  }

  removeRole(name: string): void {
    const { contents } = this.current;
    const access = new Map(contents.access);
    access.delete(roleKey(name));
    this.current = new CatalogSnapshot({ ...contents, access });
  }

  /** One that is there without a descriptor leaves a mark. What lies in it is not touched. */
  removeDatabase({ id, name, owner }: DatabaseDescriptor): void {
    const { contents } = this.current;
    const access = new Map(contents.access);
    const built = builtInDatabases.some((one) => one.id === id);
    // The settings of all databases are kept with the initial one.
    const settings = id === initialDatabaseId ? this.current.settings : {};
    if (built)
      access.set(databaseKey(id), { kind: 'database', id, name, owner, settings, dropped: true });
    else access.delete(databaseKey(id));
    this.current = new CatalogSnapshot({ ...contents, access });
  }

  /** All that lies in another database goes; its rows are garbage then. */
  emptyDatabase(id: number): void {
    const { contents } = this.current;
    const elsewhere = new Map(contents.elsewhere);
    elsewhere.delete(id);
    this.current = new CatalogSnapshot({ ...contents, elsewhere });
  }

  /** What sessions begin with, by database. */
  putSettings(settings: DatabaseDescriptor['settings']): void {
    const initial = this.current.contents.access.get(databaseKey(initialDatabaseId));
    const kept = initial?.kind === 'database' ? initial : initialDatabase;
    this.putAccess({ ...kept, settings });
  }

  /** Makes changes in another database, or in this one. */
  within(database: number, change: () => void): void {
    const before = this.current;
    const home = before.contents.database;
    if (database === home) {
      change();
      return;
    }
    const there = before.at(database);
    this.current = there;
    change();
    this.current = this.current === there ? before : this.current.at(home);
  }

  addGarbage(span: Span): void {
    this.spans = [...this.spans, span];
  }

  /** Whether the rows of this table are seen by this change alone: nothing of it was there before. */
  isFresh(table: TableDescriptor): boolean {
    return this.base.table(table.id)?.storageId !== table.storageId;
  }

  /**
   * Leaves the changes in the transaction, which must see all of the catalog's keys as the base has them.
   * @param now of the database, as `KvDatabase.now`
   * @returns the catalog as it is once the transaction has committed. Throws DbError CONFLICT.
   */
  async flush(transaction: KvTransaction, now: number): Promise<CatalogSnapshot> {
    const version = decodeCounter(await transaction.get(catalogVersionKey));
    if (version !== this.base.version)
      throw new DbError('CONFLICT', 'the catalog was changed meanwhile');
    transaction.put(catalogVersionKey, encodeCounter(version + 1));
    const [before, after] = [this.base.contents, this.current.contents];
    for (const database of new Set([...databasesIn(before), ...databasesIn(after)])) {
      const [was, is] = [contentsOf(before, database), contentsOf(after, database)];
      if (was !== is) this.flushDatabase(transaction, database, [was, is]);
    }
    for (const [name, one] of after.access)
      if (before.access.get(name) !== one) transaction.put(accessKey(name), encodeDescriptor(one));
    for (const name of before.access.keys())
      if (!after.access.has(name)) transaction.delete(accessKey(name));
    this.listGarbage(transaction, now);
    return new CatalogSnapshot({ ...after, version: version + 1 });
  }

  /** Whoever finds the list deletes what is in the spans, whatever becomes of this process. */
  private listGarbage(transaction: KvTransaction, now: number): void {
    if (this.spans.length === 0) return;
    const names = new KeyNames(this.base, storedText);
    const droppedAtMs = timestampToWallMs(toTimestamp(now));
    for (const span of this.spans) {
      const { schema, relation, index } = names.placeOf(span.startKey);
      const name = [schema, relation, index].filter((part) => part !== undefined).join('.');
      transaction.put(droppedKey(span), encodeDropped({ span, name, droppedAtMs }));
    }
  }

  private flushDatabase(
    transaction: KvTransaction,
    id: number,
    [before, after]: readonly [DatabaseContents, DatabaseContents],
  ): void {
    const database = id === initialDatabaseId ? undefined : id;
    for (const [oid, relation] of after.relations)
      if (before.relations.get(oid) !== relation)
        transaction.put(descriptorKey(oid), encodeDescriptor(relation, database));
    for (const [oid, type] of after.types)
      if (before.types.get(oid) !== type)
        transaction.put(descriptorKey(oid), encodeDescriptor(type, database));
    for (const oid of before.types.keys())
      if (!after.types.has(oid)) transaction.delete(descriptorKey(oid));
    for (const oid of before.relations.keys())
      if (!after.relations.has(oid)) {
        transaction.delete(descriptorKey(oid));
        // Whether or not they are known here: they come without a change of the catalog.
        transaction.delete(statisticsKey(oid));
      }
    for (const [name, schema] of after.schemas)
      if (before.schemas.get(name) !== schema)
        transaction.put(schemaKey(name, database), encodeDescriptor(schema, database));
    for (const name of before.schemas.keys())
      if (!after.schemas.has(name)) transaction.delete(schemaKey(name, database));
  }
}

/** The same relation where none of its columns is of one of the types. */
function withTypes(
  relation: RelationDescriptor,
  successor: ReadonlyMap<number, SqlType>,
): RelationDescriptor {
  if (relation.kind === 'sequence') return relation;
  const isOld = ({ type }: { readonly type: SqlType }) => successor.has(type.oid);
  const renewed = <T extends { readonly type: SqlType }>(one: T): T => ({
    ...one,
    type: successor.get(one.type.oid) ?? one.type,
  });
  if (relation.kind === 'view')
    return relation.columns.some(isOld)
      ? { ...relation, columns: relation.columns.map(renewed) }
      : relation;
  if (!relation.columns.some(isOld)) return relation;
  return { ...relation, columns: relation.columns.map(renewed) };
}
