/**
 * `AS OF SYSTEM TIME …` at the end of a statement, which PostgreSQL's grammar does not have: found token by token, outside
 * of strings, quoted names and comments, and blanked out before the grammar sees the text, so that every position stays what
 * it was. Called by the parser alone; what the time means is the session's business.
 */
import { SqlError } from '../sql-error.ts';
import { followerReadTimestamp } from '../transaction/read-as-of.ts';

export interface AsOfClause {
  /** Where its first word stands. Unit: UTF-8 bytes. */
  readonly location: number;
  /** The literal's content. */
  readonly time: string;
}

export interface WithoutAsOf {
  /** The same length, with blanks in place of the clauses. */
  readonly text: string;
  readonly clauses: readonly AsOfClause[];
}

interface Token {
  readonly kind: 'word' | 'string' | 'end' | 'other';
  /** Lower case; of a string, its content. */
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

/** Cheap: most texts have no such words. */
const mayHave = /\bas\s+of\s+system\b/i;
/** What lies between two tokens, and the tokens that matter. Sticky: at one place. */
const blank = /(?:\s+|--[^\n]*)+/y;
const word = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;
const plainString = /'(?:[^']|'')*'/y;
const escapeString = /[eE]'(?:[^'\\]|\\[\s\S]|'')*'/y;
const quotedName = /"(?:[^"]|"")*"/y;
const dollarQuote = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy;

/** Throws 42601 where the clause is not at the end of its statement, or no literal follows. */
export function takeAsOfClauses(text: string): WithoutAsOf {
  if (!mayHave.test(text)) return { text, clauses: [] };
  const tokens = [...tokensOf(text)];
  const clauses: AsOfClause[] = [];
  let rest = text;
  for (let at = 0; at + 3 < tokens.length; at++) {
    const start = tokens[at];
    const words = ['as', 'of', 'system', 'time'];
    const isClause = words.every((value, i) => {
      const token = tokens[at + i];
      return token?.kind === 'word' && token.value === value;
    });
    if (!isClause || start === undefined) continue;
    const time = timeAt(tokens, at + 4);
    if (time === undefined)
      throw new SqlError(
        '42601',
        `AS OF SYSTEM TIME needs a time or an interval in quotes, or ${followerReadTimestamp}`,
      );
    const after = tokens[time.next];
    if (after !== undefined && after.kind !== 'end')
      throw new SqlError('42601', 'AS OF SYSTEM TIME must be at the end of the statement');
    const location = Buffer.byteLength(text.slice(0, start.start));
    clauses.push({ location, time: time.value });
    const clause = text.slice(start.start, time.end);
    rest = `${rest.slice(0, start.start)}${' '.repeat(clause.length)}${rest.slice(time.end)}`;
    if (Buffer.byteLength(clause) !== clause.length)
      throw new SqlError('42601', 'AS OF SYSTEM TIME needs a time or an interval');
  }
  return { text: rest, clauses };
}

/** A literal, or the one call that may take its place. @returns `next`: the token behind it; undefined: neither is here */
function timeAt(
  tokens: readonly Token[],
  at: number,
): { readonly value: string; readonly end: number; readonly next: number } | undefined {
  const [first, open, close] = tokens.slice(at, at + 3);
  if (first?.kind === 'string') return { value: first.value, end: first.end, next: at + 1 };
  if (first?.kind !== 'word' || open?.value !== '(' || close?.value !== ')') return undefined;
  const value = `${first.value}()`;
  return value === followerReadTimestamp ? { value, end: close.end, next: at + 3 } : undefined;
}

function* tokensOf(text: string): Generator<Token> {
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  while (at < text.length) {
    const skipped = match(blank)?.length ?? blockComment(text, at);
    if (skipped > 0) {
      at += skipped;
      continue;
    }
    const start = at;
    const token = (kind: Token['kind'], length: number, value: string): Token => {
      at = start + length;
      return { kind, value, start, end: at };
    };
    const escaped = match(escapeString);
    const string = match(plainString);
    const name = match(word);
    const other = match(quotedName);
    const tag = match(dollarQuote);
    if (escaped !== undefined) yield token('other', escaped.length, '');
    else if (string !== undefined)
      yield token('string', string.length, string.slice(1, -1).replaceAll("''", "'"));
    else if (name !== undefined) yield token('word', name.length, name.toLowerCase());
    else if (other !== undefined) yield token('other', other.length, '');
    else if (tag !== undefined) {
      const end = text.indexOf(tag, start + tag.length);
      yield token('other', (end < 0 ? text.length : end + tag.length) - start, '');
    } else if (text[at] === ';') yield token('end', 1, ';');
    else yield token('other', 1, text[at] ?? '');
  }
}

/** Its length; they nest. 0: there is none here. */
function blockComment(text: string, from: number): number {
  if (!text.startsWith('/*', from)) return 0;
  let depth = 0;
  for (let at = from; at < text.length; ) {
    if (text.startsWith('/*', at)) depth++;
    else if (text.startsWith('*/', at)) depth--;
    else {
      at++;
      continue;
    }
    at += 2;
    if (depth === 0) return at - from;
  }
  return text.length - from;
}
