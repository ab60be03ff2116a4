/**
 * The SQL types: the facts that PostgreSQL's catalog keeps of them (oid, width, category, preference) and the codec that
 * knows their values. To add a type: a codec in its family's file, a line here. Types that PostgreSQL has and we have not
 * are known by name, so that they are refused as such and take part in overload resolution where leaving them out would
 * change which overload wins.
 */
import type { Oid } from '../session-api.ts';
import { arrayCodec, vectorCodec } from './array.ts';
import { byteaCodec, uuidCodec } from './bytes.ts';
import type { TypeCodec } from './codec.ts';
import type { Domain } from './domain.ts';
import type { EnumLabel } from './enum.ts';
import { boolCodec, int2Codec, int4Codec, int8Codec, oidCodec } from './integers.ts';
import { intervalCodec } from './interval.ts';
import { jsonbCodec, jsonCodec } from './json.ts';
import { jsonPathCodec } from './json-path/codec.ts';
import { namedOidCodec } from './named-oids.ts';
import { float4Codec, float8Codec, numericCodec } from './numeric-codec.ts';
import { recordCodec } from './record.ts';
import {
  bpcharCodec,
  charCodec,
  nameCodec,
  textCodec,
  varcharCodec,
  voidCodec,
} from './strings.ts';
import {
  dateCodec,
  timeCodec,
  timestampCodec,
  timestampTzCodec,
  timeTzCodec,
} from './timestamp.ts';

/** pg_type.typcategory: array, Boolean, date/time, enumeration, geometric, network, numeric, pseudo-, string, … */
export type TypeCategory =
  | 'A'
  | 'B'
  | 'D'
  | 'E'
  | 'G'
  | 'I'
  | 'N'
  | 'P'
  | 'S'
  | 'T'
  | 'U'
  | 'V'
  | 'X'
  | 'Z';

export interface SqlType {
  readonly oid: Oid;
  /** The oid of its array type; 0 where there is none. */
  readonly arrayOid: Oid;
  readonly schema: string;
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
  /** Undefined where not supported, and for pseudo-types without values. */
  readonly codec: TypeCodec | undefined;
  /** Of arrays and vectors: what a subscript gives. */
  readonly element: SqlType | undefined;
  /** Of enumerations, in order. */
  readonly labels?: readonly EnumLabel[];
  /** Of domains. */
  readonly domain?: Domain;
}

interface Facts {
  readonly array?: Oid;
  readonly preferred?: true;
  readonly element?: SqlType;
}

const all: SqlType[] = [];

function define(
  oid: Oid,
  [name, display]: readonly [name: string, display: string],
  length: number,
  category: TypeCategory,
  codec: TypeCodec | undefined,
  facts: Facts = {},
): SqlType {
  const type: SqlType = {
    oid,
    arrayOid: facts.array ?? 0,
    schema: 'pg_catalog',
    name,
    display,
    length,
    category,
    preferred: facts.preferred ?? false,
    supported: codec !== undefined,
    storable: codec?.row !== undefined,
    codec,
    element: facts.element,
  };
  all.push(type);
  return type;
}

