/**
 * Cuts the text of an SQL/JSON path into tokens, one at a time, as PostgreSQL's scanner does: what it reports as "near" is
 * part of a token, because error messages show it. Called by the parser alone.
 */
import { SqlError } from '../../sql-error.ts';

export interface PathToken {
  readonly kind: 'mark' | 'word' | 'string' | 'variable' | 'number' | 'integer' | 'end';
  /** Of words and strings what they stand for, of marks one spelling. */
  readonly text: string;
  /** What an error message shows; '' is the end of the input. */
  readonly near: string;
}

const special = '?%$.[]{}()|&!=<>@#,*:-+/';
const blanks = /[ \t\n\r\f]+/y;
const other = /[^?%$.[\]{}()|&!=<>@#,*:\-+/\\" \t\n\r\f]/;
const otherRun = /[^?%$.[\]{}()|&!=<>@#,*:\-+/\\" \t\n\r\f]+/y;
const marks = ['&&', '||', '**', '<=', '==', '<>', '!=', '>='];
const numeral = /(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[Ee][-+]?\d+)?/y;
const signedExponentWithoutDigits = /[Ee][-+]/y;
const unicode = /(?:\\u(?:[0-9A-Fa-f]{4}|\{[0-9A-Fa-f]{1,6}\}))+/y;
const brokenUnicode = /\\u(?:\{[0-9A-Fa-f]{0,6}|[0-9A-Fa-f]{0,3})/y;
const hexadecimal = /\\x([0-9A-Fa-f]{2})/y;
const brokenHexadecimal = /\\x[0-9A-Fa-f]?/y;
const escapes: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** 42601 as PostgreSQL words it. */
export function pathSyntaxError(what: string, near: string): SqlError {
  return new SqlError(
    '42601',
    near === ''
      ? `${what} at end of jsonpath input`
      : `${what} at or near "${near}" of jsonpath input`,
  );
}

export class PathScanner {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Throws 42601, 22P02, 22P05. */
  next(): PathToken {
    this.skipBlanksAndComments();
    const unit = this.text[this.at];
    if (unit === undefined) return { kind: 'end', text: '', near: '' };
    if (unit === '"') return this.quoted('string');
    if (unit === '$') {
      if (this.text[this.at + 1] === '"') {
        this.at++;
        return this.quoted('variable');
      }
      return this.variable();
    }
    const start = this.at;
    const number = this.match(numeral);
    if (number !== undefined) return this.number(number, start);
    if (!special.includes(unit)) return this.word();
    const pair = this.text.slice(this.at, this.at + 2);
    const mark = marks.includes(pair) ? pair : unit;
    this.at += mark.length;
    return { kind: 'mark', text: mark === '<>' ? '!=' : mark, near: mark };
  }

  /** Moves over what a sticky pattern matches here. */
  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return undefined;
    this.at = pattern.lastIndex;
    return found[0];
  }

  private skipBlanksAndComments(): void {
    for (;;) {
      this.match(blanks);
      if (!this.text.startsWith('/*', this.at)) return;
      this.comment();
    }
  }

  private comment(): void {
    const end = this.text.indexOf('*/', this.at + 2);
    if (end < 0) throw pathSyntaxError('unexpected end of comment', '');
    this.at = end + 2;
  }

  private variable(): PathToken {
    let end = this.at + 1;
    while (end < this.text.length && other.test(this.text[end] ?? '')) end++;
    const raw = this.text.slice(this.at, end);
    this.at = end;
    if (raw === '$') return { kind: 'mark', text: '$', near: '$' };
    return { kind: 'variable', text: raw.slice(1), near: raw };
  }

  /** The longest match wins: `1a` is a number with junk, `1ab` a name. */
  private number(raw: string, start: number): PathToken {
    this.at = start;
    const wordLength = this.match(otherRun)?.length ?? 0;
    this.at = start + raw.length;
    const broken = this.match(signedExponentWithoutDigits);
    if (wordLength > raw.length + Math.max(1, broken?.length ?? 0)) {
      this.at = start;
      return this.word();
    }
    if (broken !== undefined) throw pathSyntaxError('invalid numeric literal', raw + broken);
    const behind = String.fromCodePoint(this.text.codePointAt(this.at) ?? 0x20);
    if (other.test(behind))
      throw pathSyntaxError('trailing junk after numeric literal', raw + behind);
    return { kind: /^\d+$/.test(raw) ? 'integer' : 'number', text: raw, near: raw };
  }

  /** A name without quotes. What ends it is what messages show in its place. */
  private word(): PathToken {
    let text = '';
    for (;;) {
      const unit = this.text[this.at];
      if (unit === undefined) return { kind: 'word', text, near: '' };
      if (unit === '\\') text += this.escape();
      else if (other.test(unit)) {
        text += unit;
        this.at++;
      } else {
        const near = this.match(blanks) ?? '';
        return { kind: 'word', text, near };
      }
    }
  }

  private quoted(kind: 'string' | 'variable'): PathToken {
    let text = '';
    let from = ++this.at;
    for (;;) {
      const unit = this.text[this.at];
      if (unit === undefined) throw pathSyntaxError('unexpected end of quoted string', '');
      if (unit === '"') {
        text += this.text.slice(from, this.at++);
        return { kind, text, near: '"' };
      }
      if (unit !== '\\') {
        this.at++;
        continue;
      }
      text += this.text.slice(from, this.at) + this.escape();
      from = this.at;
    }
  }

  private escape(): string {
    const start = this.at;
    const points = this.match(unicode);
    const broken = this.match(brokenUnicode);
    if (broken !== undefined)
      throw pathSyntaxError('invalid unicode sequence', this.text.slice(start, this.at));
    if (points !== undefined) return decodePoints(points);
    const byte = this.match(hexadecimal);
    if (byte !== undefined) return decodePoint(Number.parseInt(byte.slice(2), 16));
    const brokenByte = this.match(brokenHexadecimal);
    if (brokenByte !== undefined)
      throw pathSyntaxError('invalid hex character sequence', brokenByte);
    const point = this.text.codePointAt(this.at + 1);
    if (point === undefined) throw pathSyntaxError('unexpected end after backslash', '\\');
    const character = String.fromCodePoint(point);
    this.at += 1 + character.length;
    return escapes[character] ?? character;
  }
}

function surrogateError(what: string): SqlError {
  return new SqlError('22P02', 'invalid input syntax for type jsonpath', { detail: what });
}

const loneHigh = 'Unicode low surrogate must follow a high surrogate.';

function decodePoints(sequence: string): string {
  let result = '';
  let high: number | undefined;
  for (const [, digits = ''] of sequence.matchAll(/\\u\{?([0-9A-Fa-f]+)\}?/g)) {
    const point = Number.parseInt(digits, 16);
    if (point >= 0xd800 && point < 0xdc00) {
      if (high !== undefined)
        throw surrogateError('Unicode high surrogate must not follow a high surrogate.');
      high = point;
    } else if (point >= 0xdc00 && point < 0xe000) {
      if (high === undefined) throw surrogateError(loneHigh);
      result += String.fromCharCode(high, point);
      high = undefined;
    } else {
      if (high !== undefined) throw surrogateError(loneHigh);
      result += decodePoint(point);
    }
  }
  if (high !== undefined) throw surrogateError(loneHigh);
  return result;
}

function decodePoint(point: number): string {
  if (point === 0)
    throw new SqlError('22P05', 'unsupported Unicode escape sequence', {
      detail: '\\u0000 cannot be converted to text.',
    });
  if (point > 0x10ffff) throw new SqlError('42601', 'invalid Unicode code point');
  return String.fromCodePoint(point);
}
