/**
 * Table descriptors: what the catalog stores of a table. Immutable once written: a table is created, read and dropped;
 * a changed table will be a new version of its descriptor. Stored as JSON with a format version.
 */
import { DbError } from '@flotilla/base';
import { type SqlType, typeByName } from '../types/type.ts';

/** A default is a value in text form, or the start of the statement. */
export type ColumnDefault =
  | { readonly kind: 'constant'; readonly text: string | null }
  | { readonly kind: 'now' };

export interface ColumnDescriptor {
  readonly name: string;
  /** From 1, in order of definition: pg_attribute.attnum. */
  readonly attributeNumber: number;
  readonly type: SqlType;
  /** -1, or for varchar(n): n + 4. */
  readonly modifier: number;
  readonly notNull: boolean;
  readonly default: ColumnDefault | undefined;
}

export interface TableDescriptor {
  /** Unique for ever: the table's oid, and the source of its key prefix. */
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly ColumnDescriptor[];
  readonly primaryKey: PrimaryKey | undefined;
}

export interface PrimaryKey {
  readonly constraint: string;
  /** Offsets into `columns`, in key order. */
  readonly columns: readonly number[];
}

/** Version of the stored form. Readers refuse newer ones. */
const formatVersion = 1;

interface StoredTable {
  readonly format: number;
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly {
    readonly name: string;
    readonly number: number;
    readonly type: string;
    readonly modifier?: number;
    readonly notNull?: boolean;
    readonly default?: ColumnDefault;
  }[];
  readonly primaryKey?: { readonly constraint: string; readonly columns: readonly number[] };
}

export function encodeDescriptor(table: TableDescriptor): Uint8Array {
  const stored: StoredTable = {
    format: formatVersion,
    id: table.id,
    schema: table.schema,
    name: table.name,
    columns: table.columns.map((column) => ({
      name: column.name,
      number: column.attributeNumber,
      type: column.type.name,
      ...(column.modifier === -1 ? {} : { modifier: column.modifier }),
      ...(column.notNull ? { notNull: true } : {}),
      ...(column.default === undefined ? {} : { default: column.default }),
    })),
    ...(table.primaryKey === undefined ? {} : { primaryKey: table.primaryKey }),
  };
  return Buffer.from(JSON.stringify(stored), 'utf8');
}

/** Throws DbError CORRUPTION, NOT_SUPPORTED for a format of a newer version. */
export function decodeDescriptor(bytes: Uint8Array): TableDescriptor {
  let stored: StoredTable;
  try {
    stored = JSON.parse(Buffer.from(bytes).toString('utf8')) as StoredTable;
  } catch (cause) {
    throw new DbError('CORRUPTION', 'table descriptor is no JSON', { cause });
  }
  if (stored.format !== formatVersion)
    throw new DbError('NOT_SUPPORTED', `table descriptor has format ${stored.format}`);
  return {
    id: stored.id,
    schema: stored.schema,
    name: stored.name,
    columns: stored.columns.map((column) => {
      const type = typeByName(column.type);
      if (type === undefined)
        throw new DbError('NOT_SUPPORTED', `table descriptor has a column of type ${column.type}`);
      return {
        name: column.name,
        attributeNumber: column.number,
        type,
        modifier: column.modifier ?? -1,
        notNull: column.notNull ?? false,
        default: column.default,
      };
    }),
    primaryKey: stored.primaryKey,
  };
}
