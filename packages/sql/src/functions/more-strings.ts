/** Strings beyond the everyday ones: format, quoting, encodings, digests, bytea. */
import { createHash } from 'node:crypto';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { parseBytea, parseHex } from '../types/bytes.ts';
import type { TextContext } from '../types/codec.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { decodeText } from '../types/strings.ts';
import {
  anyelementType,
  anyType,
  byteaType,
  int4Type,
  nameType,
  type SqlType,
  textType,
} from '../types/type.ts';
import { manySignature, type Signature, signature, typedSignature } from './signature.ts';

const t = textType;
const text = (value: Datum | undefined): string => value as string;
const bytes = (value: Datum): Uint8Array => value as Uint8Array;
const own = (buffer: Uint8Array): Uint8Array => Uint8Array.prototype.slice.call(buffer);

export function quoteLiteral(value: string): string {
  const quoted = `'${value.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return value.includes('\\') ? `E${quoted}` : quoted;
}

function printed(value: Datum, type: SqlType | undefined, context: TextContext): string {
  return type?.codec?.format(value, context) ?? String(value);
}

/** format(): %s, %I, %L and %% with position, width and the flag `-`. Throws 22023, 22004. */
function formatText(
  values: readonly Datum[],
  types: readonly SqlType[],
  context: TextContext,
): Datum {
  const [template = null] = values;
  if (template === null) return null;
  let next = 1;
  const take = (position: string | undefined): number => {
    if (position !== undefined) next = Number(position);
    if (position === '0')
      throw new SqlError('22023', 'format specifies argument 0, but arguments are numbered from 1');
    if (next >= values.length) throw new SqlError('22023', 'too few arguments for format()');
    return next++;
  };
  const form = /%(?:(\d+)\$)?(-)?(?:(\d+)|\*(?:(\d+)\$)?)?([\s\S])?/g;
  return text(template).replace(
    form,
    (
      all: string,
      position: string | undefined,
      minus: string | undefined,
      width: string | undefined,
      star: string | undefined,
      kind: string | undefined,
    ) => {
      if (all === '%%') return '%';
      if (kind === undefined)
        throw new SqlError('22023', 'unterminated format() type specifier', {
          hint: 'For a single "%" use "%%".',
        });
      if (!'sIL'.includes(kind))
        throw new SqlError('22023', `unrecognized format() type specifier "${kind}"`, {
          hint: 'For a single "%" use "%%".',
        });
      let least = Number(width ?? 0);
      let left = minus !== undefined;
      if (width === undefined && all.includes('*')) {
        least = Number(values[take(star)] ?? 0);
        if (least < 0) [left, least] = [true, -least];
      }
      const index = take(position);
      const value = values[index] ?? null;
      let shown: string;
      if (value === null) {
        if (kind === 'I')
          throw new SqlError('22004', 'null values cannot be formatted as an SQL identifier');
        shown = kind === 'L' ? 'NULL' : '';
      } else {
        shown = printed(value, types[index], context);
        if (kind === 'I') shown = quoteIdentifier(shown);
        else if (kind === 'L') shown = quoteLiteral(shown);
      }
      return left ? shown.padEnd(least) : shown.padStart(least);
    },
  );
}

function initcap(value: string): string {
  return value.toLowerCase().replace(/[\p{L}\p{N}]+/gu, (word) => {
    const [first = '', ...rest] = [...word];
    const upper = first.toUpperCase();
    return ([...upper].length === 1 ? upper : first) + rest.join('');
  });
}

function translate(value: string, from: string, to: string): string {
  const [sources, targets] = [[...from], [...to]];
  const table = new Map<string, string>();
  sources.forEach((one, i) => {
    if (!table.has(one)) table.set(one, targets[i] ?? '');
  });
  return [...value].map((one) => table.get(one) ?? one).join('');
}

/** Throws 22011. */
function overlay<T extends readonly unknown[]>(
  value: T,
  part: T,
  start: number,
  count: number,
): [T, T, T] {
  if (start <= 0) throw new SqlError('22011', 'negative substring length not allowed');
  return [
    value.slice(0, start - 1) as unknown as T,
    part,
    value.slice(start - 1 + count) as unknown as T,
  ];
}

function overlayBytes(values: readonly Datum[]): Datum {
  const [value, part] = [values[0] as Uint8Array, values[1] as Uint8Array];
  const count = (values[3] as number | undefined) ?? part.length;
  const start = values[2] as number;
  if (start <= 0) throw new SqlError('22011', 'negative substring length not allowed');
  return Uint8Array.from([
    ...value.subarray(0, start - 1),
    ...part,
    ...value.subarray(Math.max(0, start - 1 + count)),
  ]);
}

function overlayText(values: readonly Datum[]): Datum {
  const [value, part] = [[...text(values[0])], [...text(values[1])]];
  const count = (values[3] as number | undefined) ?? part.length;
  return overlay(value, part, values[2] as number, count)
    .flat()
    .join('');
}

/** Throws 22023. */
function encode(value: Uint8Array, format: string): string {
  const buffer = Buffer.from(value);
  switch (format.toLowerCase()) {
    case 'hex':
      return buffer.toString('hex');
    case 'base64':
      return buffer.toString('base64').replace(/.{76}(?=.)/g, '$&\n');
    case 'escape':
      return [...buffer]
        .map((byte) =>
          byte === 0 || byte >= 0x80
            ? `\\${byte.toString(8).padStart(3, '0')}`
            : byte === 0x5c
              ? '\\\\'
              : String.fromCharCode(byte),
        )
        .join('');
    default:
      throw new SqlError('22023', `unrecognized encoding: "${format}"`);
  }
}

/** Throws 22023. */
function decode(value: string, format: string): Uint8Array {
  switch (format.toLowerCase()) {
    case 'hex':
      return parseHex(value);
    case 'base64': {
      const compact = value.replace(/\s+/g, '');
      const bad = /[^A-Za-z0-9+/=]/.exec(compact);
      if (bad !== null)
        throw new SqlError(
          '22023',
          `invalid symbol "${bad[0]}" found while decoding base64 sequence`,
        );
      if (compact.length % 4 !== 0)
        throw new SqlError('22023', 'invalid base64 end sequence', {
          hint: 'Input data is missing padding, is truncated, or is otherwise corrupted.',
        });
      return own(Buffer.from(compact, 'base64'));
    }
    case 'escape':
      return parseBytea(value);
    default:
      throw new SqlError('22023', `unrecognized encoding: "${format}"`);
  }
}

/** Throws 22021. */
function toText(value: Uint8Array, encoding: string): string {
  checkEncoding(encoding);
  return decodeText(value);
}

function checkEncoding(encoding: string): void {
  if (!['utf8', 'utf-8', 'unicode'].includes(encoding.toLowerCase()))
    throw new SqlError('0A000', `encoding "${encoding}" is not supported yet`);
}

function digests(): Signature[] {
  return ['sha224', 'sha256', 'sha384', 'sha512'].map((name) =>
    signature(name, [byteaType], byteaType, (a) => own(createHash(name).update(bytes(a)).digest())),
  );
}

/** Throws 2202E. */
function byteAt(value: Uint8Array, index: number): number {
  const byte = value[index];
  if (byte === undefined)
    throw new SqlError('2202E', `index ${index} out of valid range, 0..${value.length - 1}`);
  return byte;
}

function substringBytes(value: Uint8Array, start: number, count: number | undefined): Uint8Array {
  if (count !== undefined && count < 0)
    throw new SqlError('22011', 'negative substring length not allowed');
  const end = count === undefined ? value.length : Math.max(0, start - 1 + count);
  return value.slice(Math.max(0, start - 1), end);
}

function binaries(): Signature[] {
  const b = byteaType;
  return [
    signature('length', [b], int4Type, (a) => bytes(a).length),
    signature('octet_length', [b], int4Type, (a) => bytes(a).length),
    signature('bit_length', [b], int4Type, (a) => bytes(a).length * 8),
    signature('md5', [b], t, (a) => createHash('md5').update(bytes(a)).digest('hex')),
    signature('encode', [b, t], t, (a, c) => encode(bytes(a), text(c))),
    signature('decode', [t, t], b, (a, c) => decode(text(a), text(c))),
    signature('convert_from', [b, nameType], t, (a, c) => toText(bytes(a), text(c))),
    signature('convert_to', [t, nameType], b, (a, c) => {
      checkEncoding(text(c));
      return own(Buffer.from(text(a), 'utf8'));
    }),
    signature('get_byte', [b, int4Type], int4Type, (a, c) => byteAt(bytes(a), c as number)),
    signature('set_byte', [b, int4Type, int4Type], b, (a, c, d) => {
      byteAt(bytes(a), c as number);
      const changed = own(bytes(a));
      changed[c as number] = d as number;
      return changed;
    }),
    ...['substring', 'substr'].flatMap((name) => [
      signature(name, [b, int4Type], b, (a, c) => substringBytes(bytes(a), c as number, undefined)),
      signature(name, [b, int4Type, int4Type], b, (a, c, d) =>
        substringBytes(bytes(a), c as number, d as number),
      ),
    ]),
    signature('position', [b, b], int4Type, (a, c) => Buffer.from(bytes(a)).indexOf(bytes(c)) + 1),
  ];
}

export const moreStringFunctions: readonly Signature[] = [
  typedSignature(
    'format',
    [t, anyType],
    t,
    ({ parameters }) =>
      (values, context) =>
        formatText(values, parameters, context),
    { strict: false, volatility: 'stable', variadic: true },
  ),
  typedSignature(
    'format',
    [t],
    t,
    ({ parameters }) =>
      (values, context) =>
        formatText(values, parameters, context),
    { strict: false, volatility: 'stable' },
  ),
  signature('quote_ident', [t], t, (a) => quoteIdentifier(text(a))),
  signature('quote_literal', [t], t, (a) => quoteLiteral(text(a))),
  signature('quote_nullable', [t], t, (a) => (a === null ? 'NULL' : quoteLiteral(text(a))), {
    strict: false,
  }),
  typedSignature(
    'quote_literal',
    [anyelementType],
    t,
    ({ parameters }) =>
      ([value = null], context) =>
        quoteLiteral(printed(value, parameters[0], context)),
    { volatility: 'stable' },
  ),
  typedSignature(
    'quote_nullable',
    [anyelementType],
    t,
    ({ parameters }) =>
      ([value = null], context) =>
        value === null ? 'NULL' : quoteLiteral(printed(value, parameters[0], context)),
    { strict: false, volatility: 'stable' },
  ),
  signature('initcap', [t], t, (a) => initcap(text(a))),
  signature('translate', [t, t, t], t, (a, b, c) => translate(text(a), text(b), text(c))),
  manySignature('overlay', [byteaType, byteaType, int4Type], byteaType, overlayBytes),
  manySignature('overlay', [byteaType, byteaType, int4Type, int4Type], byteaType, overlayBytes),
  manySignature('overlay', [t, t, int4Type], t, overlayText),
  manySignature('overlay', [t, t, int4Type, int4Type], t, overlayText),
  signature('normalize', [t, t], t, (a, b) => text(a).normalize(text(b).toUpperCase())),
  signature('normalize', [t], t, (a) => text(a).normalize()),
  signature('unistr', [t], t, (a) =>
    text(a).replace(
      /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4})|\\)/g,
      (_all, a4?: string, a8?: string, a6?: string, b4?: string) => {
        const digits = a4 ?? a8 ?? a6 ?? b4;
        return digits === undefined ? '\\' : String.fromCodePoint(Number.parseInt(digits, 16));
      },
    ),
  ),
  ...digests(),
  ...binaries(),
];
