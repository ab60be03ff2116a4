/**
 * Order of values, as PostgreSQL's default btree operator classes have it, within a type and between the types of one
 * family. NULLs are the caller's.
 */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { dayMicros } from './calendar.ts';
import { type Comparator, compareOrdinary, type TextContext } from './codec.ts';
import {
  dateInfinity,
  dateMinusInfinity,
  timestampInfinity,
  timestampMinusInfinity,
  utcFromLocal,
} from './timestamp.ts';
import {
  dateType,
  float4Type,
  float8Type,
  isText,
  type SqlType,
  textType,
  timestampType,
  timestamptzType,
} from './type.ts';

export type { Comparator } from './codec.ts';

/** True where values of the type have an order. */
export function isOrdered(type: SqlType): boolean {
  return type.codec?.compare !== undefined;
}

/** Throws 42883 for types without an order. */
export function comparatorOf(type: SqlType): Comparator {
  const compare = type.codec?.compare;
  if (compare === undefined)
    throw new SqlError(
      '42883',
      `could not identify an ordering operator for type ${type.display}`,
      {
        hint: 'Use an explicit ordering operator or modify the query.',
      },
    );
  return compare;
}

type Moment = (value: Datum, context: TextContext) => bigint;

/** A date's midnight. Beyond what a timestamp holds it stays comparable. */
function dateMoment(value: Datum): bigint {
  if (value === dateInfinity) return timestampInfinity;
  if (value === dateMinusInfinity) return timestampMinusInfinity;
  return BigInt(value as number) * dayMicros;
}

const moments: ReadonlyMap<SqlType, Moment> = new Map([
  [dateType, dateMoment],
  [timestampType, (value: Datum) => value as bigint],
]);

function zoned(type: SqlType): Moment {
  if (type === timestamptzType) return (value) => value as bigint;
  const local = moments.get(type);
  return (value, context) => {
    const moment = local?.(value, context) ?? 0n;
    return moment === timestampInfinity || moment === timestampMinusInfinity
      ? moment
      : utcFromLocal(context.zone, moment);
  };
}

/** What a comparison of two values may need of the session: the zone, for dates against timestamptz. */
export type PairComparator = (a: Datum, b: Datum, context: TextContext) => number;

/**
 * Operand types of one comparison are the same, or two strings, or integers of different widths, which JavaScript
 * compares itself, or two of date, timestamp and timestamptz.
 */
export function pairComparator(left: SqlType, right: SqlType): PairComparator {
  if (left === right) return comparatorOf(left);
  if (isText(left)) return comparatorOf(textType);
  if (isFloat(left) || isFloat(right)) return comparatorOf(float8Type);
  if (left.category !== 'D') return compareOrdinary;
  if (left === timestamptzType || right === timestamptzType) {
    const [a, b] = [zoned(left), zoned(right)];
    return (x, y, context) => compareOrdinary(a(x, context) as Datum, b(y, context) as Datum);
  }
  const [a, b] = [moments.get(left), moments.get(right)];
  if (a === undefined || b === undefined)
    throw new RangeError(`${left.display} compares with ${right.display}`);
  return (x, y, context) => compareOrdinary(a(x, context) as Datum, b(y, context) as Datum);
}

function isFloat(type: SqlType): boolean {
  return type === float4Type || type === float8Type;
}

/** Equal values are equal JavaScript values. */
export function isIdentical(left: SqlType, right: SqlType): boolean {
  return left === right && left.codec?.identical === true;
}
