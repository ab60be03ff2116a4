/**
 * The SQL types, with the facts that PostgreSQL's catalog keeps of them: oid, width, category, preference. Types that
 * PostgreSQL has and we have not are known by name, so that they are refused as such and take part in overload
 * resolution where leaving them out would change which overload wins.
 */
import type { Oid } from '../session-api.ts';

/** pg_type.typcategory: Boolean, Numeric, String, Date/time, Timespan, Geometric, pseudo-, unknown. */
export type TypeCategory = 'B' | 'N' | 'S' | 'D' | 'T' | 'G' | 'P' | 'X' | 'U';

export interface SqlType {
  readonly oid: Oid;
  /** pg_type.typname: `int4`. */
  readonly name: string;
  /** What format_type prints: `integer`. */
  readonly display: string;
  /** pg_type.typlen. */
  readonly length: number;
  readonly category: TypeCategory;
  /** The type that its category prefers when an overload must be chosen. */
  readonly preferred: boolean;
  /** False: known by name only. */
  readonly supported: boolean;
  /** May be the type of a table's column. */
  readonly storable: boolean;
}

function define(
  oid: Oid,
  name: string,
  display: string,
  length: number,
  category: TypeCategory,
  flags: { preferred?: boolean; supported?: boolean; storable?: boolean } = {},
): SqlType {
  return {
    oid,
    name,
    display,
    length,
    category,
    preferred: flags.preferred ?? false,
    supported: flags.supported ?? true,
    storable: flags.storable ?? false,
  };
}

const stored = { storable: true };
export const boolType: SqlType = define(16, 'bool', 'boolean', 1, 'B', {
  preferred: true,
  storable: true,
});
export const nameType: SqlType = define(19, 'name', 'name', 64, 'S');
export const int8Type: SqlType = define(20, 'int8', 'bigint', 8, 'N', stored);
export const int2Type: SqlType = define(21, 'int2', 'smallint', 2, 'N', stored);
export const int4Type: SqlType = define(23, 'int4', 'integer', 4, 'N', stored);
export const textType: SqlType = define(25, 'text', 'text', -1, 'S', {
  preferred: true,
  storable: true,
});
export const oidType: SqlType = define(26, 'oid', 'oid', 4, 'N', { preferred: true });
export const float8Type: SqlType = define(701, 'float8', 'double precision', 8, 'N', {
  preferred: true,
  storable: true,
});
export const unknownType: SqlType = define(705, 'unknown', 'unknown', -2, 'X');
export const varcharType: SqlType = define(1043, 'varchar', 'character varying', -1, 'S', stored);
export const timestamptzType: SqlType = define(
  1184,
  'timestamptz',
  'timestamp with time zone',
  8,
  'D',
  { preferred: true, storable: true },
);
export const numericType: SqlType = define(1700, 'numeric', 'numeric', -1, 'N');
export const voidType: SqlType = define(2278, 'void', 'void', 4, 'P');
export const anyType: SqlType = define(2276, 'any', '"any"', 4, 'P');

const known = { supported: false };
export const intervalType: SqlType = define(1186, 'interval', 'interval', 16, 'T', {
  supported: false,
  preferred: true,
});
export const pointType: SqlType = define(600, 'point', 'point', 16, 'G', known);
export const moneyType: SqlType = define(790, 'money', 'money', 8, 'N', known);
export const dateType: SqlType = define(1082, 'date', 'date', 4, 'D', known);
export const inetType: SqlType = define(869, 'inet', 'inet', -1, 'U', known);

export const jsonbType: SqlType = define(3802, 'jsonb', 'jsonb', -1, 'U', known);
export const macaddrType: SqlType = define(829, 'macaddr', 'macaddr', 6, 'U', known);

const supportedTypes: readonly SqlType[] = [
  boolType,
  nameType,
  int8Type,
  int2Type,
  int4Type,
  textType,
  oidType,
  float8Type,
  unknownType,
  varcharType,
  timestamptzType,
  numericType,
  voidType,
];

