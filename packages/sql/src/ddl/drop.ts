/** DROP TABLE, VIEW, MATERIALIZED VIEW, SEQUENCE, INDEX, SCHEMA, TYPE: what else depends on them goes too (CASCADE) or keeps them (RESTRICT). */
import type { DropStmt } from 'libpg-query';
import { listItems, nameParts } from '../bind/ast.ts';
import type {
  RelationDescriptor,
  SchemaDescriptor,
  SequenceDescriptor,
  TableDescriptor,
  TypeDescriptor,
} from '../catalog/descriptor.ts';
import { type RelationWord, storedQueryOf, wordOf } from '../catalog/relation-word.ts';
import { isSystemSchema } from '../catalog/snapshot.ts';
import { temporaryAlias } from '../catalog/temporary-schema.ts';
import { requireOwner } from '../roles/access.ts';
import { SqlError } from '../sql-error.ts';
import { indexSpan, storageSpan } from '../storage/table-store.ts';
import type { DdlContext } from './ddl-context.ts';
import { objectWord } from './ddl-tag.ts';
import { dropAbsent } from './extensions.ts';
import { columnsOf, dropColumnOf, typeText } from './type-uses.ts';
import { lookUpType, requireTypeOwner, typeNameParts } from './types.ts';

const words: Readonly<Record<string, RelationWord>> = {
  OBJECT_TABLE: 'table',
  OBJECT_VIEW: 'view',
  OBJECT_MATVIEW: 'materialized view',
  OBJECT_SEQUENCE: 'sequence',
};

export async function drop(ddl: DdlContext, statement: DropStmt): Promise<string> {
  const { removeType = '', objects = [], behavior, missing_ok: ifExists } = statement;
  const cascade = behavior === 'DROP_CASCADE';
  const shown = objectWord(removeType);
  const dropping = new Dropping(ddl);
  if (removeType === 'OBJECT_TYPE' || removeType === 'OBJECT_DOMAIN') {
    const domains = removeType === 'OBJECT_DOMAIN';
    for (const object of objects)
      dropping.addType(typeNameParts(object), { ifExists: ifExists === true, domains });
    await dropping.finish(cascade);
    return `DROP ${shown}`;
  }
  const absent = dropAbsent(ddl, statement);
  if (absent !== undefined) return absent;
  const names = objects.map((object) => nameParts(listItems(object)));
  if (removeType === 'OBJECT_SCHEMA') {
    for (const object of objects)
      dropping.addSchema(nameParts([object])[0] ?? '', ifExists === true);
  } else if (removeType === 'OBJECT_INDEX') {
    for (const parts of names) dropping.addIndex(parts, ifExists === true);
  } else {
    const word = words[removeType];
    if (word === undefined) throw ddl.binder().unsupported(`DROP ${shown}`);
    for (const parts of names) dropping.addRelation(parts, word, ifExists === true);
  }
  await dropping.finish(cascade);
  return `DROP ${shown}`;
}

/** DROP OWNED: all of these, without asking whose they are. Throws 2BP01. */
export async function dropObjects(
  ddl: DdlContext,
  what: {
    readonly types: readonly TypeDescriptor[];
    readonly relations: readonly RelationDescriptor[];
    readonly schemas: readonly SchemaDescriptor[];
  },
  cascade: boolean,
): Promise<void> {
  const dropping = new Dropping(ddl);
  dropping.add(what.relations, what.schemas, what.types);
  await dropping.finish(cascade);
}

/** What a statement takes away, with all that cannot be without it. */
class Dropping {
  private readonly ddl: DdlContext;
  private readonly schemas = new Map<string, SchemaDescriptor>();
  private readonly relations = new Map<number, RelationDescriptor>();
  private readonly types = new Map<number, TypeDescriptor>();
  private readonly indexes: { readonly table: number; readonly oid: number }[] = [];
  /** As PostgreSQL names what was asked for. */
  private readonly asked: string[] = [];

  constructor(ddl: DdlContext) {
    this.ddl = ddl;
  }

  addSchema(name: string, ifExists: boolean): void {
    const schema = this.ddl.snapshot.schemas.get(name);
    if (schema === undefined) {
      if (!ifExists) throw new SqlError('3F000', `schema "${name}" does not exist`);
      this.ddl.notice('00000', `schema "${name}" does not exist, skipping`);
      return;
    }
    if (isSystemSchema(name))
      throw new SqlError(
        '2BP01',
        `cannot drop schema ${name} because it is required by the database system`,
      );
    this.ddl.requireSchemaOwner(schema);
    this.schemas.set(name, schema);
    this.asked.push(`schema ${name}`);
  }

