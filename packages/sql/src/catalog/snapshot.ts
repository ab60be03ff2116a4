/**
 * The catalog as of one version, whole and in memory, as it is seen from within one database: every schema and relation
 * there, by id and by name, and what databases share. Immutable. Loaded by `Catalog`, changed through a `CatalogEditor`, read
 * by binder, planner, executor and the virtual tables.
 */

import { arrayTypeOf, type SqlType, typeByOid } from '../types/type.ts';
import { publicSchemaAcl, systemSchemaAcl } from './acl.ts';
import {
  type ForeignKeyDescriptor,
  type IndexDescriptor,
  type PrimaryKey,
  type RelationDescriptor,
  type SchemaDescriptor,
  sqlTypeOf,
  type TableDescriptor,
  type TypeDescriptor,
} from './descriptor.ts';
import {
  type AccessDescriptor,
  builtInDatabases,
  builtInRoles,
  type DatabaseDescriptor,
  initialDatabase,
  initialDatabaseId,
  type RoleDescriptor,
  type SettingValues,
} from './role.ts';

import type { TableStatistics } from './statistics.ts';

export const catalogSchema = 'pg_catalog';
export const informationSchema = 'information_schema';
export const flotillaSchema = 'flotilla';
export const publicSchema = 'public';

const builtInSchemas: readonly SchemaDescriptor[] = [
  {
    kind: 'schema',
    id: 11,
    name: catalogSchema,
    owner: 'postgres',
    acl: systemSchemaAcl,
    comment: 'system catalog schema',
  },
  {
    kind: 'schema',
    id: 13_183,
    name: informationSchema,
    owner: 'postgres',
    acl: systemSchemaAcl,
  },
  {
    kind: 'schema',
    id: 99,
    name: 'pg_toast',
    owner: 'postgres',
    comment: 'reserved schema for TOAST tables',
  },
  {
    kind: 'schema',
    id: 15_900,
    name: flotillaSchema,
    owner: 'postgres',
    comment: 'the cluster: ranges, stores, locks, sessions',
  },
];

const initialPublic: SchemaDescriptor = {
  kind: 'schema',
  id: 2200,
  name: publicSchema,
  owner: 'pg_database_owner',
  acl: publicSchemaAcl,
  comment: 'standard public schema',
};

export function isSystemSchema(name: string): boolean {
  return builtInSchemas.some((schema) => schema.name === name);
}

export interface FoundIndex {
  readonly table: TableDescriptor;
  /** Undefined: the primary key's. */
  readonly index: IndexDescriptor | undefined;
  readonly primaryKey: PrimaryKey | undefined;
}

export interface Reference {
  readonly table: TableDescriptor;
  readonly foreignKey: ForeignKeyDescriptor;
}

/** What lies in one database. */
export interface DatabaseContents {
  /** By name. A schema of id 0 has been dropped: only `public` needs to be told so. */
  readonly schemas: ReadonlyMap<string, SchemaDescriptor>;
  readonly relations: ReadonlyMap<number, RelationDescriptor>;
  /** What users made, by oid. */
  readonly types: ReadonlyMap<number, TypeDescriptor>;
}

/** What the store holds of the catalog: of one database, and of the others beside it. */
export interface CatalogContents extends DatabaseContents {
  readonly version: number;
  /** The oid of the database that `schemas`, `relations` and `types` are of. */
  readonly database: number;
  /** By oid. One that nothing lies in may be missing. */
  readonly elsewhere: ReadonlyMap<number, DatabaseContents>;
  /** Roles and databases by what they are kept by. The same object while none of them changes. */
  readonly access: ReadonlyMap<string, AccessDescriptor>;
  /** Of tables that were analyzed, of all databases, by id. */
  readonly statistics?: ReadonlyMap<number, TableStatistics>;
}

const emptyDatabase: DatabaseContents = {
  schemas: new Map(),
  relations: new Map(),
  types: new Map(),
};

/** What lies in a database. */
export function contentsOf(contents: CatalogContents, database: number): DatabaseContents {
  if (database === contents.database) return contents;
  return contents.elsewhere.get(database) ?? emptyDatabase;
}

/** The oids of all databases that anything may lie in. */
export function databasesIn({ database, elsewhere }: CatalogContents): number[] {
  return [database, ...elsewhere.keys()];
}

/** The same contents from within another database. */
function movedTo(contents: CatalogContents, database: number): CatalogContents {
  const { schemas, relations, types } = contents;
  const elsewhere = new Map(contents.elsewhere);
  elsewhere.delete(database);
  elsewhere.set(contents.database, { schemas, relations, types });
  return { ...contents, ...contentsOf(contents, database), database, elsewhere };
}

function nameOf(schema: string, name: string): string {
  return `${schema}\0${name}`;
}

export class CatalogSnapshot {
  readonly contents: CatalogContents;
  readonly schemas: ReadonlyMap<string, SchemaDescriptor>;
  /** By name; those that are always there among them. */
  readonly roles: ReadonlyMap<string, RoleDescriptor>;
  /** By name; those that are always there among them. */
  readonly databases: ReadonlyMap<string, DatabaseDescriptor>;
  /** The one that all of this is seen from. Undefined: it has been dropped. */
  private readonly own: DatabaseDescriptor | undefined;
  /** What sessions begin with whoever they are of, by database; '' = in all. */
  readonly settings: Readonly<Record<string, SettingValues>>;
  /** The same version from within other databases, and from here. */
  private readonly views: Map<number, CatalogSnapshot>;
  private readonly names = new Map<string, RelationDescriptor | FoundIndex>();
  private readonly typeNames = new Map<string, TypeDescriptor>();
  /** Of users' types and of arrays of them. */
  private readonly typesByOid = new Map<number, SqlType>();
  private readonly references = new Map<number, Reference[]>();

