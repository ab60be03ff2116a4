/**
 * interval: months, days and microseconds. Reads PostgreSQL's verbose form, SQL's standard form and ISO 8601 durations;
 * prints the style `postgres`.
 */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { formatFraction, two } from './calendar.ts';
import { expectLength, type KeyForm, type ModifierForm, type TypeCodec } from './codec.ts';
import { roundMicros } from './timestamp.ts';
import { IntervalValue } from './values.ts';

const secondMicros = 1_000_000;
const minuteMicros = 60 * secondMicros;
const hourMicros = 60 * minuteMicros;
export const dayMicrosNumber: number = 24 * hourMicros;

type Unit =
  | 'microsecond'
  | 'millisecond'
  | 'second'
  | 'minute'
  | 'hour'
  | 'day'
  | 'week'
  | 'month'
  | 'year'
  | 'decade'
  | 'century'
  | 'millennium';

/** The words of datetktbl for units; names are cut to 10 characters there. */
export const unitWords: ReadonlyMap<string, Unit> = new Map(
  Object.entries({
    microsecond: 'us usec usecs microsecond microsecon microseconds useconds usecond',
    millisecond: 'ms msec msecs millisecond millisecon milliseconds mseconds msecond',
    second: 's sec secs second seconds',
    minute: 'm min mins minute minutes',
    hour: 'h hr hrs hour hours',
    day: 'd day days',
    week: 'w week weeks',
    month: 'mon mons month months',
    year: 'y yr yrs year years',
    decade: 'dec decs decade decades',
    century: 'c cent century centuries',
    millennium: 'mil mils millennia millennium',
  }).flatMap(([unit, words]) =>
    words.split(' ').map((word): [string, Unit] => [word, unit as Unit]),
  ),
);

class Parts {
  months = 0;
  days = 0;
  micros = 0n;

  /** Adds `whole` and `fraction` of a unit, the fraction spilling into smaller ones as PostgreSQL has it. */
  add(unit: Unit, whole: number, fraction: number): void {
    switch (unit) {
      case 'microsecond':
        this.micros += BigInt(whole) + BigInt(Math.round(fraction));
        return;
      case 'millisecond':
        this.micros += BigInt(whole) * 1000n + BigInt(rint(fraction * 1000));
        return;
      case 'second':
        this.addMicros(whole, fraction, secondMicros);
        return;
      case 'minute':
        this.addMicros(whole, fraction, minuteMicros);
        return;
      case 'hour':
        this.addMicros(whole, fraction, hourMicros);
        return;
      case 'day':
        this.days += whole;
        this.addMicros(0, fraction, dayMicrosNumber);
        return;
      case 'week':
        this.days += whole * 7;
        this.addDays(fraction * 7);
        return;
      case 'month':
        this.months += whole;
        this.addDays(fraction * 30);
        return;
      default: {
        const years = { year: 1, decade: 10, century: 100, millennium: 1000 }[unit];
        this.months += whole * 12 * years + rint(fraction * 12 * years);
      }
    }
  }

  private addMicros(whole: number, fraction: number, unit: number): void {
    this.micros += BigInt(whole) * BigInt(unit) + BigInt(rint(fraction * unit));
  }

  private addDays(days: number): void {
    const whole = Math.trunc(days);
    this.days += whole;
    this.addMicros(0, days - whole, dayMicrosNumber);
  }

  /** Throws 22008. */
  value(text: string): IntervalValue {
    if (
      !isInt32(this.months) ||
      !isInt32(this.days) ||
      BigInt.asIntN(64, this.micros) !== this.micros
    )
      throw outOfRange(text);
    return new IntervalValue(this.months + 0, this.days + 0, this.micros);
  }
}

function isInt32(value: number): boolean {
  return value >= -2_147_483_648 && value <= 2_147_483_647;
}

function rint(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
}

function outOfRange(text: string): SqlError {
  return new SqlError('22015', `interval field value out of range: "${text}"`);
}

function badForm(text: string): SqlError {
  return new SqlError('22007', `invalid input syntax for type interval: "${text}"`);
}