export const boolType: SqlType = define(16, ['bool', 'boolean'], 1, 'B', boolCodec, {
  array: 1000,
  preferred: true,
});
export const byteaType: SqlType = define(17, ['bytea', 'bytea'], -1, 'U', byteaCodec, {
  array: 1001,
});
export const charType: SqlType = define(18, ['char', '"char"'], 1, 'Z', charCodec, { array: 1002 });
export const nameType: SqlType = define(19, ['name', 'name'], 64, 'S', nameCodec, { array: 1003 });
export const int8Type: SqlType = define(20, ['int8', 'bigint'], 8, 'N', int8Codec, { array: 1016 });
export const int2Type: SqlType = define(21, ['int2', 'smallint'], 2, 'N', int2Codec, {
  array: 1005,
});
export const int2vectorType: SqlType = define(
  22,
  ['int2vector', 'int2vector'],
  -1,
  'A',
  vectorCodec(int2Type),
  {
    array: 1006,
    element: int2Type,
  },
);
export const int4Type: SqlType = define(23, ['int4', 'integer'], 4, 'N', int4Codec, {
  array: 1007,
});
export const regprocType: SqlType = define(
  24,
  ['regproc', 'regproc'],
  4,
  'N',
  namedOidCodec('procedure'),
  { array: 1008 },
);
export const textType: SqlType = define(25, ['text', 'text'], -1, 'S', textCodec, {
  array: 1009,
  preferred: true,
});
export const oidType: SqlType = define(26, ['oid', 'oid'], 4, 'N', oidCodec, {
  array: 1028,
  preferred: true,
});
export const xidType: SqlType = define(28, ['xid', 'xid'], 4, 'U', oidCodec, { array: 1011 });
export const oidvectorType: SqlType = define(
  30,
  ['oidvector', 'oidvector'],
  -1,
  'A',
  vectorCodec(oidType),
  {
    array: 1013,
    element: oidType,
  },
);
export const jsonType: SqlType = define(114, ['json', 'json'], -1, 'U', jsonCodec, { array: 199 });
export const nodeTreeType: SqlType = define(
  194,
  ['pg_node_tree', 'pg_node_tree'],
  -1,
  'Z',
  textCodec,
);
export const float4Type: SqlType = define(700, ['float4', 'real'], 4, 'N', float4Codec, {
  array: 1021,
});
export const float8Type: SqlType = define(
  701,
  ['float8', 'double precision'],
  8,
  'N',
  float8Codec,
  {
    array: 1022,
    preferred: true,
  },
);
export const unknownType: SqlType = define(705, ['unknown', 'unknown'], -2, 'X', {
  ...textCodec,
  row: undefined,
  key: undefined,
});
export const aclitemType: SqlType = define(1033, ['aclitem', 'aclitem'], 12, 'U', textCodec, {
  array: 1034,
});
export const bpcharType: SqlType = define(1042, ['bpchar', 'character'], -1, 'S', bpcharCodec, {
  array: 1014,
});
export const varcharType: SqlType = define(
  1043,
  ['varchar', 'character varying'],
  -1,
  'S',
  varcharCodec,
  { array: 1015 },
);
export const dateType: SqlType = define(1082, ['date', 'date'], 4, 'D', dateCodec, { array: 1182 });
export const timeType: SqlType = define(
  1083,
  ['time', 'time without time zone'],
  8,
  'D',
  timeCodec,
  { array: 1183 },
);
export const timestampType: SqlType = define(
  1114,
  ['timestamp', 'timestamp without time zone'],
  8,
  'D',
  timestampCodec,
  { array: 1115 },
);
export const timestamptzType: SqlType = define(
  1184,
  ['timestamptz', 'timestamp with time zone'],
  8,
  'D',
  timestampTzCodec,
  {
    array: 1185,
    preferred: true,
  },
);
export const intervalType: SqlType = define(
  1186,
  ['interval', 'interval'],
  16,
  'T',
  intervalCodec,
  {
    array: 1187,
    preferred: true,
  },
);
export const timetzType: SqlType = define(
  1266,
  ['timetz', 'time with time zone'],
  12,
  'D',
  timeTzCodec,
  { array: 1270 },
);
export const numericType: SqlType = define(1700, ['numeric', 'numeric'], -1, 'N', numericCodec, {
  array: 1231,
});
export const regclassType: SqlType = define(
  2205,
  ['regclass', 'regclass'],
  4,
  'N',
  namedOidCodec('class'),
  { array: 2210 },
);
export const regtypeType: SqlType = define(
  2206,
  ['regtype', 'regtype'],
  4,
  'N',
  namedOidCodec('type'),
  { array: 2211 },
);
export const recordType: SqlType = define(2249, ['record', 'record'], -1, 'P', recordCodec, {
  array: 2287,
});
export const voidType: SqlType = define(2278, ['void', 'void'], 4, 'P', voidCodec);
export const uuidType: SqlType = define(2950, ['uuid', 'uuid'], 16, 'U', uuidCodec, {
  array: 2951,
});
export const jsonbType: SqlType = define(3802, ['jsonb', 'jsonb'], -1, 'U', jsonbCodec, {
  array: 3807,
});
export const jsonPathType: SqlType = define(
  4072,
  ['jsonpath', 'jsonpath'],
  -1,
  'U',
  jsonPathCodec,
  { array: 4073 },
);
export const regnamespaceType: SqlType = define(
  4089,
  ['regnamespace', 'regnamespace'],
  4,
  'N',
  namedOidCodec('namespace'),
  { array: 4090 },
);
export const regroleType: SqlType = define(
  4096,
  ['regrole', 'regrole'],
  4,
  'N',
  namedOidCodec('role'),
  { array: 4097 },
);

/** Types of parameters that take several types; the rules are in functions/polymorphic.ts. */
export const anyType: SqlType = define(2276, ['any', '"any"'], 4, 'P', undefined);
export const anyarrayType: SqlType = define(2277, ['anyarray', 'anyarray'], -1, 'P', undefined);
export const anyelementType: SqlType = define(
  2283,
  ['anyelement', 'anyelement'],
  4,
  'P',
  undefined,
);
export const anynonarrayType: SqlType = define(
  2776,
  ['anynonarray', 'anynonarray'],
  4,
  'P',
  undefined,
);
export const anyenumType: SqlType = define(3500, ['anyenum', 'anyenum'], 4, 'P', undefined);
export const anycompatibleType: SqlType = define(
  5077,
  ['anycompatible', 'anycompatible'],
  4,
  'P',
  undefined,
);
export const anycompatiblearrayType: SqlType = define(
  5078,
  ['anycompatiblearray', 'anycompatiblearray'],
  -1,
  'P',
  undefined,
);

