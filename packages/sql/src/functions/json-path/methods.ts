/** What the operators and methods of an SQL/JSON path compute from one item. Throws what PostgreSQL throws; pure. */
import { SqlError } from '../../sql-error.ts';
import { parseFloatText } from '../../types/float.ts';
import { JsonNumber, type JsonValue } from '../../types/json.ts';
import type { PathArithmetic, PathMethod } from '../../types/json-path/nodes.ts';
import {
  absoluteNumeric,
  addNumeric,
  ceilNumeric,
  divideNumeric,
  floorNumeric,
  multiplyNumeric,
  numericFromFloat,
  remainderNumeric,
  subtractNumeric,
} from '../../types/numeric.ts';
import type { PathItem } from './items.ts';

export const arithmetic: Readonly<Record<PathArithmetic, (a: string, b: string) => string>> = {
  '+': addNumeric,
  '-': subtractNumeric,
  '*': multiplyNumeric,
  '/': divideNumeric,
  '%': remainderNumeric,
};

/** `.abs()`, `.floor()`, `.ceiling()`; undefined for the other methods. */
export const numericMethods: Readonly<Partial<Record<PathMethod, (a: string) => string>>> = {
  abs: absoluteNumeric,
  floor: floorNumeric,
  ceiling: ceilNumeric,
};

/** A float8, or undefined where the text is none or is not finite. */
function finite(text: string): number | undefined {
  try {
    const value = parseFloatText(text, 'double precision');
    return Number.isFinite(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SqlError) return undefined;
    throw error;
  }
}

/** `.double()`. Throws 22036. */
export function doubleOf(item: PathItem): JsonValue {
  if (item instanceof JsonNumber) {
    if (finite(item.text) !== undefined) return item;
    throw new SqlError(
      '22036',
      'numeric argument of jsonpath item method .double() is out of range for type double precision',
    );
  }
  if (typeof item !== 'string')
    throw new SqlError(
      '22036',
      'jsonpath item method .double() can only be applied to a string or numeric value',
    );
  const value = finite(item);
  if (value !== undefined) return new JsonNumber(numericFromFloat(value));
  throw new SqlError(
    '22036',
    'string argument of jsonpath item method .double() is not a valid representation of a double precision number',
  );
}
