/** Definitions in SQL as PostgreSQL prints them: defaults, constraints, indexes. Used by the system tables and pg_get_*. */
import type { SpanConfiguration } from '../cluster/cluster-inspector.ts';
import { baseModifier, baseType } from '../types/domain.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { displayType, type SqlType } from '../types/type.ts';
import {
  type CheckDescriptor,
  type ColumnDescriptor,
  columnAt,
  type Deferrable,
  type ForeignKeyDescriptor,
  type IndexDescriptor,
  type PrimaryKey,
  type RelationDescriptor,
  type TableDescriptor,
} from './descriptor.ts';
import type { CatalogSnapshot } from './snapshot.ts';

/** What a name without a schema leads to: name-resolver.ts. */
interface NameFinder {
  find(
    schema: undefined,
    name: string,
  ): { readonly schema: string; readonly name: string } | undefined;
}

/** Quoted where it must be, with its schema where the path does not lead to it. */
export function shownRelation(
  relation: Pick<RelationDescriptor, 'schema' | 'name'>,
  names: NameFinder | undefined,
): string {
  const own = quoteIdentifier(relation.name);
  const found = names?.find(undefined, relation.name);
  const visible = found?.name === relation.name && found.schema === relation.schema;
  return visible ? own : `${quoteIdentifier(relation.schema)}.${own}`;
}

/** The expression of a default; undefined: there is none. */
export function defaultText(
  column: ColumnDescriptor,
  snapshot: CatalogSnapshot,
  names: NameFinder | undefined,
): string | undefined {
  if (column.generated !== undefined) return column.generated;
  const { default: stored } = column;
  const [type, modifier] = [baseType(column.type), baseModifier(column.type, column.modifier)];
  if (stored === undefined || column.identity !== undefined) return undefined;
  switch (stored.kind) {
    case 'now':
      return 'now()';
    case 'expression':
      return stored.text;
    case 'nextval': {
      const sequence = snapshot.relations.get(stored.sequence);
      if (sequence === undefined) return undefined;
      const shown = shownRelation(sequence, names).replaceAll("'", "''");
      return `nextval('${shown}'::regclass)`;
    }
    case 'constant':
      return stored.text === null ? undefined : constantText(type, modifier, stored.text);
  }
}

function constantText(type: SqlType, modifier: number, text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  if (type.name === 'bool') return text === 't' ? 'true' : 'false';
  if (['int2', 'int4', 'int8', 'numeric', 'float8', 'float4'].includes(type.name)) {
    if (/^\d+(\.\d+)?$/.test(text)) return text;
    return `${quoted}::${type.name === 'int8' || type.name === 'int2' ? 'integer' : displayType(type, -1)}`;
  }
  return `${quoted}::${type.name === 'bpchar' ? 'bpchar' : displayType(type, type.name === 'varchar' ? -1 : modifier)}`;
}

export function primaryKeyText(table: TableDescriptor, key: PrimaryKey): string {
  const names = key.columns.map((offset) => quoteIdentifier(table.columns[offset]?.name ?? ''));
  return `PRIMARY KEY (${names.join(', ')})`;
}

export function uniqueText(table: TableDescriptor, index: IndexDescriptor): string {
  const names = index.columns.map((one) => columnName(table, one.attributeNumber));
  return `${index.primary === true ? 'PRIMARY KEY' : 'UNIQUE'} (${names.join(', ')})${includeText(table, index)}${deferrableText(index)}`;
}

function deferrableText({ deferrable }: { readonly deferrable?: Deferrable }): string {
  if (deferrable === undefined) return '';
  return deferrable === 'initially deferred' ? ' DEFERRABLE INITIALLY DEFERRED' : ' DEFERRABLE';
}

/** @param pretty without the parentheses that only the whole expression has */
export function checkText(
  { expression }: Pick<CheckDescriptor, 'expression'>,
  pretty = false,
): string {
  return `CHECK (${pretty ? bareExpression(expression) : expression})`;
}

