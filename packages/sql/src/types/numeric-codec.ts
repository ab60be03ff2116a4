/** float4, float8 and numeric(p, s). Arithmetic is elsewhere: float.ts, numeric.ts. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { expectLength, type TypeCodec } from './codec.ts';
import { formatFloat4, formatFloat8, parseFloatText } from './float.ts';
import {
  canonicalNumeric,
  compareNumeric,
  parseNumeric,
  roundNumeric,
  toDecimal,
} from './numeric.ts';
import { receiveNumeric, sendNumeric } from './numeric-binary.ts';

/** NaN equals NaN and is above every number. Zeros are equal. */
export function compareFloat(a: number, b: number): number {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a === b) return 0;
  return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
}

const floating = {
  compare: (a: Datum, b: Datum) => compareFloat(a as number, b as number),
  identical: false,
  hash: (value: Datum) => String((value as number) + 0),
  key: {
    write: (writer, value) => writer.float(value as number),
    read: (reader) => reader.float(),
    exact: false, // a key does not tell -0 from 0
  },
  row: 'float',
  sessionText: true,
} satisfies Partial<TypeCodec>;

export const float8Codec: TypeCodec = {
  ...floating,
  parse: (text, _context, display) => parseFloatText(text, display),
  format: (value, context) => formatFloat8(value as number, context.extraFloatDigits),
  receive: (bytes) => expectLength(bytes, 8).readDoubleBE(),
  send: (value) => {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleBE(value as number);
    return bytes;
  },
};

export const float4Codec: TypeCodec = {
  ...floating,
  parse: (text, _context, display) => narrow(parseFloatText(text, display), text, display),
  format: (value, context) => formatFloat4(value as number, context.extraFloatDigits),
  receive: (bytes) => expectLength(bytes, 4).readFloatBE(),
  send: (value) => {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeFloatBE(value as number);
    return bytes;
  },
};

function narrow(value: number, text: string, display: string): number {
  const rounded = Math.fround(value);
  if ((!Number.isFinite(rounded) && Number.isFinite(value)) || (rounded === 0 && value !== 0))
    throw new SqlError('22003', `"${text.trim()}" is out of range for type ${display}`);
  return rounded;
}

const precisionMax = 1_000;

function precisionOf(modifier: number): { readonly precision: number; readonly scale: number } {
  const packed = modifier - 4;
  const scale = packed & 0x7ff;
  return { precision: (packed >> 16) & 0xffff, scale: scale >= 0x400 ? scale - 0x800 : scale };
}

/** numeric(precision, scale). Throws 22003. */
function applyPrecision(value: string, modifier: number): string {
  const { precision, scale } = precisionOf(modifier);
  if (value === 'NaN') return value;
  const detail = `A field with precision ${precision}, scale ${scale}`;
  if (value.endsWith('Infinity'))
    throw new SqlError('22003', 'numeric field overflow', {
      detail: `${detail} cannot hold an infinite value.`,
    });
  const rounded = roundNumeric(value, scale);
  const { unscaled } = toDecimal(rounded);
  const magnitude = unscaled < 0n ? -unscaled : unscaled;
  const limit = 10n ** BigInt(Math.max(0, scale >= 0 ? precision : precision - scale));
  if (magnitude < limit) return rounded;
  const places = precision - scale;
  throw new SqlError('22003', 'numeric field overflow', {
    detail: `${detail} must round to an absolute value less than ${places === 0 ? '1' : `10^${places}`}.`,
  });
}

/** Digits two by two behind a biased exponent, so that the bytes order as the numbers do. */
function sortableBytes(value: string): Uint8Array {
  if (value === 'NaN') return Uint8Array.of(6);
  if (value === 'Infinity') return Uint8Array.of(5);
  if (value === '-Infinity') return Uint8Array.of(1);
  const { unscaled, scale } = toDecimal(value);
  if (unscaled === 0n) return Uint8Array.of(3);
  const negative = unscaled < 0n;
  const all = (negative ? -unscaled : unscaled).toString();
  const exponent = all.length - scale + 0x40_0000;
  const digits = all.replace(/0+$/, '');
  const bytes = [negative ? 2 : 4, (exponent >> 16) & 255, (exponent >> 8) & 255, exponent & 255];
  for (let i = 0; i < digits.length; i += 2)
    bytes.push(Number(digits.slice(i, i + 2).padEnd(2, '0')) + 1);
  if (negative) {
    for (let i = 1; i < bytes.length; i++) bytes[i] = 255 - (bytes[i] ?? 0);
    bytes.push(255);
  }
  return Uint8Array.from(bytes);
}

/** The number that `sortableBytes` wrote, without its trailing zeros. */
function fromSortableBytes(bytes: Uint8Array): string {
  const [kind = 0] = bytes;
  const plain = ['', '-Infinity', '', '0', '', 'Infinity', 'NaN'][kind] ?? '';
  if (plain !== '') return plain;
  const at = (i: number) => (kind === 2 ? 255 - (bytes[i] ?? 0) : (bytes[i] ?? 0));
  const exponent = ((at(1) << 16) | (at(2) << 8) | at(3)) - 0x40_0000;
  const end = kind === 2 ? bytes.length - 1 : bytes.length;
  let digits = '';
  for (let i = 4; i < end; i++) digits += String(at(i) - 1).padStart(2, '0');
  const text = canonicalNumeric(parseNumeric(`0.${digits}e${exponent}`));
  return kind === 2 ? `-${text}` : text;
}

export const numericCodec: TypeCodec = {
  parse: (text) => parseNumeric(text),
  format: String,
  receive: (bytes) => receiveNumeric(bytes),
  send: (value) => sendNumeric(value as string),
  compare: (a, b) => compareNumeric(a as string, b as string),
  identical: false,
  hash: (value) => canonicalNumeric(value as string),
  key: {
    write: (writer, value) => writer.bytes(sortableBytes(value as string)),
    read: (reader) => fromSortableBytes(reader.bytes()),
    exact: false, // the scale is lost
  },
  row: 'text',
  modifier: {
    parse: (written) => {
      const [precision = 0, scale = 0] = written;
      if (written.length > 2) throw new SqlError('22023', 'invalid NUMERIC type modifier');
      if (precision < 1 || precision > precisionMax)
        throw new SqlError(
          '22023',
          `NUMERIC precision ${precision} must be between 1 and ${precisionMax}`,
        );
      if (scale < -precisionMax || scale > precisionMax)
        throw new SqlError(
          '22023',
          `NUMERIC scale ${scale} must be between -${precisionMax} and ${precisionMax}`,
        );
      return ((precision << 16) | (scale & 0x7ff)) + 4;
    },
    format: (modifier) => {
      const { precision, scale } = precisionOf(modifier);
      return `(${precision},${scale})`;
    },
    apply: (value, modifier) => applyPrecision(value as string, modifier),
  },
};
