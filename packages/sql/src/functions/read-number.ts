/** to_number: reads a number by a pattern, as NUM_processor and NUM_numpart_from_char of formatting.c do. Pure. */
import { SqlError } from '../sql-error.ts';
import { divideNumeric, parseNumeric, roundNumeric } from '../types/numeric.ts';
import { type Pattern, readNumberPattern, type Token } from './number-pattern.ts';

/** @returns decimal text. Throws 22P02, 22003, 42601, 0A000. */
export function readNumber(text: string, pattern: string): string | null {
  if (pattern === '') return null;
  const shape = readNumberPattern(pattern);
  if (shape.scientific) throw new SqlError('0A000', '"EEEE" not supported for input');
  if (shape.roman !== undefined) throw new SqlError('0A000', '"RN" not supported for input');
  const digits = new NumberReader(shape, [...text]).read();
  const value = parseNumeric(digits);
  const limit = shape.pre;
  const [whole = ''] = value
    .replace(/^-/, '')
    .replace(/^0+(?=\d)/, '')
    .split('.');
  if (whole !== '0' && whole.length > limit)
    throw new SqlError('22003', 'numeric field overflow', {
      detail: `A field with precision ${limit + shape.post}, scale ${shape.post} must round to an absolute value less than ${limit === 0 ? '1' : `10^${limit}`}.`,
    });
  if (shape.multiplied === 0) return value;
  // As a product with a power of ten of sixteen digits.
  return roundNumeric(divideNumeric(value, `1${'0'.repeat(shape.multiplied)}`), 16);
}

class NumberReader {
  private readonly shape: Pattern;
  private readonly input: readonly string[];
  private at = 0;
  private sign = ' ';
  private digits = '';
  private before = 0;
  private behind = 0;
  private hasPoint = false;

  constructor(shape: Pattern, input: readonly string[]) {
    this.shape = shape;
    this.input = input;
  }

  read(): string {
    for (const token of this.shape.tokens) {
      if (this.at >= this.input.length) break;
      if (token.kind === 'text') this.at += [...token.text].length;
      else if (this.take(token)) this.at++;
    }
    return `${this.sign}${this.digits.replace(/\.$/, '')}`;
  }

  /** @returns whether the character that is there now has been dealt with */
  private take(token: Token): boolean {
    switch (token.kind) {
      case '9':
      case '0':
      case '.':
        this.part(token.kind);
        return true;
      case ',':
        if (this.shape.fill && this.digits === '') return false;
        return this.input[this.at] === ',';
      case 'L':
      case 'MI':
      case 'PL':
        this.skip(token, 1);
        return false;
      case 'SG':
        this.skip(token, 1);
        return false;
      case 'TH':
        this.skip(token, 2);
        return false;
      default:
        return false;
    }
  }

  /** Up to `count` characters that no number has. */
  private skip(token: Token, count: number): void {
    const signed = ['MI', 'PL', 'SG'].includes(token.kind);
    if (signed && this.signAt(token)) return;
    for (let i = 0; i < count && this.at < this.input.length; i++) {
      if (/[\d.,+-]/.test(this.input[this.at] ?? '')) return;
      this.at++;
    }
  }

  private signAt({ kind }: Token): boolean {
    const next = this.input[this.at];
    const fits = (next === '-' && kind !== 'PL') || (next === '+' && kind !== 'MI');
    if (!fits || next === undefined) return false;
    this.sign = next;
    this.at++;
    return true;
  }

  private part(kind: '9' | '0' | '.'): void {
    const { input, shape } = this;
    if (input[this.at] === ' ') this.at++;
    if (this.at >= input.length) return;
    if (this.sign === ' ' && kind !== '.' && this.before + this.behind === 0) {
      const next = input[this.at];
      if (next === '-' || next === '+') {
        this.sign = next;
        this.at++;
      } else if (shape.bracket && next === '<') {
        this.sign = '-';
        this.at++;
      }
    }
    if (this.at >= input.length) return;
    let found = false;
    const character = input[this.at] ?? '';
    if (/\d/.test(character)) {
      if (this.hasPoint && this.behind === shape.post) return;
      this.digits += character;
      if (this.hasPoint) this.behind++;
      else this.before++;
      found = true;
    } else if (shape.decimal && !this.hasPoint && character === '.') {
      this.digits += '.';
      this.hasPoint = true;
      found = true;
    }
    if (this.sign === ' ' && this.before + this.behind > 0) {
      const next = input[this.at + 1];
      if (shape.sign !== 'none' && found && next !== undefined && !/\d/.test(next)) {
        if (next === '-' || next === '+') {
          this.sign = next;
          this.at++;
        }
      } else if (!found && shape.sign === 'none' && (shape.plus || shape.minus))
        if (character === '-' || character === '+') this.sign = character;
    }
  }
}