/** The parts of typmod's mask: the bits of PostgreSQL's INTERVAL_MASK. */
const maskBits = { year: 4, month: 2, day: 8, hour: 1024, minute: 2048, second: 4096 } as const;
const fullRange = 0x7fff;
const fullPrecision = 0xffff;

function rangeOf(modifier: number): number {
  return modifier < 0 ? fullRange : (modifier >> 16) & fullRange;
}

/** What a number without a unit stands for. */
function lastUnit(range: number): Unit {
  if (range & maskBits.second) return 'second';
  if (range & maskBits.minute) return 'minute';
  if (range & maskBits.hour) return 'hour';
  if (range & maskBits.day) return 'day';
  if (range & maskBits.month) return 'month';
  if (range & maskBits.year) return 'year';
  return 'second';
}

/** interval_in. @param modifier tells what a number without a unit means. Throws 22007, 22015. */
export function parseInterval(text: string, modifier: number): IntervalValue {
  const trimmed = text.trim().toLowerCase();
  if (/^[+-]?p/.test(trimmed)) return parseIso(trimmed, text);
  const parts = new Parts();
  const range = rangeOf(modifier);
  let rest = trimmed.replace(/^@\s*/, '');
  let ago = false;
  if (/\bago$/.test(rest)) {
    ago = true;
    rest = rest.slice(0, -3).trimEnd();
  }
  if (rest === '') throw badForm(text);
  const tokens =
    rest.match(
      /[+-]?\d+:\d*(?::\d*(?:\.\d*)?)?|[+-]?\d+-\d+|[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[a-z]+|\S/g,
    ) ?? [];
  const seen = new Set<Unit | 'time'>();
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] ?? '';
    if (/:/.test(token)) {
      if (seen.has('time')) throw badForm(text);
      seen.add('time');
      addClock(parts, token, range, text);
      continue;
    }
    const yearMonth = /^([+-]?)(\d+)-(\d+)$/.exec(token);
    if (yearMonth !== null) {
      const sign = yearMonth[1] === '-' ? -1 : 1;
      if (Number(yearMonth[3]) > 11) throw outOfRange(text);
      parts.months += sign * (Number(yearMonth[2]) * 12 + Number(yearMonth[3]));
      continue;
    }
    if (!/^[+-]?[\d.]/.test(token)) throw badForm(text);
    const next = tokens[i + 1];
    let unit = next === undefined ? undefined : unitWords.get(next);
    if (unit !== undefined) i++;
    else if (next !== undefined && /^[a-z]/.test(next)) throw badForm(text);
    else if (next !== undefined && /:/.test(next)) unit = 'day';
    else unit = lastUnit(range);
    if (seen.has(unit)) throw badForm(text);
    seen.add(unit);
    addNumber(parts, unit, token, text);
  }
  const value = parts.value(text);
  return ago ? negateInterval(value) : value;
}

function addNumber(parts: Parts, unit: Unit, token: string, text: string): void {
  if (token.includes('e')) {
    const all = Number(token);
    parts.add(unit, Math.trunc(all), all - Math.trunc(all));
    return;
  }
  const [whole = '', fraction = ''] = token.split('.');
  const sign = token.startsWith('-') ? -1 : 1;
  const magnitude = Number(whole.replace(/^[+-]/, '') || '0');
  if (magnitude > 2 ** 53) throw outOfRange(text);
  parts.add(unit, sign * magnitude, sign * Number(`0.${fraction}0`));
}

/** `hh:mm`, `hh:mm:ss.f`, or `mm:ss` where the range says so. */
function addClock(parts: Parts, token: string, range: number, text: string): void {
  const sign = token.startsWith('-') ? -1n : 1n;
  const [a = '0', b = '0', c] = token.replace(/^[+-]/, '').split(':');
  let [hours, minutes, seconds] = [Number(a), Number(b || '0'), c ?? '0'];
  if (c === undefined && range === (maskBits.minute | maskBits.second))
    [hours, minutes, seconds] = [0, Number(a), b];
  const [whole = '0', fraction = ''] = seconds.split('.');
  if (minutes > 59 || Number(whole) > 60) throw outOfRange(text);
  const micros =
    BigInt(hours) * BigInt(hourMicros) +
    BigInt(minutes * minuteMicros + Number(whole || '0') * secondMicros) +
    BigInt(Math.round(Number(`0.${fraction}0`) * 1e6));
  parts.micros += sign * micros;
}

