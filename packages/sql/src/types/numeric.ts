/**
 * Exact decimal arithmetic for PostgreSQL's `numeric`: the type of decimal literals and of sum and avg over integers.
 * A datum is its decimal text (`12.50`, `NaN`, `Infinity`); arithmetic runs on an unscaled bigint with a display scale.
 * Scales follow src/backend/utils/adt/numeric.c: add and subtract keep the larger, multiply adds, divide gives at least
 * 16 significant digits; rounding is half away from zero.
 */
import { SqlError } from '../sql-error.ts';

export interface Decimal {
  readonly unscaled: bigint;
  /** Digits after the point. */
  readonly scale: number;
}

type Special = 'NaN' | 'Infinity' | '-Infinity';
type Value = Decimal | Special;

/** Digits before the point that `numeric` holds at most. */
const integralDigitsMax = 131_072;
const scaleMax = 16_383;
const divideScaleMax = 1_000;
const divideSignificantDigits = 16;

const pattern = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?$/;

/** Text as numeric_in takes it; surrounding white space allowed. Throws 22P02, 22003. */
export function parseNumeric(text: string): string {
  const trimmed = text.trim();
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(trimmed);
  if (special !== null) {
    const sign = special[1] ?? '';
    if ((special[2] ?? '').toLowerCase() !== 'nan') return sign === '-' ? '-Infinity' : 'Infinity';
    if (sign === '') return 'NaN';
  }
  const match = pattern.exec(trimmed);
  const [whole, fraction] = [match?.[2] ?? '', match?.[3] ?? ''];
  if (match === null || whole.length + fraction.length === 0)
    throw new SqlError('22P02', `invalid input syntax for type numeric: "${text}"`);
  const exponent = Number(match[4] ?? 0);
  if (Math.abs(exponent) > integralDigitsMax) throw overflow();
  let unscaled = BigInt(`${whole}${fraction}`);
  let scale = fraction.length - exponent;
  if (scale < 0) {
    unscaled *= power10(-scale);
    scale = 0;
  }
  return formatDecimal({ unscaled: match[1] === '-' ? -unscaled : unscaled, scale });
}

export function toDecimal(datum: string): Decimal {
  const value = read(datum);
  if (typeof value === 'string') throw new RangeError(`${datum} has no digits`);
  return value;
}

/** Throws 22003 where the value does not fit PostgreSQL's format. */
export function formatDecimal(value: Decimal): string {
  const negative = value.unscaled < 0n;
  const digits = (negative ? -value.unscaled : value.unscaled).toString();
  if (digits.length - value.scale > integralDigitsMax || value.scale > scaleMax) throw overflow();
  if (value.scale === 0) return negative ? `-${digits}` : digits;
  const padded = digits.padStart(value.scale + 1, '0');
  const point = padded.length - value.scale;
  return `${negative ? '-' : ''}${padded.slice(0, point)}.${padded.slice(point)}`;
}

export function addNumeric(a: string, b: string): string {
  return combine(a, b, (x, y) => x + y, addSpecial);
}

export function subtractNumeric(a: string, b: string): string {
  return addNumeric(a, negateNumeric(b));
}

export function multiplyNumeric(a: string, b: string): string {
  const [x, y] = [read(a), read(b)];
  if (typeof x === 'string' || typeof y === 'string') return multiplySpecial(x, y);
  const product = { unscaled: x.unscaled * y.unscaled, scale: x.scale + y.scale };
  return formatDecimal(product.scale > scaleMax ? roundDecimal(product, scaleMax) : product);
}

export function divideNumeric(a: string, b: string): string {
  const [x, y] = [read(a), read(b)];
  if (x === 'NaN' || y === 'NaN') return 'NaN';
  if (typeof y === 'string') return typeof x === 'string' ? 'NaN' : '0';
  if (y.unscaled === 0n) throw divisionByZero();
  if (typeof x === 'string')
    return y.unscaled < 0n === (x === '-Infinity') ? 'Infinity' : '-Infinity';
  const scale = divideScale(x, y);
  const numerator = x.unscaled * power10(Math.max(0, scale + y.scale - x.scale));
  const denominator = y.unscaled * power10(Math.max(0, x.scale - y.scale - scale));
  return formatDecimal({ unscaled: divideRounded(numerator, denominator), scale });
}

/** Sign of the dividend; scale the larger of both. */
export function remainderNumeric(a: string, b: string): string {
  const [x, y] = [read(a), read(b)];
  if (x === 'NaN' || y === 'NaN') return 'NaN';
  if (typeof y !== 'string' && y.unscaled === 0n) throw divisionByZero();
  if (typeof x === 'string') return 'NaN';
  if (typeof y === 'string') return a;
  return combine(a, b, (p, q) => p % q, addSpecial);
}

