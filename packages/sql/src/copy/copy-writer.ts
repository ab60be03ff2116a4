/** Rows of COPY TO as lines of PostgreSQL's text format or CSV. Values come in text form. */
import type { CopyOptions } from './copy-options.ts';

export class CopyWriter {
  private readonly options: CopyOptions;
  private readonly names: readonly string[];
  private readonly special: RegExp;

  constructor(options: CopyOptions, names: readonly string[]) {
    this.options = options;
    this.names = names;
    const characters = options.csv
      ? `${options.delimiter}${options.quote}\n\r`
      : `${options.delimiter}\\\b\f\n\r\t\v`;
    this.special = new RegExp(`[${[...characters].map((char) => `\\x${hex(char)}`).join('')}]`);
  }

  /** The names of the columns; undefined: they are not asked for. */
  header(): string | undefined {
    if (this.options.header === 'none') return undefined;
    const { csv, delimiter } = this.options;
    const fields = this.names.map((name) => (csv ? this.csv(name, false) : this.text(name)));
    return `${fields.join(delimiter)}\n`;
  }

  line(values: readonly (string | null)[]): string {
    const { csv, delimiter, nullText, forceQuote } = this.options;
    let line = '';
    for (const [index, value] of values.entries()) {
      if (index > 0) line += delimiter;
      if (value === null) line += nullText;
      else if (!csv) line += this.text(value);
      else {
        const forced = forceQuote === 'all' || forceQuote.has(this.names[index] ?? '');
        line += this.csv(value, forced || value === nullText, values.length === 1);
      }
    }
    return `${line}\n`;
  }

  private text(value: string): string {
    if (!this.special.test(value)) return value;
    let escaped = '';
    for (const char of value)
      escaped += controls[char] ?? (char === this.options.delimiter ? `\\${char}` : char);
    return escaped;
  }

  private csv(value: string, forced: boolean, alone = false): string {
    if (!forced && !this.special.test(value) && !(alone && value === '\\.')) return value;
    const { quote, escape: escapeChar } = this.options;
    let escaped = '';
    for (const char of value)
      escaped += char === quote || char === escapeChar ? escapeChar + char : char;
    return `${quote}${escaped}${quote}`;
  }
}

const controls: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

function hex(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(2, '0');
}
