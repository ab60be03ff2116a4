/** to_char of dates, times and intervals. Pure. */
import { civilTime, epochDays } from '../types/calendar.ts';
import type { TimeZone } from '../types/time-zone.ts';
import { isFiniteTimestamp } from '../types/timestamp.ts';
import type { IntervalValue } from '../types/values.ts';
import { dayOfWeek, dayOfYear, isoWeek, julianEpoch } from './datetime-fields.ts';
import {
  dayNames,
  monthNames,
  type PatternNode,
  readPattern,
  romanMonths,
} from './datetime-pattern.ts';

interface Moment {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly days: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly micros: number;
  readonly isInterval: boolean;
  readonly zone: { readonly zone: TimeZone; readonly offset: number } | undefined;
}

/** Name in the case in which its pattern is written: `MONTH`, `Month`, `month`. */
function cased(name: string, node: PatternNode, width: number): string {
  const { text } = node;
  const shown =
    text === text.toUpperCase()
      ? name.toUpperCase()
      : text[0] === text[0]?.toUpperCase()
        ? name
        : name.toLowerCase();
  return node.fill ? shown : shown.padEnd(width);
}

function padded(value: number, width: number, node: PatternNode): string {
  const digits = String(Math.abs(value));
  const text = node.fill ? digits : digits.padStart(width, '0');
  return `${value < 0 ? '-' : ''}${text}${ordinal(Math.abs(value), node)}`;
}

function ordinal(value: number, node: PatternNode): string {
  if (node.ordinal === '') return '';
  const last = value % 100 >= 11 && value % 100 <= 13 ? 0 : value % 10;
  const suffix = ['th', 'st', 'nd', 'rd'][last] ?? 'th';
  return node.ordinal === 'TH' ? suffix.toUpperCase() : suffix;
}

function like(text: string, node: PatternNode): string {
  return node.text[0] === node.text[0]?.toUpperCase() ? text : text.toLowerCase();
}

/** to_char(timestamp). @returns NULL for an empty pattern and for infinities */
export function formatDateTime(
  local: bigint,
  pattern: string,
  zone: Moment['zone'],
): string | null {
  if (pattern === '' || !isFiniteTimestamp(local)) return null;
  return format({ ...civilTime(local), isInterval: false, zone }, pattern);
}

/** to_char(interval). */
export function formatIntervalBy(value: IntervalValue, pattern: string): string | null {
  if (pattern === '') return null;
  const seconds = value.micros / 1_000_000n;
  const moment: Moment = {
    year: Math.trunc(value.months / 12),
    month: value.months % 12,
    day: value.days,
    days: 0,
    hour: Number(seconds / 3600n),
    minute: Number((seconds / 60n) % 60n),
    second: Number(seconds % 60n),
    micros: Number(value.micros % 1_000_000n),
    isInterval: true,
    zone: undefined,
  };
  return format(moment, pattern);
}

function format(moment: Moment, pattern: string): string {
  return readPattern(pattern)
    .map((node) => (node.keyword === undefined ? node.text : field(moment, node, node.keyword)))
    .join('');
}

function offsetText(offset: number): string {
  const magnitude = Math.abs(offset);
  const two = (n: number) => String(n).padStart(2, '0');
  const minutes = Math.floor(magnitude / 60) % 60;
  return `${offset < 0 ? '-' : '+'}${two(Math.floor(magnitude / 3600))}${minutes === 0 ? '' : `:${two(minutes)}`}`;
}

