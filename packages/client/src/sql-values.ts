/**
 * JavaScript values to SQL parameters and SQL values to JavaScript: the table of types in docs/sdk.md. Parameters pass
 * through the session's own text codec, so that a value means what its text would mean to PostgreSQL, and an ill-formed
 * one is refused with PostgreSQL's SQLSTATE.
 */
import { asBuffer, DbError } from '@flotilla/base';
import { ArrayValue, type Datum, type Oid, SqlError, type SqlSession } from '@flotilla/sql';

/** Anything that JSON can say. What `json` and `jsonb` come as. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/**
 * What may stand in `${}`. Objects: a Date, bytes for `bytea`, an array for an array type, and, like any other plain object,
 * for `json` and `jsonb`; others are refused. So is `undefined`: it is nearly always a mistake for null.
 */
export type SqlParameter = string | number | bigint | boolean | null | object;

/**
 * What a column of a result may hold. timestamptz: a Date, or ±Infinity for PostgreSQL's `infinity`. bytea: bytes. json,
 * jsonb: what the JSON says. Arrays: arrays of the same, nested where they have dimensions. Dates, times, intervals, numeric
 * and rows: PostgreSQL's text.
 */
export type SqlValue =
  | string
  | number
  | bigint
  | boolean
  | Date
  | Uint8Array
  | null
  | readonly SqlValue[]
  | { readonly [key: string]: JsonValue };

/**
 * Chooses how values of a type come, instead of the SDK's own way: the function gets PostgreSQL's text. Undefined: the
 * SDK's way. NULL is always null.
 */
export type ParseType = (typeOid: Oid) => ((text: string) => unknown) | undefined;

const byteaOid = 17;
const int8Oid = 20;
const int4Oid = 23;
const textOid = 25;
const jsonOid = 114;
const float8Oid = 701;
const varcharOid = 1043;
const timestamptzOid = 1184;
const jsonbOid = 3802;
const postgresEpochMs = Date.UTC(2000, 0, 1);
const infinityMicros = 2n ** 63n - 1n;
const minusInfinityMicros = -(2n ** 63n);

type Codec = Pick<SqlSession, 'decode' | 'elementOf'>;

/** @throws DbError INVALID_ARGUMENT, or the SqlError of the type's input function (22P02, 22003, 22021, …) */
export function toDatum(session: Codec, typeOid: Oid, value: SqlParameter): Datum {
  if (value === null) return null;
  const same = asIs(typeOid, value);
  if (same !== undefined) return same;
  const text = isJson(typeOid, value) ? jsonText(value) : parameterText(value);
  if (text === null) return null;
  // UTF-8 has no half of a surrogate pair: different texts would become the same bytes.
  if (loneSurrogate.test(text))
    throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": half a surrogate pair');
  return session.decode(typeOid, 0, Buffer.from(text, 'utf8'));
}

/** Values that are what the type has in memory. Undefined: the type's input decides. */
function asIs(typeOid: Oid, value: SqlParameter): Datum | undefined {
  switch (typeof value) {
    case 'number':
      if (typeOid === float8Oid) return value;
      return typeOid === int4Oid && value === (value | 0) && !Object.is(value, -0)
        ? value
        : undefined;
    case 'bigint':
      return typeOid === int8Oid && BigInt.asIntN(64, value) === value ? value : undefined;
    case 'string':
      // PostgreSQL's text has no NUL: its refusal is the type's.
      return (typeOid === textOid || typeOid === varcharOid) && plainText.test(value)
        ? value
        : undefined;
    case 'object':
      return typeOid === byteaOid && value instanceof Uint8Array
        ? Uint8Array.from(value)
        : undefined;
    default:
      return undefined;
  }
}

const plainText = /^[^\0\p{Surrogate}]*$/u;
const loneSurrogate = /\p{Surrogate}/u;

/** A string is JSON's text, as it is to PostgreSQL; an object, or an array, is what it says. */
function isJson(typeOid: Oid, value: SqlParameter): boolean {
  return (
    (typeOid === jsonOid || typeOid === jsonbOid) &&
    typeof value === 'object' &&
    !(value instanceof Date) &&
    !(value instanceof Uint8Array)
  );
}

function jsonText(value: unknown): string {
  const text = JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'bigint')
      throw new DbError('INVALID_ARGUMENT', 'JSON has no bigint: give it as a string or a number');
    return inner;
  });
  if (text === undefined) throw new DbError('INVALID_ARGUMENT', 'a parameter has no JSON text');
  return text;
}

