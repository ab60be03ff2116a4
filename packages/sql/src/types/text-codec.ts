/** Text input and output of every type: PostgreSQL's typinput and typoutput functions. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { formatFloat8, parseFloat8 } from './float.ts';
import { parseNumeric } from './numeric.ts';
import type { TimeZone } from './time-zone.ts';
import { formatTimestamp, parseTimestamp } from './timestamp.ts';
import type { SqlType } from './type.ts';

/** What input and output depend on besides the value. */
export interface TextContext {
  readonly zone: TimeZone;
  /** extra_float_digits. */
  readonly extraFloatDigits: number;
  /** Microseconds since 2000: what `now` stands for. */
  readonly now: bigint;
  /** Told when an input's value depends on `now`. */
  readonly onDependsOnNow?: () => void;
}

const integerForm = /^[+-]?\d+$/;

/** Reads a value from its text. Throws 22P02, 22003, 22007, 22008, 22023. */
export function parseText(type: SqlType, text: string, context: TextContext): Datum {
  switch (type.name) {
    case 'int4':
      return parseInteger(type, text, -2_147_483_648, 2_147_483_647);
    case 'int2':
      return parseInteger(type, text, -32_768, 32_767);
    case 'int8':
      return parseBigint(text);
    case 'oid':
      return parseOid(text);
    case 'float8':
      return parseFloat8(text);
    case 'numeric':
      return parseNumeric(text);
    case 'bool':
      return parseBoolean(text);
    case 'timestamptz':
      return parseTimestamp(text, context);
    case 'void':
      return '';
    default:
      return text;
  }
}

/** Prints a value that is not NULL. */
export function formatText(type: SqlType, value: Datum, context: TextContext): string {
  switch (type.name) {
    case 'bool':
      return value === true ? 't' : 'f';
    case 'float8':
      return formatFloat8(value as number, context.extraFloatDigits);
    case 'timestamptz':
      return formatTimestamp(value as bigint, context.zone);
    default:
      return String(value);
  }
}

function parseInteger(type: SqlType, text: string, min: number, max: number): number {
  const trimmed = text.trim();
  if (!integerForm.test(trimmed)) throw badSyntax(type.display, text);
  const value = Number(trimmed);
  if (value < min || value > max) throw outOfRange(type.display, text);
  return value + 0;
}

function parseBigint(text: string): bigint {
  const trimmed = text.trim();
  if (!integerForm.test(trimmed)) throw badSyntax('bigint', text);
  const value = BigInt(trimmed.startsWith('+') ? trimmed.slice(1) : trimmed);
  if (BigInt.asIntN(64, value) !== value) throw outOfRange('bigint', text);
  return value;
}

function parseOid(text: string): number {
  const trimmed = text.trim();
  if (!integerForm.test(trimmed)) throw badSyntax('oid', text);
  const value = Number(trimmed);
  if (value < -2_147_483_648 || value > 4_294_967_295) throw outOfRange('oid', text);
  return value >>> 0;
}

/** Unique prefixes of true, false, yes, no, on, off; 1 and 0. */
function parseBoolean(text: string): boolean {
  const word = text.trim().toLowerCase();
  if (word !== '') {
    if ('true'.startsWith(word) || 'yes'.startsWith(word) || word === 'on' || word === '1')
      return true;
    if ('false'.startsWith(word) || 'no'.startsWith(word) || word === '0') return false;
    if (word.length > 1 && 'off'.startsWith(word)) return false;
  }
  throw badSyntax('boolean', text);
}

function badSyntax(display: string, text: string): SqlError {
  return new SqlError('22P02', `invalid input syntax for type ${display}: "${text}"`);
}

function outOfRange(display: string, text: string): SqlError {
  return new SqlError('22003', `value "${text}" is out of range for type ${display}`);
}
