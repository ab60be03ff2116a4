/** Operators and functions over regular expressions, as signatures. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import {
  arrayTypeOf,
  boolType,
  int4Type,
  nameType,
  type SqlType,
  textType,
} from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import {
  compileRegexp,
  matchesOf,
  type RegexpMatch,
  similarPattern,
  testRegexp,
} from './regexps.ts';
import { type SetSignature, setFunction } from './set-returning.ts';
import { manySignature, type Signature, signature, unsupportedSignature } from './signature.ts';

const t = textType;
const textArray: SqlType = arrayTypeOf(textType) ?? textType;
const text = (value: Datum | undefined): string => value as string;

function operator(name: string, negated: boolean, flags: string): Signature[] {
  return [textType, nameType].map((left) =>
    signature(
      name,
      [left, t],
      boolType,
      (a, b) => testRegexp(text(a), compileRegexp(text(b), flags)) !== negated,
    ),
  );
}

export const regexpOperators: readonly Signature[] = [
  ...operator('~', false, ''),
  ...operator('!~', true, ''),
  ...operator('~*', false, 'i'),
  ...operator('!~*', true, 'i'),
];

/** `\1` and `\&` in a replacement. */
function expand(replacement: string, match: RegexpMatch): string {
  return replacement.replace(/\\([1-9&\\])/g, (_all, mark: string) => {
    if (mark === '\\') return '\\';
    return match.groups[mark === '&' ? 0 : Number(mark)] ?? '';
  });
}

interface Replacing {
  readonly pattern: string;
  readonly replacement: string;
  readonly flags: string;
  /** UTF-16 offset. */
  readonly from?: number;
  /** 0: all. */
  readonly nth?: number;
}

function replace(
  source: string,
  { pattern, replacement, flags, from = 0, nth }: Replacing,
): string {
  const compiled = compileRegexp(pattern, flags);
  let result = '';
  let at = 0;
  let count = 0;
  for (const match of matchesOf(source, compiled, from)) {
    count++;
    const wanted = nth === undefined ? compiled.global || count === 1 : nth === 0 || count === nth;
    if (wanted) {
      result += source.slice(at, match.start) + expand(replacement, match);
      at = match.end;
    }
    const done = nth === undefined ? !compiled.global : nth !== 0 && count >= nth;
    if (done) break;
  }
  return result + source.slice(at);
}

/** The groups, or the whole match where there are none. */
function captured(match: RegexpMatch): ArrayValue {
  const groups = match.groups.length > 1 ? match.groups.slice(1) : match.groups;
  return new ArrayValue(groups.map((one) => one ?? null));
}

/** Throws 22023. */
function noGlobal(flags: string, name: string): string {
  if (flags.includes('g'))
    throw new SqlError('22023', `${name}() does not support the "global" option`, {
      ...(name === 'regexp_match' ? { hint: 'Use the regexp_matches function instead.' } : {}),
    });
  return flags;
}

function firstMatch(values: readonly Datum[]): Datum {
  const [source, pattern, flags = ''] = values;
  const compiled = compileRegexp(text(pattern), noGlobal(text(flags), 'regexp_match'));
  for (const match of matchesOf(text(source), compiled)) return captured(match);
  return null;
}

/** What lies between the matches; an empty match parts nothing at the ends. */
/** What the first match has in its first parentheses, or as a whole. */
function found(source: string, pattern: string): Datum {
  for (const { groups } of matchesOf(source, compileRegexp(pattern, '')))
    return (groups.length > 1 ? groups[1] : groups[0]) ?? null;
  return null;
}

function split(source: string, pattern: string, flags: string, name: string): string[] {
  const compiled = compileRegexp(pattern, noGlobal(flags, name));
  const parts: string[] = [];
  let at = 0;
  for (const match of matchesOf(source, compiled)) {
    if (match.start === match.end && (match.start === at || match.end >= source.length)) {
      if (match.start >= source.length || match.start === 0 || match.start === at) continue;
    }
    parts.push(source.slice(at, match.start));
    at = match.end;
  }
  // An empty pattern parts every character from the next.
  parts.push(source.slice(at));
  return parts;
}

