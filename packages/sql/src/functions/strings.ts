/** String functions. Positions and lengths count characters (code points), as PostgreSQL does in UTF-8. */
import { createHash } from 'node:crypto';
import { stringCharactersMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { trimBlanks } from '../types/strings.ts';
import { boolType, bpcharType, byteaType, int4Type, int8Type, textType } from '../types/type.ts';
import { likeEscape } from './like.ts';
import { type Signature, signature } from './signature.ts';

const surrogates = /[\ud800-\udfff]/;

/** Text as an array of characters; without surrogates the string itself will do. */
function characters(text: string): string | readonly string[] {
  return surrogates.test(text) ? [...text] : text;
}

function cut(text: string, start: number, end: number): string {
  const all = characters(text);
  return typeof all === 'string' ? all.slice(start, end) : all.slice(start, end).join('');
}

export function characterLength(text: string): number {
  return characters(text).length;
}

/** @param start 1-based, may lie before the text */
function substring(text: string, start: number, length: number | undefined): string {
  if (length === undefined) return cut(text, Math.max(0, start - 1), Number.MAX_SAFE_INTEGER);
  if (length < 0) throw new SqlError('22011', 'negative substring length not allowed');
  const end = start - 1 + length;
  return end <= 0 ? '' : cut(text, Math.max(0, start - 1), end);
}

function left(text: string, count: number): string {
  return cut(text, 0, count < 0 ? Math.max(0, characterLength(text) + count) : count);
}

function right(text: string, count: number): string {
  const length = characterLength(text);
  return cut(text, count < 0 ? Math.min(length, -count) : Math.max(0, length - count), length);
}

/** Offset of the first occurrence, 1-based; 0 if there is none. */
function position(text: string, part: string): number {
  const found = text.indexOf(part);
  return found < 0 ? 0 : characterLength(text.slice(0, found)) + 1;
}

function trim(text: string, set: string, leading: boolean, trailing: boolean): string {
  const all = [...text];
  const members = new Set(set);
  let [start, end] = [0, all.length];
  while (leading && start < end && members.has(all[start] ?? '')) start++;
  while (trailing && end > start && members.has(all[end - 1] ?? '')) end--;
  return all.slice(start, end).join('');
}

function pad(text: string, length: number, fill: string, atStart: boolean): string {
  const own = characterLength(text);
  if (own >= length) return cut(text, 0, Math.max(0, length));
  if (fill === '') return text;
  if (length > stringCharactersMax) throw tooLong();
  const unit = [...fill];
  const missing = length - own;
  let padding = unit.join('').repeat(Math.floor(missing / unit.length));
  padding += unit.slice(0, missing % unit.length).join('');
  return atStart ? padding + text : text + padding;
}

function repeat(text: string, count: number): string {
  if (count <= 0) return '';
  if (text.length * count > stringCharactersMax) throw tooLong();
  return text.repeat(count);
}

function tooLong(): SqlError {
  return new SqlError('54000', 'requested length too large');
}

function splitPart(text: string, delimiter: string, field: number): string {
  if (field === 0) throw new SqlError('22023', 'field position must not be zero');
  if (text === '') return '';
  const parts = delimiter === '' ? [text] : text.split(delimiter);
  return parts[field > 0 ? field - 1 : parts.length + field] ?? '';
}

/** Character by character, as libc folds: a letter whose other case is several letters stays. */
function fold(text: string, how: (character: string) => string): string {
  const whole = how(text);
  if (whole.length === text.length && !/[^\u0020-\u007e]/.test(text)) return whole;
  let result = '';
  for (const character of text) {
    const folded = how(character);
    result += [...folded].length === 1 ? folded : character;
  }
  return result;
}

function chr(code: number): string {
  if (code === 0) throw new SqlError('54000', 'null character not permitted');
  if (code < 0) throw new SqlError('22023', 'character number must be positive');
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
    throw new SqlError('54000', `requested character not valid for encoding: ${code}`);
  return String.fromCodePoint(code);
}

const text = (a: Datum): string => a as string;
const int = (a: Datum): number => a as number;
const t = textType;
const i = int4Type;

function lengths(): Signature[] {
  const length = (name: string) => signature(name, [t], i, (a) => characterLength(text(a)));
  return [
    ...['length', 'char_length', 'character_length'].map(length),
    ...['length', 'char_length', 'character_length'].map((name) =>
      signature(name, [bpcharType], i, (a) => characterLength(trimBlanks(text(a)))),
    ),
    signature('octet_length', [bpcharType], i, (a) => Buffer.byteLength(text(a))),
    signature('octet_length', [t], i, (a) => Buffer.byteLength(text(a))),
    signature('bit_length', [t], i, (a) => Buffer.byteLength(text(a)) * 8),
  ];
}

function substrings(): Signature[] {
  return [
    ...['substring', 'substr'].flatMap((name) => [
      signature(name, [t, i], t, (a, b) => substring(text(a), int(b), undefined)),
      signature(name, [t, i, i], t, (a, b, c) => substring(text(a), int(b), int(c))),
    ]),
    signature('left', [t, i], t, (a, b) => left(text(a), int(b))),
    signature('right', [t, i], t, (a, b) => right(text(a), int(b))),
    signature('strpos', [t, t], i, (a, b) => position(text(a), text(b))),
    signature('position', [t, t], i, (a, b) => position(text(a), text(b))),
    signature('split_part', [t, t, i], t, (a, b, c) => splitPart(text(a), text(b), int(c))),
    signature('starts_with', [t, t], boolType, (a, b) => text(a).startsWith(text(b))),
  ];
}

function bytesTrimmed(name: string, leading: boolean, trailing: boolean): Signature {
  return signature(name, [byteaType, byteaType], byteaType, (a, b) => {
    const bytes = a as Uint8Array;
    const members = new Set(b as Uint8Array);
    let [from, to] = [0, bytes.length];
    while (leading && from < to && members.has(bytes[from] ?? 0)) from++;
    while (trailing && to > from && members.has(bytes[to - 1] ?? 0)) to--;
    return bytes.slice(from, to);
  });
}

function trims(): Signature[] {
  const make = (name: string, leading: boolean, trailing: boolean) => [
    signature(name, [t], t, (a) => trim(text(a), ' ', leading, trailing)),
    signature(name, [t, t], t, (a, b) => trim(text(a), text(b), leading, trailing)),
  ];
  return [
    ...make('btrim', true, true),
    ...make('ltrim', true, false),
    ...make('rtrim', false, true),
    bytesTrimmed('btrim', true, true),
    bytesTrimmed('ltrim', true, false),
    bytesTrimmed('rtrim', false, true),
    ...['lpad', 'rpad'].flatMap((name) => [
      signature(name, [t, i], t, (a, b) => pad(text(a), int(b), ' ', name === 'lpad')),
      signature(name, [t, i, t], t, (a, b, c) => pad(text(a), int(b), text(c), name === 'lpad')),
    ]),
  ];
}

export const stringFunctions: readonly Signature[] = [
  ...lengths(),
  ...substrings(),
  ...trims(),
  signature('lower', [t], t, (a) => fold(text(a), (c) => c.toLowerCase())),
  signature('upper', [t], t, (a) => fold(text(a), (c) => c.toUpperCase())),
  signature('replace', [t, t, t], t, (a, b, c) =>
    text(b) === '' ? a : text(a).split(text(b)).join(text(c)),
  ),
  signature('repeat', [t, i], t, (a, b) => repeat(text(a), int(b))),
  signature('reverse', [t], t, (a) => [...text(a)].reverse().join('')),
  signature('ascii', [t], i, (a) => text(a).codePointAt(0) ?? 0),
  signature('chr', [i], t, (a) => chr(int(a))),
  signature('md5', [t], t, (a) => createHash('md5').update(text(a), 'utf8').digest('hex')),
  signature('to_hex', [i], t, (a) => (int(a) >>> 0).toString(16)),
  signature('to_hex', [int8Type], t, (a) => BigInt.asUintN(64, a as bigint).toString(16)),
  signature('like_escape', [t, t], t, (a, b) => likeEscape(text(a), text(b))),
];
