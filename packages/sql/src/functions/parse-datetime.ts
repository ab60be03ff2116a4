/** to_timestamp and to_date by a template. Pure. */
import { SqlError } from '../sql-error.ts';
import {
  civilFromDays,
  daysFromCivil,
  daysInMonth,
  epochDays,
  microsOf,
} from '../types/calendar.ts';
import { isTimestamp } from '../types/timestamp.ts';
import { julianEpoch } from './datetime-fields.ts';
import {
  dayNames,
  monthNames,
  type PatternNode,
  readPattern,
  romanMonths,
} from './datetime-pattern.ts';

/** Digits that a pattern takes at most where another number follows at once. */
const widths: Readonly<Record<string, number>> = {
  YYYY: 4,
  IYYY: 4,
  YYY: 3,
  IYY: 3,
  YY: 2,
  IY: 2,
  Y: 1,
  I: 1,
  MM: 2,
  DD: 2,
  DDD: 3,
  IDDD: 3,
  D: 1,
  ID: 1,
  HH: 2,
  HH12: 2,
  HH24: 2,
  MI: 2,
  SS: 2,
  MS: 3,
  US: 6,
  FF1: 1,
  FF2: 2,
  FF3: 3,
  FF4: 4,
  FF5: 5,
  FF6: 6,
  SSSS: 5,
  SSSSS: 5,
  WW: 2,
  IW: 2,
  W: 1,
  Q: 1,
  CC: 2,
  J: 7,
  TZH: 2,
  TZM: 2,
};

/** What the fields of a template say. */
export interface DateTimeValues {
  year?: number;
  century?: number;
  month?: number;
  day?: number;
  dayOfYear?: number;
  week?: number;
  weekOfMonth?: number;
  julian?: number;
  isoYear?: number;
  isoWeek?: number;
  isoDay?: number;
  hour?: number;
  hour12?: boolean;
  minute?: number;
  second?: number;
  micros?: number;
  secondsOfDay?: number;
  pm?: boolean;
  bc?: boolean;
  offsetSign?: number;
  offsetHours?: number;
  offsetMinutes?: number;
}

export function fieldOutOfRange(text: string): SqlError {
  return new SqlError('22008', `date/time field value out of range: "${text}"`);
}

/** @returns microseconds since 2000 as the clock shows them, and the offset where the text has one. Throws 22007, 22008. */
export function parseDateTime(
  text: string,
  pattern: string,
): { readonly local: bigint; readonly offset: number | undefined } {
  return momentOfFields(readFields(text, readPattern(pattern)), text);
}

/** @param text for messages. Throws 22007, 22008. */
export function momentOfFields(
  fields: DateTimeValues,
  text: string,
): { readonly local: bigint; readonly offset: number | undefined } {
  let hour = fields.hour ?? 0;
  let { minute = 0, second = 0 } = fields;
  if (fields.secondsOfDay !== undefined) {
    hour = Math.floor(fields.secondsOfDay / 3600);
    minute = Math.floor(fields.secondsOfDay / 60) % 60;
    second = fields.secondsOfDay % 60;
  }
  if (fields.pm !== undefined || fields.hour12 === true) {
    if (fields.hour !== undefined && (hour < 1 || hour > 12))
      throw new SqlError('22007', `hour "${hour}" is invalid for the 12-hour clock`, {
        hint: 'Use the 24-hour clock, or give an hour between 1 and 12.',
      });
    if (fields.pm === true && hour < 12) hour += 12;
    else if (fields.pm !== true && hour === 12) hour = 0;
  }
  if (hour > 23 || minute > 59 || second > 59) throw fieldOutOfRange(text);
  const days = daysOf(fields, text);
  const inDay =
    BigInt((hour * 60 + minute) * 60 + second) * 1_000_000n + BigInt(fields.micros ?? 0);
  const { year, month, day } = civilFromDays(days);
  const local = microsOf(year, month, day, inDay);
  if (!isTimestamp(local)) throw fieldOutOfRange(text);
  const offset =
    fields.offsetHours === undefined && fields.offsetMinutes === undefined
      ? undefined
      : (fields.offsetSign ?? 1) *
        ((fields.offsetHours ?? 0) * 3600 + (fields.offsetMinutes ?? 0) * 60);
  return { local, offset };
}