/** What the value's text is to PostgreSQL's input functions; null for NULL. Objects: JSON. */
export function parameterText(value: SqlParameter): string | null {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'bigint':
      return value.toString();
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      return objectText(value);
    default:
      throw new DbError('INVALID_ARGUMENT', `a parameter cannot be of type ${typeof value}`);
  }
}

function objectText(value: object | null): string | null {
  if (value === null) return null;
  if (value instanceof Date) return dateText(value);
  if (value instanceof Uint8Array) return `\\x${asBuffer(value).toString('hex')}`;
  if (Array.isArray(value)) return arrayText(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return jsonText(value);
  throw new DbError('INVALID_ARGUMENT', 'a parameter cannot be an object of a class');
}

/** An array literal: every element quoted, so that nothing in it means anything. */
function arrayText(elements: readonly SqlParameter[]): string {
  const parts = elements.map((element) => {
    if (Array.isArray(element)) return arrayText(element);
    const text = parameterText(element);
    return text === null ? 'NULL' : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
  });
  return `{${parts.join()}}`;
}

function dateText(date: Date): string {
  if (Number.isNaN(date.getTime()))
    throw new DbError('INVALID_ARGUMENT', 'a parameter is an invalid Date');
  const text = date.toISOString();
  // ISO 8601's expanded years are not PostgreSQL's: +012026-… is 12026-…, -000044-… is 0045-… BC.
  const expanded = /^([+-])(\d{6})(.*)Z$/.exec(text);
  if (expanded === null) return text;
  const [, sign, digits, rest] = expanded;
  const year = Number(digits);
  return sign === '+' ? `${year}${rest}Z` : `${String(year + 1).padStart(4, '0')}${rest}Z BC`;
}

/** The converter of one column, chosen once for all rows. @throws SqlError 0A000: the type is not there any more */
export function columnConverter(
  session: Pick<SqlSession, 'encode' | 'elementOf'>,
  { typeOid }: { readonly typeOid: Oid },
  parseType?: ParseType,
): (datum: Datum) => unknown {
  const asText = (datum: Datum): string | null => {
    const bytes = session.encode(typeOid, 0, datum);
    return bytes === null ? null : asBuffer(bytes).toString('utf8');
  };
  const parse = parseType?.(typeOid);
  if (parse !== undefined)
    return (datum) => {
      const text = asText(datum);
      return text === null ? null : parse(text);
    };
  if (typeOid === timestamptzOid) return (datum) => toDate(datum as bigint | null);
  if (typeOid === jsonOid || typeOid === jsonbOid)
    return (datum) => (datum === null ? null : JSON.parse(String(datum)));
  if (textOids.has(typeOid)) return asText;
  const elementOid = session.elementOf(typeOid);
  const element =
    elementOid === 0 ? undefined : columnConverter(session, { typeOid: elementOid }, parseType);
  return (datum) => {
    if (typeof datum !== 'object' || datum === null || datum instanceof Uint8Array) return datum;
    if (element !== undefined && datum instanceof ArrayValue) return nested(datum, element);
    return asText(datum);
  };
}

/** Elements are kept row by row; JavaScript's arrays lie in each other. */
function nested(
  { elements, dimensions }: ArrayValue,
  convert: (datum: Datum) => unknown,
): readonly unknown[] {
  let level: readonly unknown[] = elements.map(convert);
  for (const { length } of dimensions.slice(1).reverse()) {
    const rows: unknown[] = [];
    for (let at = 0; at < level.length; at += length) rows.push(level.slice(at, at + length));
    level = rows;
  }
  return level;
}

/** date, time, timestamp, regproc, regclass, regtype, regnamespace, regrole: numbers inside. */
const textOids: ReadonlySet<Oid> = new Set([1082, 1083, 1114, 24, 2205, 2206, 4089, 4096]);

/** Microseconds are cut, towards the past, to the milliseconds that a Date can hold. */
function toDate(datum: bigint | null): Date | number | null {
  if (datum === null) return datum;
  if (datum === infinityMicros) return Number.POSITIVE_INFINITY;
  if (datum === minusInfinityMicros) return Number.NEGATIVE_INFINITY;
  const micros = datum % 1000n;
  const ms = (datum - (micros < 0n ? micros + 1000n : micros)) / 1000n;
  return new Date(Number(ms) + postgresEpochMs);
}
