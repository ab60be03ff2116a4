/** Numeric functions beyond the everyday ones: transcendental, number theory, buckets, chance. */
import { randomInt } from 'node:crypto';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { comparatorOf } from '../types/compare.ts';
import {
  absoluteNumeric,
  addNumeric,
  compareNumeric,
  divideNumeric,
  divideTruncated,
  floorNumeric,
  multiplyNumeric,
  remainderNumeric,
  roundNumeric,
  sqrtNumeric,
  subtractNumeric,
  toDecimal,
  trimScale,
} from '../types/numeric.ts';
import {
  anycompatiblearrayType,
  anycompatibleType,
  anyType,
  float8Type,
  int4Type,
  int8Type,
  numericType,
} from '../types/type.ts';
import type { ArrayValue } from '../types/values.ts';
import { integerOutOfRange } from './arithmetic.ts';
import { expNumeric, lnNumeric, logNumeric } from './numeric-powers.ts';
import { manySignature, type Signature, signature, typedSignature } from './signature.ts';

const num = (value: Datum): number => value as number;
const dec = (value: Datum | undefined): string => value as string;

function float(name: string, run: (a: number) => number): Signature {
  return signature(name, [float8Type], float8Type, (a) => run(num(a)));
}

/** Throws 22003. */
function checked(value: number, input: number): number {
  if (!Number.isFinite(value) && !Number.isNaN(value) && Number.isFinite(input))
    throw new SqlError('22003', 'value out of range: overflow');
  return value;
}

/** Throws 22003. */
function within(a: number, low: number, high: number): number {
  if (a < low || a > high) throw new SqlError('22003', 'input is out of range');
  return a;
}

/** Throws 2201E. */
function logarithm(run: (a: number) => number): (a: number) => number {
  return (a) => {
    if (a === 0) throw new SqlError('2201E', 'cannot take logarithm of zero');
    if (a < 0) throw new SqlError('2201E', 'cannot take logarithm of a negative number');
    return run(a);
  };
}

function finiteAngle(run: (a: number) => number): (a: number) => number {
  return (a) => {
    if (a === Infinity || a === -Infinity) throw new SqlError('22003', 'input is out of range');
    return run(a);
  };
}

/** Exact where the C library's degree functions are. */
function degreesOf(run: (radians: number) => number): (degrees: number) => number {
  return finiteAngle((degrees) => {
    const value = run((degrees * Math.PI) / 180);
    const rounded = Math.round(value * 2) / 2;
    return Math.abs(value - rounded) < 1e-15 ? rounded : value;
  });
}

/** Exact for the angles that people expect to be. */
function inverseDegrees(run: (a: number) => number): (a: number) => number {
  return (a) => {
    const value = run(a) * (180 / Math.PI);
    const rounded = Math.round(value);
    return Math.abs(value - rounded) < 1e-13 ? rounded : value;
  };
}

function tangentDegrees(degrees: number): number {
  if (!Number.isFinite(degrees) && !Number.isNaN(degrees))
    throw new SqlError('22003', 'input is out of range');
  const reduced = degrees % 180;
  if (Math.abs(reduced) === 90) return reduced > 0 ? Infinity : -Infinity;
  if (Math.abs(reduced) === 45 || Math.abs(reduced) === 135)
    return reduced === 45 || reduced === -135 ? 1 : -1;
  return reduced === 0 ? 0 : Math.tan((reduced * Math.PI) / 180);
}

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

function numberTheory(): Signature[] {
  const small = (value: bigint): number => {
    if (BigInt.asIntN(32, value) !== value) throw integerOutOfRange(int4Type);
    return Number(value);
  };
  const big = (value: bigint): bigint => {
    if (BigInt.asIntN(64, value) !== value) throw integerOutOfRange(int8Type);
    return value;
  };
  const lcm = (a: bigint, b: bigint) => {
    if (a === 0n || b === 0n) return 0n;
    const value = (a / gcd(a, b)) * b;
    return value < 0n ? -value : value;
  };
  return [
    signature('gcd', [int4Type, int4Type], int4Type, (a, b) =>
      small(gcd(BigInt(num(a)), BigInt(num(b)))),
    ),
    signature('gcd', [int8Type, int8Type], int8Type, (a, b) => big(gcd(a as bigint, b as bigint))),
    signature('lcm', [int4Type, int4Type], int4Type, (a, b) =>
      small(lcm(BigInt(num(a)), BigInt(num(b)))),
    ),
    signature('lcm', [int8Type, int8Type], int8Type, (a, b) => big(lcm(a as bigint, b as bigint))),
    signature('factorial', [int8Type], numericType, (a) => factorial(a as bigint)),
  ];
}

