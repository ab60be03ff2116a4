/** Order of values within a type, as PostgreSQL's default btree operator classes have it. NULLs are the caller's. */
import type { Datum } from '../session-api.ts';
import { compareNumeric } from './numeric.ts';
import { float8Type, isText, numericType, type SqlType } from './type.ts';

export type Comparator = (a: Datum, b: Datum) => number;

/** Order of the UTF-8 bytes: collation "C". UTF-16 order differs from it only where surrogates meet U+E000…U+FFFF. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rotated(x) - rotated(y);
  }
  return a.length - b.length;
}

/** Moves surrogates above the rest of the basic plane. */
function rotated(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
}

/** NaN equals NaN and is above every number. Zeros are equal. */
export function compareFloat(a: number, b: number): number {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a === b) return 0;
  return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
}

function compareText2(a: Datum, b: Datum): number {
  return a === b ? 0 : compareText(a as string, b as string);
}

function compareOrdinary(a: Datum, b: Datum): number {
  const [x, y] = [a as number, b as number];
  return x < y ? -1 : x > y ? 1 : 0;
}

export function comparatorOf(type: SqlType): Comparator {
  if (isText(type)) return compareText2;
  if (type === float8Type) return (a, b) => compareFloat(a as number, b as number);
  if (type === numericType) return (a, b) => compareNumeric(a as string, b as string);
  return compareOrdinary;
}
