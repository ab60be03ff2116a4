/** The template patterns of to_char, to_timestamp and to_date for dates and times, cut into nodes. Pure. */

export interface PatternNode {
  /** A pattern in upper case, or undefined for text that stands for itself. */
  readonly keyword: string | undefined;
  /** As it was written: its case says how names are printed. */
  readonly text: string;
  /** FM: no padding. */
  readonly fill: boolean;
  /** `th` or `TH` behind it. */
  readonly ordinal: '' | 'th' | 'TH';
  /** Text that stood in double quotes. */
  readonly quoted: boolean;
}

/** Longer ones first, so that the longest wins. */
const keywords: readonly string[] = [
  'Y,YYY',
  'SSSSS',
  'MONTH',
  'A.D.',
  'B.C.',
  'A.M.',
  'P.M.',
  'IYYY',
  'YYYY',
  'HH12',
  'HH24',
  'SSSS',
  'IDDD',
  'IYY',
  'YYY',
  'DAY',
  'DDD',
  'MON',
  'TZH',
  'TZM',
  'FF1',
  'FF2',
  'FF3',
  'FF4',
  'FF5',
  'FF6',
  'AD',
  'BC',
  'AM',
  'PM',
  'CC',
  'DD',
  'DY',
  'HH',
  'ID',
  'IW',
  'IY',
  'MI',
  'MM',
  'MS',
  'OF',
  'RM',
  'SS',
  'TZ',
  'US',
  'WW',
  'YY',
  'D',
  'I',
  'J',
  'Q',
  'W',
  'Y',
];

/** Keywords that are told apart by case: lower-case forms that are not patterns. */
export function readPattern(format: string): readonly PatternNode[] {
  const nodes: PatternNode[] = [];
  let at = 0;
  const literal = (text: string, quoted = false) =>
    nodes.push({ keyword: undefined, text, fill: false, ordinal: '', quoted });
  while (at < format.length) {
    if (format[at] === '"') {
      let text = '';
      at++;
      while (at < format.length && format[at] !== '"') {
        if (format[at] === '\\' && at + 1 < format.length) at++;
        text += format[at++] ?? '';
      }
      at++;
      literal(text, true);
      continue;
    }
    if (format[at] === '\\' && format[at + 1] === '"') {
      literal('"', true);
      at += 2;
      continue;
    }
    let fill = false;
    for (;;) {
      const prefix = format.slice(at, at + 2).toUpperCase();
      if (prefix === 'FM') fill = true;
      else if (prefix !== 'FX' && prefix !== 'TM') break;
      at += 2;
    }
    const upper = format.slice(at, at + 5).toUpperCase();
    const keyword = keywords.find((one) => upper.startsWith(one));
    if (keyword === undefined) {
      if (at < format.length) literal(format[at++] ?? '');
      continue;
    }
    const text = format.slice(at, at + keyword.length);
    at += keyword.length;
    const suffix = format.slice(at, at + 2);
    const ordinal = suffix === 'th' || suffix === 'TH' ? suffix : '';
    if (ordinal !== '') at += 2;
    nodes.push({ keyword, text, fill, ordinal, quoted: false });
  }
  return nodes;
}

export const monthNames: readonly string[] =
  'January February March April May June July August September October November December'.split(
    ' ',
  );
export const dayNames: readonly string[] =
  'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
export const romanMonths: readonly string[] = 'I II III IV V VI VII VIII IX X XI XII'.split(' ');
