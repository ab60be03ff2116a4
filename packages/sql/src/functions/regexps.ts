/**
 * PostgreSQL's regular expressions, matched in linear time by RE2: advanced syntax but for back-references and lookaround,
 * which no linear matcher has and which are refused by name. Without a non-greedy quantifier the longest match wins, as
 * POSIX says.
 */
import { RE2JS } from 're2js';
import { SqlError } from '../sql-error.ts';

export interface RegexpOptions {
  readonly ignoreCase: boolean;
  /** All matches, not the first alone. */
  readonly global: boolean;
}

export interface CompiledRegexp {
  readonly program: RE2JS;
  readonly groups: number;
  readonly global: boolean;
}

export interface RegexpMatch {
  readonly start: number;
  readonly end: number;
  /** Texts of the groups, the whole match first; undefined where a group took no part. */
  readonly groups: readonly (string | undefined)[];
}

const cacheMax = 256;
const cache = new Map<string, CompiledRegexp>();

/** @param flags the letters of PostgreSQL's flags argument. Throws 2201B, 22023, 0A000. */
export function compileRegexp(pattern: string, flags: string): CompiledRegexp {
  const key = `${flags}/${pattern}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const compiled = compile(pattern, flags);
  if (cache.size >= cacheMax) cache.clear();
  cache.set(key, compiled);
  return compiled;
}

function compile(pattern: string, flags: string): CompiledRegexp {
  let bits = RE2JS.DOTALL;
  let global = false;
  let literal = false;
  let expanded = false;
  for (const flag of flags) {
    if (flag === 'g') global = true;
    else if (flag === 'i') bits |= RE2JS.CASE_INSENSITIVE;
    else if (flag === 'c') bits &= ~RE2JS.CASE_INSENSITIVE;
    else if (flag === 'n' || flag === 'm') bits = (bits & ~RE2JS.DOTALL) | RE2JS.MULTILINE;
    else if (flag === 'p') bits &= ~RE2JS.DOTALL;
    else if (flag === 'w') bits |= RE2JS.MULTILINE;
    else if (flag === 's') bits = (bits & ~RE2JS.MULTILINE) | RE2JS.DOTALL;
    else if (flag === 'q') literal = true;
    else if (flag === 'x') expanded = true;
    else if (flag !== 't' && flag !== 'e')
      throw new SqlError('22023', `invalid regular expression option: "${flag}"`);
  }
  let source = pattern;
  const embedded = /^\(\?([a-z]+)\)/.exec(source);
  if (embedded !== null && !literal) {
    const [all, letters = ''] = embedded;
    return compile(source.slice(all.length), `${flags}${letters}`);
  }
  if (source.startsWith('***=')) [source, literal] = [source.slice(4), true];
  else if (source.startsWith('***:')) source = source.slice(4);
  if (literal) source = source.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  else source = translate(source, expanded);
  if (!/[*+?}]\?/.test(source)) bits |= RE2JS.LONGEST_MATCH;
  try {
    const program = RE2JS.compile(source, bits);
    return { program, groups: program.groupCount(), global };
  } catch (error) {
    throw new SqlError('2201B', `invalid regular expression: ${reason(source, error)}`);
  }
}

/** PostgreSQL's words for what is wrong. */
function reason(source: string, error: unknown): string {
  const text = error instanceof Error ? error.message : '';
  if (/missing closing \)|unexpected \)|missing parenthesis/i.test(text))
    return 'parentheses () not balanced';
  if (/missing closing \]/i.test(text)) return 'brackets [] not balanced';
  if (/missing argument|repetition operator/i.test(text)) return 'quantifier operand invalid';
  if (/repeat count|invalid repeat/i.test(text)) return 'invalid repetition count(s)';
  if (/character class range/i.test(text)) return 'invalid character range';
  if (/trailing backslash|escape sequence/i.test(text)) return 'invalid escape \\ sequence';
  return `${text === '' ? source : text}`;
}

function notBuilt(what: string): SqlError {
  return new SqlError('0A000', `${what} in a regular expression is not supported yet`);
}

/** From PostgreSQL's escapes to RE2's. */
function translate(source: string, expanded: boolean): string {
  let result = '';
  let inClass = false;
  for (let at = 0; at < source.length; at++) {
    const unit = source[at] ?? '';
    if (unit === '\\') {
      const next = source[++at];
      if (next === undefined)
        throw new SqlError('2201B', 'invalid regular expression: invalid escape \\ sequence');
      if (/[1-9]/.test(next) && !inClass) throw notBuilt('back-reference');
      if (next === 'm' || next === 'M') throw notBuilt(`\\${next}`);
      if (next === 'y') result += '\\b';
      else if (next === 'Y') result += '\\B';
      else if (next === 'Z') result += '\\z';
      else if (next === 'e') result += '\\x1b';
      else if (next === 'B') result += '\\\\';
      else if (next === 'u' || next === 'U') {
        const digits = source.slice(at + 1, at + (next === 'u' ? 5 : 9));
        result += `\\x{${digits}}`;
        at += digits.length;
      } else result += `\\${next}`;
      continue;
    }
    if (inClass) {
      if (unit === ']') inClass = false;
      if (unit === '[' && /[:.=]/.test(source[at + 1] ?? '')) {
        const end = source.indexOf(`${source[at + 1]}]`, at + 2);
        if (source[at + 1] !== ':') throw notBuilt('collating element');
        if (end > 0) {
          result += source.slice(at, end + 2);
          at = end + 1;
          continue;
        }
      }
      result += unit === '[' ? '\\[' : unit;
      continue;
    }
    if (unit === '[') {
      if (source.startsWith('[[:<:]]', at) || source.startsWith('[[:>:]]', at))
        throw notBuilt('[[:<:]]');
      inClass = true;
      result += unit;
      if (source[at + 1] === '^') {
        result += '^';
        at++;
      }
      if (source[at + 1] === ']') {
        result += '\\]';
        at++;
      }
      continue;
    }
    if (unit === '(' && source[at + 1] === '?' && source[at + 2] !== ':') {
      if (source[at + 2] === '#') {
        at = source.indexOf(')', at);
        if (at < 0) at = source.length;
        continue;
      }
      throw notBuilt('lookaround');
    }
    if (expanded && /\s/.test(unit)) continue;
    if (expanded && unit === '#') {
      const end = source.indexOf('\n', at);
      at = end < 0 ? source.length : end;
      continue;
    }
    result += unit;
  }
  if (inClass) throw new SqlError('2201B', 'invalid regular expression: brackets [] not balanced');
  return result;
}

export function testRegexp(text: string, compiled: CompiledRegexp): boolean {
  return compiled.program.matcher(text).find();
}

/** Matches from left to right; an empty one moves the search on by a character. @param from UTF-16 offset */
export function* matchesOf(
  text: string,
  compiled: CompiledRegexp,
  from = 0,
): Generator<RegexpMatch> {
  const matcher = compiled.program.matcher(text);
  let lastEnd = -1;
  while (matcher.find()) {
    const start = matcher.start();
    const end = matcher.end();
    if (start < from || (start === end && start === lastEnd)) continue;
    lastEnd = end;
    const groups: (string | undefined)[] = [];
    for (let i = 0; i <= compiled.groups; i++) groups.push(matcher.group(i) ?? undefined);
    yield { start, end, groups };
  }
}

/**
 * SIMILAR TO's pattern as a regular expression: similar_to_escape. Two separators (the escape character and `"`) part it into
 * what stands before, as little as it can, what is captured, and what follows. Throws 22019, 2200C.
 */
