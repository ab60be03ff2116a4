/**
 * exp, ln, log and power of numeric: values to the scale that PostgreSQL chooses, rounded half away from zero. Computed in
 * fixed point with bigints, with more digits than are asked for. Pure; the signatures are in more-maths.ts.
 */
import { SqlError } from '../sql-error.ts';
import { type Decimal, formatDecimal, roundNumeric, toDecimal } from '../types/numeric.ts';

/** NUMERIC_MIN_SIG_DIGITS. */
const significantDigits = 16;
/** NUMERIC_MAX_DISPLAY_SCALE. */
const scaleMax = 1000;
/** Digits before the point that a numeric may have. */
const weightMax = 131_072;
/** Digits of a power that is computed exactly. */
const exactDigitsMax = 20_000;
const log10OfE = Math.LOG10E;

function pow10(digits: number): bigint {
  return 10n ** BigInt(digits);
}

function clampScale(scale: number, ...least: readonly number[]): number {
  return Math.min(scaleMax, Math.max(0, scale, ...least));
}

function overflow(): SqlError {
  return new SqlError('22003', 'value overflows numeric format');
}

/** A finite value as an integer of 10^-digits, cut. */
function fixed(text: string, digits: number): bigint {
  const { unscaled, scale } = toDecimal(text);
  return scale <= digits ? unscaled * pow10(digits - scale) : unscaled / pow10(scale - digits);
}

function rounded(value: bigint, digits: number, scale: number): string {
  return roundNumeric(formatDecimal({ unscaled: value, scale: digits }), scale);
}

/** ln 2 and ln 10, by the digits they were asked with. */
const constants = new Map<number, { readonly two: bigint; readonly ten: bigint }>();

function logarithms(digits: number): { readonly two: bigint; readonly ten: bigint } {
  let known = constants.get(digits);
  if (known === undefined) {
    const one = pow10(digits);
    // Machin-like sums of artanh: ln 2 = 2 artanh(1/3), ln 10 = 3 ln 2 + 2 artanh(1/9).
    const two = 2n * artanh(one / 3n, one);
    known = { two, ten: 3n * two + 2n * artanh(one / 9n, one) };
    if (constants.size > 32) constants.clear();
    constants.set(digits, known);
  }
  return known;
}

/** The series x + x³/3 + x⁵/5 + …, for small x. */
function artanh(x: bigint, one: bigint): bigint {
  const square = (x * x) / one;
  let power = x;
  let sum = 0n;
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k;
    power = (power * square) / one;
  }
  return sum;
}

/** ln of a positive value, in fixed point. */
function lnFixed(text: string, digits: number): bigint {
  const { unscaled, scale } = toDecimal(text);
  const one = pow10(digits);
  const { two, ten } = logarithms(digits);
  // value = mantissa · 10^exponent with a mantissa of 1 up to 10, then halved into 0.7 up to 1.42.
  const length = unscaled.toString().length;
  const exponent = length - 1 - scale;
  const shift = digits - (length - 1);
  let mantissa = shift >= 0 ? unscaled * pow10(shift) : unscaled / pow10(-shift);
  let halvings = 0n;
  while (mantissa * 5n > one * 7n) {
    mantissa /= 2n;
    halvings++;
  }
  const x = ((mantissa - one) * one) / (mantissa + one);
  return BigInt(exponent) * ten + halvings * two + 2n * artanh(x, one);
}

/** e to a value in fixed point; the result has the same digits. */
function expFixed(value: bigint, digits: number): bigint {
  const one = pow10(digits);
  const { ten } = logarithms(digits);
  let tens = value / ten;
  let rest = value - tens * ten;
  if (rest < 0n) {
    rest += ten;
    tens--;
  }
  const halvings = 8n;
  const x = rest >> halvings;
  let sum = one;
  let term = one;
  for (let k = 1n; term !== 0n; k++) {
    term = (term * x) / one / k;
    sum += term;
  }
  for (let i = 0n; i < halvings; i++) sum = (sum * sum) / one;
  return tens >= 0n ? sum * 10n ** tens : sum / 10n ** -tens;
}