/** Throws 22003. */
function factorial(n: bigint): string {
  if (n < 0n) throw new SqlError('22003', 'factorial of a negative number is undefined');
  if (n > 32_177n) throw new SqlError('22003', 'value overflows numeric format');
  let product = 1n;
  for (let i = 2n; i <= n; i++) product *= i;
  return product.toString();
}

/** Throws 2201G. */
function widthBucket<T>(
  [value, low, high, count]: readonly [T, T, T, number],
  compare: (a: T, b: T) => number,
  place: (value: T, low: T, high: T) => number,
): number {
  if (count <= 0) throw new SqlError('2201G', 'count must be greater than zero');
  const order = compare(low, high);
  if (order === 0) throw new SqlError('2201G', 'lower bound cannot equal upper bound');
  if (order < 0) {
    if (compare(value, low) < 0) return 0;
    if (compare(value, high) >= 0) return count + 1;
  } else {
    if (compare(value, low) > 0) return 0;
    if (compare(value, high) <= 0) return count + 1;
  }
  return place(value, low, high);
}

function buckets(): Signature[] {
  return [
    manySignature(
      'width_bucket',
      [float8Type, float8Type, float8Type, int4Type],
      int4Type,
      (values) => {
        const [value, low, high, count] = values as [number, number, number, number];
        if (Number.isNaN(value) || Number.isNaN(low) || Number.isNaN(high))
          throw new SqlError('2201G', 'operand, lower bound, and upper bound cannot be NaN');
        if (!Number.isFinite(low) || !Number.isFinite(high))
          throw new SqlError('2201G', 'lower and upper bounds must be finite');
        return widthBucket(
          [value, low, high, count],
          (a, b) => a - b,
          () => Math.min(count, Math.floor(((value - low) / (high - low)) * count) + 1),
        );
      },
    ),
    manySignature(
      'width_bucket',
      [numericType, numericType, numericType, int4Type],
      int4Type,
      (values) => {
        const [value, low, high, count] = values as [string, string, string, number];
        return widthBucket([value, low, high, count], compareNumeric, () => {
          const share = divideNumeric(
            multiplyNumeric(subtractNumeric(value, low), String(count)),
            subtractNumeric(high, low),
          );
          return Number(floorNumeric(share)) + 1;
        });
      },
    ),
  ];
}

/** The thresholds are sorted; NULLs are refused. Throws 2202E, 22004. */
const bucketOfThresholds: Signature = typedSignature(
  'width_bucket',
  [anycompatibleType, anycompatiblearrayType],
  int4Type,
  ({ parameters }) => {
    const compare = comparatorOf(parameters[0] ?? int4Type);
    return ([operand = null, list = null]) => {
      const { elements, dimensions } = list as ArrayValue;
      if (dimensions.length > 1)
        throw new SqlError('2202E', 'thresholds must be one-dimensional array');
      if (elements.includes(null))
        throw new SqlError('22004', 'thresholds array must not contain NULLs');
      let [low, high] = [0, elements.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (compare(operand, elements[middle] ?? null) < 0) high = middle;
        else low = middle + 1;
      }
      return low;
    };
  },
);

function gcdNumeric(a: string, b: string): string {
  let [x, y] = [absoluteNumeric(a), absoluteNumeric(b)];
  while (compareNumeric(y, '0') !== 0) [x, y] = [y, remainderNumeric(x, y)];
  return addNumeric(x, y);
}

