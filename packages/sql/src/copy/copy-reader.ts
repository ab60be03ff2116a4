/**
 * What a client sends for COPY FROM, cut into rows of fields: PostgreSQL's text format and CSV. Chunks may end anywhere.
 * Knows neither types nor tables. Used by copy-in.ts.
 */
import { SqlError } from '../sql-error.ts';
import type { CopyOptions } from './copy-options.ts';

/** One line of input: null where a field says NULL. */
export interface CopyLine {
  readonly number: number;
  readonly text: string;
  readonly fields: readonly (string | null)[];
}

/** A line is held in memory whole. Unit: UTF-16 units. */
const lineCharactersMax = 64 * 1024 * 1024;

export class CopyReader {
  private readonly options: CopyOptions;
  private readonly names: readonly string[];
  private readonly decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  private readonly quoteCode: number;
  private readonly escapeCode: number;
  private text = '';
  /** Where in `text` the search for the line's end goes on. */
  private scanned = 0;
  private quoted = false;
  private escaped = false;
  private lines = 0;
  private over = false;

  /** @param names of the columns that the fields are for */
  constructor(options: CopyOptions, names: readonly string[]) {
    this.options = options;
    this.names = names;
    this.quoteCode = options.quote.charCodeAt(0);
    this.escapeCode = options.escape.charCodeAt(0);
  }

  /** The line that is being read. */
  get line(): number {
    return this.lines;
  }

  /** Throws 22021, 22P04. */
  *push(bytes: Uint8Array): Generator<CopyLine, void, undefined> {
    if (this.over) return; // what follows the end-of-data line is of no account
    this.append(() => this.decoder.decode(bytes, { stream: true }));
    let start = 0;
    for (;;) {
      const end = this.lineEnd();
      if (end < 0) break;
      const line = this.take(this.text.slice(start, end));
      start = end + 1;
      this.scanned = start;
      if (this.over) return;
      if (line !== undefined) yield line;
    }
    this.text = this.text.slice(start);
    this.scanned -= start;
    if (this.text.length > lineCharactersMax) throw new SqlError('54000', 'COPY line is too long');
  }

  /** The last line may lack its end. */
  *finish(): Generator<CopyLine, void, undefined> {
    if (this.over) return;
    this.append(() => this.decoder.decode());
    if (this.quoted) {
      this.lines++;
      throw new SqlError('22P04', 'unterminated CSV quoted field');
    }
    if (this.text === '') return;
    const line = this.take(this.text);
    if (line !== undefined && !this.over) yield line;
  }

  private append(decode: () => string): void {
    try {
      this.text += decode();
    } catch {
      throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8"');
    }
    if (this.text.includes('\0'))
      throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  }

  /** Offset of the newline that ends the line; -1: not there yet. What was looked at is not looked at again. */
  private lineEnd(): number {
    const { text } = this;
    if (!this.options.csv) {
      for (let at = text.indexOf('\n', this.scanned); at >= 0; at = text.indexOf('\n', at + 1)) {
        let before = at;
        while (before > 0 && text.charCodeAt(before - 1) === 0x5c) before--;
        if ((at - before) % 2 === 0) return at;
      }
      this.scanned = Math.max(this.scanned, text.length);
      return -1;
    }
    for (let at = this.scanned; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (this.escaped) this.escaped = false;
      else if (this.quoted && code === this.escapeCode && code !== this.quoteCode)
        this.escaped = true;
      else if (code === this.quoteCode) this.quoted = !this.quoted;
      else if (code === 0x0a && !this.quoted) return at;
    }
    this.scanned = text.length;
    return -1;
  }

  private take(raw: string): CopyLine | undefined {
    const { csv, header } = this.options;
    this.lines++;
    const text = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (text === '\\.') {
      this.over = true;
      return undefined;
    }
    const first = this.lines === 1 && header !== 'none';
    if (first && header === 'skip') return undefined;
    const fields = csv ? this.csvFields(text) : this.textFields(text);
    if (!first) return { number: this.lines, text, fields };
    this.checkHeader(fields);
    return undefined;
  }