  constructor(contents: CatalogContents, views: Map<number, CatalogSnapshot> = new Map()) {
    this.contents = contents;
    this.views = views.set(contents.database, this);
    const schemas = new Map(builtInSchemas.map((schema) => [schema.name, schema]));
    schemas.set(publicSchema, initialPublic);
    for (const schema of contents.schemas.values()) {
      if (schema.id === 0) schemas.delete(schema.name);
      else schemas.set(schema.name, schema);
    }
    this.schemas = schemas;
    const roles = new Map(builtInRoles.map((role) => [role.name, role]));
    const databases = new Map(builtInDatabases.map((database) => [database.id, database]));
    for (const one of contents.access.values())
      if (one.kind === 'role') roles.set(one.name, one);
      else databases.set(one.id, one);
    this.roles = roles;
    this.settings = databases.get(initialDatabaseId)?.settings ?? {};
    const there = [...databases.values()].filter(({ dropped }) => dropped !== true);
    this.databases = new Map(there.map((database) => [database.name, database]));
    this.own = there.find(({ id }) => id === contents.database);
    for (const type of contents.types.values()) {
      this.typeNames.set(nameOf(type.schema, type.name), type);
      const own = sqlTypeOf(type);
      this.typesByOid.set(type.id, own);
      const array = arrayTypeOf(own);
      if (array !== undefined) this.typesByOid.set(type.arrayOid, array);
    }
    for (const relation of contents.relations.values()) {
      this.names.set(nameOf(relation.schema, relation.name), relation);
      if (relation.kind === 'table') this.addTable(relation);
    }
  }

  static empty(): CatalogSnapshot {
    return new CatalogSnapshot({
      version: 0,
      ...emptyDatabase,
      database: initialDatabaseId,
      elsewhere: new Map(),
      access: new Map(),
    });
  }

  get version(): number {
    return this.contents.version;
  }

  /** The same version from within another database. Made once for each. */
  at(database: number): CatalogSnapshot {
    return (
      this.views.get(database) ?? new CatalogSnapshot(movedTo(this.contents, database), this.views)
    );
  }

  /** The same version from within every database that anything may lie in. */
  everywhere(): CatalogSnapshot[] {
    return databasesIn(this.contents).map((database) => this.at(database));
  }

  /** The database that all of this is seen from. One that is gone looks as if it were new. */
  get database(): DatabaseDescriptor {
    return this.own ?? { ...initialDatabase, id: this.contents.database, name: '' };
  }

  /** Whether that database is there. */
  get isThere(): boolean {
    return this.own !== undefined;
  }

  databaseById(id: number): DatabaseDescriptor | undefined {
    for (const database of this.databases.values()) if (database.id === id) return database;
    return undefined;
  }

  get relations(): ReadonlyMap<number, RelationDescriptor> {
    return this.contents.relations;
  }

  /** What ANALYZE found out about a table. */
  statisticsOf(id: number): TableStatistics | undefined {
    return this.contents.statistics?.get(id);
  }

  /** All tables, in order of their ids. */
  tables(): TableDescriptor[] {
    return this.sorted().filter((one) => one.kind === 'table');
  }

  /** All relations, in order of their ids. */
  sorted(): RelationDescriptor[] {
    return [...this.relations.values()].sort((a, b) => a.id - b.id);
  }

  table(id: number): TableDescriptor | undefined {
    const found = this.relations.get(id);
    return found?.kind === 'table' ? found : undefined;
  }

  /** Users' types, in order of their oids. */
  types(): TypeDescriptor[] {
    return [...this.contents.types.values()].sort((a, b) => a.id - b.id);
  }

  /** Built in or a user's; arrays too. */
  typeByOid(oid: number): SqlType | undefined {
    return typeByOid(oid) ?? this.typesByOid.get(oid);
  }

  /** The descriptor of a type, or of the type that an array type is over. Undefined: it is built in. */
  descriptorOf(type: SqlType): TypeDescriptor | undefined {
    return this.contents.types.get(type.element?.oid ?? type.oid);
  }

  /** Undefined also where the name is that of an index. */
  find(schema: string, name: string): RelationDescriptor | undefined {
    const found = this.names.get(nameOf(schema, name));
    return found !== undefined && 'kind' in found ? found : undefined;
  }

  findType(schema: string, name: string): TypeDescriptor | undefined {
    return this.typeNames.get(nameOf(schema, name));
  }

  /** Relations and types share their names, because a relation is a type, too. */
  findObject(schema: string, name: string): RelationDescriptor | TypeDescriptor | undefined {
    return this.find(schema, name) ?? this.findType(schema, name);
  }

  findIndex(schema: string, name: string): FoundIndex | undefined {
    const found = this.names.get(nameOf(schema, name));
    return found !== undefined && !('kind' in found) ? found : undefined;
  }

  /** Relations and indexes share their names. */
  isTaken(schema: string, name: string): boolean {
    return this.names.has(nameOf(schema, name));
  }

  /** Foreign keys of any table that refer to this one. */
  referencing(id: number): readonly Reference[] {
    return this.references.get(id) ?? [];
  }

  private addTable(table: TableDescriptor): void {
    const { schema, primaryKey } = table;
    if (primaryKey !== undefined)
      this.names.set(nameOf(schema, primaryKey.constraint), {
        table,
        index: undefined,
        primaryKey,
      });
    for (const index of table.indexes)
      this.names.set(nameOf(schema, index.name), { table, index, primaryKey: undefined });
    for (const foreignKey of table.foreignKeys) {
      const list = this.references.get(foreignKey.target) ?? [];
      list.push({ table, foreignKey });
      this.references.set(foreignKey.target, list);
    }
  }
}
