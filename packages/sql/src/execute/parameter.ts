/**
 * Parameters as callers hand them in. The gateway decodes wire bytes into exact datums; people who use the SDK pass what
 * JavaScript has: a number for int8, text for anything.
 */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { parseNumeric } from '../types/numeric.ts';
import { parseText, type TextContext } from '../types/text-codec.ts';
import {
  bpcharType,
  byteaType,
  dateType,
  intervalType,
  isText,
  type SqlType,
  timestampType,
  timestamptzType,
  timeType,
  timetzType,
} from '../types/type.ts';
import { ArrayValue, IntervalValue, TimeTzValue } from '../types/values.ts';

/** The value as the type's datum. Throws 22P02, 22003, 42804. */
export function normalizeParameter(type: SqlType, value: Datum, context: TextContext): Datum {
  if (value === null) return null;
  if (typeof value === 'string') {
    if (!isText(type)) return normalizeText(type, value, context);
    if (value.includes('\0'))
      throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
    return value;
  }
  switch (type.name) {
    case 'bool':
      if (typeof value === 'boolean') return value;
      break;
    case 'float4':
      if (typeof value === 'number') return Math.fround(value);
      break;
    case 'float8':
      if (isNumber(value)) return Number(value);
      break;
    case 'numeric':
      if (isNumber(value)) return parseNumeric(String(value));
      break;
    case 'int2':
    case 'int4':
    case 'oid':
      if (typeof value === 'number' && inRange(type, value)) return value + 0;
      if (isNumber(value)) return parseText(type, String(value), context);
      break;
    case 'int8':
      if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value;
      if (isNumber(value)) return parseText(type, String(value), context);
      break;
    default:
      if (ownsForm(type, value)) return value;
      break;
  }
  throw new SqlError('42804', `a parameter of type ${type.display} cannot be a ${typeof value}`);
}

function isNumber(value: Datum): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** What the gateway has decoded with the type's own codec. */
function ownsForm(type: SqlType, value: Datum): boolean {
  if (value instanceof Uint8Array) return type === byteaType;
  if (value instanceof IntervalValue) return type === intervalType;
  if (value instanceof TimeTzValue) return type === timetzType;
  if (value instanceof ArrayValue) return type.element !== undefined;
  if (typeof value === 'bigint')
    return (
      BigInt.asIntN(64, value) === value &&
      (type === timestamptzType || type === timestampType || type === timeType)
    );
  if (typeof value !== 'number' || !Number.isInteger(value)) return false;
  return type === dateType
    ? Math.abs(value) <= 2_147_483_648
    : type.codec?.row === 'small' && value >= 0;
}

/**
 * The text of a value; the gateway hands on strings that are datums already, which read back as themselves.
 */
function normalizeText(type: SqlType, value: string, context: TextContext): Datum {
  return type === bpcharType ? value : parseText(type, value, context);
}

function inRange(type: SqlType, value: number): boolean {
  if (!Number.isInteger(value)) return false;
  if (type.name === 'int2') return value >= -32_768 && value <= 32_767;
  if (type.name === 'oid') return value >= 0 && value <= 4_294_967_295;
  return value >= -2_147_483_648 && value <= 2_147_483_647;
}