  /** HEADER MATCH. */
  private checkHeader(fields: readonly (string | null)[]): void {
    const { names } = this;
    if (fields.length !== names.length)
      throw new SqlError(
        '22P04',
        `wrong number of fields in header line: field count is ${fields.length}, expected ${names.length}`,
      );
    for (const [index, name] of names.entries())
      if (fields[index] !== name)
        throw new SqlError(
          '22P04',
          `column name mismatch in header line field ${index + 1}: got ${fields[index] === null ? 'null value (' : '"'}${fields[index] ?? `"${this.options.nullText}")`}${fields[index] === null ? '' : '"'}, expected "${name}"`,
        );
  }

  private textFields(line: string): (string | null)[] {
    const { delimiter, nullText } = this.options;
    if (this.names.length === 0) return line === '' ? [] : [line];
    if (!line.includes('\\'))
      return line.split(delimiter).map((field) => (field === nullText ? null : field));
    const fields: (string | null)[] = [];
    let start = 0;
    for (let at = 0; at <= line.length; at++) {
      if (line[at] === '\\') {
        at++;
        continue;
      }
      if (at < line.length && line[at] !== delimiter) continue;
      const raw = line.slice(start, at);
      fields.push(raw === nullText ? null : unescapeField(raw));
      start = at + 1;
    }
    // A backslash at the very end stands for itself.
    if (start <= line.length && line.length - start > 0 && endsOddly(line))
      fields.push(unescapeField(line.slice(start)));
    return fields;
  }

  private csvFields(line: string): (string | null)[] {
    const { delimiter, quote, escape: escapeChar } = this.options;
    const fields: (string | null)[] = [];
    let value = '';
    let inside = false;
    let wasQuoted = false;
    for (let at = 0; at < line.length; at++) {
      const char = line[at] as string;
      if (inside) {
        const next = line[at + 1];
        if (char === escapeChar && (next === quote || next === escapeChar)) {
          value += next;
          at++;
        } else if (char === quote) inside = false;
        else value += char;
      } else if (char === quote) {
        inside = true;
        wasQuoted = true;
      } else if (char === delimiter) {
        fields.push(this.csvValue(value, wasQuoted, fields.length));
        value = '';
        wasQuoted = false;
      } else value += char;
    }
    if (inside) throw new SqlError('22P04', 'unterminated CSV quoted field');
    fields.push(this.csvValue(value, wasQuoted, fields.length));
    return fields;
  }

  private csvValue(value: string, wasQuoted: boolean, index: number): string | null {
    const { nullText, forceNotNull, forceNull } = this.options;
    if (value !== nullText) return value;
    const name = this.names[index] ?? '';
    if (wasQuoted) return forceNull.has(name) ? null : value;
    return forceNotNull.has(name) ? value : null;
  }
}

const controls: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Backslash sequences; those of bytes may together make one character of UTF-8. */
function unescapeField(raw: string): string {
  if (!raw.includes('\\')) return raw;
  if (/\\(?:[0-7]|x[0-9a-fA-F])/.test(raw)) return unescapeBytes(raw);
  return raw.replace(/\\([\s\S])/g, (_, char: string) => controls[char] ?? char);
}

function unescapeBytes(raw: string): string {
  const parts: Buffer[] = [];
  const pattern = /\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\([\s\S])|([^\\]+|\\)/g;
  for (const [, octal, hex, char, plain] of raw.matchAll(pattern)) {
    if (octal !== undefined) parts.push(Buffer.of(Number.parseInt(octal, 8) & 0xff));
    else if (hex !== undefined) parts.push(Buffer.of(Number.parseInt(hex, 16)));
    else parts.push(Buffer.from(char === undefined ? (plain ?? '') : (controls[char] ?? char)));
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch {
    throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8"');
  }
}

function endsOddly(line: string): boolean {
  let count = 0;
  while (line.at(-1 - count) === '\\') count++;
  return count % 2 === 1;
}
