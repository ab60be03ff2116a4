/**
 * date, time, timetz, timestamp, timestamptz. Timestamps are bigint microseconds since 2000-01-01, in UTC or in no zone,
 * with the two ends of int64 for the infinities; a date is days since 2000-01-01 with the ends of int32; a time of day is
 * microseconds since midnight. Printed in ISO style.
 */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import {
  civilFromDays,
  civilTime,
  dayMicros,
  daysFromCivil,
  epochDays,
  epochSeconds,
  formatCivilDate,
  formatOffset,
  formatTimeOfDay,
  million,
} from './calendar.ts';
import {
  bigKey,
  compareOrdinary,
  expectLength,
  int32Bytes,
  int64Bytes,
  type ModifierForm,
  smallKey,
  type TextContext,
  type TypeCodec,
} from './codec.ts';
import { type DateTimeFields, FieldReader } from './datetime-fields.ts';
import { type TimeZone, utcZone } from './time-zone.ts';
import { TimeTzValue } from './values.ts';

export const timestampInfinity: bigint = 2n ** 63n - 1n;
export const timestampMinusInfinity: bigint = -(2n ** 63n);
export const dateInfinity = 2_147_483_647;
export const dateMinusInfinity = -2_147_483_648;
/** 4714-11-24 BC, inclusive, and 294277-01-01, exclusive. */
const timestampMin = -211_813_488_000_000_000n;
const timestampEnd = 9_223_371_331_200_000_000n;
/** 4714-11-24 BC, inclusive, and 5874898-01-01, exclusive. */
const dateMin = -2_451_545;
const dateEnd = 2_145_031_949;

export function timestampFromUnixMs(unixMs: number): bigint {
  return BigInt(Math.floor(unixMs) - epochSeconds * 1000) * 1000n;
}

export function isFiniteTimestamp(value: bigint): boolean {
  return value !== timestampInfinity && value !== timestampMinusInfinity;
}

export function isFiniteDate(value: number): boolean {
  return value !== dateInfinity && value !== dateMinusInfinity;
}

/** Throws 22008. */
export function checkTimestamp(value: bigint): bigint {
  if (value < timestampMin || value >= timestampEnd)
    throw new SqlError('22008', 'timestamp out of range');
  return value;
}

export function isTimestamp(value: bigint): boolean {
  return value >= timestampMin && value < timestampEnd;
}

/** Throws 22008. */
export function checkDate(days: number): number {
  if (days < dateMin || days >= dateEnd) throw new SqlError('22008', 'date out of range');
  return days;
}

/** Seconds east at a moment. @param utc microseconds since 2000, UTC */
export function offsetAt(zone: TimeZone, utc: bigint): number {
  let seconds = utc / million;
  if (utc % million < 0n) seconds -= 1n;
  return zone.offsetAt(Number(seconds) + epochSeconds);
}

/** The moment at which a zone's clocks show `local`: in a gap by the offset before it, in an overlap the later reading's. */
export function utcFromLocal(zone: TimeZone, local: bigint): bigint {
  const before = offsetAt(zone, local - dayMicros);
  const after = offsetAt(zone, local + dayMicros);
  const by = (offset: number) => local - BigInt(offset) * million;
  if (before === after) return by(before);
  return offsetAt(zone, by(after)) === after ? by(after) : by(before);
}

/** What a zone's clocks show. Infinities stay. */
export function localFromUtc(zone: TimeZone, utc: bigint): bigint {
  return isFiniteTimestamp(utc) ? utc + BigInt(offsetAt(zone, utc)) * million : utc;
}

function read(text: string, context: TextContext, display: string): DateTimeFields {
  return new FieldReader(text, display, context.dateOrder ?? 'MDY').read();
}

function badForm(text: string, display: string): SqlError {
  return new SqlError('22007', `invalid input syntax for type ${display}: "${text}"`);
}

/** The local midnight of today, or near it. */
function specialDay(word: string, context: TextContext): bigint {
  context.onDependsOnNow?.();
  const local = localFromUtc(context.zone, context.now);
  const shift = word === 'today' ? 0n : word === 'tomorrow' ? 1n : -1n;
  let days = local / dayMicros;
  if (local % dayMicros < 0n) days -= 1n;
  return (days + shift) * dayMicros;
}

function datePart(fields: DateTimeFields, text: string, display: string): bigint {
  if (fields.date === undefined) throw badForm(text, display);
  const { year, month, day } = fields.date;
  if (year > 294_277 || year < -4_713) throw beyond('timestamp', text);
  return BigInt(daysFromCivil(year, month, day) - epochDays) * dayMicros + (fields.time ?? 0n);
}

function beyond(what: string, text: string): SqlError {
  return new SqlError('22008', `${what} out of range: "${text}"`);
}

