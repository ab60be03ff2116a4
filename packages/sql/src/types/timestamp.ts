/**
 * timestamptz: bigint microseconds since 2000-01-01 UTC, with the two ends of int64 for the infinities. Reads ISO 8601
 * forms with offsets or zone names and PostgreSQL's special words; prints ISO in a zone. Civil dates by the
 * days-from-civil algorithm, proleptic Gregorian.
 */
import { SqlError } from '../sql-error.ts';
import { type TimeZone, zoneByAbbreviation, zoneByName } from './time-zone.ts';

export const timestampInfinity: bigint = 2n ** 63n - 1n;
export const timestampMinusInfinity: bigint = -(2n ** 63n);
/** 4714-11-24 BC, inclusive, and 294277-01-01, exclusive. */
const timestampMin = -211_813_488_000_000_000n;
const timestampEnd = 9_223_371_331_200_000_000n;
/** Seconds from 1970 to 2000. */
const epochSeconds = 946_684_800;
const daySeconds = 86_400;
const million = 1_000_000n;

export function timestampFromUnixMs(unixMs: number): bigint {
  return BigInt(Math.floor(unixMs) - epochSeconds * 1000) * 1000n;
}

export interface TimestampInput {
  readonly zone: TimeZone;
  /** What `now` stands for: start of the statement. */
  readonly now: bigint;
  /** Told when the value depends on the zone or on `now`, not on the text alone. */
  readonly onDependsOnNow?: () => void;
}

const isoForm =
  /^(\d{4,})-(\d{1,2})-(\d{1,2})(?:(?:\s*T\s*|\s+)(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d*))?)?)?\s*(Z|[+-]\d{1,2}(?::\d{2}(?::\d{2})?)?|[+-]\d{4}|[A-Za-z][A-Za-z_]*(?:\/[A-Za-z0-9_+\-/]+)?)?(\s+(?:BC|AD))?$/i;
const compactForm = /^(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2}))?$/;

/** Throws 22007 (form), 22008 (range), 22023 (zone). */
export function parseTimestamp(text: string, input: TimestampInput): bigint {
  const trimmed = text.trim();
  const special = specialTimestamp(trimmed.toLowerCase(), input);
  if (special !== undefined) return special;
  const spaced = trimmed.replace(compactForm, (_all, y, mo, d, h, mi, s) =>
    h === undefined ? `${y}-${mo}-${d}` : `${y}-${mo}-${d} ${h}:${mi}:${s}`,
  );
  const match = isoForm.exec(spaced);
  if (match === null) throw badForm(text);
  let zoneText = match[8] ?? '';
  let era = (match[9] ?? '').trim().toLowerCase();
  if (/^(bc|ad)$/i.test(zoneText) && era === '') {
    era = zoneText.toLowerCase();
    zoneText = '';
  }
  const writtenYear = Number(match[1]);
  if (era === 'bc' && writtenYear === 0) throw outOfRange(text);
  if (era === '' && writtenYear === 0) throw outOfRange(text);
  const year = era === 'bc' ? 1 - writtenYear : writtenYear;
  const [month, day] = [Number(match[2]), Number(match[3])];
  const [hour, minute] = [Number(match[4] ?? 0), Number(match[5] ?? 0)];
  const second = Number(match[6] ?? 0);
  const fraction = `0.${match[7] ?? ''}0`;
  const micros = Math.round(Number(fraction) * 1e6);
  const fullDay = hour === 24 && minute === 0 && second === 0 && micros === 0;
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) throw outOfRange(text);
  if ((hour > 23 && !fullDay) || minute > 59 || second > 60) throw outOfRange(text);
  if (year > 294_277 || year < -4_713) throw beyond(text);
  const local = daysFromCivil(year, month, day) * daySeconds + hour * 3600 + minute * 60 + second;
  const offset = offsetFor(zoneText, local, text, input);
  const value = BigInt(local - offset - epochSeconds) * million + BigInt(micros);
  if (value < timestampMin || value >= timestampEnd) throw beyond(text);
  return value;
}

