/** extract, date_part and date_trunc: fields of dates, times and intervals by their names. Pure. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import {
  type CivilTime,
  civilTime,
  dayMicros,
  daysFromCivil,
  epochDays,
  epochSeconds,
  microsOf,
  million,
} from '../types/calendar.ts';
import { makeInterval } from '../types/interval.ts';
import { addNumeric, divideNumeric, formatDecimal, multiplyNumeric } from '../types/numeric.ts';
import { inDay, isFiniteTimestamp } from '../types/timestamp.ts';
import { IntervalValue } from '../types/values.ts';

type Field =
  | 'microseconds'
  | 'milliseconds'
  | 'second'
  | 'minute'
  | 'hour'
  | 'day'
  | 'week'
  | 'month'
  | 'quarter'
  | 'year'
  | 'decade'
  | 'century'
  | 'millennium'
  | 'epoch'
  | 'dow'
  | 'isodow'
  | 'doy'
  | 'isoyear'
  | 'julian'
  | 'timezone'
  | 'timezone_hour'
  | 'timezone_minute';

const words: ReadonlyMap<string, Field> = new Map(
  Object.entries({
    microseconds: 'us usec usecs microsecond microseconds useconds',
    milliseconds: 'ms msec msecs millisecond milliseconds mseconds',
    second: 's sec secs second seconds',
    minute: 'm min mins minute minutes',
    hour: 'h hr hrs hour hours',
    day: 'd day days',
    week: 'w week weeks',
    month: 'mon mons month months',
    quarter: 'qtr quarter',
    year: 'y yr yrs year years',
    decade: 'dec decs decade decades',
    century: 'c cent century centuries',
    millennium: 'mil mils millennia millennium',
    epoch: 'epoch',
    dow: 'dow',
    isodow: 'isodow',
    doy: 'doy',
    isoyear: 'isoyear',
    julian: 'j jd julian',
    timezone: 'timezone',
    timezone_hour: 'timezone_h timezone_hour',
    timezone_minute: 'timezone_m timezone_minute',
  }).flatMap(([field, names]) =>
    names.split(' ').map((name): [string, Field] => [name, field as Field]),
  ),
);

/** The field a word names. Throws 22023. */
export function fieldOf(word: string, display: string): Field {
  const field = words.get(word.toLowerCase());
  if (field === undefined)
    throw new SqlError('22023', `unit "${word.toLowerCase()}" not recognized for type ${display}`);
  return field;
}

function notSupported(field: string, display: string): SqlError {
  return new SqlError('0A000', `unit "${field}" not supported for type ${display}`);
}

/** Days of January 1st's week by ISO 8601, and the year the week belongs to. */
export function isoWeek(civil: CivilTime): { readonly year: number; readonly week: number } {
  const day = civil.days + epochDays;
  const weekday = (((day + 3) % 7) + 7) % 7; // 0 = Monday
  const thursday = day - weekday + 3;
  let year = civil.year;
  const start = (of: number) => {
    const first = daysFromCivil(of, 1, 4);
    return first - ((((first + 3) % 7) + 7) % 7);
  };
  if (thursday < daysFromCivil(year, 1, 1)) year--;
  else if (thursday >= daysFromCivil(year + 1, 1, 1)) year++;
  return { year, week: Math.floor((day - start(year)) / 7) + 1 };
}

export function dayOfYear(civil: CivilTime): number {
  return civil.days + epochDays - daysFromCivil(civil.year, 1, 1) + 1;
}

/** 0 = Sunday. */
export function dayOfWeek(days: number): number {
  return (((days + 6) % 7) + 7) % 7;
}

export const julianEpoch = 2_451_545;

function century(year: number): number {
  return year > 0 ? Math.floor((year + 99) / 100) : -Math.floor((99 - (year - 1)) / 100);
}

function millennium(year: number): number {
  return year > 0 ? Math.floor((year + 999) / 1000) : -Math.floor((999 - (year - 1)) / 1000);
}

/** Microseconds as a decimal of seconds (6), or of milliseconds (3). */
function decimal(micros: bigint, scale: number): string {
  return formatDecimal({ unscaled: micros, scale });
}