/** UTF-16 offset of a 1-based character. Throws 22023. */
function offsetOf(source: string, start: number): number {
  if (start < 1) throw new SqlError('22023', `invalid value for parameter "start": ${start}`);
  let offset = 0;
  for (let i = 1; i < start && offset < source.length; i++)
    offset += (source.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1;
  return start > source.length + 1 ? source.length + 1 : offset;
}

function positive(value: number, name: string, least = 1): number {
  if (value < least) throw new SqlError('22023', `invalid value for parameter "${name}": ${value}`);
  return value;
}

function nthMatch(
  source: string,
  pattern: string,
  options: { from: number; nth: number; flags: string; name: string },
) {
  const compiled = compileRegexp(pattern, noGlobal(options.flags, options.name));
  let count = 0;
  for (const match of matchesOf(source, compiled, options.from))
    if (++count === options.nth) return match;
  return undefined;
}

function characters(source: string, end: number): number {
  return [...source.slice(0, end)].length;
}

/** A function whose last arguments may be left out. */
function optional(
  name: string,
  parameters: readonly SqlType[],
  least: number,
  result: SqlType,
  run: (values: readonly Datum[]) => Datum,
): Signature[] {
  return parameters.flatMap((_one, i) =>
    i + 1 < least ? [] : [manySignature(name, parameters.slice(0, i + 1), result, run)],
  );
}

export const regexpFunctions: readonly Signature[] = [
  ...optional('regexp_match', [t, t, t], 2, textArray, firstMatch),
  ...optional('regexp_replace', [t, t, t, t], 3, t, ([source, pattern, replacement, flags = '']) =>
    replace(text(source), {
      pattern: text(pattern),
      replacement: text(replacement),
      flags: text(flags),
    }),
  ),
  ...optional(
    'regexp_replace',
    [t, t, t, int4Type, int4Type, t],
    4,
    t,
    ([source, pattern, replacement, start, nth, flags = '']) =>
      replace(text(source), {
        pattern: text(pattern),
        replacement: text(replacement),
        flags: text(flags).replace('g', ''),
        from: offsetOf(text(source), start as number),
        nth: nth === undefined ? 1 : positive(nth as number, 'n', 0),
      }),
  ),
  ...optional(
    'regexp_split_to_array',
    [t, t, t],
    2,
    textArray,
    ([source, pattern, flags = '']) =>
      new ArrayValue(split(text(source), text(pattern), text(flags), 'regexp_split_to_array')),
  ),
  ...optional('regexp_like', [t, t, t], 2, boolType, ([source, pattern, flags = '']) =>
    testRegexp(text(source), compileRegexp(text(pattern), noGlobal(text(flags), 'regexp_like'))),
  ),
  ...optional(
    'regexp_count',
    [t, t, int4Type, t],
    2,
    int4Type,
    ([source, pattern, start = 1, flags = '']) => {
      const compiled = compileRegexp(text(pattern), noGlobal(text(flags), 'regexp_count'));
      return [...matchesOf(text(source), compiled, offsetOf(text(source), start as number))].length;
    },
  ),
  ...optional(
    'regexp_substr',
    [t, t, int4Type, int4Type, t, int4Type],
    2,
    t,
    ([source, pattern, start = 1, nth = 1, flags = '', group = 0]) => {
      const match = nthMatch(text(source), text(pattern), {
        from: offsetOf(text(source), start as number),
        nth: positive(nth as number, 'n'),
        flags: text(flags),
        name: 'regexp_substr',
      });
      return match?.groups[positive(group as number, 'subexpr', 0)] ?? null;
    },
  ),
  ...optional(
    'regexp_instr',
    [t, t, int4Type, int4Type, int4Type, t],
    2,
    int4Type,
    ([source, pattern, start = 1, nth = 1, end = 0, flags = '']) => {
      const match = nthMatch(text(source), text(pattern), {
        from: offsetOf(text(source), start as number),
        nth: positive(nth as number, 'n'),
        flags: text(flags),
        name: 'regexp_instr',
      });
      if (match === undefined) return 0;
      return characters(text(source), end === 0 ? match.start : match.end) + 1;
    },
  ),
  unsupportedSignature('regexp_instr', [t, t, int4Type, int4Type, int4Type, t, int4Type], int4Type),
  signature('substring', [t, t], t, (a, b) => found(text(a), text(b))),
  signature('substring', [t, t, t], t, (a, b, mark) =>
    found(text(a), similarPattern(text(b), text(mark))),
  ),
  signature('similar_to_escape', [t], t, (a) => similarPattern(text(a), null)),
  signature('similar_to_escape', [t, t], t, (a, b) => similarPattern(text(a), text(b))),
];

export const regexpSetFunctions: readonly SetSignature[] = [
  ...[
    [t, t],
    [t, t, t],
  ].map((parameters) =>
    setFunction('regexp_matches', parameters, textArray, function* ([source, pattern, flags = '']) {
      const compiled = compileRegexp(text(pattern), text(flags));
      for (const match of matchesOf(text(source), compiled)) {
        yield [captured(match)];
        if (!compiled.global) return;
      }
    }),
  ),
  ...[
    [t, t],
    [t, t, t],
  ].map((parameters) =>
    setFunction('regexp_split_to_table', parameters, t, function* ([source, pattern, flags = '']) {
      for (const part of split(text(source), text(pattern), text(flags), 'regexp_split_to_table'))
        yield [part];
    }),
  ),
];
