/**
 * Descriptors as the store keeps them: JSON with a format version, built-in types by name and others by oid, bigints as
 * decimal text. Readers refuse newer formats.
 */
import { DbError } from '@flotilla/base';
import { type SqlType, typeByName } from '../types/type.ts';
import {
  type ColumnDescriptor,
  columnOffset,
  type RelationDescriptor,
  type SchemaDescriptor,
  type TableDescriptor,
  type TypeDescriptor,
} from './descriptor.ts';
import { type AccessDescriptor, initialDatabase } from './role.ts';

const formatVersion = 2;

type Plain<T> = T extends SqlType
  ? string
  : T extends bigint
    ? string
    : T extends readonly (infer Item)[]
      ? readonly Plain<Item>[]
      : T extends object
        ? { readonly [Key in keyof T]: Plain<T[Key]> }
        : T;

type StoredRelation = Plain<Exclude<RelationDescriptor, TableDescriptor>> | Plain<TableDescriptor>;

type Descriptor = RelationDescriptor | TypeDescriptor | SchemaDescriptor | AccessDescriptor;

/** What there is of types that users made. */
export type TypesByOid = (oid: number) => SqlType | undefined;

/** @param database that it lies in; undefined: the initial one, or none */
export function encodeDescriptor(descriptor: Descriptor, database?: number): Uint8Array {
  const place = database === undefined ? {} : { database };
  const stored = { format: formatVersion, ...numbered(descriptor), ...place };
  const text = JSON.stringify(stored, (key, value: unknown) => {
    if (key === 'type' && typeof value === 'object' && value !== null)
      return typeText(value as SqlType);
    return typeof value === 'bigint' ? String(value) : value;
  });
  return Buffer.from(text, 'utf8');
}

function typeText({ schema, name, oid }: SqlType): string {
  return schema === 'pg_catalog' ? name : `oid ${oid}`;
}

/** Key columns by attribute number: offsets move when a column goes. */
function numbered(descriptor: Descriptor): object {
  if (descriptor.kind !== 'table' || descriptor.primaryKey === undefined) return descriptor;
  const { columns, primaryKey } = descriptor;
  const numbers = primaryKey.columns.map((offset) => columns[offset]?.attributeNumber ?? 0);
  return { ...descriptor, primaryKey: { ...primaryKey, columns: numbers } };
}

function parse(bytes: Uint8Array): { readonly format: number } {
  let stored: unknown;
  try {
    stored = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new DbError('CORRUPTION', 'descriptor is no JSON', { cause });
  }
  if (typeof stored !== 'object' || stored === null || !('format' in stored))
    throw new DbError('CORRUPTION', 'descriptor has no format');
  if (stored.format !== formatVersion)
    throw new DbError('NOT_SUPPORTED', `descriptor has format ${String(stored.format)}`);
  return stored as { readonly format: number };
}

/** A descriptor, and the database that it lies in; undefined: the initial one. */
export interface Placed<T> {
  readonly database: number | undefined;
  readonly descriptor: T;
}

interface Stored {
  readonly format: number;
  readonly database?: number;
}

/** Throws DbError CORRUPTION, NOT_SUPPORTED for a format of another version. */
export function decodeSchema(bytes: Uint8Array): Placed<SchemaDescriptor> {
  const { format: _, database, ...descriptor } = parse(bytes) as Stored & SchemaDescriptor;
  return { database, descriptor };
}

/** Throws DbError CORRUPTION, NOT_SUPPORTED for a format of another version. */
export function decodeAccess(bytes: Uint8Array): AccessDescriptor {
  const { format: _, ...access } = parse(bytes) as { format: number } & AccessDescriptor;
  if (access.kind !== 'role' && access.kind !== 'database')
    throw new DbError('CORRUPTION', 'descriptor is of no known kind');
  // Written before there were several databases, it says only what was changed of the one.
  return access.kind === 'role' ? access : { ...initialDatabase, ...access };
}

/** @param types those that a domain may be over. Undefined: it is a relation's. Throws as `decodeDescriptor`. */
export function decodeType(
  bytes: Uint8Array,
  types: TypesByOid,
): Placed<TypeDescriptor> | undefined {
  const {
    format: _,
    database,
    ...stored
  } = parse(bytes) as Stored & (StoredRelation | Plain<TypeDescriptor>);
  if (stored.kind !== 'type') return undefined;
  const { domain, ...rest } = stored;
  if (domain === undefined) return { database, descriptor: rest };
  const own = { ...domain, type: decodeTypeName(domain.type, types), default: domain.default };
  return { database, descriptor: { ...rest, domain: own } };
}

/** Throws DbError CORRUPTION, NOT_SUPPORTED for a format of another version. */
export function decodeDescriptor(bytes: Uint8Array, types: TypesByOid): Placed<RelationDescriptor> {
  const { format: _, database, ...stored } = parse(bytes) as Stored & StoredRelation;
  return { database, descriptor: decodeRelation(stored, (name) => decodeTypeName(name, types)) };
}

function decodeRelation(
  stored: StoredRelation,
  typed: (name: string) => SqlType,
): RelationDescriptor {
  switch (stored.kind) {
    case 'table':
      return decodeTable(stored, typed);
    case 'view':
      return {
        ...stored,
        columns: stored.columns.map((one) => ({ ...one, type: typed(one.type) })),
      };
    case 'sequence': {
      const { options } = stored;
      return {
        ...stored,
        options: {
          ...options,
          start: BigInt(options.start),
          increment: BigInt(options.increment),
          minimum: BigInt(options.minimum),
          maximum: BigInt(options.maximum),
          cache: BigInt(options.cache),
        },
      };
    }
    default:
      throw new DbError('CORRUPTION', 'descriptor is of no known kind');
  }
}

function decodeTable(
  stored: Plain<TableDescriptor>,
  typed: (name: string) => SqlType,
): TableDescriptor {
  const columns: ColumnDescriptor[] = stored.columns.map((column) => ({
    ...column,
    type: typed(column.type),
    default: column.default,
  }));
  const { primaryKey } = stored;
  return {
    ...stored,
    columns,
    dropped: stored.dropped.map((one) => ({ ...one, type: typed(one.type) })),
    primaryKey:
      primaryKey === undefined
        ? undefined
        : {
            ...primaryKey,
            columns: primaryKey.columns.map((number) => columnOffset({ columns }, number)),
          },
  };
}

function decodeTypeName(name: string, types: TypesByOid): SqlType {
  const type = name.startsWith('oid ') ? types(Number(name.slice(4))) : typeByName(name);
  if (type === undefined)
    throw new DbError('NOT_SUPPORTED', `descriptor has a column of type ${name}`);
  return type;
}
