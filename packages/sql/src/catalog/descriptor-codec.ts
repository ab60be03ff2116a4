/**
 * Descriptors as the store keeps them: JSON with a format version, types by name, bigints as decimal text. Readers refuse
 * newer formats.
 */
import { DbError } from '@flotilla/base';
import { type SqlType, typeByName } from '../types/type.ts';
import {
  type ColumnDescriptor,
  columnOffset,
  type RelationDescriptor,
  type SchemaDescriptor,
  type TableDescriptor,
} from './descriptor.ts';
import type { AccessDescriptor } from './role.ts';

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

type Descriptor = RelationDescriptor | SchemaDescriptor | AccessDescriptor;

export function encodeDescriptor(descriptor: Descriptor): Uint8Array {
  const stored = { format: formatVersion, ...numbered(descriptor) };
  const text = JSON.stringify(stored, (key, value: unknown) => {
    if (key === 'type' && typeof value === 'object' && value !== null)
      return (value as SqlType).name;
    return typeof value === 'bigint' ? String(value) : value;
  });
  return Buffer.from(text, 'utf8');
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

/** Throws DbError CORRUPTION, NOT_SUPPORTED for a format of another version. */
export function decodeSchema(bytes: Uint8Array): SchemaDescriptor {
  const { format: _, ...schema } = parse(bytes) as { format: number } & SchemaDescriptor;
  return schema;
}

/** Throws DbError CORRUPTION, NOT_SUPPORTED for a format of another version. */
export function decodeAccess(bytes: Uint8Array): AccessDescriptor {
  const { format: _, ...access } = parse(bytes) as { format: number } & AccessDescriptor;
  if (access.kind !== 'role' && access.kind !== 'database')
    throw new DbError('CORRUPTION', 'descriptor is of no known kind');
  return access;
}

/** Throws DbError CORRUPTION, NOT_SUPPORTED for a format of another version. */
export function decodeDescriptor(bytes: Uint8Array): RelationDescriptor {
  const { format: _, ...stored } = parse(bytes) as { format: number } & StoredRelation;
  switch (stored.kind) {
    case 'table':
      return decodeTable(stored);
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

function decodeTable(stored: Plain<TableDescriptor>): TableDescriptor {
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

function typed(name: string): SqlType {
  const type = typeByName(name);
  if (type === undefined)
    throw new DbError('NOT_SUPPORTED', `descriptor has a column of type ${name}`);
  return type;
}
