/** Arithmetic of dates, times, timestamps and intervals: what the operators and most functions over them are made of. Pure. */
import { SqlError } from '../sql-error.ts';
import {
  civilTime,
  dayMicros,
  daysFromCivil,
  daysInMonth,
  epochDays,
  microsOf,
  million,
} from '../types/calendar.ts';
import { makeInterval } from '../types/interval.ts';
import type { TimeZone } from '../types/time-zone.ts';
import {
  checkDate,
  checkTimestamp,
  dateInfinity,
  dateMinusInfinity,
  inDay,
  isFiniteDate,
  isFiniteTimestamp,
  isTimestamp,
  localFromUtc,
  utcFromLocal,
} from '../types/timestamp.ts';
import { IntervalValue } from '../types/values.ts';

/** Adds months to a local moment; a day that the month has not becomes its last. */
function addMonths(local: bigint, months: number): bigint {
  if (months === 0) return local;
  const civil = civilTime(local);
  const total = civil.year * 12 + civil.month - 1 + months;
  const year = Math.floor(total / 12);
  const month = total - year * 12 + 1;
  const day = Math.min(civil.day, daysInMonth(year, month));
  return microsOf(year, month, day, inDay(civil));
}

/** timestamp + interval. Infinities stay. Throws 22008. */
export function addToTimestamp(moment: bigint, by: IntervalValue): bigint {
  if (!isFiniteTimestamp(moment)) return moment;
  const local = addMonths(moment, by.months) + BigInt(by.days) * dayMicros;
  return checkTimestamp(local + by.micros);
}

/** timestamptz + interval: months and days by the zone's calendar. Throws 22008. */
export function addToTimestampTz(moment: bigint, by: IntervalValue, zone: TimeZone): bigint {
  if (!isFiniteTimestamp(moment)) return moment;
  let result = moment;
  if (by.months !== 0)
    result = utcFromLocal(zone, addMonths(localFromUtc(zone, result), by.months));
  if (by.days !== 0)
    result = utcFromLocal(zone, localFromUtc(zone, result) + BigInt(by.days) * dayMicros);
  return checkTimestamp(result + by.micros);
}

/** The difference of moments in days and less. Throws 22008. */
export function subtractTimestamps(a: bigint, b: bigint): IntervalValue {
  if (!isFiniteTimestamp(a) || !isFiniteTimestamp(b))
    throw new SqlError('22008', 'cannot subtract infinite timestamps');
  return justifyHours(new IntervalValue(0, 0, a - b));
}

export function addIntervals(a: IntervalValue, b: IntervalValue): IntervalValue {
  return makeInterval(a.months + b.months, a.days + b.days, a.micros + b.micros);
}

export function subtractIntervals(a: IntervalValue, b: IntervalValue): IntervalValue {
  return makeInterval(a.months - b.months, a.days - b.days, a.micros - b.micros);
}

function rint(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
}

/** Rounds to what a microsecond's worth of seconds can show. */
function roundSeconds(seconds: number): number {
  return rint(seconds * 1e6) / 1e6;
}

/** interval * float: fractions of months spill into days, of days into microseconds. Throws 22008. */
export function multiplyInterval(a: IntervalValue, factor: number): IntervalValue {
  if (!Number.isFinite(factor)) throw new SqlError('22008', 'interval out of range');
  const months = Math.trunc(a.months * factor);
  let days = Math.trunc(a.days * factor);
  let monthDays = roundSeconds((a.months * factor - months) * 30);
  let dayRest = roundSeconds((a.days * factor - days + monthDays - Math.trunc(monthDays)) * 86_400);
  if (Math.abs(dayRest) >= 86_400) {
    days += Math.trunc(dayRest / 86_400);
    dayRest -= Math.trunc(dayRest / 86_400) * 86_400;
  }
  monthDays = Math.trunc(monthDays);
  days += monthDays;
  const micros = rint(Number(a.micros) * factor + dayRest * 1e6);
  if (!Number.isFinite(micros)) throw new SqlError('22008', 'interval out of range');
  return makeInterval(months, days, BigInt(micros));
}

/** Throws 22012, 22008. */
export function divideInterval(a: IntervalValue, by: number): IntervalValue {
  if (by === 0) throw new SqlError('22012', 'division by zero');
  const months = Math.trunc(a.months / by);
  let days = Math.trunc(a.days / by);
  const monthDays = roundSeconds((a.months / by - months) * 30);
  days += Math.trunc(monthDays);
  let dayRest = roundSeconds(
    (a.days / by - Math.trunc(a.days / by) + monthDays - Math.trunc(monthDays)) * 86_400,
  );
  if (Math.abs(dayRest) >= 86_400) {
    days += Math.trunc(dayRest / 86_400);
    dayRest -= Math.trunc(dayRest / 86_400) * 86_400;
  }
  return makeInterval(months, days, BigInt(rint(Number(a.micros) / by + dayRest * 1e6)));
}

