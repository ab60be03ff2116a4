/** to_char of numbers: patterns of 9, 0, point, comma and signs. Follows formatting.c step by step. Pure. */
import { SqlError } from '../sql-error.ts';
import { roundNumeric } from '../types/numeric.ts';

type TokenKind = '9' | '0' | '.' | ',' | 'S' | 'MI' | 'PL' | 'SG' | 'PR' | 'L' | 'TH' | 'text';

interface Token {
  readonly kind: TokenKind;
  /** As it is written; of `text` what is printed. */
  readonly text: string;
}

interface Pattern {
  readonly tokens: readonly Token[];
  readonly fill: boolean;
  readonly pre: number;
  readonly post: number;
  readonly decimal: boolean;
  /** Digit from which zeros are printed, from 0; undefined: there is no 0. */
  readonly zeroStart: number | undefined;
  readonly zeroEnd: number;
  readonly sign: 'none' | 'before' | 'behind';
  readonly bracket: boolean;
  readonly plus: boolean;
  readonly minus: boolean;
}

const words = /^(?:(FM|MI|PL|SG|PR|TH|RN|EEEE)|([90.,DGSLVB])|"((?:[^"\\]|\\.)*)"?|\\(.)|(.))/isu;

/** Throws 42601, 0A000. */
function readNumberPattern(pattern: string): Pattern {
  const tokens: Token[] = [];
  let [pre, post, zeroEnd, signDigits] = [0, 0, 0, 0];
  let [fill, decimal, bracket, plus, minus] = [false, false, false, false, false];
  let sign: Pattern['sign'] = 'none';
  let zeroStart: number | undefined;
  let hasZero = false;
  for (let rest = pattern; rest !== ''; ) {
    const match = words.exec(rest);
    if (match === null) break;
    rest = rest.slice(match[0].length);
    const word = (match[1] ?? match[2])?.toUpperCase();
    if (word === undefined) {
      const quoted = match[3]?.replace(/\\(.)/gs, '$1');
      tokens.push({ kind: 'text', text: quoted ?? match[4] ?? match[5] ?? '' });
      continue;
    }
    switch (word) {
      case 'FM':
        fill = true;
        continue;
      case '9':
      case '0':
        if (bracket) throw new SqlError('42601', '"9" must be ahead of "PR"');
        if (word === '0' && !hasZero && !decimal) {
          hasZero = true;
          zeroStart = pre;
        }
        if (decimal) post++;
        else pre++;
        if (word === '0') zeroEnd = pre + post;
        break;
      case '.':
      case 'D':
        if (decimal) throw new SqlError('42601', 'multiple decimal points');
        decimal = true;
        tokens.push({ kind: '.', text: '.' });
        continue;
      case 'G':
        tokens.push({ kind: ',', text: ',' });
        continue;
      case 'S':
        if (sign !== 'none') throw new SqlError('42601', 'cannot use "S" twice');
        if (plus || minus || bracket)
          throw new SqlError('42601', 'cannot use "S" and "PL"/"MI"/"SG"/"PR" together');
        sign = decimal ? 'behind' : 'before';
        signDigits = pre;
        break;
      case 'MI':
        minus = true;
        break;
      case 'PL':
        plus = true;
        break;
      case 'SG':
        minus = true;
        plus = true;
        break;
      case 'PR':
        bracket = true;
        break;
      case 'RN':
      case 'EEEE':
      case 'V':
      case 'B':
        throw new SqlError('0A000', `"${word}" in a pattern of to_char is not supported yet`);
      default:
        break;
    }
    if (sign !== 'none' && ['MI', 'PL', 'SG', 'PR'].includes(word))
      throw new SqlError('42601', `cannot use "S" and "${word}" together`);
    tokens.push({ kind: word as TokenKind, text: match[0] });
  }
  if (sign === 'before' && pre === signDigits) sign = 'behind';
  const shape = { tokens, fill, pre, post, decimal, zeroStart, zeroEnd };
  return { ...shape, sign, bracket, plus, minus };
}

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
  return new NumberPrinter(shape, value).print();
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