/** log10 of |value| about. */
function approximateLog10(text: string): number {
  const { unscaled, scale } = toDecimal(text);
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString();
  const head = digits.slice(0, 15);
  return Math.log10(Number(head)) + (digits.length - head.length) - scale;
}

/** The decimal weight of ln(value), as PostgreSQL estimates it. */
function lnWeight(text: string): number {
  const { unscaled, scale } = toDecimal(text);
  const one = pow10(scale);
  if (unscaled * 10n >= one * 9n && unscaled * 10n <= one * 11n) {
    const rest = unscaled - one;
    if (rest === 0n) return 0;
    // Weights are those of digits in base 10,000.
    const top = (rest < 0n ? -rest : rest).toString().length - 1 - scale;
    const group = Math.floor(top / 4);
    return group * 4 + (top - group * 4);
  }
  return Math.trunc(Math.log10(Math.abs(approximateLog10(text) / log10OfE)));
}

/** Throws 22003. */
export function expNumeric(a: string): string {
  if (a === 'NaN' || a === 'Infinity') return a;
  if (a === '-Infinity') return '0';
  const weight = Math.max(-2000, Math.min(weightMax * 2, Number(a) * log10OfE));
  if (weight >= weightMax) throw overflow();
  const scale = clampScale(significantDigits - Math.trunc(weight), toDecimal(a).scale);
  return expToScale((digits) => fixed(a, digits), weight, scale);
}

function expToScale(exponent: (digits: number) => bigint, weight: number, scale: number): string {
  if (weight < -scale - 2) return rounded(0n, 0, scale);
  const digits = scale + Math.max(0, Math.ceil(weight)) * 2 + 20;
  return rounded(expFixed(exponent(digits), digits), digits, scale);
}

/** Throws 2201E. */
function requirePositive(a: string): void {
  const sign = a.startsWith('-') ? -1 : /[1-9I]/.test(a) ? 1 : 0;
  if (sign === 0) throw new SqlError('2201E', 'cannot take logarithm of zero');
  if (sign < 0) throw new SqlError('2201E', 'cannot take logarithm of a negative number');
}

/** Throws 2201E. */
export function lnNumeric(a: string): string {
  if (a === 'NaN') return a;
  requirePositive(a);
  if (a === 'Infinity') return a;
  const scale = clampScale(significantDigits - lnWeight(a), toDecimal(a).scale);
  const digits = scale + 20;
  return rounded(lnFixed(a, digits), digits, scale);
}

/** The logarithm of a number to a base. Throws 2201E, 22012. */
export function logNumeric(base: string, a: string): string {
  if (base === 'NaN' || a === 'NaN') return 'NaN';
  requirePositive(base);
  requirePositive(a);
  if (base === 'Infinity') return a === 'Infinity' ? 'NaN' : '0';
  if (a === 'Infinity') return a;
  const weight = lnWeight(a) - lnWeight(base);
  const scale = clampScale(significantDigits - weight, toDecimal(base).scale, toDecimal(a).scale);
  const digits = scale + 30 + Math.abs(lnWeight(base)) + Math.abs(lnWeight(a));
  const below = lnFixed(base, digits);
  if (below === 0n) throw new SqlError('22012', 'division by zero');
  return rounded((lnFixed(a, digits) * pow10(digits)) / below, digits, scale);
}

/** The decimal weight of a power by which PostgreSQL chooses the scale: from a logarithm of about 8 digits. */
function estimatedWeight(base: string, exponent: Decimal): number {
  const scale = clampScale(8 - lnWeight(base));
  const digits = scale + 20;
  const logarithm = toDecimal(rounded(lnFixed(base, digits), digits, scale));
  const product = rounded(
    logarithm.unscaled * exponent.unscaled,
    logarithm.scale + exponent.scale,
    scale,
  );
  return Number(product) * log10OfE;
}