const knownTypes: readonly SqlType[] = [
  intervalType,
  pointType,
  moneyType,
  dateType,
  inetType,
  define(17, 'bytea', 'bytea', -1, 'U', known),
  define(18, 'char', '"char"', 1, 'S', known),
  define(24, 'regproc', 'regproc', 4, 'N', known),
  define(114, 'json', 'json', -1, 'U', known),
  define(142, 'xml', 'xml', -1, 'U', known),
  define(601, 'lseg', 'lseg', 32, 'G', known),
  define(602, 'path', 'path', -1, 'G', known),
  define(603, 'box', 'box', 32, 'G', known),
  define(604, 'polygon', 'polygon', -1, 'G', known),
  define(628, 'line', 'line', 24, 'G', known),
  define(650, 'cidr', 'cidr', -1, 'U', known),
  define(700, 'float4', 'real', 4, 'N', known),
  define(718, 'circle', 'circle', 24, 'G', known),
  define(774, 'macaddr8', 'macaddr8', 8, 'U', known),
  macaddrType,
  define(1042, 'bpchar', 'character', -1, 'S', known),
  define(1083, 'time', 'time without time zone', 8, 'D', known),
  define(1114, 'timestamp', 'timestamp without time zone', 8, 'D', known),
  define(1266, 'timetz', 'time with time zone', 12, 'D', known),
  define(1560, 'bit', 'bit', -1, 'U', known),
  define(1562, 'varbit', 'bit varying', -1, 'U', known),
  define(1790, 'refcursor', 'refcursor', -1, 'U', known),
  define(2202, 'regprocedure', 'regprocedure', 4, 'N', known),
  define(2203, 'regoper', 'regoper', 4, 'N', known),
  define(2204, 'regoperator', 'regoperator', 4, 'N', known),
  define(2205, 'regclass', 'regclass', 4, 'N', known),
  define(2206, 'regtype', 'regtype', 4, 'N', known),
  define(2249, 'record', 'record', -1, 'P', known),
  define(2950, 'uuid', 'uuid', 16, 'U', known),
  define(3220, 'pg_lsn', 'pg_lsn', 8, 'U', known),
  define(3614, 'tsvector', 'tsvector', -1, 'U', known),
  define(3615, 'tsquery', 'tsquery', -1, 'U', known),
  jsonbType,
  define(4072, 'jsonpath', 'jsonpath', -1, 'U', known),
  define(4089, 'regnamespace', 'regnamespace', 4, 'N', known),
  define(4096, 'regrole', 'regrole', 4, 'N', known),
];

const byOid = new Map<Oid, SqlType>();
const byName = new Map<string, SqlType>();
for (const type of [...supportedTypes, ...knownTypes]) {
  byOid.set(type.oid, type);
  byName.set(type.name, type);
}
/** Names that are no types of PostgreSQL's catalog but macros of CREATE TABLE. */
const serialNames: ReadonlySet<string> = new Set([
  'serial',
  'serial2',
  'serial4',
  'serial8',
  'smallserial',
  'bigserial',
]);

export function typeByOid(oid: Oid): SqlType | undefined {
  return byOid.get(oid);
}

/** By pg_type.typname; the grammar has already turned `integer` into `int4`. */
export function typeByName(name: string): SqlType | undefined {
  return byName.get(name);
}

export function isSerialName(name: string): boolean {
  return serialNames.has(name);
}

export function isInteger(type: SqlType): boolean {
  return type === int4Type || type === int8Type || type === int2Type;
}

export function isText(type: SqlType): boolean {
  return type === textType || type === varcharType || type === nameType;
}

/** `character varying(3)`: a type with its modifier, as error messages print it. */
export function displayType(type: SqlType, modifier: number): string {
  return type === varcharType && modifier >= 4 ? `${type.display}(${modifier - 4})` : type.display;
}