/** timestamptz_in. Throws 22007 (form), 22008 (range), 22009, 22023 (zone). */
export function parseTimestampTz(text: string, context: TextContext, display: string): bigint {
  const fields = read(text, context, display);
  const zone = typeof fields.zone === 'object' ? fields.zone : context.zone;
  switch (fields.special) {
    case 'infinity':
      return timestampInfinity;
    case '-infinity':
      return timestampMinusInfinity;
    case 'epoch':
      return BigInt(-epochSeconds) * million;
    case 'now':
      context.onDependsOnNow?.();
      return context.now;
    case undefined:
      break;
    default:
      return utcFromLocal(zone, specialDay(fields.special, context) + (fields.time ?? 0n));
  }
  const local = datePart(fields, text, display);
  const value =
    typeof fields.zone === 'number'
      ? local - BigInt(fields.zone) * million
      : utcFromLocal(zone, local);
  if (!isTimestamp(value)) throw beyond('timestamp', text);
  return value;
}

/** timestamp_in: a zone in the text is read and means nothing. */
export function parseTimestamp(text: string, context: TextContext): bigint {
  const display = 'timestamp';
  const fields = read(text, context, display);
  switch (fields.special) {
    case 'infinity':
      return timestampInfinity;
    case '-infinity':
      return timestampMinusInfinity;
    case 'epoch':
      return BigInt(-epochSeconds) * million;
    case 'now':
      context.onDependsOnNow?.();
      return localFromUtc(context.zone, context.now);
    case undefined:
      break;
    default:
      return specialDay(fields.special, context) + (fields.time ?? 0n);
  }
  const value = datePart(fields, text, display);
  if (!isTimestamp(value)) throw beyond('timestamp', text);
  return value;
}

/** date_in. */
export function parseDate(text: string, context: TextContext, display: string): number {
  const fields = read(text, context, display);
  switch (fields.special) {
    case 'infinity':
      return dateInfinity;
    case '-infinity':
      return dateMinusInfinity;
    case 'epoch':
      return -epochDays;
    case 'now':
    case 'today':
    case 'tomorrow':
    case 'yesterday':
      return Number(
        specialDay(fields.special === 'now' ? 'today' : fields.special, context) / dayMicros,
      );
    default:
      break;
  }
  if (fields.date === undefined) throw badForm(text, display);
  const { year, month, day } = fields.date;
  const days = daysFromCivil(year, month, day) - epochDays;
  if (days < dateMin || days >= dateEnd) throw beyond('date', text);
  return days;
}

/** time_in. */
export function parseTime(text: string, context: TextContext): bigint {
  const display = 'time';
  const fields = read(text, context, display);
  if (fields.special === 'now') {
    const local = civilTime(localFromUtc(context.zone, context.now));
    context.onDependsOnNow?.();
    return inDay(local);
  }
  if (fields.time === undefined) throw badForm(text, display);
  if (typeof fields.zone === 'object' && fields.date === undefined && !isFixed(fields.zone))
    throw badForm(text, display);
  return fields.time;
}

/** timetz_in. */
function parseTimeTz(text: string, context: TextContext, display: string): TimeTzValue {
  const fields = read(text, context, display);
  if (fields.special === 'now') {
    context.onDependsOnNow?.();
    const local = civilTime(localFromUtc(context.zone, context.now));
    return new TimeTzValue(inDay(local), offsetAt(context.zone, context.now));
  }
  if (fields.time === undefined) throw badForm(text, display);
  if (typeof fields.zone === 'number') return new TimeTzValue(fields.time, fields.zone);
  if (fields.zone !== undefined && fields.date === undefined && !isFixed(fields.zone))
    throw badForm(text, display);
  const zone = fields.zone ?? context.zone;
  if (fields.date === undefined && !isFixed(zone)) context.onDependsOnNow?.();
  const moment =
    fields.date === undefined ? context.now : utcFromLocal(zone, datePart(fields, text, display));
  return new TimeTzValue(fields.time, offsetAt(zone, moment));
}

function isFixed(zone: TimeZone): boolean {
  return zone === utcZone || zone.fixed === true;
}

/** Microseconds since midnight. */
export function inDay(civil: {
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly micros: number;
}): bigint {
  return (
    BigInt((civil.hour * 60 + civil.minute) * 60 + civil.second) * million + BigInt(civil.micros)
  );
}

/** `2020-01-31 12:00:00.5+02`. */
export function formatTimestampTz(value: bigint, zone: TimeZone): string {
  if (!isFiniteTimestamp(value)) return value > 0n ? 'infinity' : '-infinity';
  const offset = offsetAt(zone, value);
  return formatMoment(value + BigInt(offset) * million, formatOffset(offset), ' ');
}

export function formatTimestamp(value: bigint): string {
  if (!isFiniteTimestamp(value)) return value > 0n ? 'infinity' : '-infinity';
  return formatMoment(value, '', ' ');
}

