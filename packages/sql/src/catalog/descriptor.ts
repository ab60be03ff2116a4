/**
 * Descriptors: what the catalog stores of schemas, tables, views and sequences. Immutable values: a change puts a new one
 * in the place of the old. Columns are referred to by attribute number, which never changes and is never used again;
 * offsets into `columns` are for those who handle rows. How they are stored: descriptor-codec.ts.
 */
import type { SpanConfiguration } from '../cluster/cluster-inspector.ts';
import { type Domain, domainType } from '../types/domain.ts';
import { type EnumLabel, enumType } from '../types/enum.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import type { SqlType } from '../types/type.ts';
import type { Acl } from './acl.ts';

/**
 * A value in text form; the start of the statement; the next value of a sequence; or an expression as text, bound anew in
 * every plan.
 */
export type ColumnDefault =
  | { readonly kind: 'constant'; readonly text: string | null }
  | { readonly kind: 'now' }
  | { readonly kind: 'nextval'; readonly sequence: number }
  | { readonly kind: 'expression'; readonly text: string };

export type Identity = 'always' | 'by default';

export interface ColumnDescriptor {
  readonly name: string;
  /** From 1, in order of definition: pg_attribute.attnum. */
  readonly attributeNumber: number;
  readonly type: SqlType;
  /** -1, or what the type makes of its modifiers: n + 4 for varchar(n). */
  readonly modifier: number;
  readonly notNull: boolean;
  readonly default: ColumnDefault | undefined;
  readonly identity?: Identity;
  /** GENERATED ALWAYS AS (…) STORED: the expression. */
  readonly generated?: string;
  /** The value, in text form, of rows that were written before the column was added. Absent: NULL. */
  readonly missing?: string;
}

/** A column that is gone. Rows may still hold it. */
export interface DroppedColumn {
  readonly attributeNumber: number;
  readonly type: SqlType;
}

export interface PrimaryKey {
  readonly constraint: string;
  /** Offsets into `columns`, in key order. */
  readonly columns: readonly number[];
  /** Of index and constraint. */
  readonly indexOid: number;
  readonly constraintOid: number;
}