/** @param offset of a timestamptz; undefined for a timestamp */
export function extractFromTimestamp(
  word: string,
  local: bigint,
  offset: number | undefined,
  display: string,
): string | null {
  const field = fieldOf(word, display);
  if (!isFiniteTimestamp(local)) return infiniteField(field, local > 0n);
  const civil = civilTime(local);
  const shownYear = civil.year > 0 ? civil.year : civil.year - 1;
  switch (field) {
    case 'microseconds':
      return String(civil.second * 1_000_000 + civil.micros);
    case 'milliseconds':
      return decimal(BigInt(civil.second * 1_000_000 + civil.micros), 3);
    case 'second':
      return decimal(BigInt(civil.second * 1_000_000 + civil.micros), 6);
    case 'minute':
    case 'hour':
    case 'day':
    case 'month':
      return String(civil[field]);
    case 'quarter':
      return String(Math.floor((civil.month - 1) / 3) + 1);
    case 'week':
      return String(isoWeek(civil).week);
    case 'year':
      return String(shownYear);
    case 'isoyear': {
      const { year } = isoWeek(civil);
      return String(year > 0 ? year : year - 1);
    }
    case 'decade':
      return String(Math.floor(civil.year / 10));
    case 'century':
      return String(century(civil.year));
    case 'millennium':
      return String(millennium(civil.year));
    case 'dow':
      return String(dayOfWeek(civil.days));
    case 'isodow':
      return String(dayOfWeek(civil.days) || 7);
    case 'doy':
      return String(dayOfYear(civil));
    case 'julian':
      return addNumeric(
        String(civil.days + julianEpoch),
        divideNumeric(String(inDay(civil)), '86400000000'),
      );
    case 'epoch': {
      const utc = local - BigInt(offset ?? 0) * million;
      return decimal(utc + BigInt(epochSeconds) * million, 6);
    }
    default:
      if (offset === undefined) throw notSupported(word.toLowerCase(), display);
      return zoneField(field, offset);
  }
}

function zoneField(field: Field, offset: number): string {
  if (field === 'timezone') return String(offset);
  if (field === 'timezone_hour') return String(Math.trunc(offset / 3600));
  return String(Math.trunc(offset / 60) % 60);
}

/** Infinite for what grows without end, else unknown. */
function infiniteField(field: Field, positive: boolean): string | null {
  const growing: readonly Field[] = [
    'year',
    'decade',
    'century',
    'millennium',
    'julian',
    'isoyear',
    'epoch',
  ];
  return growing.includes(field) ? (positive ? 'Infinity' : '-Infinity') : null;
}

const dateOnly: ReadonlySet<Field> = new Set([
  'microseconds',
  'milliseconds',
  'second',
  'minute',
  'hour',
  'timezone',
  'timezone_hour',
  'timezone_minute',
]);

/** Dates have no time. */
export function extractFromDate(word: string, local: bigint): string | null {
  const field = fieldOf(word, 'date');
  if (dateOnly.has(field)) throw notSupported(word.toLowerCase(), 'date');
  if (!isFiniteTimestamp(local)) return infiniteField(field, local > 0n);
  if (field === 'epoch') return String(local / million + BigInt(epochSeconds));
  if (field === 'julian') return String(civilTime(local).days + julianEpoch);
  return extractFromTimestamp(word, local, undefined, 'date');
}

/** @param offset of a time with time zone */
export function extractFromTime(
  word: string,
  micros: bigint,
  offset: number | undefined,
  display: string,
): string {
  const field = fieldOf(word, display);
  const seconds = Number(micros / million);
  switch (field) {
    case 'microseconds':
      return String(micros % 60_000_000n);
    case 'milliseconds':
      return decimal(micros % 60_000_000n, 3);
    case 'second':
      return decimal(micros % 60_000_000n, 6);
    case 'minute':
      return String(Math.floor(seconds / 60) % 60);
    case 'hour':
      return String(Math.floor(seconds / 3600));
    case 'epoch':
      return decimal(micros - BigInt(offset ?? 0) * million, 6);
    case 'timezone':
    case 'timezone_hour':
    case 'timezone_minute':
      if (offset !== undefined) return zoneField(field, offset);
      break;
    default:
      break;
  }
  throw notSupported(word.toLowerCase(), display);
}