/** Days since 1970. */
function daysOf(fields: DateTimeValues, text: string): number {
  if (fields.julian !== undefined) return fields.julian - julianEpoch + epochDays;
  if (fields.isoYear !== undefined || fields.isoWeek !== undefined) {
    const first = daysFromCivil(fields.isoYear ?? 1, 1, 4);
    const monday = first - ((((first + 3) % 7) + 7) % 7);
    const day =
      fields.dayOfYear === undefined
        ? ((fields.isoWeek ?? 1) - 1) * 7 + (fields.isoDay ?? 1)
        : fields.dayOfYear;
    return monday + day - 1;
  }
  let year = fields.year ?? (fields.bc === true ? 1 : undefined);
  if (year === undefined && fields.century !== undefined) year = (fields.century - 1) * 100 + 1;
  else if (year !== undefined && fields.century !== undefined && year < 100)
    year = (year === 0 ? fields.century : fields.century - 1) * 100 + year;
  // Without a year the date is in 1 BC, which to_timestamp counts as year 0.
  let own = year ?? 0;
  if (fields.bc === true) own = 1 - own;
  else if (own < 0) own += 1;
  if (fields.week !== undefined && fields.dayOfYear === undefined)
    fields.dayOfYear = (fields.week - 1) * 7 + 1;
  if (fields.dayOfYear !== undefined && fields.month === undefined) {
    const days = fields.dayOfYear;
    if (days < 1 || days > 366) throw fieldOutOfRange(text);
    return daysFromCivil(own, 1, 1) + days - 1;
  }
  // Zero is as if the field were not there.
  const month = fields.month || 1;
  const day =
    fields.day || (fields.weekOfMonth === undefined ? 1 : (fields.weekOfMonth - 1) * 7 + 1);
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(own, month))
    throw fieldOutOfRange(text);
  return daysFromCivil(own, month, day);
}

function readFields(text: string, nodes: readonly PatternNode[]): DateTimeValues {
  const fields: DateTimeValues = {};
  let at = 0;
  const space = () => {
    while (/\s/.test(text[at] ?? '')) at++;
  };
  nodes.forEach((node, i) => {
    if (node.keyword === undefined) {
      at = skipLiteral(text, at, node.text);
      return;
    }
    space();
    if (at >= text.length) return;
    at = readField(fields, text, at, { node, keyword: node.keyword, next: nodes[i + 1] });
    if (node.ordinal !== '') at += 2;
  });
  return fields;
}

/** A separator matches any separators and blanks; other text its own length. */
function skipLiteral(text: string, at: number, literal: string): number {
  let position = at;
  for (const character of literal) {
    const separator = /[^A-Za-z0-9]/.test(character);
    if (!separator) {
      while (/\s/.test(text[position] ?? '')) position++;
      position++;
      continue;
    }
    while (/\s/.test(text[position] ?? '')) position++;
    if (
      /[^A-Za-z0-9+-]/.test(text[position] ?? '') ||
      (text[position] === '-' && !/\s/.test(character))
    )
      position++;
  }
  return position;
}

export interface Reading {
  readonly node: PatternNode;
  readonly keyword: string;
  readonly next: PatternNode | undefined;
}