export interface IndexColumn {
  /** 0: an expression. */
  readonly attributeNumber: number;
  readonly expression?: string;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

/** When a constraint that can be deferred is checked unless SET CONSTRAINTS says otherwise. */
export type Deferrable = 'initially immediate' | 'initially deferred';

/** A secondary index. A primary key that cannot be deferred is no index of its own: rows are stored in its order. */
export interface IndexDescriptor {
  readonly oid: number;
  readonly name: string;
  /** Part of the key of its entries: from 1, unique in the table for ever. */
  readonly number: number;
  readonly unique: boolean;
  /** Of the UNIQUE constraint that it serves; 0: none. */
  readonly constraintOid: number;
  readonly columns: readonly IndexColumn[];
  /** INCLUDE: attribute numbers. */
  readonly included: readonly number[];
  /** Partial index: rows for which this holds. */
  readonly predicate?: string;
  /** Of the constraint that it serves. Absent: it cannot be deferred. */
  readonly deferrable?: Deferrable;
  /** The constraint is the table's primary key. One that can be deferred may be violated meanwhile, so rows have hidden ids. */
  readonly primary?: true;
}

export interface CheckDescriptor {
  readonly oid: number;
  readonly name: string;
  readonly expression: string;
}

export type ReferentialAction = 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default';

export interface ForeignKeyDescriptor {
  readonly oid: number;
  readonly name: string;
  /** Attribute numbers here, and there, in the same order. */
  readonly columns: readonly number[];
  readonly target: number;
  readonly targetColumns: readonly number[];
  readonly onDelete: ReferentialAction;
  readonly onUpdate: ReferentialAction;
  readonly matchFull: boolean;
  /** Absent: it cannot be deferred. */
  readonly deferrable?: Deferrable;
}

interface Named {
  /** Unique for ever: the oid. */
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  readonly owner: string;
  /** Absent: the default of its kind. */
  readonly acl?: Acl;
  /** By attribute number. */
  readonly columnAcls?: Readonly<Record<number, Acl>>;
  /** The catalog version that wrote it. */
  readonly version: number;
  /** COMMENT ON, by attribute number; 0: the object itself; indexes and constraints of a table by their oids. */
  readonly comments: Readonly<Record<number, string>>;
}

export interface TableDescriptor extends Named {
  readonly kind: 'table';
  /** By which its rows are stored. Undefined: they have hidden ids. */
  readonly primaryKey: PrimaryKey | undefined;
  /** The source of its key prefix. TRUNCATE and rewrites give it a new one. */
  readonly storageId: number;
  readonly columns: readonly ColumnDescriptor[];
  readonly dropped: readonly DroppedColumn[];
  readonly indexes: readonly IndexDescriptor[];
  readonly checks: readonly CheckDescriptor[];
  readonly foreignKeys: readonly ForeignKeyDescriptor[];
  /** What its ranges are to obey. Undefined: what all obey. */
  readonly ranges: SpanConfiguration | undefined;
  /** Of a temporary table: what becomes of its rows, or of itself, when a transaction commits. Absent: nothing. */
  readonly onCommit?: 'delete' | 'drop';
  /** Its rows were written before the change that gave it its storage: earlier snapshots may show some of them. A timestamp. */
  readonly filledAt?: number;
  /** It is a materialized view: only CREATE and REFRESH write its rows. Absent: it is none. */
  readonly materialized?: MaterializedQuery;
}

/** What the rows of a materialized view are the result of. */
export interface MaterializedQuery extends StoredQuery {
  /** What the query itself calls its columns, in their order. */
  readonly outputs: readonly string[];
  /** Whether it may be read: WITH NO DATA it may not. */
  readonly populated: boolean;
}

export interface ViewColumn {
  readonly name: string;
  /** What the query itself calls it. */
  readonly output: string;
  readonly type: SqlType;
  readonly modifier: number;
}

/** A query that is kept as text. */
export interface StoredQuery {
  /** As it was written. */
  readonly query: string;
  /** What names in the query were looked up by. */
  readonly searchPath: readonly string[];
  /** Ids of what the query reads: they cannot be dropped without it. */
  readonly uses: readonly number[];
}

export interface ViewDescriptor extends Named, StoredQuery {
  readonly kind: 'view';
  readonly columns: readonly ViewColumn[];
}

export interface SequenceOptions {
  readonly type: 'int2' | 'int4' | 'int8';
  readonly start: bigint;
  readonly increment: bigint;
  readonly minimum: bigint;
  readonly maximum: bigint;
  readonly cache: bigint;
  readonly cycle: boolean;
}

export interface SequenceDescriptor extends Named {
  readonly kind: 'sequence';
  readonly options: SequenceOptions;
  /** Where its state lies. ALTER SEQUENCE … RESTART and TRUNCATE … RESTART IDENTITY give it a new one. */
  readonly storageId: number;
  /** The column that it goes with. */
  readonly ownedBy: { readonly table: number; readonly attributeNumber: number } | undefined;
}

export type RelationDescriptor = TableDescriptor | ViewDescriptor | SequenceDescriptor;

/** A type that a user made: an enumeration, or a domain. Relations have the same names as types. */
export interface TypeDescriptor extends Named {
  readonly kind: 'type';
  /** 0: there is none. */
  readonly arrayOid: number;
  /** Of an enumeration. */
  readonly labels: readonly EnumLabel[];
  /** Absent: it is an enumeration. */
  readonly domain?: DomainDescriptor;
}

export interface DomainDescriptor extends Domain {
  /** Of columns that have none of their own. */
  readonly default: ColumnDefault | undefined;
}

/** A type as messages and stored expressions name it. */
export function displayOf(name: string, schema = 'public'): string {
  const quoted = quoteIdentifier(name);
  return schema === 'public' ? quoted : `${quoteIdentifier(schema)}.${quoted}`;
}

const sqlTypes = new WeakMap<TypeDescriptor, SqlType>();

/** The type that a descriptor describes: one object for one descriptor. */
export function sqlTypeOf(descriptor: TypeDescriptor): SqlType {
  let type = sqlTypes.get(descriptor);
  if (type === undefined) {
    const { id: oid, arrayOid, schema, name, labels, domain } = descriptor;
    const named = { oid, schema, name, display: displayOf(name, schema) };
    type =
      domain === undefined
        ? enumType({ ...named, arrayOid, labels })
        : domainType({ ...domain, ...named, arrayOid });
    sqlTypes.set(descriptor, type);
  }
  return type;
}

export interface SchemaDescriptor {
  readonly kind: 'schema';
  readonly id: number;
  readonly name: string;
  readonly owner: string;
  /** Absent: the default. */
  readonly acl?: Acl;
  readonly comment?: string;
  /** Of temporary objects: the process whose session has them, as its presence names it. */
  readonly temporary?: string;
}

/** Throws RangeError: descriptors refer to columns that they have. */
export function columnOffset(
  table: { readonly columns: readonly ColumnDescriptor[] },
  attributeNumber: number,
): number {
  const offset = table.columns.findIndex((column) => column.attributeNumber === attributeNumber);
  if (offset < 0) throw new RangeError(`table has no attribute ${attributeNumber}`);
  return offset;
}

export function columnAt(table: TableDescriptor, attributeNumber: number): ColumnDescriptor {
  const column = table.columns[columnOffset(table, attributeNumber)];
  if (column === undefined) throw new RangeError('offset is one of a column');
  return column;
}

/** The primary key, also one that can be deferred: the attribute numbers of its columns. Undefined: there is none. */
export function primaryColumns(
  table: Pick<TableDescriptor, 'columns' | 'primaryKey' | 'indexes'>,
): readonly number[] | undefined {
  const { primaryKey, indexes, columns } = table;
  if (primaryKey !== undefined)
    return primaryKey.columns.map((offset) => columns[offset]?.attributeNumber ?? 0);
  return indexes
    .find(({ primary }) => primary === true)
    ?.columns.map(({ attributeNumber }) => attributeNumber);
}