function field(moment: Moment, node: PatternNode, keyword: string): string {
  const { year, month, day, hour, minute, second, micros, zone, isInterval } = moment;
  const shownYear = isInterval || year > 0 ? year : 1 - year;
  const hour12 = hour % 12 === 0 ? 12 : hour % 12;
  const iso = () => {
    const own = isoWeek(moment);
    return own.year > 0 || isInterval ? own.year : 1 - own.year;
  };
  const lastDigits = (value: number, digits: number) =>
    padded(Math.abs(value) % 10 ** digits, digits, node);
  switch (keyword) {
    case 'YYYY':
      return padded(shownYear, 4, node);
    case 'Y,YYY': {
      const thousands = Math.trunc(shownYear / 1000);
      return `${thousands},${String(shownYear % 1000).padStart(3, '0')}${ordinal(shownYear, node)}`;
    }
    case 'YYY':
      return lastDigits(shownYear, 3);
    case 'YY':
      return lastDigits(shownYear, 2);
    case 'Y':
      return lastDigits(shownYear, 1);
    case 'IYYY':
      return padded(iso(), 4, node);
    case 'IYY':
      return lastDigits(iso(), 3);
    case 'IY':
      return lastDigits(iso(), 2);
    case 'I':
      return lastDigits(iso(), 1);
    case 'MM':
      return padded(month, 2, node);
    case 'DD':
      return padded(day, 2, node);
    case 'HH24':
      return padded(hour, 2, node);
    case 'HH12':
    case 'HH':
      return padded(hour12, 2, node);
    case 'MI':
      return padded(minute, 2, node);
    case 'SS':
      return padded(second, 2, node);
    case 'MS':
    case 'FF3':
      return padded(Math.trunc(micros / 1000), 3, node);
    case 'US':
    case 'FF6':
      return padded(micros, 6, node);
    case 'FF1':
    case 'FF2':
    case 'FF4':
    case 'FF5': {
      const digits = Number(keyword[2]);
      return padded(Math.trunc(micros / 10 ** (6 - digits)), digits, node);
    }
    case 'SSSS':
    case 'SSSSS':
      return `${hour * 3600 + minute * 60 + second}${ordinal(second, node)}`;
    case 'AM':
    case 'PM':
      return like(hour % 24 >= 12 ? 'PM' : 'AM', node);
    case 'A.M.':
    case 'P.M.':
      return like(hour % 24 >= 12 ? 'P.M.' : 'A.M.', node);
    case 'AD':
    case 'BC':
      return like(year <= 0 ? 'BC' : 'AD', node);
    case 'A.D.':
    case 'B.C.':
      return like(year <= 0 ? 'B.C.' : 'A.D.', node);
    case 'MONTH':
      return isInterval && month === 0 ? '' : cased(monthNames[Math.abs(month) - 1] ?? '', node, 9);
    case 'MON':
      return isInterval && month === 0
        ? ''
        : cased((monthNames[Math.abs(month) - 1] ?? '').slice(0, 3), node, 0);
    case 'DAY':
      return cased(dayNames[dayOfWeek(moment.days)] ?? '', node, 9);
    case 'DY':
      return cased((dayNames[dayOfWeek(moment.days)] ?? '').slice(0, 3), node, 0);
    case 'DDD': {
      const days = isInterval ? (year * 12 + month) * 30 + day : dayOfYear(moment);
      return padded(days, days < 0 ? 2 : 3, node);
    }
    case 'IDDD': {
      const { week } = isoWeek(moment);
      return padded((week - 1) * 7 + (dayOfWeek(moment.days) || 7), 3, node);
    }
    case 'D':
      return `${dayOfWeek(moment.days) + 1}${ordinal(dayOfWeek(moment.days) + 1, node)}`;
    case 'ID':
      return `${dayOfWeek(moment.days) || 7}${ordinal(dayOfWeek(moment.days) || 7, node)}`;
    case 'WW':
      return padded(Math.floor((dayOfYear(moment) - 1) / 7) + 1, 2, node);
    case 'IW':
      return padded(isoWeek(moment).week, 2, node);
    case 'W':
      return `${Math.floor((day - 1) / 7) + 1}${ordinal(Math.floor((day - 1) / 7) + 1, node)}`;
    case 'Q':
      return month === 0
        ? ''
        : `${Math.floor((month - 1) / 3) + 1}${ordinal(Math.floor((month - 1) / 3) + 1, node)}`;
    case 'CC': {
      const century =
        year > 0 ? Math.floor((year + 99) / 100) : -Math.floor((99 - (year - 1)) / 100);
      return padded(isInterval ? Math.trunc(year / 100) : century, century < 0 ? 2 : 2, node);
    }
    case 'J':
      return `${moment.days + julianEpoch}${ordinal(moment.days + julianEpoch, node)}`;
    case 'RM': {
      const roman = romanMonths[(isInterval ? Math.abs(month) : month) - 1] ?? '';
      return cased(roman, { ...node, text: node.text[0] === 'R' ? 'RM' : 'rm' }, 4);
    }
    case 'TZ': {
      const name = zone === undefined ? '' : abbreviation(zone.zone, zone.offset, moment);
      return node.text === node.text.toUpperCase() ? name : name.toLowerCase();
    }
    case 'OF':
      return offsetText(zone?.offset ?? 0);
    case 'TZH':
      return `${(zone?.offset ?? 0) < 0 ? '-' : '+'}${String(Math.floor(Math.abs(zone?.offset ?? 0) / 3600)).padStart(2, '0')}`;
    case 'TZM':
      return String(Math.floor(Math.abs(zone?.offset ?? 0) / 60) % 60).padStart(2, '0');
    default:
      return node.text;
  }
}

/** The zone's own short name where ICU has one, else its offset as tzdata's unnamed zones have it. */
function abbreviation(zone: TimeZone, offset: number, moment: Moment): string {
  if (zone.name === 'UTC' || zone.name.startsWith('<')) return zone.name.replace(/^<|>.*$/g, '');
  const at = (moment.days + epochDays) * 86_400_000 + moment.hour * 3_600_000 - offset * 1000;
  const locale = /^(America|US|Pacific|Canada)\//.test(zone.name) ? 'en-US' : 'en-GB';
  const parts = new Intl.DateTimeFormat(locale, {
    timeZone: zone.name,
    timeZoneName: 'short',
  }).formatToParts(at);
  const name = parts.find((part) => part.type === 'timeZoneName')?.value ?? '';
  return /^(?:GMT|UTC)[+-]/.test(name) ? offsetText(offset) : name;
}