export function similarPattern(pattern: string, escapeText: string | null): string {
  if (escapeText !== null && [...escapeText].length > 1)
    throw new SqlError('22019', 'invalid escape string', {
      hint: 'Escape string must be empty or one character.',
    });
  const mark = escapeText ?? '\\';
  let result = '^(?:';
  let inClass = false;
  let separators = 0;
  const parted = mark !== '' && pattern.includes(`${mark}"`);
  const lazy = () => (parted && separators === 0 ? '?' : '');
  const characters = [...pattern];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] ?? '';
    if (character === mark && mark !== '') {
      const next = characters[++i];
      if (next === '"' && !inClass) {
        if (++separators > 2)
          throw new SqlError(
            '2200C',
            'SQL regular expression may not contain more than two escape-double-quote separators',
          );
        result += separators === 1 ? ')(' : ')(?:';
      } else if (next !== undefined) result += /[A-Za-z0-9]/.test(next) ? next : `\\${next}`;
    } else if (inClass) {
      if (character === ']') inClass = false;
      result += character === '\\' ? '\\\\' : character;
    } else if (character === '[') {
      inClass = true;
      result += character;
    } else if (character === '%') result += `.*${lazy()}`;
    else if ('*+?}'.includes(character)) result += `${character}${lazy()}`;
    else if (character === '_') result += '.';
    else if (character === '(') result += '(?:';
    else if ('\\.^$'.includes(character)) result += `\\${character}`;
    else result += character;
  }
  return `${result})$`;
}