/** ISO 8601: `P1Y2M3W4DT5H6M7.8S`, `P0001-02-03T04:05:06`. */
function parseIso(trimmed: string, text: string): IntervalValue {
  const parts = new Parts();
  const body = /^p(?:([^t]*))(?:t(.*))?$/.exec(trimmed);
  if (body === null || trimmed.length < 2) throw badForm(text);
  const [, date = '', time] = body;
  const alternative = /^([+-]?\d+)-(\d+)-(\d+)$/.exec(date);
  if (alternative !== null) {
    parts.months = Number(alternative[1]) * 12 + Number(alternative[2]);
    parts.days = Number(alternative[3]);
  } else readIsoFields(parts, date, { y: 'year', m: 'month', w: 'week', d: 'day' }, text);
  if (time !== undefined) {
    if (time === '') throw badForm(text);
    if (time.includes(':')) addClock(parts, time, fullRange, text);
    else readIsoFields(parts, time, { h: 'hour', m: 'minute', s: 'second' }, text);
  }
  return parts.value(text);
}

function readIsoFields(
  parts: Parts,
  written: string,
  units: Readonly<Record<string, Unit>>,
  text: string,
): void {
  let rest = written;
  while (rest !== '') {
    const match = /^([+-]?(?:\d+\.?\d*|\.\d+))([a-z])/.exec(rest);
    const unit = units[match?.[2] ?? ''];
    if (match === null || unit === undefined) throw badForm(text);
    addNumber(parts, unit, match[1] ?? '', text);
    rest = rest.slice(match[0].length);
  }
}

export function negateInterval(value: IntervalValue): IntervalValue {
  return new IntervalValue(-value.months + 0, -value.days + 0, -value.micros);
}

/** Throws 22008. */
export function makeInterval(months: number, days: number, micros: bigint): IntervalValue {
  if (!isInt32(months) || !isInt32(days) || BigInt.asIntN(64, micros) !== micros)
    throw new SqlError('22008', 'interval out of range');
  return new IntervalValue(months + 0, days + 0, micros);
}

/** Style `postgres`: `1 year 2 mons -3 days +04:05:06.7`. */
export function formatInterval(value: IntervalValue): string {
  let text = '';
  let before = false;
  const part = (amount: number, unit: string) => {
    if (amount === 0) return;
    const sign = before && amount > 0 ? '+' : '';
    text += `${text === '' ? '' : ' '}${sign}${amount} ${unit}${amount === 1 ? '' : 's'}`;
    before = amount < 0;
  };
  part(Math.trunc(value.months / 12), 'year');
  part(value.months % 12, 'mon');
  part(value.days, 'day');
  if (text !== '' && value.micros === 0n) return text;
  const negative = value.micros < 0n;
  const micros = negative ? -value.micros : value.micros;
  const hours = micros / BigInt(hourMicros);
  const inHour = Number(micros % BigInt(hourMicros));
  const seconds = Math.floor(inHour / secondMicros);
  const sign = negative ? '-' : before ? '+' : '';
  const clock = `${String(hours).padStart(2, '0')}:${two(Math.floor(seconds / 60))}:${two(seconds % 60)}${formatFraction(inHour % secondMicros)}`;
  return `${text}${text === '' ? '' : ' '}${sign}${clock}`;
}

/** Microseconds with months of 30 days: what intervals compare by. */
export function intervalSpan(value: IntervalValue): bigint {
  return BigInt(value.months * 30 + value.days) * BigInt(dayMicrosNumber) + value.micros;
}

