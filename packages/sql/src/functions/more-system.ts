/** Functions that clients and tools call beside their queries: encodings, names, bits, sizes as text. */
import { sessionNames } from '../catalog/session-names.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { splitIdentifier } from '../types/identifier.ts';
import { multiplyNumeric, parseNumeric, roundNumeric } from '../types/numeric.ts';
import {
  arrayTypeOf,
  boolType,
  byteaType,
  float4Type,
  float8Type,
  int4Type,
  int8Type,
  nameType,
  numericType,
  oidType,
  regclassType,
  regnamespaceType,
  regroleType,
  type SqlType,
  textType,
} from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import { formatNumber } from './format-number.ts';
import { readNumber } from './read-number.ts';
import { catalogOf } from './sequences.ts';
import { type EvalContext, type Signature, signature } from './signature.ts';

const stable = { volatility: 'stable' } as const;

function textArray(): SqlType {
  const type = arrayTypeOf(textType);
  if (type === undefined) throw new RangeError('there are arrays of text');
  return type;
}

/** Bits count from the lowest of the first byte. Throws 2202E. */
function bitPlace(value: Datum, index: Datum): { readonly byte: number; readonly mask: number } {
  const bytes = value as Uint8Array;
  const at = Number(index);
  if (at < 0 || at >= bytes.length * 8)
    throw new SqlError('2202E', `index ${at} out of valid range, 0..${bytes.length * 8 - 1}`);
  return { byte: at >> 3, mask: 1 << (at & 7) };
}

const unitFactors: Readonly<Record<string, number>> = {
  bytes: 0,
  b: 0,
  kb: 10,
  mb: 20,
  gb: 30,
  tb: 40,
  pb: 50,
};

/** Throws 22023. */
function sizeBytes(text: string): bigint {
  const match = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*$/.exec(text);
  if (match === null) throw new SqlError('22023', `invalid size: "${text}"`);
  const unit = (match[2] ?? '').toLowerCase();
  const power = unit === '' ? 0 : unitFactors[unit];
  if (power === undefined)
    throw new SqlError('22023', `invalid size: "${text}"`, {
      detail: `Invalid size unit: "${match[2]}".`,
      hint: 'Valid units are "bytes", "B", "kB", "MB", "GB", "TB", and "PB".',
    });
  const number = parseNumeric(match[1] ?? '0');
  return BigInt(roundNumeric(multiplyNumeric(number, String(2n ** BigInt(power))), 0));
}

/** Throws 22023. */
function parsedIdentifier(text: string): ArrayValue {
  const parts = splitIdentifier(text);
  if (parts === undefined)
    throw new SqlError('22023', `string is not a valid identifier: "${text}"`);
  return new ArrayValue(parts);
}

function named(kind: 'namespace' | 'role', text: Datum, context: EvalContext): Datum {
  const parts = splitIdentifier(String(text));
  if (parts === undefined) throw new SqlError('42602', 'invalid name syntax');
  const names = sessionNames(() => catalogOf(context).names, context.user);
  return names.oidOf(kind, parts) ?? null;
}

/** As float8_to_char: no more digits than a float has. */
function floatText(value: number, pattern: string): string {
  if (!Number.isFinite(value)) return formatNumber(String(value), pattern);
  const before = Math.abs(value).toFixed(0).length;
  return formatNumber(
    before >= 15 ? value.toFixed(0) : value.toFixed(Math.min(100, 15 - before)),
    pattern,
  );
}

export const moreSystemFunctions: readonly Signature[] = [
  ...[int4Type, int8Type, numericType].map((type) =>
    signature(
      'to_char',
      [type, textType],
      textType,
      (a, b) => formatNumber(String(a), b as string),
      stable,
    ),
  ),
  ...[float4Type, float8Type].map((type) =>
    signature(
      'to_char',
      [type, textType],
      textType,
      (a, b) => floatText(a as number, b as string),
      stable,
    ),
  ),
  signature(
    'to_number',
    [textType, textType],
    numericType,
    (a, b) => readNumber(a as string, b as string),
    stable,
  ),
  signature('pg_client_encoding', [], nameType, () => 'UTF8', stable),
  signature('pg_size_bytes', [textType], int8Type, (a) => sizeBytes(a as string)),
  signature('convert', [byteaType, nameType, nameType], byteaType, (a, b, c) => {
    for (const encoding of [b, c])
      if (!/^utf-?8$|^unicode$/i.test(String(encoding)))
        throw new SqlError('0A000', `encoding "${String(encoding)}" is not supported yet`);
    return a;
  }),
  signature('pg_trigger_depth', [], int4Type, () => 0, stable),
  signature('row_security_active', [regclassType], boolType, () => false, stable),
  signature('row_security_active', [textType], boolType, () => false, stable),
  signature('pg_jit_available', [], boolType, () => false, stable),
  signature(
    'to_regnamespace',
    [textType],
    regnamespaceType,
    (a, _b, _c, context) => named('namespace', a, context),
    stable,
  ),
  signature(
    'to_regrole',
    [textType],
    regroleType,
    (a, _b, _c, context) => named('role', a, context),
    stable,
  ),
  ...[
    'pg_opfamily_is_visible',
    'pg_ts_dict_is_visible',
    'pg_ts_parser_is_visible',
    'pg_ts_template_is_visible',
  ].map((name) => signature(name, [oidType], boolType, () => null, stable)),
  signature('parse_ident', [textType], textArray(), (a) => parsedIdentifier(a as string)),
  signature('get_bit', [byteaType, int8Type], int4Type, (a, b) => {
    const { byte, mask } = bitPlace(a, b);
    return (((a as Uint8Array)[byte] ?? 0) & mask) === 0 ? 0 : 1;
  }),
  signature('set_bit', [byteaType, int8Type, int4Type], byteaType, (a, b, c) => {
    const { byte, mask } = bitPlace(a, b);
    if (c !== 0 && c !== 1) throw new SqlError('22023', 'new bit must be 0 or 1');
    const changed = new Uint8Array(a as Uint8Array);
    changed[byte] = c === 1 ? (changed[byte] ?? 0) | mask : (changed[byte] ?? 0) & ~mask;
    return changed;
  }),
  signature(
    'is_normalized',
    [textType, textType],
    boolType,
    (a, b) => (a as string).normalize(String(b).toUpperCase()) === a,
  ),
  signature('is_normalized', [textType], boolType, (a) => (a as string).normalize() === a),
];
