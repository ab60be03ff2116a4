/**
 * Reads the text of dates, times and timestamps into fields, as DecodeDateTime and DecodeTimeOnly of PostgreSQL do: ISO
 * 8601, month names, dates by DateStyle's order, compact digits, AM and PM, eras, zones. What the fields mean is for the
 * types to say.
 */
import { SqlError } from '../sql-error.ts';
import { daysInMonth } from './calendar.ts';
import { type TimeZone, zoneByAbbreviation, zoneByName } from './time-zone.ts';

export type SpecialTime =
  | 'now'
  | 'today'
  | 'tomorrow'
  | 'yesterday'
  | 'epoch'
  | 'infinity'
  | '-infinity';

export interface DateTimeFields {
  readonly special: SpecialTime | undefined;
  readonly date:
    | { readonly year: number; readonly month: number; readonly day: number }
    | undefined;
  /** Microseconds since midnight, up to and with 24:00; undefined where no time was written. */
  readonly time: bigint | undefined;
  /** Seconds east, or a zone by name. */
  readonly zone: number | TimeZone | undefined;
}

const months: ReadonlyMap<string, number> = new Map(
  'january february march april may june july august september october november december'
    .split(' ')
    .flatMap((name, i) => [
      [name, i + 1],
      [name.slice(0, 3), i + 1],
    ]),
);
const weekdays: ReadonlySet<string> = new Set(
  'sunday monday tuesday wednesday thursday friday saturday sun mon tue wed thu fri sat tues wednes thur thurs weds'.split(
    ' ',
  ),
);
const specials: ReadonlySet<string> = new Set([
  'now',
  'today',
  'tomorrow',
  'yesterday',
  'epoch',
  'infinity',
]);

