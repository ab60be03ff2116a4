/** bytea and uuid. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { badSyntax, expectLength, type TypeCodec } from './codec.ts';
import { compareText } from './strings.ts';

/** byteain: `\x…` or the escape form. Throws 22P02, 22023. */
export function parseBytea(text: string): Uint8Array {
  if (text.startsWith('\\x')) return parseHex(text.slice(2));
  const source = Buffer.from(text, 'utf8');
  const bytes = Buffer.allocUnsafe(source.length);
  let length = 0;
  for (let at = 0; at < source.length; at++) {
    const byte = source[at] ?? 0;
    if (byte !== 0x5c) {
      bytes[length++] = byte;
      continue;
    }
    const octal = /^[0-3][0-7][0-7]$/.exec(source.toString('latin1', at + 1, at + 4));
    if (source[at + 1] === 0x5c) {
      bytes[length++] = 0x5c;
      at++;
    } else if (octal !== null) {
      bytes[length++] = Number.parseInt(octal[0], 8);
      at += 3;
    } else throw new SqlError('22P02', 'invalid input syntax for type bytea');
  }
  return Uint8Array.prototype.slice.call(bytes, 0, length);
}

/** Hexadecimal digits, white space between pairs allowed. Throws 22023. */
export function parseHex(digits: string): Uint8Array {
  const compact = /\s/.test(digits) ? digits.replace(/\s+/g, '') : digits;
  const bad = /[^0-9a-fA-F]/u.exec(compact);
  if (bad !== null)
    throw new SqlError(
      '22023',
      `invalid hexadecimal digit: "${String.fromCodePoint(bad[0].codePointAt(0) ?? 0)}"`,
    );
  if (compact.length % 2 !== 0)
    throw new SqlError('22023', 'invalid hexadecimal data: odd number of digits');
  return Uint8Array.prototype.slice.call(Buffer.from(compact, 'hex'));
}

export function formatByteaEscaped(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 0x5c) text += '\\\\';
    else if (byte < 0x20 || byte > 0x7e) text += `\\${byte.toString(8).padStart(3, '0')}`;
    else text += String.fromCharCode(byte);
  }
  return text;
}

export const byteaCodec: TypeCodec = {
  parse: (text) => parseBytea(text),
  format: (value, context) => {
    const bytes = value as Uint8Array;
    return context.byteaOutput === 'escape'
      ? formatByteaEscaped(bytes)
      : `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`;
  },
  receive: (bytes) => Uint8Array.prototype.slice.call(bytes),
  send: (value) => value as Uint8Array,
  compare: (a, b) => Buffer.compare(a as Uint8Array, b as Uint8Array),
  identical: false,
  hash: (value) => Buffer.from(value as Uint8Array).toString('latin1'),
  key: {
    write: (writer, value) => writer.bytes(value as Uint8Array),
    read: (reader) => reader.bytes(),
    exact: true,
  },
  row: {
    encode: (value) => value as Uint8Array,
    decode: (bytes) => Uint8Array.prototype.slice.call(bytes),
  },
  sessionText: true,
};

/** uuid_in: 32 hexadecimal digits with hyphens after any group of four, braces allowed. Throws 22P02. */
function parseUuid(text: string, display: string): string {
  const inner = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  if (!/^(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}$/i.test(inner)) throw badSyntax(display, text);
  return hyphened(inner.replaceAll('-', '').toLowerCase());
}

function hyphened(digits: string): string {
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${digits.slice(20)}`;
}

function uuidBytes(value: Datum): Buffer {
  return Buffer.from((value as string).replaceAll('-', ''), 'hex');
}

function uuidFromBytes(bytes: Uint8Array): string {
  return hyphened(Buffer.from(bytes).toString('hex'));
}

export const uuidCodec: TypeCodec = {
  parse: (text, _context, display) => parseUuid(text, display),
  format: String,
  receive: (bytes) => uuidFromBytes(expectLength(bytes, 16)),
  send: uuidBytes,
  compare: (a, b) => compareText(a as string, b as string),
  identical: true,
  key: {
    write: (writer, value) => writer.bytes(uuidBytes(value)),
    read: (reader) => uuidFromBytes(reader.bytes()),
    exact: true,
  },
  row: { encode: uuidBytes, decode: uuidFromBytes },
};
