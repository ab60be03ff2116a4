/** to_char of numbers: digits, points, commas and signs, powers of ten, Roman numerals. Follows formatting.c step by step. Pure. */
import { multiplyNumeric, roundNumeric } from '../types/numeric.ts';
import { type Pattern, readNumberPattern } from './number-pattern.ts';

/** What the digits are printed from: the value rounded to the pattern, or crosses where it is too long. */
function digitsOf(
  value: string,
  { pre, post, decimal }: Pattern,
): { readonly number: string; readonly spaces: number; readonly isZero: boolean } {
  const rounded = roundNumeric(value.replace(/^-/, ''), post);
  const isZero = !/[1-9I]/.test(rounded);
  const whole = rounded.split('.')[0] ?? '';
  if (whole.length > pre) {
    const crosses = '#'.repeat(pre);
    const number = decimal || post > 0 ? `${crosses}.${'#'.repeat(post)}` : crosses;
    return { number, spaces: 0, isZero };
  }
  return { number: rounded, spaces: pre - whole.length, isZero };
}

/** @param value decimal text. Throws 42601, 0A000. */
export function formatNumber(value: string, pattern: string): string {
  const shape = readNumberPattern(pattern);
  if (shape.roman !== undefined) return romanNumber(value, shape);
  if (shape.scientific) return scientificNumber(value, shape);
  const shifted =
    shape.multiplied === 0 ? value : multiplyNumeric(value, `1${'0'.repeat(shape.multiplied)}`);
  return new NumberPrinter(shape, shifted).print();
}

const romans: readonly (readonly [number, string])[] = [
  [1000, 'M'],
  [900, 'CM'],
  [500, 'D'],
  [400, 'CD'],
  [100, 'C'],
  [90, 'XC'],
  [50, 'L'],
  [40, 'XL'],
  [10, 'X'],
  [9, 'IX'],
  [5, 'V'],
  [4, 'IV'],
  [1, 'I'],
];

function romanNumber(value: string, { fill, roman }: Pattern): string {
  const whole = Number(roundNumeric(value, 0));
  if (!(whole >= 1 && whole <= 3999)) return '#'.repeat(15);
  let rest = whole;
  let text = '';
  for (const [worth, letters] of romans) for (; rest >= worth; rest -= worth) text += letters;
  if (roman === 'rn') text = text.toLowerCase();
  return fill ? text : text.padStart(15);
}

