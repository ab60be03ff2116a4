/**
 * Casts: which type turns into which, when the user need not say so, and how. As pg_cast has it, with the automatic I/O
 * conversions: anything to a string type on assignment, a string type to anything when asked for.
 */
import { bigToSmall, floatToBig, floatToSmall } from '../functions/arithmetic.ts';
import type { Implementation } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { civilTime, dayMicros } from './calendar.ts';
import { makeInterval } from './interval.ts';
import {
  formatJsonb,
  isJsonArray,
  JsonNumber,
  JsonObject,
  type JsonValue,
  parseJson,
  readJsonb,
} from './json.ts';
import { numericFromFloat, numericToBigint } from './numeric.ts';
import { byteOfChar, charOfByte, cutName, trimBlanks } from './strings.ts';
import { formatText, parseText } from './text-codec.ts';
import type { TimeZone } from './time-zone.ts';
import {
  dateInfinity,
  dateMinusInfinity,
  inDay,
  isFiniteTimestamp,
  isTimestamp,
  localFromUtc,
  offsetAt,
  timestampInfinity,
  timestampMinusInfinity,
  utcFromLocal,
} from './timestamp.ts';
import {
  boolType,
  bpcharType,
  charType,
  dateType,
  float4Type,
  float8Type,
  int2Type,
  int2vectorType,
  int4Type,
  int8Type,
  intervalType,
  isText,
  jsonbType,
  jsonType,
  nameType,
  numericType,
  oidType,
  oidvectorType,
  regclassType,
  regnamespaceType,
  regprocedureType,
  regprocType,
  regroleType,
  regtypeType,
  type SqlType,
  textType,
  timestampType,
  timestamptzType,
  timeType,
  timetzType,
  varcharType,
} from './type.ts';
import { ArrayValue, type IntervalValue, TimeTzValue } from './values.ts';

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
  implementation?: Implementation,
  stable = false,
): void {
  let targets = casts.get(from);
  if (targets === undefined) {
    targets = new Map();
    casts.set(from, targets);
  }
  targets.set(to, { context, implementation, stable });
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
add(int8Type, oidType, 'implicit', toOid);
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
add(boolType, bpcharType, 'assignment', decimalText);
add(textType, varcharType, 'implicit');
add(varcharType, textType, 'implicit');
add(nameType, textType, 'implicit');
add(nameType, varcharType, 'assignment');
const toName = (a: Datum): Datum => cutName(a as string);
add(textType, nameType, 'implicit', toName);
add(varcharType, nameType, 'implicit', toName);

const unpadded = (a: Datum): Datum => trimBlanks(a as string);
add(textType, bpcharType, 'implicit');
add(varcharType, bpcharType, 'implicit');
add(nameType, bpcharType, 'assignment');
add(bpcharType, textType, 'implicit', unpadded);
add(bpcharType, varcharType, 'implicit', unpadded);
add(bpcharType, nameType, 'implicit', (a) => cutName(trimBlanks(a as string)));
add(charType, textType, 'implicit');
add(charType, varcharType, 'assignment');
add(charType, bpcharType, 'assignment');
for (const type of [textType, varcharType, bpcharType])
  add(type, charType, 'assignment', (a) => charOfByte(Buffer.from(a as string, 'utf8')[0] ?? 0));
add(charType, int4Type, 'explicit', (a) => (byteOfChar(a as string) << 24) >> 24);
add(int4Type, charType, 'explicit', (a) => {
  const value = a as number;
  if (value < -128 || value > 127) throw new SqlError('22003', '"char" out of range');
  return charOfByte(value & 255);
});

const toFloat4 = (a: Datum): Datum => narrowFloat(Number(a));
add(float4Type, float8Type, 'implicit');
add(float8Type, float4Type, 'assignment', toFloat4);
add(numericType, float4Type, 'implicit', (a) => {
  const rounded = Math.fround(Number(a));
  if (!Number.isFinite(rounded) && /\d/.test(a as string))
    throw new SqlError('22003', `"${a}" is out of range for type real`);
  return rounded;
});
add(float4Type, numericType, 'assignment', (a) => numericFromFloat(a as number, 6));
for (const type of [int2Type, int4Type, int8Type]) add(type, float4Type, 'implicit', toFloat4);
add(float4Type, int2Type, 'assignment', (a) => floatToSmall(int2Type, a as number));
add(float4Type, int4Type, 'assignment', (a) => floatToSmall(int4Type, a as number));
add(float4Type, int8Type, 'assignment', (a) => floatToBig(a as number));

for (const type of [
  ...[regclassType, regtypeType, regprocType, regprocedureType],
  ...[regnamespaceType, regroleType],
]) {
  add(type, oidType, 'implicit');
  add(oidType, type, 'implicit');
  add(type, int4Type, 'assignment', (a) => (a as number) | 0);
  add(type, int8Type, 'assignment', big);
  for (const from of [int2Type, int4Type]) add(from, type, 'implicit', (a) => (a as number) >>> 0);
  add(int8Type, type, 'implicit', toOid);
}
const toClass: Implementation = (a, _b, _c, context) =>
  parseText(regclassType, a as string, context);
add(textType, regclassType, 'implicit', toClass, true);
add(varcharType, regclassType, 'implicit', toClass, true);

const moment = (a: Datum): Datum => dateToTimestamp(a as number);
add(dateType, timestampType, 'implicit', moment);
add(
  dateType,
  timestamptzType,
  'implicit',
  (a, _b, _c, context) => localToUtc(dateToTimestamp(a as number), context.zone),
  true,
);
add(timestampType, dateType, 'assignment', (a) => timestampToDate(a as bigint));
add(timestampType, timeType, 'assignment', (a) => timeOf(a as bigint));
add(
  timestampType,
  timestamptzType,
  'implicit',
  (a, _b, _c, context) => localToUtc(a as bigint, context.zone),
  true,
);
add(
  timestamptzType,
  timestampType,
  'assignment',
  (a, _b, _c, context) => localFromUtc(context.zone, a as bigint),
  true,
);
add(
  timestamptzType,
  dateType,
  'assignment',
  (a, _b, _c, context) => timestampToDate(localFromUtc(context.zone, a as bigint)),
  true,
);
add(
  timestamptzType,
  timeType,
  'assignment',
  (a, _b, _c, context) => timeOf(localFromUtc(context.zone, a as bigint)),
  true,
);
add(
  timestamptzType,
  timetzType,
  'assignment',
  (a, _b, _c, { zone }) =>
    isFiniteTimestamp(a as bigint)
      ? new TimeTzValue(
          inDay(civilTime(localFromUtc(zone, a as bigint))),
          offsetAt(zone, a as bigint),
        )
      : null,
  true,
);
add(timeType, intervalType, 'implicit', (a) => makeInterval(0, 0, a as bigint));
add(
  timeType,
  timetzType,
  'implicit',
  (a, _b, _c, context) => new TimeTzValue(a as bigint, offsetAt(context.zone, context.now)),
  true,
);
add(timetzType, timeType, 'assignment', (a) => (a as TimeTzValue).micros);
add(intervalType, timeType, 'assignment', (a) => {
  const rest = (a as IntervalValue).micros % dayMicros;
  return rest < 0n ? rest + dayMicros : rest;
});

add(jsonType, jsonbType, 'assignment', (a) => formatJsonb(parseJson(a as string, true)));
add(jsonbType, jsonType, 'assignment');
add(jsonbType, boolType, 'explicit', (a) => {
  const value = readJsonb(a as string);
  if (typeof value === 'boolean') return value;
  throw cannotCast(value, boolType);
});
for (const type of [numericType, int2Type, int4Type, int8Type, float4Type, float8Type])
  add(jsonbType, type, 'explicit', (a, _b, _c, context) => {
    const value = readJsonb(a as string);
    if (!(value instanceof JsonNumber)) throw cannotCast(value, type);
    const cast = type === numericType ? undefined : findCast(numericType, type);
    return cast?.implementation?.(value.text, null, null, context) ?? value.text;
  });

/** The cast between two different types, or undefined: 42846. */
export function findCast(from: SqlType, to: SqlType): Cast | undefined {
  const direct = casts.get(from)?.get(to);
  if (direct !== undefined) return direct;
  if (!from.supported || !to.supported) return undefined;
  const elements = arrayCast(from, to);
  if (elements !== undefined) return elements;
  if (isString(to)) {
    const implementation: Implementation = (a, _b, _c, context) => formatText(from, a, context);
    const stable =
      from.codec?.sessionText === true ||
      (readsSession(from) && !['time', 'timetz'].includes(from.name));
    return { context: 'assignment', implementation, stable };
  }
  if (isString(from) && to.category !== 'P') {
    const implementation: Implementation = (a, _b, _c, context) =>
      parseText(to, a as string, context);
    return { context: 'explicit', implementation, stable: readsSession(to) };
  }
  return undefined;
}

/** True where a value of `from` may stand for `to` without the user saying so. */
export function implicitlyCasts(from: SqlType, to: SqlType): boolean {
  if (from === to) return true;
  const cast = findCast(from, to);
  return cast !== undefined && cast.context === 'implicit';
}

/** Whether what a text means to a type depends on the session or the catalog: pg_proc.provolatile of its input function. */
function readsSession(type: SqlType): boolean {
  return ['A', 'D', 'E', 'T'].includes(type.category) || sessionInput.has(type.name);
}

const sessionInput: ReadonlySet<string> = new Set([
  'regclass',
  'regtype',
  'regproc',
  'regprocedure',
  'regnamespace',
  'regrole',
  'aclitem',
]);

function isString(type: SqlType): boolean {
  return isText(type) || type === bpcharType;
}

function isVector(type: SqlType): boolean {
  return type === int2vectorType || type === oidvectorType;
}

/** Element by element; as explicit as the cast of the elements. */
function arrayCast(from: SqlType, to: SqlType): Cast | undefined {
  const [source, target] = [from.element, to.element];
  if (source === undefined || target === undefined || isVector(to)) return undefined;
  if (isVector(from) && source !== target) return undefined;
  if (source === target) return { context: 'implicit', implementation: undefined, stable: false };
  const cast = findCast(source, target);
  if (cast === undefined) return undefined;
  const { implementation } = cast;
  if (implementation === undefined) return cast;
  return {
    ...cast,
    implementation: (a, _b, _c, context) => {
      const { elements, dimensions } = a as ArrayValue;
      return new ArrayValue(
        elements.map((one) => (one === null ? null : implementation(one, null, null, context))),
        dimensions,
      );
    },
  };
}

/** Throws 22003. */
export function narrowFloat(value: number): number {
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded) && Number.isFinite(value))
    throw new SqlError('22003', 'value out of range: overflow');
  if (rounded === 0 && value !== 0) throw new SqlError('22003', 'value out of range: underflow');
  return rounded;
}

