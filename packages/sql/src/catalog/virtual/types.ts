/** pg_type and its kin, as far as values of the types are known here. */
import { baseType } from '../../types/domain.ts';
import { arrayTypeOf, builtInTypes, isText, type SqlType } from '../../types/type.ts';
import { defaultText } from '../definitions.ts';
import { sqlTypeOf, type TypeDescriptor } from '../descriptor.ts';
import type { RowsOf, SystemRow } from './layout.ts';
import { bootstrapRoleOid, ownerOid, schemaOid } from './system-oids.ts';
import type { VirtualSource } from './virtual-table.ts';

export const arrayInput = 750;

export function collationOf(type: SqlType): number {
  const plain = baseType(type);
  const base = plain.element ?? plain;
  if (base.name === 'name') return 950;
  return isText(base) || base.name === 'bpchar' ? 100 : 0;
}

/** The default B-tree operator class of a type. */
const operatorClasses: Readonly<Record<string, readonly [number, string]>> = {
  bool: [10_003, 'bool_ops'],
  bpchar: [10_004, 'bpchar_ops'],
  bytea: [10_006, 'bytea_ops'],
  char: [10_007, 'char_ops'],
  date: [3122, 'date_ops'],
  float8: [3123, 'float8_ops'],
  int2: [1979, 'int2_ops'],
  int4: [1978, 'int4_ops'],
  int8: [3124, 'int8_ops'],
  name: [10_028, 'name_ops'],
  numeric: [3125, 'numeric_ops'],
  oid: [1981, 'oid_ops'],
  text: [3126, 'text_ops'],
  timestamptz: [3127, 'timestamptz_ops'],
  timestamp: [3128, 'timestamp_ops'],
  uuid: [10_065, 'uuid_ops'],
};

export function operatorClassOf(type: SqlType | undefined): number {
  const own = type === undefined ? undefined : baseType(type);
  const name = own?.name === 'varchar' ? 'text' : (own?.name ?? 'text');
  return operatorClasses[name]?.[0] ?? 0;
}

/** What pg_type has of domains alone. */
function domainFacts(source: VirtualSource, { domain, name, id }: TypeDescriptor): SystemRow {
  if (domain === undefined) return {};
  const { type, modifier, notNull } = domain;
  const column = {
    name,
    attributeNumber: 0,
    type: baseType(type),
    modifier,
    notNull,
    default: domain.default,
  };
  return {
    oid: id,
    typtype: 'd',
    typbasetype: type.oid,
    typtypmod: modifier,
    typnotnull: notNull,
    typdefault: defaultText(column, source.snapshot, source.names) ?? null,
  };
}

function* types(source: VirtualSource): Iterable<SystemRow> {
  const { snapshot } = source;
  for (const type of builtInTypes())
    yield { ...typeRow(type), typnamespace: 11, typowner: bootstrapRoleOid };
  for (const descriptor of snapshot.types()) {
    const own = sqlTypeOf(descriptor);
    const common = {
      typnamespace: schemaOid(snapshot, descriptor.schema),
      typowner: ownerOid(snapshot, descriptor),
    };
    yield { ...typeRow(own), ...common, ...domainFacts(source, descriptor) };
    const array = arrayTypeOf(own);
    if (array !== undefined) yield { ...typeRow(array), ...common };
  }
}

function* enumLabels({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const { id, labels } of snapshot.types())
    for (const { oid, label, sortOrder } of labels)
      yield { oid, enumtypid: id, enumsortorder: sortOrder, enumlabel: label };
}

/** pg_type.typstorage. */
export function storageOf(type: SqlType): string {
  if (type.length >= 0) return 'p';
  return baseType(type).name === 'numeric' ? 'm' : 'x';
}

function typeRow(type: SqlType): SystemRow {
  const isArray = type.category === 'A' && type.name.startsWith('_');
  return {
    oid: type.oid,
    typname: type.name,
    typlen: type.length,
    typbyval: type.length > 0 && type.length <= 8,
    typtype:
      type.category === 'P' || type.category === 'X' ? 'p' : type.category === 'E' ? 'e' : 'b',
    typcategory: type.category,
    typispreferred: type.preferred,
    typisdefined: true,
    typdelim: ',',
    typelem: type.element?.oid ?? 0,
    typarray: type.arrayOid,
    typinput: isArray ? arrayInput : 0,
    typalign: type.length === 1 ? 'c' : type.length === 2 ? 's' : type.length === 8 ? 'd' : 'i',
    typstorage: storageOf(type),
    typtypmod: -1,
    typcollation: collationOf(type),
  };
}

function* collations(): Iterable<SystemRow> {
  const common = {
    collnamespace: 11,
    collowner: bootstrapRoleOid,
    collisdeterministic: true,
    collencoding: -1,
  };
  yield { ...common, oid: 100, collname: 'default', collprovider: 'd' };
  yield { ...common, oid: 950, collname: 'C', collprovider: 'c', collcollate: 'C', collctype: 'C' };
  yield {
    ...common,
    oid: 951,
    collname: 'POSIX',
    collprovider: 'c',
    collcollate: 'POSIX',
    collctype: 'POSIX',
  };
}

function* accessMethods(): Iterable<SystemRow> {
  yield { oid: 2, amname: 'heap', amtype: 't' };
  yield { oid: 403, amname: 'btree', amtype: 'i' };
}

function* classes(): Iterable<SystemRow> {
  for (const type of builtInTypes()) {
    const known = operatorClasses[type.name];
    if (known === undefined) continue;
    yield {
      oid: known[0],
      opcmethod: 403,
      opcname: known[1],
      opcnamespace: 11,
      opcowner: bootstrapRoleOid,
      opcintype: type.oid,
      opcdefault: true,
    };
  }
}

export const typeTables: Readonly<Record<string, RowsOf>> = {
  pg_type: types,
  pg_enum: enumLabels,
  pg_collation: collations,
  pg_am: accessMethods,
  pg_opclass: classes,
};