export function justifyHours(value: IntervalValue): IntervalValue {
  let days = value.days + Number(value.micros / dayMicros);
  let micros = value.micros % dayMicros;
  if (days > 0 && micros < 0n) {
    micros += dayMicros;
    days--;
  } else if (days < 0 && micros > 0n) {
    micros -= dayMicros;
    days++;
  }
  return makeInterval(value.months, days, micros);
}

export function justifyDays(value: IntervalValue): IntervalValue {
  let months = value.months + Math.trunc(value.days / 30);
  let days = value.days % 30;
  if (months > 0 && days < 0) {
    days += 30;
    months--;
  } else if (months < 0 && days > 0) {
    days -= 30;
    months++;
  }
  return makeInterval(months, days, value.micros);
}

export function justifyInterval(value: IntervalValue): IntervalValue {
  let months = value.months;
  let days = value.days + Number(value.micros / dayMicros);
  let micros = value.micros % dayMicros;
  months += Math.trunc(days / 30);
  days %= 30;
  if (months > 0 && (days < 0 || (days === 0 && micros < 0n))) {
    days += 30;
    months--;
  } else if (months < 0 && (days > 0 || (days === 0 && micros > 0n))) {
    days -= 30;
    months++;
  }
  if (days > 0 && micros < 0n) {
    micros += dayMicros;
    days--;
  } else if (days < 0 && micros > 0n) {
    micros -= dayMicros;
    days++;
  }
  return makeInterval(months, days, micros);
}

/** age: the difference in years, months, days and less. Throws 22008. */
export function ageOf(a: bigint, b: bigint): IntervalValue {
  if (!isFiniteTimestamp(a) || !isFiniteTimestamp(b))
    throw new SqlError('22008', 'timestamp out of range');
  const negative = a < b;
  const [late, early] = negative ? [civilTime(b), civilTime(a)] : [civilTime(a), civilTime(b)];
  let micros = inDay(late) - inDay(early);
  let days = late.day - early.day;
  let months = (late.year - early.year) * 12 + late.month - early.month;
  if (micros < 0n) {
    micros += dayMicros;
    days--;
  }
  if (days < 0) {
    days += daysInMonth(early.year, early.month);
    months--;
  }
  return negative ? makeInterval(-months, -days, -micros) : makeInterval(months, days, micros);
}

/** date ± days. Infinities stay. Throws 22008. */
export function addDays(date: number, days: number): number {
  return isFiniteDate(date) ? checkDate(date + days) : date;
}

/** Throws 22008. */
export function subtractDates(a: number, b: number): number {
  if (!isFiniteDate(a) || !isFiniteDate(b))
    throw new SqlError('22008', 'cannot subtract infinite dates');
  return a - b;
}

export function isDateInfinity(value: number): boolean {
  return value === dateInfinity || value === dateMinusInfinity;
}

/** time ± interval, around the clock. */
export function addToTime(time: bigint, micros: bigint): bigint {
  const result = (time + micros) % dayMicros;
  return result < 0n ? result + dayMicros : result;
}

/** make_date. Throws 22008. */
export function makeDate(year: number, month: number, day: number): number {
  const bad = () =>
    new SqlError(
      '22008',
      `date field value out of range: ${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`,
    );
  if (year === 0 || month < 1 || month > 12 || day < 1) throw bad();
  const own = year < 0 ? year + 1 : year;
  if (day > daysInMonth(own, month)) throw bad();
  const days = daysFromCivil(own, month, day) - epochDays;
  if (days < -2_451_545 || days >= 2_145_031_949)
    throw new SqlError(
      '22008',
      `date out of range: ${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`,
    );
  return days;
}

/** make_time. Throws 22008. */
export function makeTime(hour: number, minute: number, second: number): bigint {
  const micros = Math.round(second * 1e6);
  const bad =
    hour < 0 ||
    minute < 0 ||
    minute > 59 ||
    !(second >= 0) ||
    second > 60 ||
    hour > 24 ||
    (hour === 24 && (minute > 0 || second > 0));
  if (bad)
    throw new SqlError(
      '22008',
      `time field value out of range: ${hour}:${String(minute).padStart(2, '0')}:${String(second).padStart(2, '0')}`,
    );
  return BigInt(hour * 60 + minute) * 60n * million + BigInt(micros);
}

/** make_timestamp. Throws 22008. */
export function makeTimestamp(
  [year, month, day]: readonly [number, number, number],
  [hour, minute, second]: readonly [number, number, number],
): bigint {
  const value = BigInt(makeDate(year, month, day)) * dayMicros + makeTime(hour, minute, second);
  if (!isTimestamp(value)) throw new SqlError('22008', 'timestamp out of range');
  return value;
}

/** make_interval. Throws 22008. */
export function makeIntervalOf(
  fields: readonly [number, number, number, number, number, number, number],
): IntervalValue {
  const [years, months, weeks, days, hours, minutes, seconds] = fields;
  if (!Number.isFinite(seconds)) throw new SqlError('22008', 'interval out of range');
  const micros =
    BigInt(hours) * 3_600_000_000n + BigInt(minutes) * 60_000_000n + BigInt(rint(seconds * 1e6));
  return makeInterval(years * 12 + months, weeks * 7 + days, micros);
}
