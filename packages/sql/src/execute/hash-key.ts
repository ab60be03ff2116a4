/** Rows as keys of hash tables: equal exactly for rows that PostgreSQL does not hold distinct (1.0 and 1.00, 0 and -0). */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { isInteger, isText, type SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';

/** Strings, numbers, … that a Map tells apart as the rows are. */
export type HashKey = Datum;

type Hash = ((value: Datum) => string) | undefined;

/** Throws 42883 for types that have no equality. */
function hashOf(type: SqlType): Hash {
  const { codec } = type;
  if (codec?.compare === undefined && type.category !== 'X' && codec !== undefined)
    throw new SqlError('42883', `could not identify an equality operator for type ${type.display}`);
  return codec?.identical === true ? undefined : codec?.hash;
}

export function hashKeyOf(types: readonly SqlType[]): (row: Row) => HashKey {
  const [only] = types;
  const hashes = types.map(hashOf);
  const [first] = hashes;
  if (types.length === 1 && only !== undefined) {
    if (first === undefined) return (row) => row[0] ?? null;
    return (row) => {
      const value = row[0] ?? null;
      return value === null ? null : first(value);
    };
  }
  return (row) => composite(row, hashes);
}

function composite(row: Row, hashes: readonly Hash[]): string {
  let key = '';
  for (let i = 0; i < hashes.length; i++) {
    const value = row[i] ?? null;
    if (value === null) {
      key += '~';
      continue;
    }
    const hash = hashes[i];
    const plain = hash === undefined ? value : hash(value);
    if (typeof plain === 'string') key += `${plain.length}:${plain}`;
    else key += `${plain};`;
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
      (other === type && type.codec?.compare !== undefined) ||
      (other !== undefined &&
        ((isText(type) && isText(other)) || (isInteger(type) && isInteger(other))))
    );
  });
  if (!same) return undefined;
  const [first] = left;
  if (left.length === 1 && first !== undefined && (first === right[0] || isText(first)))
    return hashKeyOf(left);
  const hashes = left.map((type) => (isInteger(type) ? undefined : hashOf(type)));
  return (row) => composite(row, hashes);
}