  addType(
    parts: readonly string[],
    { ifExists, domains }: { readonly ifExists: boolean; readonly domains: boolean },
  ): void {
    const [name = '', schema] = [...parts].reverse();
    const { ddl } = this;
    const shown = parts.join('.');
    if (schema !== undefined && !ddl.snapshot.schemas.has(schema)) {
      if (!ifExists) throw new SqlError('3F000', `schema "${schema}" does not exist`);
      ddl.notice('00000', `schema "${schema}" does not exist, skipping`);
      return;
    }
    const relation = ddl.find(schema, name);
    if (relation !== undefined) {
      const own = `${wordOf(relation)} ${name}`;
      throw new SqlError('2BP01', `cannot drop type ${name} because ${own} requires it`, {
        hint: `You can drop ${own} instead.`,
      });
    }
    const type = lookUpType(ddl, parts);
    if (type === undefined) {
      if (!ifExists) throw new SqlError('42704', `type "${shown}" does not exist`);
      ddl.notice('00000', `type "${shown}" does not exist, skipping`);
      return;
    }
    if (domains && type.domain === undefined)
      throw new SqlError('42809', `"${shown}" is not a domain`);
    const owner = ddl.snapshot.schemas.get(type.schema)?.owner;
    if (owner === undefined || !ddl.authority.has(owner)) requireTypeOwner(ddl, type);
    this.types.set(type.id, type);
    this.asked.push(`type ${name}`);
  }

  addRelation(parts: readonly string[], word: RelationWord, ifExists: boolean): void {
    const [name = '', written] = [...parts].reverse();
    const schema = this.ddl.binder().names.schemaOf(written);
    const { snapshot } = this.ddl;
    if (schema !== undefined && !snapshot.schemas.has(schema)) {
      if (!ifExists) throw new SqlError('3F000', `schema "${schema}" does not exist`);
      this.ddl.notice('00000', `schema "${schema}" does not exist, skipping`);
      return;
    }
    const found = this.ddl.find(schema, name);
    if (found === undefined) {
      this.refuseIndex(schema, name, word);
      const bare = schema === undefined || written === temporaryAlias;
      const shown = bare ? name : parts.join('.');
      if (!ifExists) throw new SqlError('42P01', `${word} "${shown}" does not exist`);
      this.ddl.notice('00000', `${word} "${shown}" does not exist, skipping`);
      return;
    }
    if (wordOf(found) !== word) throw wrongKind(name, word, wordOf(found));
    this.requireOwner(found);
    this.refuseOwned(found);
    this.relations.set(found.id, found);
    this.asked.push(`${word} ${name}`);
  }

  /** Whoever owns the schema may drop what is in it. Throws 42501. */
  private requireOwner(relation: RelationDescriptor): void {
    const schema = this.ddl.snapshot.schemas.get(relation.schema);
    if (schema !== undefined && this.ddl.authority.has(schema.owner)) return;
    this.ddl.requireOwner(relation);
  }

  /** What DROP OWNED takes. */
  add(
    relations: readonly RelationDescriptor[],
    schemas: readonly SchemaDescriptor[],
    types: readonly TypeDescriptor[],
  ): void {
    for (const type of types) this.types.set(type.id, type);
    for (const relation of relations) this.relations.set(relation.id, relation);
    for (const schema of schemas) this.schemas.set(schema.name, schema);
  }

  private refuseIndex(schema: string | undefined, name: string, word: string): void {
    if (this.findIndex(schema, name) !== undefined) throw wrongKind(name, word, 'index');
  }

  /** A sequence that a column's identity or default needs goes with the column alone. */
  private refuseOwned(found: RelationDescriptor): void {
    if (found.kind !== 'sequence' || found.ownedBy === undefined) return;
    const table = this.ddl.snapshot.table(found.ownedBy.table);
    const { attributeNumber } = found.ownedBy;
    const column = table?.columns.find((one) => one.attributeNumber === attributeNumber);
    if (table === undefined || column?.identity === undefined) return;
    throw new SqlError(
      '2BP01',
      `cannot drop sequence ${found.name} because column ${column.name} of table ${table.name} requires it`,
      { hint: `You can drop column ${column.name} of table ${table.name} instead.` },
    );
  }

