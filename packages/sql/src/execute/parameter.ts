/**
 * Parameters as callers hand them in. The gateway decodes wire bytes into exact datums; people who use the SDK pass what
 * JavaScript has: a number for int8, text for anything.
 */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { parseNumeric } from '../types/numeric.ts';
import { parseText, type TextContext } from '../types/text-codec.ts';
import { isText, type SqlType } from '../types/type.ts';

/** The value as the type's datum. Throws 22P02, 22003, 42804. */
export function normalizeParameter(type: SqlType, value: Datum, context: TextContext): Datum {
  if (value === null) return null;
  if (typeof value === 'string') {
    if (!isText(type)) return parseText(type, value, context);
    if (value.includes('\0'))
      throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
    return value;
  }
  switch (type.name) {
    case 'bool':
      if (typeof value === 'boolean') return value;
      break;
    case 'float8':
      if (typeof value !== 'boolean') return Number(value);
      break;
    case 'numeric':
      if (typeof value !== 'boolean') return parseNumeric(String(value));
      break;
    case 'int2':
    case 'int4':
    case 'oid':
      if (typeof value === 'number' && inRange(type, value)) return value + 0;
      if (typeof value !== 'boolean') return parseText(type, String(value), context);
      break;
    case 'int8':
    case 'timestamptz':
      if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value;
      if (typeof value !== 'boolean' && type.name === 'int8')
        return parseText(type, String(value), context);
      break;
    default:
      break;
  }
  throw new SqlError('42804', `a parameter of type ${type.display} cannot be a ${typeof value}`);
}

function inRange(type: SqlType, value: number): boolean {
  if (!Number.isInteger(value)) return false;
  if (type.name === 'int2') return value >= -32_768 && value <= 32_767;
  if (type.name === 'oid') return value >= 0 && value <= 4_294_967_295;
  return value >= -2_147_483_648 && value <= 2_147_483_647;
}