// Known by name only.
export const pointType: SqlType = define(600, ['point', 'point'], 16, 'G', undefined);
export const moneyType: SqlType = define(790, ['money', 'money'], 8, 'N', undefined);
export const inetType: SqlType = define(869, ['inet', 'inet'], -1, 'I', undefined);
export const macaddrType: SqlType = define(829, ['macaddr', 'macaddr'], 6, 'U', undefined);
define(142, ['xml', 'xml'], -1, 'U', undefined);
define(601, ['lseg', 'lseg'], 32, 'G', undefined);
define(602, ['path', 'path'], -1, 'G', undefined);
define(603, ['box', 'box'], 32, 'G', undefined);
define(604, ['polygon', 'polygon'], -1, 'G', undefined);
define(628, ['line', 'line'], 24, 'G', undefined);
define(650, ['cidr', 'cidr'], -1, 'I', undefined);
define(718, ['circle', 'circle'], 24, 'G', undefined);
define(774, ['macaddr8', 'macaddr8'], 8, 'U', undefined);
define(1560, ['bit', 'bit'], -1, 'V', undefined);
define(1562, ['varbit', 'bit varying'], -1, 'V', undefined);
define(1790, ['refcursor', 'refcursor'], -1, 'U', undefined);
export const regprocedureType: SqlType = define(
  2202,
  ['regprocedure', 'regprocedure'],
  4,
  'N',
  namedOidCodec('procedure'),
);
define(2203, ['regoper', 'regoper'], 4, 'N', undefined);
define(2204, ['regoperator', 'regoperator'], 4, 'N', undefined);
define(3220, ['pg_lsn', 'pg_lsn'], 8, 'U', undefined);
define(3614, ['tsvector', 'tsvector'], -1, 'U', undefined);
define(3615, ['tsquery', 'tsquery'], -1, 'U', undefined);

const arrays = new WeakMap<SqlType, SqlType>();

/** What a domain is over, down to what is no domain; arrays may still be of one (`baseType`). For other types the type itself. */
export function plainType(type: SqlType): SqlType {
  let plain = type;
  while (plain.domain !== undefined) plain = plain.domain.type;
  return plain;
}

/** Rows have arrays of a domain as they have those of what it is over. */
function codecOfArrays(element: SqlType): TypeCodec {
  const codec = arrayCodec(element);
  const plain = element.domain === undefined ? undefined : arrayTypeOf(plainType(element));
  return plain?.codec === undefined ? codec : { ...codec, row: plain.codec.row };
}

/** The type of arrays over a type; undefined where it has none. */
export function arrayTypeOf(element: SqlType): SqlType | undefined {
  if (element.arrayOid === 0 || element.codec === undefined) return undefined;
  let type = arrays.get(element);
  if (type === undefined) {
    const codec = codecOfArrays(element);
    type = {
      oid: element.arrayOid,
      arrayOid: 0,
      schema: element.schema,
      name: `_${element.name}`,
      display: `${element.display}[]`,
      length: -1,
      category: 'A',
      preferred: false,
      supported: true,
      storable: element.storable,
      codec,
      element,
    };
    arrays.set(element, type);
  }
  return type;
}

const byOid = new Map<Oid, SqlType>();
const byName = new Map<string, SqlType>();
for (const type of all) {
  for (const one of [type, arrayTypeOf(type)]) {
    if (one === undefined) continue;
    byOid.set(one.oid, one);
    byName.set(one.name, one);
  }
}

/** All types of pg_catalog, arrays too. */
export function builtInTypes(): Iterable<SqlType> {
  return byOid.values();
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

/** Compared as text. */
export function isText(type: SqlType): boolean {
  return type === textType || type === varcharType || type === nameType;
}

/** `character varying(3)`: a type with its modifier, as format_type and error messages print it. */
export function displayType(type: SqlType, modifier: number): string {
  if (type.element !== undefined && type.category === 'A' && type.name.startsWith('_'))
    return `${displayType(type.element, modifier)}[]`;
  const form = type.codec?.modifier;
  if (modifier < 0 || form === undefined) return type.display;
  const shown = form.format(modifier);
  const space =
    type === timestampType || type === timestamptzType || type === timeType || type === timetzType
      ? type.display.indexOf(' ')
      : -1;
  return space < 0
    ? `${type.display}${shown}`
    : `${type.display.slice(0, space)}${shown}${type.display.slice(space)}`;
}