function offsetFor(zoneText: string, local: number, text: string, input: TimestampInput): number {
  if (zoneText === '') return localOffset(input.zone, local);
  const numeric = /^([+-])(\d{1,2})(?::?(\d{2}))?(?::(\d{2}))?$/.exec(zoneText);
  if (numeric !== null) {
    const [hours, minutes, seconds] = [
      Number(numeric[2]),
      Number(numeric[3] ?? 0),
      Number(numeric[4] ?? 0),
    ];
    if (hours > 15 || minutes > 59 || seconds > 59)
      throw new SqlError('22009', `time zone displacement out of range: "${text}"`);
    const offset = hours * 3600 + minutes * 60 + seconds;
    return numeric[1] === '-' ? -offset : offset;
  }
  const zone = zoneByAbbreviation(zoneText) ?? zoneByName(zoneText);
  if (zone === undefined) {
    if (zoneText.includes('/'))
      throw new SqlError('22023', `time zone "${zoneText.toLowerCase()}" not recognized`);
    throw badForm(text);
  }
  return localOffset(zone, local);
}

/** Offset of a wall-clock reading: in a gap the offset before it, in an overlap the one after it. */
function localOffset(zone: TimeZone, local: number): number {
  const before = zone.offsetAt(local - daySeconds);
  const after = zone.offsetAt(local + daySeconds);
  if (before === after) return before;
  if (zone.offsetAt(local - after) === after) return after;
  return before;
}

function specialTimestamp(word: string, input: TimestampInput): bigint | undefined {
  switch (word) {
    case 'infinity':
    case '+infinity':
      return timestampInfinity;
    case '-infinity':
      return timestampMinusInfinity;
    case 'epoch':
      return BigInt(-epochSeconds) * million;
    case 'now':
      input.onDependsOnNow?.();
      return input.now;
    case 'today':
    case 'tomorrow':
    case 'yesterday': {
      input.onDependsOnNow?.();
      const unix = Number(input.now / million) + epochSeconds;
      const day = Math.floor((unix + input.zone.offsetAt(unix)) / daySeconds);
      const local = (day + (word === 'today' ? 0 : word === 'tomorrow' ? 1 : -1)) * daySeconds;
      return BigInt(local - localOffset(input.zone, local) - epochSeconds) * million;
    }
    default:
      return undefined;
  }
}

/** `2020-01-31 12:00:00.5+02`, as DateStyle ISO has it. */
export function formatTimestamp(value: bigint, zone: TimeZone): string {
  if (value === timestampInfinity) return 'infinity';
  if (value === timestampMinusInfinity) return '-infinity';
  let seconds = value / million;
  let micros = Number(value % million);
  if (micros < 0) {
    micros += 1_000_000;
    seconds -= 1n;
  }
  const unix = Number(seconds) + epochSeconds;
  const offset = zone.offsetAt(unix);
  const local = unix + offset;
  const days = Math.floor(local / daySeconds);
  const inDay = local - days * daySeconds;
  const { year, month, day } = civilFromDays(days);
  const shownYear = year > 0 ? year : 1 - year;
  const date = `${String(shownYear).padStart(4, '0')}-${two(month)}-${two(day)}`;
  const time = `${two(Math.floor(inDay / 3600))}:${two(Math.floor(inDay / 60) % 60)}:${two(inDay % 60)}`;
  const fraction = micros === 0 ? '' : `.${String(micros).padStart(6, '0').replace(/0+$/, '')}`;
  return `${date} ${time}${fraction}${formatOffset(offset)}${year > 0 ? '' : ' BC'}`;
}

function formatOffset(offset: number): string {
  const magnitude = Math.abs(offset);
  const hours = `${offset < 0 ? '-' : '+'}${two(Math.floor(magnitude / 3600))}`;
  const [minutes, seconds] = [Math.floor(magnitude / 60) % 60, magnitude % 60];
  if (seconds !== 0) return `${hours}:${two(minutes)}:${two(seconds)}`;
  return minutes !== 0 ? `${hours}:${two(minutes)}` : hours;
}

function two(n: number): string {
  return n < 10 ? `0${n}` : String(n);
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days since 1970-01-01. Year 0 is 1 BC. */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function civilFromDays(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

function badForm(text: string): SqlError {
  return new SqlError('22007', `invalid input syntax for type timestamp with time zone: "${text}"`);
}

function outOfRange(text: string): SqlError {
  return new SqlError('22008', `date/time field value out of range: "${text}"`);
}

function beyond(text: string): SqlError {
  return new SqlError('22008', `timestamp out of range: "${text}"`);
}
