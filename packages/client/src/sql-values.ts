/**
 * JavaScript values to SQL parameters and SQL values to JavaScript: the table of types in the README. Parameters pass
 * through the session's own text codec, so that a value means what its text would mean to PostgreSQL, and an ill-formed
 * one is refused with PostgreSQL's SQLSTATE.
 */
import { asBuffer, DbError } from '@flotilla/base';
import type { ColumnDescription, Datum, Oid, SqlSession } from '@flotilla/sql';

/** What may stand in `${}`. `undefined` is refused: it is nearly always a mistake for null. */
export type SqlParameter = string | number | bigint | boolean | Date | null;

/**
 * What a column of a result may hold. timestamptz: a Date, or ±Infinity for PostgreSQL's `infinity`. bytea: bytes. Dates,
 * times, intervals, arrays and rows: PostgreSQL's text.
 */
export type SqlValue = string | number | bigint | boolean | Date | Uint8Array | null;

const timestamptzOid = 1184;
const postgresEpochMs = Date.UTC(2000, 0, 1);
const infinityMicros = 2n ** 63n - 1n;
const minusInfinityMicros = -(2n ** 63n);

/** @throws DbError INVALID_ARGUMENT, or the SqlError of the type's input function (22P02, 22003, …) */
export function toDatum(session: SqlSession, typeOid: Oid, value: SqlParameter): Datum {
  const text = parameterText(value);
  return text === null ? null : session.decode(typeOid, 0, Buffer.from(text, 'utf8'));
}

/** What the value's text is to PostgreSQL's input functions; null for NULL. */
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
    default:
      if (value === null) return null;
      if (value instanceof Date) return dateText(value);
      throw new DbError('INVALID_ARGUMENT', `a parameter cannot be of type ${typeof value}`);
  }
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

/** The converter of one column, chosen once for all rows. */
export function columnConverter(
  session: Pick<SqlSession, 'encode'>,
  { typeOid }: ColumnDescription,
): (datum: Datum) => SqlValue {
  if (typeOid === timestamptzOid) return (datum) => toDate(datum as bigint | null);
  const asText = (datum: Datum) => {
    const bytes = session.encode(typeOid, 0, datum);
    return bytes === null ? null : asBuffer(bytes).toString('utf8');
  };
  if (textOids.has(typeOid)) return asText;
  return (datum) =>
    typeof datum !== 'object' || datum === null || datum instanceof Uint8Array
      ? datum
      : asText(datum);
}

/** date, time, timestamp, regproc, regclass, regtype, regnamespace, regrole: numbers inside. */
const textOids: ReadonlySet<Oid> = new Set([1082, 1083, 1114, 24, 2205, 2206, 4089, 4096]);

/** Microseconds are cut, towards the past, to the milliseconds that a Date can hold. */
function toDate(datum: bigint | null): SqlValue {
  if (datum === null) return datum;
  if (datum === infinityMicros) return Number.POSITIVE_INFINITY;
  if (datum === minusInfinityMicros) return Number.NEGATIVE_INFINITY;
  const micros = datum % 1000n;
  const ms = (datum - (micros < 0n ? micros + 1000n : micros)) / 1000n;
  return new Date(Number(ms) + postgresEpochMs);
}