/** One digit, the point, as many behind it as the pattern has, and the power of ten. */
function scientificNumber(value: string, { pre, post }: Pattern): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(value);
  if (match === null) {
    const point = post > 0 ? `.${'#'.repeat(post)}` : '';
    return ` ${'#'.repeat(Math.max(0, pre))}${point}####`;
  }
  const [, minus = '', whole = '', behind = ''] = match;
  const digits = `${whole}${behind}`;
  const first = digits.search(/[1-9]/);
  const power = first < 0 ? 0 : whole.length - 1 - first;
  const significant = first < 0 ? '0' : digits.slice(first);
  // Rounded up to ten it stays ten, as in PostgreSQL 15.
  const rounded = roundNumeric(`${significant[0]}.${significant.slice(1)}0`, post);
  const exponent = `${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  return `${minus === '' ? ' ' : '-'}${rounded}e${exponent}`;
}

class NumberPrinter {
  private readonly shape: Pattern;
  private readonly number: string;
  private readonly spaces: number;
  private readonly negative: boolean;
  private readonly bracket: boolean;
  private readonly lastRelevant: number | undefined;
  private readonly count: number;
  private signWritten: boolean;
  private output = '';
  private current = 0;
  private at = 0;
  private inNumber = false;

  constructor(shape: Pattern, value: string) {
    this.shape = shape;
    const { number, spaces, isZero } = digitsOf(value, shape);
    this.number = number;
    this.spaces = spaces;
    this.negative = value.startsWith('-') && !isZero;
    const { fill, decimal, sign, plus, minus, post, pre } = shape;
    this.bracket = shape.bracket && (this.negative || !fill);
    if (plus || minus) this.signWritten = minus;
    else this.signWritten = !this.negative && fill && sign === 'none';
    this.lastRelevant = fill && decimal ? this.relevantEnd() : undefined;
    this.count = post + pre - 1 + (!this.signWritten && spaces === 0 ? 1 : 0);
  }

  /** Behind the last digit that is no superfluous zero; the point where there is none. */
  private relevantEnd(): number | undefined {
    const { number, spaces } = this;
    const point = number.indexOf('.');
    if (point < 0) return undefined;
    let last = point;
    for (let i = point + 1; i < number.length; i++) if (number[i] !== '0') last = i;
    const { zeroEnd } = this.shape;
    if (zeroEnd > spaces) last = Math.max(last, Math.min(number.length - 1, zeroEnd - spaces));
    return last;
  }

  print(): string {
    const { fill } = this.shape;
    const sign = this.negative ? '-' : '+';
    for (const { kind, text } of this.shape.tokens)
      switch (kind) {
        case '9':
        case '0':
        case '.':
          this.digit(kind);
          break;
        case ',':
          if (this.inNumber) this.output += ',';
          else if (!fill) this.output += ' ';
          break;
        case 'MI':
          this.output += this.negative ? '-' : fill ? '' : ' ';
          break;
        case 'PL':
          this.output += this.negative ? (fill ? '' : ' ') : '+';
          break;
        case 'SG':
          this.output += sign;
          break;
        case 'L':
          this.output += ' ';
          break;
        case 'TH':
          this.output += this.ordinal(text);
          break;
        case 'text':
          this.output += text;
          break;
        default:
          break;
      }
    return this.output;
  }

  private ordinal(text: string): string {
    if (this.number.startsWith('#') || this.negative || this.shape.decimal) return '';
    const value = Number(this.number.slice(-2));
    const last = value >= 11 && value <= 13 ? 0 : value % 10;
    const suffix = ['th', 'st', 'nd', 'rd'][last] ?? 'th';
    return text[0] === 'T' ? suffix.toUpperCase() : suffix;
  }

  /** Before the point a lone 0 is a blank where decimals follow. */
  private get blankZero(): boolean {
    const { zeroStart, post } = this.shape;
    return zeroStart === undefined && this.at === 0 && this.number[0] === '0' && post !== 0;
  }

  private writeSign(): void {
    const { zeroStart, sign, fill } = this.shape;
    if (this.signWritten) return;
    const begins = this.current >= this.spaces || zeroStart === this.current;
    const pointOnly = this.lastRelevant !== undefined && this.number[this.lastRelevant] === '.';
    if (!begins || (this.blankZero && !pointOnly)) return;
    if (sign !== 'none') {
      if (sign === 'behind') return;
      this.output += this.negative ? '-' : '+';
    } else if (this.bracket) this.output += this.negative ? '<' : ' ';
    else if (this.negative) this.output += '-';
    else if (!fill) this.output += ' ';
    this.signWritten = true;
  }

  private digit(kind: '9' | '0' | '.'): void {
    const { fill, zeroStart, sign, decimal } = this.shape;
    const { number, lastRelevant } = this;
    this.writeSign();
    this.inNumber = false;
    const pointOnly = lastRelevant !== undefined && number[lastRelevant] === '.';
    if (this.current < this.spaces) {
      if (zeroStart !== undefined && zeroStart <= this.current) {
        this.output += '0';
        this.inNumber = true;
      } else if (!fill) this.output += ' ';
    } else {
      const next = number[this.at];
      if (next === '.') this.output += '.';
      else if (lastRelevant !== undefined && this.at > lastRelevant && kind !== '0') {
        // A zero that says nothing.
      } else if (this.blankZero) {
        if (!fill) this.output += ' ';
        else if (pointOnly) this.output += '0';
      } else if (next !== undefined) {
        this.output += next;
        this.inNumber = true;
      }
      if (next !== undefined) this.at++;
    }
    let end = this.count + (this.spaces > 0 ? 1 : 0) + (decimal ? 1 : 0);
    if (lastRelevant !== undefined && lastRelevant === this.at) end = this.current;
    if (this.current + 1 === end) {
      if (this.signWritten && this.bracket) this.output += this.negative ? '>' : ' ';
      else if (sign === 'behind') this.output += this.negative ? '-' : '+';
    }
    this.current++;
  }
}