/** What only stands between tokens: white space, and all punctuation that no token begins with. */
const separators = /^[\s!-*,/:-@[-`{-~]+/;

export type DateOrder = 'MDY' | 'DMY' | 'YMD';

export class FieldReader {
  private readonly text: string;
  private readonly display: string;
  private readonly order: DateOrder;
  private special: SpecialTime | undefined;
  private numbers: string[] = [];
  private month: number | undefined;
  /** How many numbers had been read before the month's name. */
  private monthAfter = 0;
  private whole: { year: number; month: number; day: number } | undefined;
  private yearFirst = false;
  private time: { hour: number; minute: number; second: number; fraction: string } | undefined;
  private meridiem: 'am' | 'pm' | undefined;
  private era: 'bc' | 'ad' | undefined;
  private zone: number | TimeZone | undefined;

  constructor(text: string, display: string, order: DateOrder) {
    this.text = text;
    this.display = display;
    this.order = order;
  }

  /** Throws 22007 (form), 22008 (range), 22009 (displacement), 22023 (zone). */
  read(): DateTimeFields {
    let rest = this.text.toLowerCase().replace(separators, '');
    if (rest === '') throw this.bad();
    while (rest !== '') rest = this.token(rest).replace(separators, '');
    if (this.special !== undefined) {
      if (this.numbers.length > 0 || this.whole !== undefined || this.month !== undefined)
        throw this.bad();
      return { special: this.special, date: undefined, time: this.timeOfDay(), zone: this.zone };
    }
    return { special: undefined, date: this.date(), time: this.timeOfDay(), zone: this.zone };
  }

  /** Takes one token from the front. @returns what is left */
  private token(rest: string): string {
    let match = /^t?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d*))?)?(?=$|[^\d:.])/.exec(rest);
    if (match !== null) {
      this.setTime(match[1] ?? '', match[2] ?? '', match[3] ?? '0', match[4] ?? '');
      return rest.slice(match[0].length);
    }
    match = /^t(\d{2})(\d{2})?(\d{2})?(?:\.(\d*))?(?=$|[^\d:.])/.exec(rest);
    if (match !== null) {
      this.setTime(match[1] ?? '', match[2] ?? '0', match[3] ?? '0', match[4] ?? '');
      return rest.slice(match[0].length);
    }
    if (/^[+-]\d/.test(rest)) return this.offset(rest);
    match = /^(\d+)([-/.])(\d{1,2}|[a-z]{3,9})\2(\d+)(?=$|[^\d.])/.exec(rest);
    if (match !== null && (match[2] !== '.' || !/[a-z]/.test(match[3] ?? ''))) {
      this.parted(match[1] ?? '', match[3] ?? '', match[4] ?? '');
      return rest.slice(match[0].length);
    }
    match = /^(\d{4,})-(\d{1,2})(?=$|[^\d-])/.exec(rest);
    if (match !== null && match[0].length >= 6) throw this.bad();
    match = /^(\d{4})[.](\d{3})(?=$|\D)/.exec(rest);
    if (match !== null) {
      this.setDayOfYear(Number(match[1]), Number(match[2]));
      return rest.slice(match[0].length);
    }
    match = /^j(\d+)(?=$|\s)/.exec(rest);
    if (match !== null) {
      this.setJulian(Number(match[1]));
      return rest.slice(match[0].length);
    }
    match = /^([a-z]{3,9})[-/](\d{1,2})[-/](\d+)(?=$|[^\d.])/.exec(rest);
    if (match !== null && months.has(match[1] ?? '')) {
      this.month = months.get(match[1] ?? '');
      this.monthAfter = 0;
      this.numbers.push(match[2] ?? '', match[3] ?? '');
      return rest.slice(match[0].length);
    }
    match = /^\d+(\.\d+)?/.exec(rest);
    if (match !== null) {
      this.digits(match[0]);
      return rest.slice(match[0].length);
    }
    match = /^-infinity(?=$|\s)/.exec(rest);
    if (match !== null) {
      this.special = '-infinity';
      return rest.slice(match[0].length);
    }
    match = /^[+]infinity(?=$|\s)/.exec(rest);
    if (match !== null) {
      this.special = 'infinity';
      return rest.slice(match[0].length);
    }
    match = /^[a-z_]+(?:\/[a-z0-9_+\-/]+|[+-]\d+(?=$|\s))?\.?/.exec(rest);
    if (match === null) throw this.bad();
    this.word(match[0].replace(/\.$/, ''));
    return rest.slice(match[0].length);
  }

  private word(word: string): void {
    const month = months.get(word) ?? (word === 'sept' ? 9 : undefined);
    if (month !== undefined) {
      if (this.month !== undefined) throw this.bad();
      this.month = month;
      this.monthAfter = this.numbers.length;
    } else if (weekdays.has(word) || word === 'at' || word === 'on') return;
    else if (specials.has(word)) {
      if (this.special !== undefined) throw this.bad();
      this.special = word as SpecialTime;
    } else if (word === 'allballs') {
      this.setTime('0', '0', '0', '');
      this.zone = 0;
    } else if (word === 'am' || word === 'pm') this.meridiem = word;
    else if (word === 'bc' || word === 'ad') this.era = word;
    else if (word === 't') return;
    else this.namedZone(word);
  }

  private namedZone(word: string): void {
    if (this.zone !== undefined) throw this.bad();
    const zone =
      zoneByAbbreviation(word) ??
      (word.length > 3 || word.includes('/') ? zoneByName(word) : zoneByName(word));
    if (zone === undefined) {
      if (word.includes('/')) throw new SqlError('22023', `time zone "${word}" not recognized`);
      throw this.bad();
    }
    this.zone = zone;
  }

  private offset(rest: string): string {
    const before = this.text.trimEnd().slice(0, -rest.trimEnd().length);
    // A fourth part of a date.
    if (this.time === undefined && rest.startsWith('-') && /-\d+$/.test(before)) throw this.bad();
    if (this.time !== undefined || !/[\da-z]$/i.test(before))
      this.checkDisplacement(/^[+-][\d:.-]*/.exec(rest)?.[0] ?? '');
    const match =
      /^([+-])(\d{1,2})(?::(\d{0,2})(?::(\d{0,2}))?)?(?=$|[^\d:])/.exec(rest) ??
      /^([+-])(\d{1,2})(\d{2})(\d{2})?(?=$|\D)/.exec(rest);
    if (match === null || this.zone !== undefined) throw this.bad();
    if (
      this.time === undefined &&
      this.whole === undefined &&
      this.numbers.length < 2 &&
      this.special === undefined
    )
      throw this.bad();
    const [hours, minutes, seconds] = [
      Number(match[2]),
      Number(match[3] ?? 0),
      Number(match[4] ?? 0),
    ];
    if (hours > 15 || minutes > 59 || seconds > 59)
      throw new SqlError('22009', `time zone displacement out of range: "${this.text}"`);
    const offset = hours * 3600 + minutes * 60 + seconds;
    this.zone = match[1] === '-' ? -offset : offset;
    return rest.slice(match[0].length);
  }

  /** PostgreSQL judges the range of what looks like an offset before its form and its place. Throws 22009. */
  private checkDisplacement(text: string): void {
    const parts = /^[+-](\d+)(?::(\d*)(?::(\d*))?)?/.exec(text);
    if (parts === null) return;
    const [all, first = '', minutes = '0', seconds = '0'] = parts;
    const compact = all === text && parts[2] === undefined && first.length > 2;
    const hours = compact ? first.slice(0, -2) : first;
    const rest = compact ? first.slice(-2) : minutes;
    if (Number(hours) > 15 || Number(rest) > 59 || Number(seconds) > 59)
      throw new SqlError('22009', `time zone displacement out of range: "${this.text}"`);
  }

  /** Only digits: a compact date or time, or a number of a date that is written in words. */
  private digits(token: string): void {
    const [whole = '', fraction] = token.split('.');
    const dateKnown =
      this.whole !== undefined || (this.month !== undefined && this.numbers.length >= 2);
    if (whole.length === 8 && fraction === undefined && !dateKnown) {
      this.whole = {
        year: Number(whole.slice(0, 4)),
        month: Number(whole.slice(4, 6)),
        day: Number(whole.slice(6)),
      };
      this.yearFirst = true;
      return;
    }
    if (
      whole.length === 6 &&
      (dateKnown || this.display === 'time' || this.display === 'time with time zone') &&
      this.time === undefined
    ) {
      this.setTime(whole.slice(0, 2), whole.slice(2, 4), whole.slice(4), fraction ?? '');
      return;
    }
    if (whole.length === 4 && dateKnown && this.time === undefined) {
      this.setTime(whole.slice(0, 2), whole.slice(2), '0', fraction ?? '');
      return;
    }
    if (whole.length === 6 && fraction === undefined && this.month === undefined) {
      const year = Number(whole.slice(0, 2));
      this.whole = {
        year: year + (year < 70 ? 2000 : 1900),
        month: Number(whole.slice(2, 4)),
        day: Number(whole.slice(4)),
      };
      this.yearFirst = true;
      return;
    }
    if (fraction !== undefined) throw this.bad();
    this.numbers.push(whole);
    if (this.numbers.length > 3) throw this.bad();
  }

  /** Three parts between equal separators. */
  private parted(a: string, b: string, c: string): void {
    if (this.whole !== undefined || this.numbers.length > 0) throw this.bad();
    const month = months.get(b);
    if (month !== undefined) {
      const first = a.length >= 3 || this.order === 'YMD';
      const [year, day] = first ? [a, c] : [c, a];
      this.whole = { year: this.yearOf(year), month, day: Number(day) };
      this.yearFirst = year.length > 2;
      return;
    }
    if (!/^\d+$/.test(b)) throw this.bad();
    this.numbers = [a, b, c];
  }

  private yearOf(text: string): number {
    const year = Number(text);
    if (text.length > 2) return year;
    if (this.era === 'bc') return year;
    return year < 70 ? year + 2000 : year + 1900;
  }

  private date(): DateTimeFields['date'] {
    let whole = this.whole;
    const { numbers } = this;
    let ambiguous = false;
    if (whole === undefined && this.month !== undefined) {
      const [a, b] = numbers;
      if (a === undefined || b === undefined) throw this.bad();
      if (numbers.length > 2) throw this.bad();
      const first = a.length > 2 || (this.order === 'YMD' && b.length <= 2 && this.monthAfter > 0);
      const [year, day] = first ? [a, b] : [b, a];
      whole = { year: this.yearOf(year), month: this.month, day: Number(day) };
    } else if (whole === undefined && numbers.length === 3) {
      const [a = '', b = '', c = ''] = numbers;
      if (a.length >= 3 || this.order === 'YMD')
        whole = { year: this.yearOf(a), month: Number(b), day: Number(c) };
      else if (this.order === 'DMY')
        whole = { year: this.yearOf(c), month: Number(b), day: Number(a) };
      else whole = { year: this.yearOf(c), month: Number(a), day: Number(b) };
      ambiguous = a.length < 3;
    } else if (whole === undefined && numbers.length > 0) throw this.bad();
    if (whole === undefined) {
      if (this.era !== undefined) throw this.bad();
      return undefined;
    }
    const { month, day } = whole;
    let { year } = whole;
    if (this.era === 'bc') {
      if (year <= 0) throw this.range();
      year = 1 - year;
    } else if (year === 0) throw this.range();
    if (month < 1 || month > 12) throw this.range(ambiguous);
    if (day < 1 || day > 31) throw this.range(ambiguous);
    if (day > daysInMonth(year, month)) throw this.range();
    return { year, month, day };
  }

  private setTime(hour: string, minute: string, second: string, fraction: string): void {
    if (this.time !== undefined) throw this.bad();
    this.time = { hour: Number(hour), minute: Number(minute), second: Number(second), fraction };
  }

  private timeOfDay(): bigint | undefined {
    if (this.time === undefined) {
      if (this.meridiem !== undefined) throw this.bad();
      return undefined;
    }
    const { minute, second, fraction } = this.time;
    let { hour } = this.time;
    if (this.meridiem !== undefined) {
      if (hour > 12) throw this.range();
      if (this.meridiem === 'am' && hour === 12) hour = 0;
      else if (this.meridiem === 'pm' && hour !== 12) hour += 12;
    }
    const micros = Math.round(Number(`0.${fraction}0`) * 1e6);
    const fullDay = hour === 24 && minute === 0 && second === 0 && micros === 0;
    if ((hour > 23 && !fullDay) || minute > 59 || second > 60) throw this.range();
    return BigInt(hour * 3600 + minute * 60 + second) * 1_000_000n + BigInt(micros);
  }

  private setDayOfYear(year: number, day: number): void {
    if (this.whole !== undefined) throw this.bad();
    let rest = day;
    let month = 1;
    while (month <= 12 && rest > daysInMonth(year, month)) rest -= daysInMonth(year, month++);
    if (month > 12 || rest < 1) throw this.range();
    this.whole = { year, month, day: rest };
  }

  private setJulian(day: number): void {
    const a = day + 32_044;
    const b = Math.floor((4 * a + 3) / 146_097);
    const c = a - Math.floor((146_097 * b) / 4);
    const d = Math.floor((4 * c + 3) / 1_461);
    const e = c - Math.floor((1_461 * d) / 4);
    const m = Math.floor((5 * e + 2) / 153);
    const year = 100 * b + d - 4_800 + Math.floor(m / 10);
    this.whole = {
      year: year <= 0 ? 1 - year : year,
      month: m + 3 - 12 * Math.floor(m / 10),
      day: e - Math.floor((153 * m + 2) / 5) + 1,
    };
    if (year <= 0) this.era = 'bc';
  }

  private bad(): SqlError {
    return new SqlError('22007', `invalid input syntax for type ${this.display}: "${this.text}"`);
  }

  private range(ambiguous = false): SqlError {
    return new SqlError(
      '22008',
      `date/time field value out of range: "${this.text}"`,
      ambiguous && !this.yearFirst
        ? { hint: 'Perhaps you need a different "datestyle" setting.' }
        : {},
    );
  }
}
