/**
 * Names of relations as one statement sees them: a snapshot of the catalog, the schemas of its search_path, and a note of
 * everything that was found, which is what the statement's plan rests on.
 */
import { SqlError } from '../sql-error.ts';
import { arrayTypeOf, type SqlType, typeByName } from '../types/type.ts';
import type { Dependency } from './catalog.ts';
import { type RelationDescriptor, sqlTypeOf, type TypeDescriptor } from './descriptor.ts';
import { effectivePath } from './search-path.ts';
import { type CatalogSnapshot, catalogSchema } from './snapshot.ts';
import { isTemporarySchema, temporaryAlias, temporarySchemaOf } from './temporary-schema.ts';
import { systemTable } from './virtual/registry.ts';
import type { VirtualTable } from './virtual/virtual-table.ts';

export type Named = RelationDescriptor | VirtualTable;

export class NameResolver {
  readonly snapshot: CatalogSnapshot;
  /** The schemas that are there, pg_catalog among them. */
  readonly path: readonly string[];
  /** Those that the setting names: current_schemas(false). */
  readonly schemas: readonly string[];
  private readonly found: Map<number, Dependency>;
  /** Where the session has its temporary objects. */
  private readonly temporary: string | undefined;
  private asked = false;

  /** @param searchPath as the session has it, whether or not the schemas are there */
  constructor(
    snapshot: CatalogSnapshot,
    searchPath: readonly string[],
    found: Map<number, Dependency> = new Map(),
  ) {
    this.snapshot = snapshot;
    this.path = effectivePath(snapshot, searchPath, true);
    this.schemas = effectivePath(snapshot, searchPath, false);
    this.found = found;
    this.temporary = temporarySchemaOf(searchPath);
  }

  /** What a schema's name means here: everybody calls his own temporary one pg_temp. */
  schemaOf(name: string | undefined): string | undefined {
    return name === temporaryAlias ? (this.temporary ?? name) : name;
  }

  /** The same statement's names where they are looked up by another path: inside a view. */
  within(searchPath: readonly string[]): NameResolver {
    return new NameResolver(this.snapshot, searchPath, this.found);
  }

  get dependencies(): readonly Dependency[] {
    return [...this.found.values()];
  }

  /** Whether any name was looked up: what was said about names may be out of date then. */
  get wasAsked(): boolean {
    return this.asked || this.found.size > 0;
  }

  /** Throws 0A000 for a temporary relation of another session. */
  find(written: string | undefined, name: string): Named | undefined {
    this.asked = true;
    const schema = this.schemaOf(written);
    for (const candidate of schema === undefined ? this.path : [schema]) {
      const virtual = systemTable(candidate, name);
      if (virtual !== undefined) return virtual;
      const relation = this.snapshot.find(candidate, name);
      if (relation === undefined) continue;
      if (isTemporarySchema(candidate) && candidate !== this.temporary)
        throw new SqlError('0A000', 'cannot access temporary tables of other sessions');
      this.note(relation);
      return relation;
    }
    return undefined;
  }

  /** A type by pg_type.typname; `_mood` is the array type over `mood`. */
  findType(schema: string | undefined, name: string): SqlType | undefined {
    this.asked = true;
    for (const candidate of schema === undefined ? this.path : [schema]) {
      const builtIn = candidate === catalogSchema ? typeByName(name) : undefined;
      if (builtIn !== undefined) return builtIn;
      const found = this.snapshot.findType(candidate, name);
      if (found !== undefined) {
        this.note(found);
        return sqlTypeOf(found);
      }
      const element = name.startsWith('_')
        ? this.snapshot.findType(candidate, name.slice(1))
        : undefined;
      if (element === undefined) continue;
      this.note(element);
      return arrayTypeOf(sqlTypeOf(element));
    }
    return undefined;
  }

  /** A type by oid, noted where a user made it. */
  typeByOid(oid: number): SqlType | undefined {
    const type = this.snapshot.typeByOid(oid);
    const own = type === undefined ? undefined : this.snapshot.descriptorOf(type);
    if (own !== undefined) this.note(own);
    return type;
  }

  /** Notes that the statement rests on this object, by whatever way it came to it. */
  note(relation: RelationDescriptor | TypeDescriptor): void {
    const { schema, name } = relation;
    const schemaAcl = JSON.stringify(this.snapshot.schemas.get(schema)?.acl);
    this.found.set(relation.id, { schema, name, schemaAcl, relation });
  }
}
