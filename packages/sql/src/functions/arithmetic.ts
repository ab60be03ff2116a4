/** Checked arithmetic of PostgreSQL's integer and float types: overflow is 22003, division by zero 22012. */
import { SqlError } from '../sql-error.ts';
import { int2Type, int4Type, type SqlType } from '../types/type.ts';

export function divisionByZero(): SqlError {
  return new SqlError('22012', 'division by zero');
}

export function integerOutOfRange(type: SqlType): SqlError {
  return new SqlError('22003', `${type.display} out of range`);
}

/** An int2 or int4 result. Exact, because sums and products are checked before they leave 2^53: see `multiplySmall`. */
export function checkSmall(type: SqlType, value: number): number {
  const limit = type === int2Type ? 32_768 : 2_147_483_648;
  if (value < -limit || value >= limit) throw integerOutOfRange(type);
  return value + 0;
}

/** The product of two int4 may pass 2^53, but never comes back into range by rounding. */
export function multiplySmall(type: SqlType, a: number, b: number): number {
  return checkSmall(type, a * b);
}

export function divideSmall(type: SqlType, a: number, b: number): number {
  if (b === 0) throw divisionByZero();
  return checkSmall(type, Math.trunc(a / b));
}

export function remainderSmall(a: number, b: number): number {
  if (b === 0) throw divisionByZero();
  return (a % b) + 0;
}

export function checkBig(value: bigint): bigint {
  if (BigInt.asIntN(64, value) !== value) throw new SqlError('22003', 'bigint out of range');
  return value;
}

export function divideBig(a: bigint, b: bigint): bigint {
  if (b === 0n) throw divisionByZero();
  return checkBig(a / b);
}

export function remainderBig(a: bigint, b: bigint): bigint {
  if (b === 0n) throw divisionByZero();
  return a % b;
}

function checkFloat(result: number, infiniteInput: boolean, mayBeZero: boolean): number {
  if (!infiniteInput && (result === Infinity || result === -Infinity))
    throw new SqlError('22003', 'value out of range: overflow');
  if (!mayBeZero && result === 0) throw new SqlError('22003', 'value out of range: underflow');
  return result;
}

function infinite(a: number): boolean {
  return a === Infinity || a === -Infinity;
}

export function addFloat(a: number, b: number): number {
  return checkFloat(a + b, infinite(a) || infinite(b), true);
}

export function multiplyFloat(a: number, b: number): number {
  return checkFloat(a * b, infinite(a) || infinite(b), a === 0 || b === 0);
}

export function divideFloat(a: number, b: number): number {
  if (b === 0 && !Number.isNaN(a)) throw divisionByZero();
  return checkFloat(a / b, infinite(a), a === 0 || infinite(b));
}

/** dpow of float.c. */
export function powerFloat(a: number, b: number): number {
  if (a === 0 && b < 0) throw new SqlError('2201F', 'zero raised to a negative power is undefined');
  if (a < 0 && Number.isFinite(b) && Math.floor(b) !== b)
    throw new SqlError(
      '2201F',
      'a negative number raised to a non-integer power yields a complex result',
    );
  if (Number.isNaN(a)) return b === 0 ? 1 : a;
  if (Number.isNaN(b)) return a === 1 ? 1 : b;
  if (a === 1 || (a === -1 && infinite(b))) return 1;
  return checkFloat(a ** b, infinite(a) || infinite(b), a === 0 || infinite(a) || infinite(b));
}

/** rint: halves to the even neighbour, the sign of zero kept. */
export function roundHalfEven(value: number): number {
  if (!Number.isFinite(value) || Math.abs(value) >= 2 ** 52) return value;
  const floor = Math.floor(value);
  const rest = value - floor;
  const rounded = rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
  return rounded === 0 && (value < 0 || Object.is(value, -0)) ? -0 : rounded;
}

/** As PostgreSQL casts float8 to an integer type. */
export function floatToSmall(type: SqlType, value: number): number {
  const rounded = roundHalfEven(value);
  if (Number.isNaN(rounded)) throw integerOutOfRange(type);
  return checkSmall(type, rounded);
}

export function floatToBig(value: number): bigint {
  const rounded = roundHalfEven(value);
  if (!(rounded >= -(2 ** 63) && rounded < 2 ** 63))
    throw new SqlError('22003', 'bigint out of range');
  return BigInt(rounded);
}

export function bigToSmall(type: SqlType, value: bigint): number {
  const limit = type === int4Type ? 2_147_483_648n : 32_768n;
  if (value < -limit || value >= limit) throw integerOutOfRange(type);
  return Number(value);
}

/** Throws 2201F. */
export function squareRoot(a: number): number {
  if (a < 0) throw new SqlError('2201F', 'cannot take square root of a negative number');
  return Math.sqrt(a);
}
