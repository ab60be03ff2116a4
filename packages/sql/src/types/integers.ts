/** boolean, int2, int4, int8 and the types that are an unsigned number: oid, xid, cid. */
import type { Datum } from '../session-api.ts';
import {
  badSyntax,
  bigKey,
  compareOrdinary,
  expectLength,
  int32Bytes,
  int64Bytes,
  outOfRange,
  smallKey,
  type TypeCodec,
} from './codec.ts';

const integerForm = /^[+-]?\d+$/;
const plain = { identical: true, compare: compareOrdinary } as const;

/** int4in and int2in. Throws 22P02, 22003. */
export function parseInteger(text: string, min: number, max: number, display: string): number {
  const value = shortNumber(text) ?? Number(integerText(text, display));
  if (value < min || value > max) throw outOfRange(display, text);
  return value + 0;
}

/** The value of one to nine digits and nothing else: most integers, without a regular expression. */
function shortNumber(text: string): number | undefined {
  const { length } = text;
  if (length === 0 || length > 9) return undefined;
  let value = 0;
  for (let at = 0; at < length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return value;
}

/** Throws 22P02. */
function integerText(text: string, display: string): string {
  const trimmed = text.trim();
  if (!integerForm.test(trimmed)) throw badSyntax(display, text);
  return trimmed;
}

export const int2Codec: TypeCodec = {
  ...plain,
  parse: (text, _context, display) => parseInteger(text, -32_768, 32_767, display),
  format: String,
  receive: (bytes) => expectLength(bytes, 2).readInt16BE(),
  send: (value) => {
    const bytes = Buffer.allocUnsafe(2);
    bytes.writeInt16BE(value as number);
    return bytes;
  },
  key: smallKey,
  row: 'small',
};

export const int4Codec: TypeCodec = {
  ...plain,
  parse: (text, _context, display) => parseInteger(text, -2_147_483_648, 2_147_483_647, display),
  format: String,
  receive: (bytes) => expectLength(bytes, 4).readInt32BE(),
  send: (value) => int32Bytes(value as number),
  key: smallKey,
  row: 'small',
};

/** Throws 22P02, 22003. */
function parseBigint(text: string, display: string): bigint {
  const trimmed = integerText(text, display);
  const value = BigInt(trimmed.startsWith('+') ? trimmed.slice(1) : trimmed);
  if (BigInt.asIntN(64, value) !== value) throw outOfRange(display, text);
  return value;
}

export const int8Codec: TypeCodec = {
  ...plain,
  parse: (text, _context, display) => parseBigint(text, display),
  format: String,
  receive: (bytes) => expectLength(bytes, 8).readBigInt64BE(),
  send: (value) => int64Bytes(value as bigint),
  key: bigKey,
  row: 'big',
};

/** Throws 22P02, 22003. */
export function parseOid(text: string, display: string): number {
  const value = shortNumber(text) ?? Number(integerText(text, display));
  if (value < -2_147_483_648 || value > 4_294_967_295) throw outOfRange(display, text);
  return value >>> 0;
}

export const oidCodec: TypeCodec = {
  ...plain,
  parse: (text, _context, display) => parseOid(text, display),
  format: String,
  receive: (bytes) => expectLength(bytes, 4).readUInt32BE(),
  send: (value) => {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(value as number);
    return bytes;
  },
  key: smallKey,
  row: 'small',
};

/** Unique prefixes of true, false, yes, no, on, off; 1 and 0. */
function parseBoolean(text: string, display: string): boolean {
  const word = text.trim().toLowerCase();
  if (word !== '') {
    if ('true'.startsWith(word) || 'yes'.startsWith(word) || word === 'on' || word === '1')
      return true;
    if ('false'.startsWith(word) || 'no'.startsWith(word) || word === '0') return false;
    if (word.length > 1 && 'off'.startsWith(word)) return false;
  }
  throw badSyntax(display, text);
}

export const boolCodec: TypeCodec = {
  ...plain,
  parse: (text, _context, display) => parseBoolean(text, display),
  format: (value: Datum) => (value === true ? 't' : 'f'),
  receive: (bytes) => expectLength(bytes, 1)[0] !== 0,
  send: (value) => Uint8Array.of(value === true ? 1 : 0),
  key: {
    write: (writer, value) => writer.boolean(value as boolean),
    read: (reader) => reader.boolean(),
    exact: true,
  },
  row: 'bool',
};
