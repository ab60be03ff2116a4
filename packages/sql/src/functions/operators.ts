/**
 * The operators: one signature for each pair of operand types, as pg_operator has them. Comparisons across integer widths
 * are operators of their own, so that a key column is never wrapped in a cast.
 */
import { concatBytes } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { narrowFloat } from '../types/cast.ts';
import {
  absoluteNumeric,
  addNumeric,
  divideNumeric,
  multiplyNumeric,
  negateNumeric,
  remainderNumeric,
  subtractNumeric,
} from '../types/numeric.ts';
import {
  anyarrayType,
  anyenumType,
  boolType,
  bpcharType,
  byteaType,
  charType,
  dateType,
  float4Type,
  float8Type,
  inetType,
  int2Type,
  int4Type,
  int8Type,
  intervalType,
  jsonbType,
  moneyType,
  nameType,
  numericType,
  oidType,
  oidvectorType,
  pointType,
  recordType,
  type SqlType,
  textType,
  timestampType,
  timestamptzType,
  timeType,
  timetzType,
  uuidType,
  xidType,
} from '../types/type.ts';
import * as arithmetic from './arithmetic.ts';
import { arrayOperators } from './array-functions.ts';
import { datetimeOperators } from './datetime-functions.ts';
import { jsonOperators } from './json-functions.ts';
import { jsonPathOperators } from './json-path/functions.ts';
import { compileLike, matchLike } from './like.ts';
import { powerNumeric } from './numeric-powers.ts';
import { regexpOperators } from './regexp-functions.ts';
import {
  type ComparisonOperator,
  indexByName,
  type Signature,
  signature,
  unsupportedSignature,
} from './signature.ts';

const integers = [int2Type, int4Type, int8Type] as const;
const comparisons: readonly ComparisonOperator[] = ['=', '<>', '<', '<=', '>', '>='];

/** Types that compare with themselves and have no operators across types. */
const alone: readonly SqlType[] = [
  float4Type,
  float8Type,
  numericType,
  oidType,
  oidvectorType,
  boolType,
  byteaType,
  charType,
  textType,
  bpcharType,
  nameType,
  timeType,
  timetzType,
  intervalType,
  uuidType,
  jsonbType,
];

function compareSignatures(): Signature[] {
  const pairs: (readonly [SqlType, SqlType])[] = [
    [nameType, textType],
    [textType, nameType],
    [float4Type, float8Type],
    [float8Type, float4Type],
    [anyarrayType, anyarrayType],
    [anyenumType, anyenumType],
    [recordType, recordType],
  ];
  for (const type of alone) pairs.push([type, type]);
  const moments = [dateType, timestampType, timestamptzType];
  for (const left of moments) for (const right of moments) pairs.push([left, right]);
  for (const left of integers) for (const right of integers) pairs.push([left, right]);
  return comparisons.flatMap((comparison) =>
    pairs.map(([left, right]) => ({
      ...signature(comparison, [left, right], boolType, () => null),
      comparison,
    })),
  );
}

/** Transaction ids are equal or not; they have no order. */
function xidSignatures(): Signature[] {
  return [xidType, int4Type].flatMap((right) => [
    signature('=', [xidType, right], boolType, (a, b) => a === (b as number) >>> 0),
    signature('<>', [xidType, right], boolType, (a, b) => a !== (b as number) >>> 0),
  ]);
}

type Small = (type: SqlType, a: number, b: number) => number;
type Big = (a: bigint, b: bigint) => bigint;

/** One arithmetic operator over all pairs of integer types; the result is the wider operand's. */
function integerSignatures(name: string, small: Small, big: Big): Signature[] {
  return integers.flatMap((left) =>
    integers.map((right) => {
      const result = left.length >= right.length ? left : right;
      if (result === int8Type)
        return signature(name, [left, right], result, (a, b) =>
          big(BigInt(a as bigint), BigInt(b as bigint)),
        );
      return signature(name, [left, right], result, (a, b) =>
        small(result, a as number, b as number),
      );
    }),
  );
}