/** @param mark between date and time: JSON has a T there */
export function formatMoment(local: bigint, offset: string, mark: ' ' | 'T'): string {
  const civil = civilTime(local);
  return `${formatCivilDate(civil)}${mark}${formatTimeOfDay(inDay(civil))}${offset}${civil.year > 0 ? '' : ' BC'}`;
}

export function formatDate(days: number): string {
  if (!isFiniteDate(days)) return days > 0 ? 'infinity' : '-infinity';
  const civil = civilFromDays(days + epochDays);
  return `${formatCivilDate(civil)}${civil.year > 0 ? '' : ' BC'}`;
}

const precisions = [1_000_000n, 100_000n, 10_000n, 1_000n, 100n, 10n, 1n];

/** Rounds microseconds to a number of digits after the second, halves away from zero. */
export function roundMicros(value: bigint, digits: number): bigint {
  const unit = precisions[digits] ?? 1n;
  const half = unit / 2n;
  return value >= 0n ? ((value + half) / unit) * unit : -((-value + half) / unit) * unit;
}

function precision(name: string, apply: ModifierForm['apply']): ModifierForm {
  return {
    parse: (written) => {
      const [digits = 0] = written;
      if (written.length !== 1 || digits < 0)
        throw new SqlError('22023', `${name}(${digits}) precision must not be negative`);
      return Math.min(digits, 6);
    },
    format: (modifier) => `(${modifier})`,
    apply,
  };
}

const ofMoment: ModifierForm['apply'] = (value, modifier) =>
  isFiniteTimestamp(value as bigint) ? roundMicros(value as bigint, modifier) : value;

const int64: Pick<TypeCodec, 'receive' | 'send' | 'key' | 'row' | 'compare' | 'identical'> = {
  receive: (bytes) => expectLength(bytes, 8).readBigInt64BE(),
  send: (value) => int64Bytes(value as bigint),
  key: bigKey,
  row: 'int64',
  compare: compareOrdinary,
  identical: true,
};

export const timestampTzCodec: TypeCodec = {
  ...int64,
  parse: parseTimestampTz,
  format: (value, context) => formatTimestampTz(value as bigint, context.zone),
  sessionText: true,
  modifier: precision('TIMESTAMP', ofMoment),
};

export const timestampCodec: TypeCodec = {
  ...int64,
  parse: parseTimestamp,
  format: (value) => formatTimestamp(value as bigint),
  modifier: precision('TIMESTAMP', ofMoment),
};

export const dateCodec: TypeCodec = {
  parse: parseDate,
  format: (value) => formatDate(value as number),
  receive: (bytes) => expectLength(bytes, 4).readInt32BE(),
  send: (value) => int32Bytes(value as number),
  compare: compareOrdinary,
  identical: true,
  key: smallKey,
  row: 'small',
};

export const timeCodec: TypeCodec = {
  ...int64,
  parse: parseTime,
  format: (value) => formatTimeOfDay(value as bigint),
  row: 'big',
  modifier: precision('TIME', (value, modifier) => roundMicros(value as bigint, modifier)),
};

function momentOf(value: Datum): bigint {
  const time = value as TimeTzValue;
  return time.micros - BigInt(time.offset) * million;
}

function compareTimeTz(a: Datum, b: Datum): number {
  const order = compareOrdinary(momentOf(a) as Datum, momentOf(b) as Datum);
  // PostgreSQL keeps seconds west of Greenwich and sorts by them.
  return order !== 0 ? order : (b as TimeTzValue).offset - (a as TimeTzValue).offset;
}

function timeTzBytes(value: Datum): Buffer {
  const { micros, offset } = value as TimeTzValue;
  return Buffer.concat([int64Bytes(micros), int32Bytes(-offset)]);
}

function timeTzFromBytes(bytes: Buffer): TimeTzValue {
  return new TimeTzValue(bytes.readBigInt64BE(0), -bytes.readInt32BE(8));
}

export const timeTzCodec: TypeCodec = {
  parse: parseTimeTz,
  format: (value) => {
    const { micros, offset } = value as TimeTzValue;
    return formatTimeOfDay(micros) + formatOffset(offset);
  },
  receive: (bytes) => timeTzFromBytes(expectLength(bytes, 12)),
  send: timeTzBytes,
  compare: compareTimeTz,
  identical: false,
  hash: (value) => `${(value as TimeTzValue).micros}/${(value as TimeTzValue).offset}`,
  key: {
    write: (writer, value) => {
      writer.integer(momentOf(value)).integer(-(value as TimeTzValue).offset);
    },
    read: (reader) => {
      const moment = reader.bigInteger();
      const offset = -reader.integer();
      return new TimeTzValue(moment + BigInt(offset) * million, offset);
    },
    exact: true,
  },
  row: { encode: timeTzBytes, decode: timeTzFromBytes },
  modifier: precision('TIME', (value, modifier) => {
    const { micros, offset } = value as TimeTzValue;
    return new TimeTzValue(roundMicros(micros, modifier), offset);
  }),
};
