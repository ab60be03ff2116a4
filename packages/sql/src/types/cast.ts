/**
 * Casts: which type turns into which, when the user need not say so, and how. As pg_cast has it, with the automatic I/O
 * conversions: anything to a string type on assignment, a string type to anything when asked for.
 */
import { bigToSmall, floatToBig, floatToSmall } from '../functions/arithmetic.ts';
import type { Implementation } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { numericFromFloat, numericToBigint } from './numeric.ts';
import { formatText, parseText } from './text-codec.ts';
import {
  boolType,
  float8Type,
  int2Type,
  int4Type,
  int8Type,
  isText,
  nameType,
  numericType,
  oidType,
  type SqlType,
  textType,
  varcharType,
} from './type.ts';

/** The least explicit context in which a cast is applied. */
export type CastContext = 'implicit' | 'assignment' | 'explicit';

export interface Cast {
  readonly context: CastContext;
  /** Undefined: the values are the same, only the type's name changes. */
  readonly implementation: Implementation | undefined;
  /** Output depends on the session (time zone, float digits). */
  readonly stable: boolean;
}

const levels: Readonly<Record<CastContext, number>> = { implicit: 0, assignment: 1, explicit: 2 };

export function castAllowed(cast: Cast, context: CastContext): boolean {
  return levels[cast.context] <= levels[context];
}

const casts = new Map<SqlType, Map<SqlType, Cast>>();

function add(
  from: SqlType,
  to: SqlType,
  context: CastContext,
  implementation?: (value: Datum) => Datum,
): void {
  let targets = casts.get(from);
  if (targets === undefined) {
    targets = new Map();
    casts.set(from, targets);
  }
  targets.set(to, { context, implementation, stable: false });
}

const big = (a: Datum): Datum => BigInt(a as number);
const num = (a: Datum): Datum => Number(a);
const decimalText = (a: Datum): Datum => String(a);

add(int2Type, int4Type, 'implicit');
add(int2Type, int8Type, 'implicit', big);
add(int2Type, float8Type, 'implicit');
add(int2Type, numericType, 'implicit', decimalText);
add(int2Type, oidType, 'implicit', (a) => (a as number) >>> 0);
add(int4Type, int2Type, 'assignment', (a) => bigToSmall(int2Type, BigInt(a as number)));
add(int4Type, int8Type, 'implicit', big);
add(int4Type, float8Type, 'implicit');
add(int4Type, numericType, 'implicit', decimalText);
add(int4Type, oidType, 'implicit', (a) => (a as number) >>> 0);
add(int4Type, boolType, 'explicit', (a) => a !== 0);
add(int8Type, int2Type, 'assignment', (a) => bigToSmall(int2Type, a as bigint));
add(int8Type, int4Type, 'assignment', (a) => bigToSmall(int4Type, a as bigint));
add(int8Type, float8Type, 'implicit', num);
add(int8Type, numericType, 'implicit', decimalText);
add(int8Type, oidType, 'implicit', (a) => {
  const value = a as bigint;
  if (value < 0n || value > 4_294_967_295n) throw new SqlError('22003', 'OID out of range');
  return Number(value);
});
add(float8Type, int2Type, 'assignment', (a) => floatToSmall(int2Type, a as number));
add(float8Type, int4Type, 'assignment', (a) => floatToSmall(int4Type, a as number));
add(float8Type, int8Type, 'assignment', (a) => floatToBig(a as number));
add(float8Type, numericType, 'assignment', (a) => numericFromFloat(a as number));
add(numericType, int2Type, 'assignment', (a) => numericToSmall(int2Type, a as string));
add(numericType, int4Type, 'assignment', (a) => numericToSmall(int4Type, a as string));
add(numericType, int8Type, 'assignment', (a) => {
  const value = numericInteger(int8Type, a as string);
  if (BigInt.asIntN(64, value) !== value) throw new SqlError('22003', 'bigint out of range');
  return value;
});
add(numericType, float8Type, 'implicit', (a) => {
  const value = Number(a);
  if (!Number.isFinite(value) && /\d/.test(a as string))
    throw new SqlError('22003', `"${a}" is out of range for type double precision`);
  return value;
});
add(oidType, int4Type, 'assignment', (a) => (a as number) | 0);
add(oidType, int8Type, 'assignment', big);
add(boolType, int4Type, 'explicit', (a) => (a === true ? 1 : 0));
add(boolType, textType, 'assignment', decimalText);
add(boolType, varcharType, 'assignment', decimalText);
add(textType, varcharType, 'implicit');
add(varcharType, textType, 'implicit');
add(nameType, textType, 'implicit');
add(nameType, varcharType, 'assignment');
add(textType, nameType, 'implicit', cutName);
add(varcharType, nameType, 'implicit', cutName);

/** The cast between two different types, or undefined: 42846. */
export function findCast(from: SqlType, to: SqlType): Cast | undefined {
  const direct = casts.get(from)?.get(to);
  if (direct !== undefined) return direct;
  if (!from.supported || !to.supported) return undefined;
  if (isText(to)) {
    const implementation: Implementation = (a, _b, _c, context) => formatText(from, a, context);
    return { context: 'assignment', implementation, stable: true };
  }
  if (isText(from) && to.category !== 'P') {
    const implementation: Implementation = (a, _b, _c, context) =>
      parseText(to, a as string, context);
    return { context: 'explicit', implementation, stable: true };
  }
  return undefined;
}

/** True where a value of `from` may stand for `to` without the user saying so. */
export function implicitlyCasts(from: SqlType, to: SqlType): boolean {
  if (from === to) return true;
  const cast = findCast(from, to);
  return cast !== undefined && cast.context === 'implicit';
}

/** varchar(n): an explicit cast cuts, assignment only cuts blanks. Unit: characters, not UTF-16 units. Throws 22001. */
export function applyLength(value: string, most: number, explicit: boolean): string {
  if (value.length <= most) return value;
  const characters = [...value];
  if (characters.length <= most) return value;
  const rest = characters.slice(most);
  if (!explicit && rest.some((character) => character !== ' '))
    throw new SqlError('22001', `value too long for type character varying(${most})`);
  return characters.slice(0, most).join('');
}

function cutName(value: Datum): Datum {
  const bytes = Buffer.from(value as string, 'utf8');
  if (bytes.length < 64) return value;
  let end = 63;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

function numericInteger(type: SqlType, text: string): bigint {
  const value = numericToBigint(text);
  if (value !== undefined) return value;
  const what = text === 'NaN' ? 'NaN' : 'infinity';
  throw new SqlError('0A000', `cannot convert ${what} to ${type.display}`);
}

function numericToSmall(type: SqlType, text: string): number {
  return bigToSmall(type, numericInteger(type, text));
}