function sameWidthSignatures(name: string, small: Small, big: Big): Signature[] {
  return integers.map((type) =>
    type === int8Type
      ? signature(name, [type, type], type, (a, b) => big(a as bigint, b as bigint))
      : signature(name, [type, type], type, (a, b) => small(type, a as number, b as number)),
  );
}

function floatSignature(name: string, operate: (a: number, b: number) => number): Signature {
  return signature(name, [float8Type, float8Type], float8Type, (a, b) =>
    operate(a as number, b as number),
  );
}

/** Over float4 and float8 in any pair; two float4 give a float4. */
function floatSignatures(name: string, operate: (a: number, b: number) => number): Signature[] {
  const mixed = (left: SqlType, right: SqlType) =>
    signature(name, [left, right], float8Type, (a, b) => operate(a as number, b as number));
  return [
    floatSignature(name, operate),
    mixed(float4Type, float8Type),
    mixed(float8Type, float4Type),
    signature(name, [float4Type, float4Type], float4Type, (a, b) =>
      narrowFloat(operate(a as number, b as number)),
    ),
  ];
}

function numericSignature(name: string, operate: (a: string, b: string) => string): Signature {
  return signature(name, [numericType, numericType], numericType, (a, b) =>
    operate(a as string, b as string),
  );
}

/** Shifts take their distance modulo the width, as the C operators on common machines do. */
function shiftSignatures(): Signature[] {
  return integers.flatMap((type) => {
    const bits = type.length * 8;
    const shift = (name: string, operate: (value: bigint, by: bigint) => bigint) =>
      signature(name, [type, int4Type], type, (a, b) => {
        const distance = BigInt((b as number) & Math.max(31, bits - 1));
        const value = BigInt.asIntN(bits, operate(BigInt(a as bigint), distance));
        return type === int8Type ? value : Number(value);
      });
    return [shift('<<', (v, by) => v << by), shift('>>', (v, by) => v >> by)];
  });
}

function prefixSignatures(): Signature[] {
  const unary = (name: string, type: SqlType, operate: (a: Datum) => Datum) =>
    signature(name, [type], type, operate);
  const small = integers.filter((type) => type !== int8Type);
  return [
    ...small.map((type) => unary('-', type, (a) => arithmetic.checkSmall(type, -(a as number)))),
    unary('-', int8Type, (a) => arithmetic.checkBig(-(a as bigint))),
    unary('-', float8Type, (a) => -(a as number)),
    unary('-', float4Type, (a) => -(a as number)),
    unary('-', numericType, (a) => negateNumeric(a as string)),
    ...[...integers, float4Type, float8Type, numericType].map((type) => unary('+', type, (a) => a)),
    ...small.map((type) => unary('~', type, (a) => ~(a as number))),
    unary('~', int8Type, (a) => ~(a as bigint)),
    unsupportedSignature('~', [inetType], inetType),
    ...small.map((type) =>
      unary('@', type, (a) => arithmetic.checkSmall(type, Math.abs(a as number))),
    ),
    unary('@', int8Type, (a) =>
      arithmetic.checkBig((a as bigint) < 0n ? -(a as bigint) : (a as bigint)),
    ),
    unary('@', float8Type, (a) => Math.abs(a as number)),
    unary('@', float4Type, (a) => Math.abs(a as number)),
    unary('@', numericType, (a) => absoluteNumeric(a as string)),
  ];
}

function likeSignatures(): Signature[] {
  const make = (name: string, negated: boolean, fold: boolean) =>
    // Blanks at the end of `character` count here.
    [textType, nameType, bpcharType].map((left) =>
      signature(name, [left, textType], boolType, (a, b) => {
        const [text, pattern] = fold
          ? [(a as string).toLowerCase(), (b as string).toLowerCase()]
          : [a as string, b as string];
        return matchLike(text, compileLike(pattern, '\\')) !== negated;
      }),
    );
  return [
    ...make('~~', false, false),
    ...make('!~~', true, false),
    ...make('~~*', false, true),
    ...make('!~~*', true, true),
  ];
}