/** Without the parentheses around the whole, where there are no others. */
export function bareExpression(text: string): string {
  return /^\([^()]*\)$/.test(text) ? text.slice(1, -1) : text;
}

export function foreignKeyText(
  table: TableDescriptor,
  key: ForeignKeyDescriptor,
  snapshot: CatalogSnapshot,
  names: NameFinder | undefined,
): string {
  const target = snapshot.table(key.target);
  if (target === undefined) throw new RangeError('a foreign key refers to a table');
  const own = key.columns.map((number) => columnName(table, number)).join(', ');
  const there = key.targetColumns.map((number) => columnName(target, number)).join(', ');
  const action = (word: string, what: string) =>
    what === 'no action' ? '' : ` ON ${word} ${what.toUpperCase()}`;
  return `FOREIGN KEY (${own}) REFERENCES ${shownRelation(target, names)}(${there})${key.matchFull ? ' MATCH FULL' : ''}${action('UPDATE', key.onUpdate)}${action('DELETE', key.onDelete)}${deferrableText(key)}`;
}

function columnName(table: TableDescriptor, attributeNumber: number): string {
  return quoteIdentifier(columnAt(table, attributeNumber).name);
}

function includeText(table: TableDescriptor, index: IndexDescriptor): string {
  if (index.included.length === 0) return '';
  return ` INCLUDE (${index.included.map((number) => columnName(table, number)).join(', ')})`;
}

/** One column of an index. @param bare without direction */
export function indexColumnText(
  table: TableDescriptor,
  index: IndexDescriptor,
  at: number,
  bare: boolean,
): string {
  const column = index.columns[at];
  if (column === undefined) {
    const number = index.included[at - index.columns.length];
    return number === undefined ? '' : columnName(table, number);
  }
  const own =
    column.expression === undefined
      ? columnName(table, column.attributeNumber)
      : /^\w+\(.*\)$|^\(.*\)$/.test(column.expression)
        ? column.expression
        : `(${column.expression})`;
  if (bare) return own;
  const nulls =
    column.nullsFirst === column.descending
      ? ''
      : column.nullsFirst
        ? ' NULLS FIRST'
        : ' NULLS LAST';
  return `${own}${column.descending ? ' DESC' : ''}${nulls}`;
}

/** The statement that would make the index. */
export function indexText(
  table: TableDescriptor,
  index: IndexDescriptor,
  names: NameFinder | undefined,
  pretty = false,
): string {
  const columns = index.columns.map((_one, i) => indexColumnText(table, index, i, false));
  const { predicate } = index;
  const where =
    predicate === undefined ? '' : ` WHERE ${pretty ? bareExpression(predicate) : predicate}`;
  return `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${quoteIdentifier(index.name)} ON ${shownRelation(table, names)} USING btree (${columns.join(', ')})${includeText(table, index)}${where}`;
}

/** A primary key's rows as an index of their own. */
export function primaryIndexOf(table: TableDescriptor, key: PrimaryKey): IndexDescriptor {
  return {
    oid: key.indexOid,
    name: key.constraint,
    number: 0,
    unique: true,
    constraintOid: key.constraintOid,
    columns: key.columns.map((offset) => ({
      attributeNumber: table.columns[offset]?.attributeNumber ?? 0,
      descending: false,
      nullsFirst: false,
    })),
    included: [],
  };
}

/** All indexes of a table, that of its primary key first. */
export function allIndexes(table: TableDescriptor): IndexDescriptor[] {
  const { primaryKey, indexes } = table;
  return primaryKey === undefined ? [...indexes] : [primaryIndexOf(table, primaryKey), ...indexes];
}

/** As `pg_class.reloptions` shows them. */
export function rangeOptionTexts(ranges: SpanConfiguration): string[] {
  const { replicas, splitBytes, leasePreference } = ranges;
  const shown: [string, number | string | undefined][] = [
    ['replicas', replicas],
    ['split_bytes', splitBytes],
    ['lease_preference', leasePreference],
  ];
  return shown.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
}
