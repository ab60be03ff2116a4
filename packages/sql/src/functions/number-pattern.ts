/** Patterns of to_char and to_number for numbers, taken apart. Follows formatting.c. Pure. */
import { SqlError } from '../sql-error.ts';

export type TokenKind =
  | '9'
  | '0'
  | '.'
  | ','
  | 'S'
  | 'MI'
  | 'PL'
  | 'SG'
  | 'PR'
  | 'L'
  | 'TH'
  | 'V'
  | 'RN'
  | 'EEEE'
  | 'text';

export interface Token {
  readonly kind: TokenKind;
  /** As it is written; of `text` what is printed. */
  readonly text: string;
}

export interface Pattern {
  readonly tokens: readonly Token[];
  readonly fill: boolean;
  /** Digits before the point, those behind V among them. */
  readonly pre: number;
  readonly post: number;
  /** Digits behind V: the number is shifted by as many. */
  readonly multiplied: number;
  readonly decimal: boolean;
  /** Digit from which zeros are printed, from 0; undefined: there is no 0. */
  readonly zeroStart: number | undefined;
  readonly zeroEnd: number;
  readonly sign: 'none' | 'before' | 'behind';
  readonly bracket: boolean;
  readonly plus: boolean;
  readonly minus: boolean;
  readonly roman: 'RN' | 'rn' | undefined;
  readonly scientific: boolean;
}

const words = /^(?:(FM|MI|PL|SG|PR|TH|RN|EEEE)|([90.,DGSLVB])|"((?:[^"\\]|\\.)*)"?|\\(.)|(.))/isu;

/** Throws 42601, 0A000. */
export function readNumberPattern(pattern: string): Pattern {
  const tokens: Token[] = [];
  let [pre, post, zeroEnd, signDigits, multiplied] = [0, 0, 0, 0, 0];
  let [fill, decimal, bracket, plus, minus, shifted, scientific] = [
    false,
    false,
    false,
    false,
    false,
    false,
    false,
  ];
  let roman: Pattern['roman'];
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
    if (scientific) throw new SqlError('42601', '"EEEE" must be the last pattern used');
    switch (word) {
      case 'FM':
        fill = true;
        continue;
      case '9':
      case '0':
        if (bracket) throw new SqlError('42601', `"${word}" must be ahead of "PR"`);
        if (word === '0' && !hasZero && !decimal) {
          hasZero = true;
          zeroStart = pre;
        }
        if (shifted) multiplied++;
        if (decimal) post++;
        else pre++;
        if (word === '0') zeroEnd = pre + post;
        break;
      case '.':
      case 'D':
        if (decimal) throw new SqlError('42601', 'multiple decimal points');
        if (shifted) throw new SqlError('42601', 'cannot use "V" and decimal point together');
        decimal = true;
        tokens.push({ kind: '.', text: '.' });
        continue;
      case 'G':
        tokens.push({ kind: ',', text: ',' });
        continue;
      case 'V':
        if (decimal) throw new SqlError('42601', 'cannot use "V" and decimal point together');
        shifted = true;
        break;
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
        roman = match[0].startsWith('R') ? 'RN' : 'rn';
        break;
      case 'EEEE':
        if (fill || decimal === undefined || bracket || plus || minus || shifted || sign !== 'none')
          throw new SqlError('42601', '"EEEE" is incompatible with other formats', {
            detail: '"EEEE" may only be used together with digit and decimal point patterns.',
          });
        scientific = true;
        break;
      case 'B':
        throw new SqlError('0A000', '"B" in a pattern of numbers is not supported yet');
      default:
        break;
    }
    if (sign !== 'none' && ['MI', 'PL', 'SG', 'PR'].includes(word))
      throw new SqlError('42601', `cannot use "S" and "${word}" together`);
    tokens.push({ kind: word as TokenKind, text: match[0] });
  }
  if (sign === 'before' && pre === signDigits) sign = 'behind';
  const shape = { tokens, fill, pre, post, multiplied, decimal, zeroStart, zeroEnd };
  return { ...shape, sign, bracket, plus, minus, roman, scientific };
}