/** What PostgreSQL has beside ours: needed where an untyped operand could mean it too. */
function foreignSignatures(): Signature[] {
  const u = unsupportedSignature;
  return [
    u('+', [pointType, pointType], pointType),
    u('+', [moneyType, moneyType], moneyType),
    u('+', [inetType, int8Type], inetType),
    u('-', [pointType, pointType], pointType),
    u('-', [moneyType, moneyType], moneyType),
    u('-', [inetType, int8Type], inetType),
    u('*', [pointType, pointType], pointType),
    u('*', [moneyType, float8Type], moneyType),
    u('*', [moneyType, int4Type], moneyType),
    u('/', [pointType, pointType], pointType),
    u('/', [moneyType, moneyType], float8Type),
    u('/', [moneyType, int4Type], moneyType),
    u('&', [inetType, inetType], inetType),
    u('|', [inetType, inetType], inetType),
  ];
}

const a = arithmetic;
const binary: readonly Signature[] = [
  signature('^', [numericType, numericType], numericType, (x, y) =>
    powerNumeric(x as string, y as string),
  ),
  ...compareSignatures(),
  ...xidSignatures(),
  ...integerSignatures(
    '+',
    (t, x, y) => a.checkSmall(t, x + y),
    (x, y) => a.checkBig(x + y),
  ),
  ...integerSignatures(
    '-',
    (t, x, y) => a.checkSmall(t, x - y),
    (x, y) => a.checkBig(x - y),
  ),
  ...integerSignatures('*', a.multiplySmall, (x, y) => a.checkBig(x * y)),
  ...integerSignatures('/', a.divideSmall, a.divideBig),
  ...sameWidthSignatures('%', (_t, x, y) => a.remainderSmall(x, y), a.remainderBig),
  ...sameWidthSignatures(
    '&',
    (_t, x, y) => x & y,
    (x, y) => x & y,
  ),
  ...sameWidthSignatures(
    '|',
    (_t, x, y) => x | y,
    (x, y) => x | y,
  ),
  ...sameWidthSignatures(
    '#',
    (_t, x, y) => x ^ y,
    (x, y) => x ^ y,
  ),
  ...shiftSignatures(),
  ...floatSignatures('+', a.addFloat),
  ...floatSignatures('-', (x, y) => a.addFloat(x, -y)),
  ...floatSignatures('*', a.multiplyFloat),
  ...floatSignatures('/', a.divideFloat),
  floatSignature('^', a.powerFloat),
  numericSignature('+', addNumeric),
  numericSignature('-', subtractNumeric),
  numericSignature('*', multiplyNumeric),
  numericSignature('/', divideNumeric),
  numericSignature('%', remainderNumeric),
  signature('||', [textType, textType], textType, (x, y) => `${x}${y}`),
  signature('||', [byteaType, byteaType], byteaType, (x, y) =>
    concatBytes(x as Uint8Array, y as Uint8Array),
  ),
  ...likeSignatures(),
  signature('^@', [textType, textType], boolType, (x, y) => (x as string).startsWith(y as string)),
  signature('|/', [float8Type], float8Type, (x) => a.squareRoot(x as number)),
  signature('||/', [float8Type], float8Type, (x) => Math.cbrt(x as number)),
];

/** All operators by name; prefix operators have one parameter. `!=` is `<>` already in the grammar's output. */
export const operators: ReadonlyMap<string, readonly Signature[]> = indexByName([
  ...binary,
  ...prefixSignatures(),
  ...datetimeOperators,
  ...jsonOperators,
  ...jsonPathOperators,
  ...arrayOperators,
  ...regexpOperators,
  ...foreignSignatures(),
]);