export function extractFromInterval(word: string, value: IntervalValue): string {
  const field = fieldOf(word, 'interval');
  const { months, days, micros } = value;
  const years = Math.trunc(months / 12);
  const inMinute = micros % 60_000_000n;
  switch (field) {
    case 'microseconds':
      return String(inMinute);
    case 'milliseconds':
      return decimal(inMinute, 3);
    case 'second':
      return decimal(inMinute, 6);
    case 'minute':
      return String((micros / 60_000_000n) % 60n);
    case 'hour':
      return String(micros / 3_600_000_000n);
    case 'day':
      return String(days);
    case 'month':
      return String(months % 12);
    case 'quarter':
      return String(Math.trunc((months % 12) / 3) + 1);
    case 'year':
      return String(years);
    case 'decade':
      return String(Math.trunc(years / 10));
    case 'century':
      return String(Math.trunc(years / 100));
    case 'millennium':
      return String(Math.trunc(years / 1000));
    case 'epoch': {
      // A year has 365.25 days here, a month 30.
      const secondsOfYears = multiplyNumeric(String(years), '31557600');
      const rest = BigInt((months % 12) * 30 + days) * dayMicros + micros;
      return addNumeric(secondsOfYears, decimal(rest, 6));
    }
    default:
      throw notSupported(word.toLowerCase(), 'interval');
  }
}

const truncatable: readonly Field[] = [
  'microseconds',
  'milliseconds',
  'second',
  'minute',
  'hour',
  'day',
  'week',
  'month',
  'quarter',
  'year',
  'decade',
  'century',
  'millennium',
];

const unitMicros: Partial<Record<Field, bigint>> = {
  microseconds: 1n,
  milliseconds: 1_000n,
  second: million,
  minute: 60_000_000n,
  hour: 3_600_000_000n,
};

/** date_trunc on a local moment. Throws 22023, 0A000. */
export function truncateTimestamp(word: string, local: bigint, display: string): bigint {
  const field = fieldOf(word, display);
  if (!truncatable.includes(field)) throw notSupported(word.toLowerCase(), display);
  if (!isFiniteTimestamp(local)) return local;
  const civil = civilTime(local);
  const unit = unitMicros[field];
  if (unit !== undefined) return local - (inDay(civil) % unit);
  const { year, month } = civil;
  const first = (of: number, at = 1) => microsOf(of, at, 1, 0n);
  switch (field) {
    case 'day':
      return BigInt(civil.days) * dayMicros;
    case 'week':
      return BigInt(civil.days - ((dayOfWeek(civil.days) + 6) % 7)) * dayMicros;
    case 'month':
      return first(year, month);
    case 'quarter':
      return first(year, Math.floor((month - 1) / 3) * 3 + 1);
    case 'year':
      return first(year);
    case 'decade':
      return first(year > 0 ? Math.floor(year / 10) * 10 : -Math.floor((8 - (year - 1)) / 10) * 10);
    case 'century':
      return first(
        year > 0
          ? Math.floor((year + 99) / 100) * 100 - 99
          : -Math.floor((99 - (year - 1)) / 100) * 100 + 1,
      );
    default:
      return first(
        year > 0
          ? Math.floor((year + 999) / 1000) * 1000 - 999
          : -Math.floor((999 - (year - 1)) / 1000) * 1000 + 1,
      );
  }
}

/** date_trunc on an interval. Throws 22023, 0A000. */
export function truncateInterval(word: string, value: IntervalValue): Datum {
  const field = fieldOf(word, 'interval');
  if (!truncatable.includes(field) || field === 'week')
    throw new SqlError(
      '0A000',
      `unit "${word.toLowerCase()}" not supported for type interval`,
      field === 'week' ? { detail: 'Months usually have fractional weeks.' } : {},
    );
  const { months, days, micros } = value;
  const unit = unitMicros[field];
  if (unit !== undefined) return makeInterval(months, days, micros - (micros % unit));
  if (field === 'day') return new IntervalValue(months, days, 0n);
  const sizes: Partial<Record<Field, number>> = {
    month: 1,
    quarter: 3,
    year: 12,
    decade: 120,
    century: 1200,
    millennium: 12_000,
  };
  const size = sizes[field] ?? 1;
  return new IntervalValue(Math.trunc(months / size) * size, 0, 0n);
}