export function negateNumeric(a: string): string {
  if (a === 'NaN') return a;
  const value = read(a);
  if (typeof value === 'string') return value === 'Infinity' ? '-Infinity' : 'Infinity';
  return formatDecimal({ unscaled: -value.unscaled, scale: value.scale });
}

export function absoluteNumeric(a: string): string {
  return a.startsWith('-') ? a.slice(1) : a;
}

/** NaN equals itself and is above all, as in PostgreSQL. */
export function compareNumeric(a: string, b: string): number {
  if (a === b) return 0;
  const [x, y] = [read(a), read(b)];
  if (typeof x === 'string' || typeof y === 'string') return Math.sign(rank(x) - rank(y));
  const scale = Math.max(x.scale, y.scale);
  const [p, q] = [rescale(x, scale), rescale(y, scale)];
  return p < q ? -1 : p > q ? 1 : 0;
}

/** Equal values give equal texts: `1.50` and `1.5` both give `1.5`. For grouping and distinct rows. */
export function canonicalNumeric(a: string): string {
  return a.includes('.') ? a.replace(/\.?0+$/, '') : a;
}

/** Half away from zero, to `scale` digits after the point; negative scales round before it. */
export function roundNumeric(a: string, scale: number): string {
  const value = read(a);
  if (typeof value === 'string') return value;
  const bounded = Math.max(-integralDigitsMax, Math.min(scale, 2_000));
  return formatDecimal(roundDecimal(value, bounded));
}

export function truncateNumeric(a: string, scale: number): string {
  const value = read(a);
  if (typeof value === 'string') return value;
  const bounded = Math.max(-integralDigitsMax, Math.min(scale, 2_000));
  if (bounded >= value.scale) return formatDecimal(roundDecimal(value, bounded));
  const unit = power10(value.scale - bounded);
  const unscaled = value.unscaled / unit;
  return formatDecimal(
    bounded >= 0
      ? { unscaled, scale: bounded }
      : { unscaled: unscaled * power10(-bounded), scale: 0 },
  );
}

export function floorNumeric(a: string): string {
  const truncated = truncateNumeric(a, 0);
  return a.startsWith('-') && compareNumeric(truncated, a) !== 0
    ? addNumeric(truncated, '-1')
    : truncated;
}

export function ceilNumeric(a: string): string {
  return negateNumeric(floorNumeric(negateNumeric(a)));
}

export function signNumeric(a: string): string {
  return a === 'NaN' ? a : String(compareNumeric(a, '0'));
}

/** The nearest integer, half away from zero; undefined for NaN and infinities. */
export function numericToBigint(a: string): bigint | undefined {
  const value = read(a);
  return typeof value === 'string' ? undefined : roundDecimal(value, 0).unscaled;
}

/** By 15 significant digits, as PostgreSQL casts float8; by 6 for float4. */
export function numericFromFloat(value: number, digits = 15): string {
  if (!Number.isFinite(value))
    return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
  const text = value.toPrecision(digits);
  const [mantissa = '', exponent] = text.split('e');
  const shortest = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa;
  return parseNumeric(exponent === undefined ? shortest : `${shortest}e${exponent}`);
}

function addSpecial(x: Value, y: Value): string {
  if (x === 'NaN' || y === 'NaN') return 'NaN';
  if (typeof x === 'string' && typeof y === 'string') return x === y ? x : 'NaN';
  return typeof x === 'string' ? x : typeof y === 'string' ? y : 'NaN';
}

function multiplySpecial(x: Value, y: Value): string {
  if (x === 'NaN' || y === 'NaN') return 'NaN';
  const sign = signOf(x) * signOf(y);
  return sign === 0 ? 'NaN' : sign > 0 ? 'Infinity' : '-Infinity';
}

function signOf(value: Value): number {
  if (typeof value === 'string') return value === 'Infinity' ? 1 : -1;
  return value.unscaled === 0n ? 0 : value.unscaled < 0n ? -1 : 1;
}

function rank(value: Value): number {
  return value === 'NaN' ? 2 : value === 'Infinity' ? 1 : value === '-Infinity' ? -1 : 0;
}

function combine(
  a: string,
  b: string,
  operate: (x: bigint, y: bigint) => bigint,
  special: (x: Value, y: Value) => string,
): string {
  const [x, y] = [read(a), read(b)];
  if (typeof x === 'string' || typeof y === 'string') return special(x, y);
  const scale = Math.max(x.scale, y.scale);
  return formatDecimal({ unscaled: operate(rescale(x, scale), rescale(y, scale)), scale });
}