function toOid(a: Datum): Datum {
  const value = a as bigint;
  if (value < 0n || value > 4_294_967_295n) throw new SqlError('22003', 'OID out of range');
  return Number(value);
}

/** A date's midnight. Throws 22008. */
export function dateToTimestamp(days: number): bigint {
  if (days === dateInfinity) return timestampInfinity;
  if (days === dateMinusInfinity) return timestampMinusInfinity;
  const value = BigInt(days) * dayMicros;
  if (!isTimestamp(value)) throw new SqlError('22008', 'date out of range for timestamp');
  return value;
}

function localToUtc(local: bigint, zone: TimeZone): bigint {
  if (!isFiniteTimestamp(local)) return local;
  const value = utcFromLocal(zone, local);
  if (!isTimestamp(value)) throw new SqlError('22008', 'timestamp out of range');
  return value;
}

function timestampToDate(local: bigint): number {
  if (local === timestampInfinity) return dateInfinity;
  return local === timestampMinusInfinity ? dateMinusInfinity : civilTime(local).days;
}

function timeOf(local: bigint): Datum {
  return isFiniteTimestamp(local) ? inDay(civilTime(local)) : null;
}

function cannotCast(value: JsonValue, type: SqlType): SqlError {
  const kind =
    value === null
      ? 'null'
      : value instanceof JsonNumber
        ? 'numeric'
        : value instanceof JsonObject
          ? 'object'
          : isJsonArray(value)
            ? 'array'
            : typeof value;
  return new SqlError('22023', `cannot cast jsonb ${kind} to type ${type.display}`);
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
