/** text, varchar(n), char(n), name, "char", and the pseudo-type of untyped literals. */
import { isUtf8 } from 'node:buffer';
import { asBuffer } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import {
  compareOrdinary,
  expectLength,
  type KeyForm,
  type ModifierForm,
  type TypeCodec,
} from './codec.ts';

/** Order of the UTF-8 bytes: collation "C". UTF-16 order differs from it only where surrogates meet U+E000…U+FFFF. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rotated(x) - rotated(y);
  }
  return a.length - b.length;
}

/** Moves surrogates above the rest of the basic plane. */
function rotated(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
}

function compareTexts(a: Datum, b: Datum): number {
  return a === b ? 0 : compareText(a as string, b as string);
}

export const textKey: KeyForm = {
  write: (writer, value) => writer.text(value as string),
  read: (reader) => reader.text(),
  exact: true,
};

/** What a client sent as text. Throws 22021. */
export function decodeText(bytes: Uint8Array): string {
  if (isShortAscii(bytes)) return asBuffer(bytes).toString('latin1');
  if (!isUtf8(bytes)) throw badEncoding(firstInvalid(bytes));
  if (bytes.includes(0)) throw badEncoding('0x00');
  return asBuffer(bytes).toString('utf8');
}

/** Longer values are left to native code. */
const shortBytes = 32;

/** Most values are: then the same in Latin-1, which costs less here than two looks at the bytes in native code. */
function isShortAscii(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (length > shortBytes) return false;
  let at = 0;
  while (at < length && ((bytes[at] ?? 0) - 1) >>> 0 < 0x7f) at++;
  return at === length;
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

export const textCodec: TypeCodec = {
  parse: (text) => text,
  format: String,
  receive: (bytes) => decodeText(bytes),
  send: (value) => Buffer.from(String(value), 'utf8'),
  compare: compareTexts,
  identical: true,
  key: textKey,
  row: 'text',
};

const lengthMax = 10_485_760;

/** Cuts to `most` characters. Unit: characters, not UTF-16 units. Throws 22001. */
function cutCharacters(value: string, most: number, explicit: boolean, display: string): string {
  if (value.length <= most) return value;
  const characters = [...value];
  if (characters.length <= most) return value;
  if (!explicit && characters.slice(most).some((character) => character !== ' '))
    throw new SqlError('22001', `value too long for type ${display}(${most})`);
  return characters.slice(0, most).join('');
}

function lengthModifier(
  apply: (value: string, length: number, explicit: boolean) => string,
): ModifierForm {
  return {
    parse: (written, name) => {
      const [length = 0] = written;
      const shown = name === 'bpchar' ? 'char' : name;
      if (written.length !== 1) throw new SqlError('22023', 'invalid type modifier');
      if (length < 1) throw new SqlError('22023', `length for type ${shown} must be at least 1`);
      if (length > lengthMax)
        throw new SqlError('22023', `length for type ${shown} cannot exceed ${lengthMax}`);
      return length + 4;
    },
    format: (modifier) => `(${modifier - 4})`,
    apply: (value, modifier, explicit) => apply(value as string, modifier - 4, explicit),
  };
}

export const varcharCodec: TypeCodec = {
  ...textCodec,
  modifier: lengthModifier((value, length, explicit) =>
    cutCharacters(value, length, explicit, 'character varying'),
  ),
};

/** What a char(n) is without its padding. */
export function trimBlanks(value: string): string {
  let end = value.length;
  while (end > 0 && value.charCodeAt(end - 1) === 0x20) end--;
  return end === value.length ? value : value.slice(0, end);
}

function compareBlankPadded(a: Datum, b: Datum): number {
  return compareTexts(trimBlanks(a as string), trimBlanks(b as string));
}

export const bpcharCodec: TypeCodec = {
  ...textCodec,
  compare: compareBlankPadded,
  identical: false,
  hash: (value) => trimBlanks(value as string),
  key: {
    write: (writer, value) => writer.text(trimBlanks(value as string)),
    read: (reader) => reader.text(),
    exact: false,
  },
  modifier: lengthModifier((value, length, explicit) => {
    const cut = cutCharacters(value, length, explicit, 'character');
    let characters = cut.length;
    if (/[\ud800-\udfff]/.test(cut)) characters = [...cut].length;
    return characters >= length ? cut : cut + ' '.repeat(length - characters);
  }),
};

/** A text as `name` takes it: 63 bytes at most. */
export function cutName(text: string): string {
  if (text.length < 21) return text;
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length < 64) return text;
  let end = 63;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

export const nameCodec: TypeCodec = { ...textCodec, parse: cutName };

/** "char": one byte, shown as itself, in octal where it is not ASCII, or as nothing where it is zero. */
function parseChar(text: string): string {
  const octal = /^\\([0-3][0-7][0-7])$/.exec(text);
  const first =
    octal === null ? (Buffer.from(text, 'utf8')[0] ?? 0) : Number.parseInt(octal[1] ?? '0', 8);
  return charOfByte(first);
}

/** @param byte 0 to 255 */
export function charOfByte(byte: number): string {
  if (byte === 0) return '';
  return byte < 0x80 ? String.fromCharCode(byte) : `\\${byte.toString(8)}`;
}

export function byteOfChar(value: string): number {
  return value.length === 4 ? Number.parseInt(value.slice(1), 8) : value.charCodeAt(0) || 0;
}

export const charCodec: TypeCodec = {
  parse: parseChar,
  format: String,
  receive: (bytes) => charOfByte(expectLength(bytes, 1)[0] ?? 0),
  send: (value) => Uint8Array.of(byteOfChar(value as string)),
  compare: (a, b) => compareOrdinary(byteOfChar(a as string), byteOfChar(b as string)),
  identical: true,
  key: {
    write: (writer, value) => writer.integer(byteOfChar(value as string)),
    read: (reader) => charOfByte(reader.integer()),
    exact: true,
  },
  row: 'text',
};

/** void: the empty text. */
export const voidCodec: TypeCodec = {
  ...textCodec,
  parse: () => '',
  compare: undefined,
  key: undefined,
  row: undefined,
};