function read(datum: string): Value {
  if (datum === 'NaN' || datum === 'Infinity' || datum === '-Infinity') return datum;
  const point = datum.indexOf('.');
  if (point < 0) return { unscaled: BigInt(datum), scale: 0 };
  return {
    unscaled: BigInt(datum.slice(0, point) + datum.slice(point + 1)),
    scale: datum.length - point - 1,
  };
}

function rescale(value: Decimal, scale: number): bigint {
  return value.unscaled * power10(scale - value.scale);
}

function roundDecimal(value: Decimal, scale: number): Decimal {
  if (scale >= value.scale) return { unscaled: rescale(value, scale), scale };
  const unscaled = divideRounded(value.unscaled, power10(value.scale - scale));
  return scale >= 0 ? { unscaled, scale } : { unscaled: unscaled * power10(-scale), scale: 0 };
}

function divideRounded(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const rest = numerator % denominator;
  const twice = (rest < 0n ? -rest : rest) * 2n;
  if (twice < (denominator < 0n ? -denominator : denominator)) return quotient;
  return numerator < 0n === denominator < 0n ? quotient + 1n : quotient - 1n;
}

/** select_div_scale of numeric.c: weights and first digits are in base 10,000. */
function divideScale(x: Decimal, y: Decimal): number {
  const [a, b] = [leadingDigit(x), leadingDigit(y)];
  let weight = a.weight - b.weight;
  if (a.digit <= b.digit) weight--;
  const scale = Math.max(divideSignificantDigits - weight * 4, x.scale, y.scale, 0);
  return Math.min(scale, divideScaleMax);
}

function leadingDigit(value: Decimal): { readonly weight: number; readonly digit: number } {
  if (value.unscaled === 0n) return { weight: 0, digit: 0 };
  const digits = (value.unscaled < 0n ? -value.unscaled : value.unscaled).toString();
  const exponent = digits.length - 1 - value.scale;
  const weight = Math.floor(exponent / 4);
  const width = exponent - weight * 4 + 1;
  return { weight, digit: Number(digits.slice(0, width).padEnd(width, '0')) };
}

function power10(exponent: number): bigint {
  return 10n ** BigInt(exponent);
}

function divisionByZero(): SqlError {
  return new SqlError('22012', 'division by zero');
}

function overflow(): SqlError {
  return new SqlError('22003', 'value overflows numeric format');
}

/** Without trailing zeros after the point. */
export function trimScale(a: string): string {
  return canonicalNumeric(a);
}

/** The quotient's whole part, towards zero. Throws 22012. */
export function divideTruncated(a: string, b: string): string {
  const [x, y] = [read(a), read(b)];
  if (x === 'NaN' || y === 'NaN') return 'NaN';
  if (typeof y !== 'string' && y.unscaled === 0n) throw divisionByZero();
  if (typeof x === 'string') return typeof y === 'string' ? 'NaN' : divideNumeric(a, b);
  if (typeof y === 'string') return '0';
  const scale = Math.max(x.scale, y.scale);
  return formatDecimal({ unscaled: rescale(x, scale) / rescale(y, scale), scale: 0 });
}

/** Throws 2201F. @param scale digits after the point; absent: 16 significant digits, as numeric_sqrt has it */
export function sqrtNumeric(a: string, scale?: number): string {
  const value = read(a);
  if (value === 'NaN' || value === 'Infinity') return value;
  if (typeof value === 'string' || value.unscaled < 0n)
    throw new SqlError('2201F', 'cannot take square root of a negative number');
  const { weight } = leadingDigit(value);
  const significant = Math.trunc(((weight + 1) * 4) / 2) - 1;
  const digits =
    scale ??
    Math.min(Math.max(divideSignificantDigits - significant, value.scale, 0), divideScaleMax);
  // One digit more, so that rounding is right.
  const wide = value.unscaled * power10(Math.max(0, 2 * (digits + 1) - value.scale));
  return formatDecimal(roundDecimal({ unscaled: integerRoot(wide), scale: digits + 1 }, digits));
}

/** The floor of a square root, by Newton's method. */
function integerRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let guess = 1n << BigInt(Math.ceil(value.toString(2).length / 2));
  for (;;) {
    const better = (guess + value / guess) >> 1n;
    if (better >= guess) return guess;
    guess = better;
  }
}

/** The scale of a quotient: select_div_scale. */
export function quotientScale(a: string, b: string): number {
  return divideScale(toDecimal(a), toDecimal(b));
}