/** The span as 16 bytes that order as it does. */
const intervalKey: KeyForm = {
  write: (writer, value) => {
    const span = intervalSpan(value as IntervalValue) + (1n << 95n);
    const bytes = Buffer.from(span.toString(16).padStart(24, '0'), 'hex');
    writer.bytes(bytes);
  },
  read: (reader) => {
    const span = BigInt(`0x${Buffer.from(reader.bytes()).toString('hex')}`) - (1n << 95n);
    const day = BigInt(dayMicrosNumber);
    return new IntervalValue(0, Number(span / day), span % day);
  },
  exact: false,
};

function sendInterval(value: Datum): Buffer {
  const { months, days, micros } = value as IntervalValue;
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeBigInt64BE(micros, 0);
  bytes.writeInt32BE(days, 8);
  bytes.writeInt32BE(months, 12);
  return bytes;
}

function receiveInterval(bytes: Buffer): IntervalValue {
  return new IntervalValue(bytes.readInt32BE(12), bytes.readInt32BE(8), bytes.readBigInt64BE(0));
}

const fieldNames: readonly (readonly [number, string])[] = [
  [maskBits.year, 'year'],
  [maskBits.month, 'month'],
  [maskBits.day, 'day'],
  [maskBits.hour, 'hour'],
  [maskBits.minute, 'minute'],
  [maskBits.second, 'second'],
];

/** Cuts what is below the smallest field of the range and rounds seconds. */
function applyRange(value: IntervalValue, modifier: number): IntervalValue {
  const range = rangeOf(modifier);
  const digits = modifier & fullPrecision;
  let { months, days, micros } = value;
  if (range !== fullRange) {
    if (!(range & (maskBits.day | maskBits.hour | maskBits.minute | maskBits.second))) {
      days = 0;
      micros = 0n;
      if (!(range & maskBits.month)) months = Math.trunc(months / 12) * 12;
    } else if (!(range & (maskBits.hour | maskBits.minute | maskBits.second))) micros = 0n;
    else if (!(range & (maskBits.minute | maskBits.second)))
      micros = (micros / BigInt(hourMicros)) * BigInt(hourMicros);
    else if (!(range & maskBits.second))
      micros = (micros / BigInt(minuteMicros)) * BigInt(minuteMicros);
  }
  if (digits !== fullPrecision) micros = roundMicros(micros, digits);
  return new IntervalValue(months, days, micros);
}

const intervalModifier: ModifierForm = {
  parse: (written) => {
    const [range = fullRange, digits = fullPrecision] = written;
    if (written.length > 2) throw new SqlError('22023', 'invalid INTERVAL type modifier');
    if (digits < 0)
      throw new SqlError('22023', `INTERVAL(${digits}) precision must not be negative`);
    return ((range & fullRange) << 16) | (digits === fullPrecision ? digits : Math.min(digits, 6));
  },
  format: (modifier) => {
    const range = rangeOf(modifier);
    const digits = modifier & fullPrecision;
    const named = fieldNames.filter(([bit]) => range !== fullRange && (range & bit) !== 0);
    const [first, last] = [named[0]?.[1], named[named.length - 1]?.[1]];
    const fields = first === undefined ? '' : first === last ? ` ${first}` : ` ${first} to ${last}`;
    return `${fields}${digits === fullPrecision ? '' : `(${digits})`}`;
  },
  apply: (value, modifier) => applyRange(value as IntervalValue, modifier),
};

export const intervalCodec: TypeCodec = {
  parse: (text, _context, _display, modifier = -1) => parseInterval(text, modifier),
  format: (value) => formatInterval(value as IntervalValue),
  receive: (bytes) => receiveInterval(expectLength(bytes, 16)),
  send: sendInterval,
  compare: (a, b) => {
    const [x, y] = [intervalSpan(a as IntervalValue), intervalSpan(b as IntervalValue)];
    return x < y ? -1 : x > y ? 1 : 0;
  },
  identical: false,
  hash: (value) => String(intervalSpan(value as IntervalValue)),
  key: intervalKey,
  row: { encode: sendInterval, decode: receiveInterval },
  modifier: intervalModifier,
};