function lcmNumeric(a: string, b: string): string {
  const divisor = gcdNumeric(a, b);
  // What zero and NaN make of it is what their product is.
  if (compareNumeric(divisor, '0') === 0 || !/^[\d.]+$/.test(divisor)) return multiplyNumeric(a, b);
  const scale = Math.max(toDecimal(a).scale, toDecimal(b).scale);
  return roundNumeric(absoluteNumeric(multiplyNumeric(divideTruncated(a, divisor), b)), scale);
}

function counts(): Signature[] {
  const options = { strict: false, variadic: true } as const;
  return [
    manySignature(
      'num_nulls',
      [anyType],
      int4Type,
      (values) => values.filter((one) => one === null).length,
      options,
    ),
    manySignature(
      'num_nonnulls',
      [anyType],
      int4Type,
      (values) => values.filter((one) => one !== null).length,
      options,
    ),
  ];
}

export const moreMathsFunctions: readonly Signature[] = [
  signature('exp', [numericType], numericType, (a) => expNumeric(dec(a))),
  signature('ln', [numericType], numericType, (a) => lnNumeric(dec(a))),
  ...['log', 'log10'].map((name) =>
    signature(name, [numericType], numericType, (a) => logNumeric('10', dec(a))),
  ),
  signature('log', [numericType, numericType], numericType, (a, b) => logNumeric(dec(a), dec(b))),
  float('exp', (a) => checked(Math.exp(a), a)),
  float('ln', logarithm(Math.log)),
  float('log', logarithm(Math.log10)),
  float('log10', logarithm(Math.log10)),
  float('cbrt', Math.cbrt),
  float('sin', finiteAngle(Math.sin)),
  float('cos', finiteAngle(Math.cos)),
  float('tan', finiteAngle(Math.tan)),
  float(
    'cot',
    finiteAngle((a) => 1 / Math.tan(a)),
  ),
  float('asin', (a) => Math.asin(within(a, -1, 1))),
  float('acos', (a) => Math.acos(within(a, -1, 1))),
  float('atan', Math.atan),
  float(
    'acosd',
    inverseDegrees((a) => Math.acos(within(a, -1, 1))),
  ),
  float(
    'asind',
    inverseDegrees((a) => Math.asin(within(a, -1, 1))),
  ),
  float('atand', inverseDegrees(Math.atan)),
  float('tand', tangentDegrees),
  float('cotd', (a) => 1 / tangentDegrees(a)),
  float('acosh', (a) => Math.acosh(within(a, 1, Infinity))),
  float('asinh', Math.asinh),
  float('atanh', (a) => Math.atanh(within(a, -1, 1))),
  float('sinh', Math.sinh),
  float('cosh', Math.cosh),
  float('tanh', Math.tanh),
  float('sind', degreesOf(Math.sin)),
  float('cosd', degreesOf(Math.cos)),
  signature('atan2d', [float8Type, float8Type], float8Type, (a, b) =>
    inverseDegrees((y) => Math.atan2(y, num(b)))(num(a)),
  ),
  signature('atan2', [float8Type, float8Type], float8Type, (a, b) => Math.atan2(num(a), num(b))),
  float('degrees', (a) => checked(a / (Math.PI / 180), a)),
  float('radians', (a) => a * (Math.PI / 180)),
  signature('random', [], float8Type, () => randomInt(2 ** 48 - 1) / 2 ** 48, {
    volatility: 'volatile',
  }),
  signature('div', [numericType, numericType], numericType, (a, b) =>
    divideTruncated(dec(a), dec(b)),
  ),
  signature('sqrt', [numericType], numericType, (a) => sqrtNumeric(dec(a))),
  signature('scale', [numericType], int4Type, (a) =>
    /\d/.test(dec(a)) ? toDecimal(dec(a)).scale : null,
  ),
  signature('min_scale', [numericType], int4Type, (a) =>
    /\d/.test(dec(a)) ? toDecimal(trimScale(dec(a))).scale : null,
  ),
  signature('trim_scale', [numericType], numericType, (a) => trimScale(dec(a))),
  signature('gcd', [numericType, numericType], numericType, (a, b) => gcdNumeric(dec(a), dec(b))),
  signature('lcm', [numericType, numericType], numericType, (a, b) => lcmNumeric(dec(a), dec(b))),
  ...numberTheory(),
  bucketOfThresholds,
  ...buckets(),
  ...counts(),
];
