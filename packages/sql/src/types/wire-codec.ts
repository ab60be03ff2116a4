/**
 * The bytes of values on the wire, text (0) and binary (1) format: PostgreSQL's typsend and typreceive functions. What a
 * client sends is checked here: UTF-8 without NUL, exact lengths, ranges.
 */
import { isUtf8 } from 'node:buffer';
import { asBuffer } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { receiveNumeric, sendNumeric } from './numeric-binary.ts';
import { formatText, parseText, type TextContext } from './text-codec.ts';
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
  return encodeBinary(type, value);
}

/** Throws 22021, 22P02, 22P03, 22003, 22007, 22008. */
export function decodeValue(
  type: SqlType,
  format: 0 | 1,
  bytes: Uint8Array,
  context: TextContext,
): Datum {
  if (format === 0) return parseText(type, decodeText(bytes), context);
  return decodeBinary(type, asBuffer(bytes));
}

function encodeBinary(type: SqlType, value: Datum): Uint8Array {
  switch (type.name) {
    case 'bool':
      return Uint8Array.of(value === true ? 1 : 0);
    case 'int2': {
      const bytes = Buffer.allocUnsafe(2);
      bytes.writeInt16BE(value as number);
      return bytes;
    }
    case 'int4': {
      const bytes = Buffer.allocUnsafe(4);
      bytes.writeInt32BE(value as number);
      return bytes;
    }
    case 'oid': {
      const bytes = Buffer.allocUnsafe(4);
      bytes.writeUInt32BE(value as number);
      return bytes;
    }
    case 'int8':
    case 'timestamptz': {
      const bytes = Buffer.allocUnsafe(8);
      bytes.writeBigInt64BE(value as bigint);
      return bytes;
    }
    case 'float8': {
      const bytes = Buffer.allocUnsafe(8);
      bytes.writeDoubleBE(value as number);
      return bytes;
    }
    case 'numeric':
      return sendNumeric(value as string);
    default:
      return Buffer.from(String(value), 'utf8');
  }
}

function decodeBinary(type: SqlType, bytes: Buffer): Datum {
  switch (type.name) {
    case 'bool':
      return expectLength(bytes, 1)[0] !== 0;
    case 'int2':
      return expectLength(bytes, 2).readInt16BE();
    case 'int4':
      return expectLength(bytes, 4).readInt32BE();
    case 'oid':
      return expectLength(bytes, 4).readUInt32BE();
    case 'int8':
      return expectLength(bytes, 8).readBigInt64BE();
    case 'timestamptz':
      return expectLength(bytes, 8).readBigInt64BE();
    case 'float8':
      return expectLength(bytes, 8).readDoubleBE();
    case 'numeric':
      return receiveNumeric(bytes);
    default:
      return decodeText(bytes);
  }
}

function expectLength(bytes: Buffer, length: number): Buffer {
  if (bytes.length < length) throw new SqlError('08P01', 'insufficient data left in message');
  if (bytes.length > length)
    throw new SqlError('22P03', 'incorrect binary data format in bind parameter');
  return bytes;
}

function decodeText(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw badEncoding(firstInvalid(bytes));
  if (bytes.includes(0)) throw badEncoding('0x00');
  return asBuffer(bytes).toString('utf8');
}

/** The bytes that PostgreSQL's message shows: the first sequence that does not decode. */
function firstInvalid(bytes: Uint8Array): string {
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at] ?? 0;
    const width = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    const sequence = bytes.subarray(at, at + width);
    if (!isUtf8(sequence))
      return [...sequence].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(' ');
    at += width;
  }
  return '';
}

function badEncoding(sequence: string): SqlError {
  return new SqlError('22021', `invalid byte sequence for encoding "UTF8": ${sequence}`);
}
