/**
 * LIKE and ILIKE without regular expressions: the pattern is cut at its `%` into segments; the first and last are
 * anchored, each one between is searched leftmost. Work is linear in the text for segments without `_`.
 */
import { SqlError } from '../sql-error.ts';

/** `undefined` in a segment is `_`. Characters are code points, because `_` matches one of them. */
interface Segment {
  readonly characters: readonly (string | undefined)[];
  /** The same as one string, where there is no `_`. */
  readonly literal: string | undefined;
}

export interface LikePattern {
  readonly segments: readonly Segment[];
  /** An escape with nothing behind it: an error for texts that get that far, which the segments then match. */
  readonly endsInEscape: boolean;
}

const cacheMax = 256;
const cache = new Map<string, LikePattern>();

/** @param mark the escape character, or '' for none */
export function compileLike(pattern: string, mark: string): LikePattern {
  const key = `${mark}\0${pattern}`;
  const cached = cache.get(key);
  if (cached !== undefined) return cached;
  const segments: Segment[] = [];
  let endsInEscape = false;
  let current: (string | undefined)[] = [];
  const characters = [...pattern];
  const close = () => {
    const literal = current.includes(undefined) ? undefined : current.join('');
    segments.push({ characters: current, literal });
    current = [];
  };
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i];
    if (character === mark && mark !== '') {
      i++;
      if (i < characters.length) current.push(characters[i]);
      else endsInEscape = true;
    } else if (character === '%') close();
    else current.push(character === '_' ? undefined : character);
  }
  if (endsInEscape) {
    current.push(undefined);
    close();
  }
  close();
  const compiled = { segments, endsInEscape };
  if (cache.size >= cacheMax) cache.clear();
  if (key.length <= 1_000) cache.set(key, compiled);
  return compiled;
}

/** What every text that matches the pattern begins with. */
export function likePrefix(pattern: string): string {
  const { segments, endsInEscape } = compileLike(pattern, '\\');
  const [first] = segments;
  if (first === undefined || endsInEscape) return '';
  if (first.literal !== undefined) return first.literal;
  return first.characters.slice(0, first.characters.indexOf(undefined)).join('');
}

/** Throws 22025. */
export function matchLike(text: string, pattern: LikePattern): boolean {
  const matched = matchSegments(text, pattern);
  if (matched && pattern.endsInEscape)
    throw new SqlError('22025', 'LIKE pattern must not end with escape character');
  return matched;
}

function matchSegments(text: string, pattern: LikePattern): boolean {
  const { segments } = pattern;
  const [first, last] = [segments[0], segments[segments.length - 1]];
  if (first === undefined || last === undefined) return false;
  let at = matchAt(text, 0, first);
  if (segments.length === 1) return at === text.length;
  if (at < 0) return false;
  for (let i = 1; i < segments.length - 1; i++) {
    const segment = segments[i];
    if (segment === undefined) return false;
    at = search(text, at, segment);
    if (at < 0) return false;
  }
  return matchEnd(text, at, last);
}

/** Offset after the segment if it matches at `at`, else -1. */
function matchAt(text: string, at: number, segment: Segment): number {
  if (segment.literal !== undefined)
    return text.startsWith(segment.literal, at) ? at + segment.literal.length : -1;
  let position = at;
  for (const expected of segment.characters) {
    const found = text.codePointAt(position);
    if (found === undefined) return -1;
    const width = found > 0xffff ? 2 : 1;
    if (expected !== undefined && expected.codePointAt(0) !== found) return -1;
    position += width;
  }
  return position;
}

function search(text: string, from: number, segment: Segment): number {
  if (segment.literal !== undefined) {
    const found = text.indexOf(segment.literal, from);
    return found < 0 ? -1 : found + segment.literal.length;
  }
  for (let at = from; at <= text.length; at += stepAt(text, at)) {
    const end = matchAt(text, at, segment);
    if (end >= 0) return end;
  }
  return -1;
}

function matchEnd(text: string, from: number, segment: Segment): boolean {
  if (segment.literal !== undefined)
    return text.length - segment.literal.length >= from && text.endsWith(segment.literal);
  let at = text.length;
  for (let i = 0; i < segment.characters.length; i++) {
    if (at <= from) return false;
    at--;
    const unit = text.charCodeAt(at);
    if (unit >= 0xdc00 && unit < 0xe000 && at > from) at--;
  }
  return matchAt(text, at, segment) === text.length;
}

function stepAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

/** The pattern with an ESCAPE clause applied: like_escape of like_match.c. Throws 22019. */
export function likeEscape(pattern: string, escapeText: string): string {
  const characters = [...escapeText];
  if (characters.length > 1)
    throw new SqlError('22019', 'invalid escape string', {
      hint: 'Escape string must be empty or one character.',
    });
  const mark = characters[0];
  let result = '';
  let escaped = false;
  for (const character of pattern) {
    if (character === mark && !escaped) {
      result += '\\';
      escaped = true;
      continue;
    }
    result += character === '\\' && mark !== '\\' && !escaped ? '\\\\' : character;
    escaped = false;
  }
  return result;
}