/** Throws 2201F, 22003. */
export function powerNumeric(base: string, exponent: string): string {
  const special = infinitePower(base, exponent);
  if (special !== undefined) return special;
  const b = toDecimal(base);
  const e = toDecimal(exponent);
  const whole = e.unscaled % pow10(e.scale) === 0n;
  const integer = whole ? e.unscaled / pow10(e.scale) : undefined;
  if (b.unscaled === 0n && e.unscaled < 0n)
    throw new SqlError('2201F', 'zero raised to a negative power is undefined');
  if (b.unscaled < 0n && integer === undefined)
    throw new SqlError(
      '2201F',
      'a negative number raised to a non-integer power yields a complex result',
    );
  // A whole exponent that an integer holds keeps the base's scale, whatever the weight.
  const small = integer !== undefined && BigInt.asIntN(32, integer) === integer;
  if (b.unscaled === 0n)
    return rounded(
      integer === 0n ? 1n : 0n,
      0,
      small ? clampScale(significantDigits, b.scale) : significantDigits,
    );
  const positive = b.unscaled < 0n ? formatDecimal({ ...b, unscaled: -b.unscaled }) : base;
  const weight = Number(exponent) * approximateLog10(base);
  if (weight > weightMax) throw overflow();
  if (weight + 1 < -scaleMax)
    return rounded(0n, 0, small ? clampScale(significantDigits, b.scale) : scaleMax);
  const scale = small
    ? clampScale(significantDigits, b.scale)
    : clampScale(significantDigits - Math.trunc(estimatedWeight(positive, e)), b.scale, e.scale);
  if (small) {
    const n = Number(integer < 0n ? -integer : integer);
    if (n * b.unscaled.toString().length <= exactDigitsMax) {
      const power = b.unscaled ** BigInt(n);
      if (integer >= 0n) return rounded(power, b.scale * n, scale);
      const digits = scale + 3;
      return rounded(pow10(digits + b.scale * n) / power, digits, scale);
    }
  }
  const result = expToScale(
    (digits) => {
      const more = digits + 10 + exponent.length;
      const product = lnFixed(positive, more) * e.unscaled;
      return product / pow10(e.scale + more - digits);
    },
    weight,
    scale,
  );
  const negative = b.unscaled < 0n && integer !== undefined && integer % 2n !== 0n;
  return negative && /[1-9]/.test(result) ? `-${result}` : result;
}

/** Where one of them is not finite. */
function infinitePower(base: string, exponent: string): string | undefined {
  const one = (text: string) => /\d/.test(text) && Number(text) === 1;
  const zero = (text: string) => /\d/.test(text) && !/[1-9]/.test(text);
  if (base === 'NaN') return zero(exponent) ? '1' : 'NaN';
  if (exponent === 'NaN') return one(base) ? '1' : 'NaN';
  const infinite = (text: string) => text.endsWith('Infinity');
  if (!infinite(base) && !infinite(exponent)) return undefined;
  if (zero(exponent) || one(base)) return '1';
  if (infinite(exponent)) {
    const size = infinite(base) ? Number.POSITIVE_INFINITY : Math.abs(Number(base));
    if (size === 1) return '1';
    if (size === 0 && exponent.startsWith('-'))
      throw new SqlError('2201F', 'zero raised to a negative power is undefined');
    return size > 1 === (exponent === 'Infinity') ? 'Infinity' : '0';
  }
  if (base === '-Infinity' && !/^-?\d+(\.0*)?$/.test(exponent))
    throw new SqlError(
      '2201F',
      'a negative number raised to a non-integer power yields a complex result',
    );
  if (exponent.startsWith('-')) return '0';
  const odd = /[13579]$/.test(exponent.replace(/\.0*$/, ''));
  return base === '-Infinity' && odd ? '-Infinity' : 'Infinity';
}