/** @returns where the text goes on. Throws 22007, 0A000. */
export function readField(
  fields: DateTimeValues,
  text: string,
  at: number,
  reading: Reading,
): number {
  const { keyword, node, next } = reading;
  const named = (names: readonly string[], cut?: number): readonly [number, number] => {
    const rest = text.slice(at).toLowerCase();
    const found = names.findIndex((name) => rest.startsWith(name.toLowerCase().slice(0, cut)));
    if (found < 0)
      throw new SqlError(
        '22007',
        `invalid value "${/^\S+/.exec(text.slice(at))?.[0] ?? ''}" for "${node.text}"`,
        {
          detail: 'The given value did not match any of the allowed values for this field.',
        },
      );
    return [found, at + (cut ?? names[found]?.length ?? 0)];
  };
  switch (keyword) {
    case 'MONTH': {
      const [month, end] = named(monthNames);
      fields.month = month + 1;
      return end;
    }
    case 'MON': {
      const [month, end] = named(monthNames, 3);
      fields.month = month + 1;
      return end;
    }
    case 'RM': {
      const order = [7, 2, 6, 11, 3, 8, 1, 5, 10, 0, 4, 9].sort(
        (a, b) => (romanMonths[b]?.length ?? 0) - (romanMonths[a]?.length ?? 0),
      );
      const [found, end] = named(order.map((i) => romanMonths[i] ?? ''));
      fields.month = (order[found] ?? 0) + 1;
      return end;
    }
    case 'DAY':
      return named(dayNames)[1];
    case 'DY':
      return named(dayNames, 3)[1];
    case 'AM':
    case 'PM':
    case 'A.M.':
    case 'P.M.': {
      const [found, end] = named(keyword.length === 2 ? ['AM', 'PM'] : ['A.M.', 'P.M.']);
      fields.pm = found === 1;
      return end;
    }
    case 'AD':
    case 'BC':
    case 'A.D.':
    case 'B.C.': {
      const [found, end] = named(keyword.length === 2 ? ['AD', 'BC'] : ['A.D.', 'B.C.']);
      fields.bc = found === 1;
      return end;
    }
    case 'TZ':
    case 'OF':
      throw new SqlError('0A000', `formatting field "${node.text}" is only supported in to_char`);
    case 'Y,YYY': {
      const match = /^(\d+),(\d{3})/.exec(text.slice(at));
      if (match === null) throw new SqlError('22007', 'invalid input string for "Y,YYY"');
      fields.year = Number(match[1]) * 1000 + Number(match[2]);
      return at + match[0].length;
    }
    case 'TZH': {
      const match = /^([+-]?)(\d{1,2})/.exec(text.slice(at));
      if (match === null) throw badNumber(text, at, node);
      fields.offsetSign = match[1] === '-' ? -1 : 1;
      fields.offsetHours = Number(match[2]);
      return at + match[0].length;
    }
    default:
      break;
  }
  const width = widths[keyword] ?? 1;
  const tight =
    next?.keyword !== undefined && /^\d/.test(text.slice(at)) && widths[next.keyword] !== undefined;
  const match = (
    tight || (node.fill === false && isFixed(keyword, next))
      ? new RegExp(`^[+-]?\\d{1,${width}}`)
      : /^[+-]?\d+/
  ).exec(text.slice(at));
  if (match === null) throw badNumber(text, at, node);
  setNumber(fields, keyword, match[0]);
  return at + match[0].length;
}

function isFixed(keyword: string, next: PatternNode | undefined): boolean {
  return (
    next?.keyword !== undefined || keyword.startsWith('FF') || keyword === 'MS' || keyword === 'US'
  );
}

function badNumber(text: string, at: number, node: PatternNode): SqlError {
  const word = /^\S*/.exec(text.slice(at, at + (widths[node.keyword ?? ''] ?? 2)))?.[0] ?? '';
  return new SqlError('22007', `invalid value "${word}" for "${node.text}"`, {
    detail: 'Value must be an integer.',
  });
}

/** Two- and three-digit years are near 2020. */
function nearYear(year: number): number {
  if (year < 70) return year + 2000;
  if (year < 100) return year + 1900;
  if (year < 520) return year + 2000;
  return year < 1000 ? year + 1000 : year;
}

function setNumber(fields: DateTimeValues, keyword: string, digits: string): void {
  const value = Number(digits);
  switch (keyword) {
    case 'YYYY':
      fields.year = value;
      return;
    case 'YYY':
    case 'YY':
    case 'Y':
      fields.year = digits.length < 4 ? nearYear(value) : value;
      return;
    case 'IYYY':
    case 'IYY':
    case 'IY':
    case 'I':
      fields.isoYear = digits.length < 4 ? nearYear(value) : value;
      return;
    case 'MM':
      fields.month = value;
      return;
    case 'DD':
      fields.day = value;
      return;
    case 'DDD':
    case 'IDDD':
      fields.dayOfYear = value;
      return;
    case 'ID':
      fields.isoDay = value;
      return;
    case 'IW':
      fields.isoWeek = value;
      return;
    case 'WW':
      fields.week = value;
      return;
    case 'W':
      fields.weekOfMonth = value;
      return;
    case 'CC':
      fields.century = value;
      return;
    case 'J':
      fields.julian = value;
      return;
    case 'HH24':
      fields.hour = value;
      return;
    case 'HH':
    case 'HH12':
      fields.hour = value;
      fields.hour12 = true;
      return;
    case 'MI':
      fields.minute = value;
      return;
    case 'SS':
      fields.second = value;
      return;
    case 'SSSS':
    case 'SSSSS':
      fields.secondsOfDay = value;
      return;
    case 'TZM':
      fields.offsetMinutes = value;
      return;
    case 'MS':
    case 'US':
    case 'FF1':
    case 'FF2':
    case 'FF3':
    case 'FF4':
    case 'FF5':
    case 'FF6':
      fields.micros = Math.round(Number(`0.${digits}`) * 1e6);
      return;
    default:
      return;
  }
}
