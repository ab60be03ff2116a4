/**
 * The bytes of values on the wire, text (0) and binary (1) format. What a client sends is checked here and by the codecs:
 * UTF-8 without NUL, exact lengths, ranges.
 */
import { asBuffer } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from './codec.ts';
import { decodeText } from './strings.ts';
import { formatText, parseText } from './text-codec.ts';
import type { SqlType } from './type.ts';

/** @returns null for NULL */
export function encodeValue(
  type: SqlType,
  format: 0 | 1,
  value: Datum,
  context: TextContext,
): Uint8Array | null {
  if (value === null) return null;
  if (format === 0) return Buffer.from(formatText(type, value, context), 'utf8');
  if (type.codec === undefined)
    throw new SqlError('0A000', `cannot display a value of type ${type.display}`);
  return type.codec.send(value, context);
}

/** Throws 22021, 22P02, 22P03, 22003, 22007, 22008. */
export function decodeValue(
  type: SqlType,
  format: 0 | 1,
  bytes: Uint8Array,
  context: TextContext,
): Datum {
  if (format === 0) return parseText(type, decodeText(bytes), context);
  if (type.codec === undefined)
    throw new SqlError('0A000', `cannot accept a value of type ${type.display}`);
  return type.codec.receive(asBuffer(bytes), context, type.display);
}
