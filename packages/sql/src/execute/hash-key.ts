/** Rows as keys of hash tables: equal exactly for rows that PostgreSQL does not hold distinct (1.0 and 1.00, 0 and -0). */
import type { Datum } from '../session-api.ts';
import { canonicalNumeric } from '../types/numeric.ts';
import { isInteger, isText, numericType, type SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';

/** Strings, numbers, … that a Map tells apart as the rows are. */
export type HashKey = Datum;

export function hashKeyOf(types: readonly SqlType[]): (row: Row) => HashKey {
  const [only] = types;
  if (types.length === 1 && only !== undefined && only !== numericType)
    return (row) => row[0] ?? null;
  return (row) => composite(row, types);
}

function composite(row: Row, types: readonly SqlType[]): string {
  let key = '';
  for (let i = 0; i < types.length; i++) {
    const value = row[i] ?? null;
    if (value === null) key += '~';
    else if (types[i] === numericType) key += `${canonicalNumeric(value as string)};`;
    else if (typeof value === 'string') key += `${value.length}:${value}`;
    else key += `${value === 0 ? 0 : value};`;
  }
  return key;
}

/** As `hashKeyOf`, for values of two sides whose types may be integers of different widths. */
export function sharedHashKey(
  left: readonly SqlType[],
  right: readonly SqlType[],
): ((row: Row) => HashKey) | undefined {
  const same = left.every((type, i) => {
    const other = right[i];
    return (
      other === type ||
      (other !== undefined &&
        ((isText(type) && isText(other)) || (isInteger(type) && isInteger(other))))
    );
  });
  if (!same) return undefined;
  const [first] = left;
  if (left.length === 1 && first !== undefined && first !== numericType) {
    if (first === right[0] || isText(first)) return (row) => row[0] ?? null;
  }
  return (row) => composite(row, left);
}