  private findIndex(schema: string | undefined, name: string) {
    const { snapshot } = this.ddl;
    const path = schema === undefined ? this.ddl.binder().names.path : [schema];
    for (const one of path) {
      const found = snapshot.findIndex(one, name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  addIndex(parts: readonly string[], ifExists: boolean): void {
    const [name = '', schema] = [...parts].reverse();
    const found = this.findIndex(schema, name);
    if (found === undefined) {
      const relation = this.ddl.find(schema, name);
      if (relation !== undefined) throw wrongKind(name, 'index', wordOf(relation));
      if (!ifExists) throw new SqlError('42704', `index "${name}" does not exist`);
      this.ddl.notice('00000', `index "${name}" does not exist, skipping`);
      return;
    }
    const { table, index, primaryKey } = found;
    if (index === undefined || index.constraintOid !== 0) {
      const constraint = index?.name ?? primaryKey?.constraint ?? name;
      throw new SqlError(
        '2BP01',
        `cannot drop index ${name} because constraint ${constraint} on table ${table.name} requires it`,
        { hint: `You can drop constraint ${constraint} on table ${table.name} instead.` },
      );
    }
    requireOwner(this.ddl.authority, table.owner, `index ${name}`);
    this.indexes.push({ table: table.id, oid: index.oid });
    this.asked.push(`index ${name}`);
  }

  /** Throws 2BP01. */
  async finish(cascade: boolean): Promise<void> {
    const { snapshot, editor } = this.ddl;
    const dependents: string[] = [];
    for (const relation of snapshot.sorted())
      if (this.schemas.has(relation.schema) && !this.relations.has(relation.id)) {
        const owned = relation.kind === 'sequence' && relation.ownedBy !== undefined;
        this.relations.set(relation.id, relation);
        if (!owned) dependents.push(`${wordOf(relation)} ${describe(this.ddl, relation)}`);
      }
    for (const type of snapshot.types())
      if (this.schemas.has(type.schema) && !this.types.has(type.id)) {
        this.types.set(type.id, type);
        dependents.push(`type ${typeText(this.ddl, type)}`);
      }
    const details = dependents.map((one) => {
      const [schema] = this.schemas.keys();
      return `${one} depends on schema ${schema ?? ''}`;
    });
    for (let grown = true; grown; ) {
      grown = false;
      for (const type of snapshot.types()) {
        const base = type.domain?.type;
        const needed = base && this.types.get(base.element?.oid ?? base.oid);
        if (needed === undefined || this.types.has(type.id)) continue;
        this.types.set(type.id, type);
        grown = true;
        const array = base?.element === undefined ? '' : '[]';
        dependents.push(`type ${typeText(this.ddl, type)}`);
        details.push(
          `type ${typeText(this.ddl, type)} depends on type ${typeText(this.ddl, needed)}${array}`,
        );
      }
      for (const relation of snapshot.sorted()) {
        if (this.relations.has(relation.id)) continue;
        const needed = this.neededBy(relation);
        if (needed === undefined) continue;
        this.relations.set(relation.id, relation);
        grown = true;
        if (relation.kind === 'sequence') continue; // goes with its column, by itself
        const one = `${wordOf(relation)} ${describe(this.ddl, relation)}`;
        const what =
          needed.kind === 'type'
            ? `type ${typeText(this.ddl, needed)}`
            : `${wordOf(needed)} ${describe(this.ddl, needed)}`;
        dependents.push(one);
        details.push(`${one} depends on ${what}`);
      }
    }
    const keys = [...this.relations.keys()].flatMap((id) => snapshot.referencing(id));
    const foreign = keys.filter(({ table }) => !this.relations.has(table.id));
    for (const { table, foreignKey } of foreign) {
      const one = `constraint ${foreignKey.name} on table ${describe(this.ddl, table)}`;
      dependents.push(one);
      const target = snapshot.relations.get(foreignKey.target);
      details.push(
        `${one} depends on table ${target === undefined ? '' : describe(this.ddl, target)}`,
      );
    }
    const columns = columnsOf(this.ddl, this.types).filter(
      ({ table }) => !this.relations.has(table.id),
    );
    for (const { table, column, type } of columns) {
      const one = `column ${column.name} of table ${describe(this.ddl, table)}`;
      const array = column.type.element === undefined ? '' : '[]';
      dependents.push(one);
      details.push(`${one} depends on type ${typeText(this.ddl, type)}${array}`);
    }
    const defaults = this.defaultsInUse();
    for (const { table, column, sequence } of defaults) {
      const one = `default value for column ${column} of table ${describe(this.ddl, table)}`;
      dependents.push(one);
      details.push(`${one} depends on sequence ${describe(this.ddl, sequence)}`);
    }
    if (dependents.length > 0 && !cascade)
      throw new SqlError(
        '2BP01',
        this.asked.length === 1
          ? `cannot drop ${this.asked[0]} because other objects depend on it`
          : 'cannot drop desired object(s) because other objects depend on them',
        {
          detail: details.join('\n'),
          hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
        },
      );
    const [only] = dependents;
    if (only !== undefined)
      this.ddl.notice(
        '00000',
        dependents.length === 1
          ? `drop cascades to ${only}`
          : `drop cascades to ${dependents.length} other objects`,
      );
    for (const { table, foreignKey } of foreign) {
      const current = this.ddl.snapshot.table(table.id);
      if (current !== undefined)
        editor.put({
          ...current,
          foreignKeys: current.foreignKeys.filter((one) => one.oid !== foreignKey.oid),
        });
    }
    for (const { table, column } of defaults) {
      const current = this.ddl.snapshot.table(table.id);
      if (current !== undefined)
        editor.put({
          ...current,
          columns: current.columns.map((one) =>
            one.name === column ? { ...one, default: undefined } : one,
          ),
        });
    }
    for (const { table, column } of columns) await dropColumnOf(this.ddl, table.id, column);
    for (const relation of this.relations.values()) removeRelation(this.ddl, relation);
    for (const { table, oid } of this.indexes) removeIndex(this.ddl, table, oid);
    for (const id of this.types.keys()) editor.removeType(id);
    for (const schema of this.schemas.values()) editor.removeSchema(schema);
    // What ALTER DEFAULT PRIVILEGES has said about the schemas goes with them.
    const { database } = editor.snapshot;
    const kept = database.defaults?.filter(({ schema }) => !this.schemas.has(schema));
    if (kept !== undefined && kept.length < (database.defaults?.length ?? 0))
      editor.putAccess({ ...database, defaults: kept });
  }

  /** Views over what goes, and sequences of tables that go. */
  private neededBy(relation: RelationDescriptor): RelationDescriptor | TypeDescriptor | undefined {
    const stored = storedQueryOf(relation);
    if (stored !== undefined)
      return stored.uses
        .map((id) => this.relations.get(id) ?? this.types.get(id))
        .find((one) => one !== undefined);
    if (relation.kind === 'sequence' && relation.ownedBy !== undefined)
      return this.relations.get(relation.ownedBy.table);
    return undefined;
  }

  private defaultsInUse(): {
    readonly table: TableDescriptor;
    readonly column: string;
    readonly sequence: SequenceDescriptor;
  }[] {
    return this.ddl.snapshot
      .tables()
      .filter((table) => !this.relations.has(table.id))
      .flatMap((table) =>
        table.columns.flatMap((column) => {
          if (column.default?.kind !== 'nextval') return [];
          const sequence = this.relations.get(column.default.sequence);
          return sequence?.kind === 'sequence' ? [{ table, column: column.name, sequence }] : [];
        }),
      );
  }
}

function removeRelation(ddl: DdlContext, relation: RelationDescriptor): void {
  if (relation.kind === 'table')
    ddl.requireSettled(relation, `DROP ${wordOf(relation).toUpperCase()}`);
  // What foreign keys of it referred to is written to by plans that know of them.
  if (relation.kind === 'table')
    for (const { target } of relation.foreignKeys) {
      const other = ddl.snapshot.table(target);
      if (other !== undefined && target !== relation.id) ddl.editor.put(other);
    }
  ddl.editor.remove(relation.id);
  if (relation.kind !== 'view') ddl.editor.addGarbage(storageSpan(relation.storageId));
}

export function removeIndex(ddl: DdlContext, tableId: number, oid: number): void {
  const table = ddl.snapshot.table(tableId);
  const index = table?.indexes.find((one) => one.oid === oid);
  if (table === undefined || index === undefined) return;
  ddl.editor.put({ ...table, indexes: table.indexes.filter((one) => one !== index) });
  ddl.editor.addGarbage(indexSpan(table, index));
}

/** With its schema where the name alone would not lead to it. */
export function describe(ddl: DdlContext, relation: RelationDescriptor): string {
  const found = ddl.find(undefined, relation.name);
  return found?.id === relation.id ? relation.name : `${relation.schema}.${relation.name}`;
}

function wrongKind(name: string, wanted: string, kind: string): SqlError {
  const article = wanted === 'index' ? 'an' : 'a';
  return new SqlError('42809', `"${name}" is not ${article} ${wanted}`, {
    hint: `Use DROP ${kind.toUpperCase()} to remove ${kind === 'index' ? 'an' : 'a'} ${kind}.`,
  });
}
