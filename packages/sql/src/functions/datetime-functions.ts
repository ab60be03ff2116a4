/** Operators and functions over dates, times and intervals, as signatures. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { civilTime, dayMicros, epochSeconds, million } from '../types/calendar.ts';
import { dateToTimestamp } from '../types/cast.ts';
import { intervalSpan, makeInterval, negateInterval } from '../types/interval.ts';
import { type TimeZone, zoneByAbbreviation, zoneByName, zoneOfOffset } from '../types/time-zone.ts';
import {
  checkTimestamp,
  inDay,
  isFiniteDate,
  isFiniteTimestamp,
  isTimestamp,
  localFromUtc,
  offsetAt,
  roundMicros,
  timestampInfinity,
  timestampMinusInfinity,
  utcFromLocal,
} from '../types/timestamp.ts';
import {
  boolType,
  dateType,
  float8Type,
  int4Type,
  intervalType,
  numericType,
  type SqlType,
  textType,
  timestampType,
  timestamptzType,
  timeType,
  timetzType,
} from '../types/type.ts';
import { type IntervalValue, TimeTzValue } from '../types/values.ts';
import * as d from './datetime.ts';
import {
  extractFromDate,
  extractFromInterval,
  extractFromTime,
  extractFromTimestamp,
  truncateInterval,
  truncateTimestamp,
} from './datetime-fields.ts';
import { formatDateTime, formatIntervalBy } from './format-datetime.ts';
import { parseDateTime } from './parse-datetime.ts';
import { type Implementation, manySignature, type Signature, signature } from './signature.ts';

const stable = { volatility: 'stable' } as const;
const big = (value: Datum): bigint => value as bigint;
const num = (value: Datum): number => value as number;
const text = (value: Datum): string => value as string;
const span = (value: Datum): IntervalValue => value as IntervalValue;
const timetz = (value: Datum): TimeTzValue => value as TimeTzValue;

/** An operator and the same with its operands exchanged. */
function both(
  name: string,
  [left, right]: readonly [SqlType, SqlType],
  result: SqlType,
  run: Implementation,
  options = {},
): Signature[] {
  return [
    signature(name, [left, right], result, run, options),
    signature(name, [right, left], result, (a, b, c, context) => run(b, a, c, context), options),
  ];
}

function shiftTimeTz(value: TimeTzValue, micros: bigint): TimeTzValue {
  return new TimeTzValue(d.addToTime(value.micros, micros), value.offset);
}

function dateTime(date: number, micros: bigint): bigint {
  const midnight = dateToTimestamp(date);
  return isFiniteTimestamp(midnight) ? checkTimestamp(midnight + micros) : midnight;
}

export const datetimeOperators: readonly Signature[] = [
  ...both('+', [timestampType, intervalType], timestampType, (a, b) =>
    d.addToTimestamp(big(a), span(b)),
  ),
  ...both(
    '+',
    [timestamptzType, intervalType],
    timestamptzType,
    (a, b, _c, context) => d.addToTimestampTz(big(a), span(b), context.zone),
    stable,
  ),
  ...both('+', [dateType, intervalType], timestampType, (a, b) =>
    d.addToTimestamp(dateToTimestamp(num(a)), span(b)),
  ),
  ...both('+', [dateType, int4Type], dateType, (a, b) => d.addDays(num(a), num(b))),
  ...both('+', [dateType, timeType], timestampType, (a, b) => dateTime(num(a), big(b))),
  ...both('+', [dateType, timetzType], timestamptzType, (a, b) =>
    dateTime(num(a), timetz(b).micros - BigInt(timetz(b).offset) * million),
  ),
  ...both('+', [timeType, intervalType], timeType, (a, b) => d.addToTime(big(a), span(b).micros)),
  ...both('+', [timetzType, intervalType], timetzType, (a, b) =>
    shiftTimeTz(timetz(a), span(b).micros),
  ),
  signature('+', [intervalType, intervalType], intervalType, (a, b) =>
    d.addIntervals(span(a), span(b)),
  ),
  signature('+', [intervalType], intervalType, (a) => a),
  signature('-', [intervalType], intervalType, (a) => {
    const { months, days, micros } = span(a);
    return makeInterval(-months, -days, -micros);
  }),
  signature('-', [intervalType, intervalType], intervalType, (a, b) =>
    d.subtractIntervals(span(a), span(b)),
  ),
  signature('-', [timestampType, intervalType], timestampType, (a, b) =>
    d.addToTimestamp(big(a), negateInterval(span(b))),
  ),
  signature(
    '-',
    [timestamptzType, intervalType],
    timestamptzType,
    (a, b, _c, context) => d.addToTimestampTz(big(a), negateInterval(span(b)), context.zone),
    stable,
  ),
  signature('-', [dateType, intervalType], timestampType, (a, b) =>
    d.addToTimestamp(dateToTimestamp(num(a)), negateInterval(span(b))),
  ),
  signature('-', [timeType, intervalType], timeType, (a, b) =>
    d.addToTime(big(a), -span(b).micros),
  ),
  signature('-', [timetzType, intervalType], timetzType, (a, b) =>
    shiftTimeTz(timetz(a), -span(b).micros),
  ),
  signature('-', [dateType, int4Type], dateType, (a, b) => d.addDays(num(a), -num(b))),
  signature('-', [dateType, dateType], int4Type, (a, b) => d.subtractDates(num(a), num(b))),
  signature('-', [timeType, timeType], intervalType, (a, b) => makeInterval(0, 0, big(a) - big(b))),
  signature('-', [timestampType, timestampType], intervalType, (a, b) =>
    d.subtractTimestamps(big(a), big(b)),
  ),
  signature('-', [timestamptzType, timestamptzType], intervalType, (a, b) =>
    d.subtractTimestamps(big(a), big(b)),
  ),
  ...both('*', [intervalType, float8Type], intervalType, (a, b) =>
    d.multiplyInterval(span(a), num(b)),
  ),
  signature('/', [intervalType, float8Type], intervalType, (a, b) =>
    d.divideInterval(span(a), num(b)),
  ),
];

/** `AT TIME ZONE`'s zone. Throws 22023. */
function zoneNamed(name: string): TimeZone {
  const zone = zoneByAbbreviation(name) ?? zoneByName(name) ?? zoneOfOffset(name);
  if (zone === undefined) throw new SqlError('22023', `time zone "${name}" not recognized`);
  return zone;
}

/** Throws 22023. */
function zoneByInterval(value: IntervalValue): TimeZone {
  if (value.months !== 0 || value.days !== 0)
    throw new SqlError('22023', 'interval time zone must not include months or days');
  const offset = Number(value.micros / million);
  return { name: '', fixed: true, offsetAt: () => offset };
}

function toUtc(zone: TimeZone, local: bigint): bigint {
  return isFiniteTimestamp(local) ? checkTimestamp(utcFromLocal(zone, local)) : local;
}

function zoned(): Signature[] {
  const forms = [
    { type: textType, zone: (a: Datum) => zoneNamed(text(a)) },
    { type: intervalType, zone: (a: Datum) => zoneByInterval(span(a)) },
  ];
  return forms.flatMap(({ type, zone }) => [
    signature('timezone', [type, timestampType], timestamptzType, (a, b) => toUtc(zone(a), big(b))),
    signature('timezone', [type, timestamptzType], timestampType, (a, b) =>
      localFromUtc(zone(a), big(b)),
    ),
    signature(
      'timezone',
      [type, timetzType],
      timetzType,
      (a, b, _c, context) => {
        const offset = offsetAt(zone(a), context.now);
        const { micros, offset: before } = timetz(b);
        return new TimeTzValue(d.addToTime(micros, BigInt(offset - before) * million), offset);
      },
      stable,
    ),
  ]);
}

type Extract = (word: string, value: Datum, zone: TimeZone) => string | null;

const extractors: readonly (readonly [SqlType, Extract, boolean])[] = [
  [
    timestampType,
    (word, value) => extractFromTimestamp(word, big(value), undefined, timestampType.display),
    false,
  ],
  [
    timestamptzType,
    (word, value, zone) =>
      extractFromTimestamp(
        word,
        localFromUtc(zone, big(value)),
        isFiniteTimestamp(big(value)) ? offsetAt(zone, big(value)) : 0,
        timestamptzType.display,
      ),
    true,
  ],
  [
    dateType,
    (word, value) =>
      extractFromDate(
        word,
        isFiniteDate(num(value))
          ? BigInt(num(value)) * dayMicros
          : num(value) > 0
            ? timestampInfinity
            : timestampMinusInfinity,
      ),
    false,
  ],
  [
    timeType,
    (word, value) => extractFromTime(word, big(value), undefined, timeType.display),
    false,
  ],
  [
    timetzType,
    (word, value) =>
      extractFromTime(word, timetz(value).micros, timetz(value).offset, timetzType.display),
    false,
  ],
  [intervalType, (word, value) => extractFromInterval(word, span(value)), false],
];

function extracts(): Signature[] {
  return extractors.flatMap(([type, extract, needsZone]) => {
    const options = needsZone ? stable : {};
    return [
      signature(
        'extract',
        [textType, type],
        numericType,
        (a, b, _c, { zone }) => extract(text(a), b, zone),
        options,
      ),
      signature(
        'date_part',
        [textType, type],
        float8Type,
        (a, b, _c, { zone }) => {
          // Fields of a date are those of its midnight here.
          const value = extract(text(a), b, zone);
          return value === null ? null : Number(value);
        },
        options,
      ),
    ];
  });
}

function truncations(): Signature[] {
  const withZone = (word: string, value: bigint, zone: TimeZone) =>
    isFiniteTimestamp(value)
      ? utcFromLocal(
          zone,
          truncateTimestamp(word, localFromUtc(zone, value), timestamptzType.display),
        )
      : truncateTimestamp(word, value, timestamptzType.display);
  return [
    signature('date_trunc', [textType, timestampType], timestampType, (a, b) =>
      truncateTimestamp(text(a), big(b), timestampType.display),
    ),
    signature(
      'date_trunc',
      [textType, timestamptzType],
      timestamptzType,
      (a, b, _c, { zone }) => withZone(text(a), big(b), zone),
      stable,
    ),
    signature('date_trunc', [textType, timestamptzType, textType], timestamptzType, (a, b, c) =>
      withZone(text(a), big(b), zoneNamed(text(c))),
    ),
    signature('date_trunc', [textType, intervalType], intervalType, (a, b) =>
      truncateInterval(text(a), span(b)),
    ),
    ...[timestampType, timestamptzType].map((type) =>
      signature('date_bin', [intervalType, type, type], type, (a, b, c) =>
        dateBin(span(a), big(b), big(c)),
      ),
    ),
  ];
}

/** Throws 22008, 0A000. */
function dateBin(stride: IntervalValue, moment: bigint, origin: bigint): bigint {
  if (!isFiniteTimestamp(moment)) return moment;
  if (stride.months !== 0)
    throw new SqlError(
      '0A000',
      'timestamps cannot be binned into intervals containing months or years',
    );
  const width = intervalSpan(stride);
  if (width <= 0n) throw new SqlError('22008', 'stride must be greater than zero');
  const rest = (moment - origin) % width;
  return moment - (rest < 0n ? rest + width : rest);
}

function ages(): Signature[] {
  return [
    signature('age', [timestampType, timestampType], intervalType, (a, b) =>
      d.ageOf(big(a), big(b)),
    ),
    signature(
      'age',
      [timestamptzType, timestamptzType],
      intervalType,
      (a, b, _c, { zone }) => d.ageOf(localFromUtc(zone, big(a)), localFromUtc(zone, big(b))),
      stable,
    ),
    signature(
      'age',
      [timestampType],
      intervalType,
      (a, _b, _c, context) => d.ageOf(today(context), big(a)),
      stable,
    ),
    signature(
      'age',
      [timestamptzType],
      intervalType,
      (a, _b, _c, context) => d.ageOf(today(context), localFromUtc(context.zone, big(a))),
      stable,
    ),
  ];
}

function today({ now, zone }: { readonly now: bigint; readonly zone: TimeZone }): bigint {
  return BigInt(civilTime(localFromUtc(zone, now)).days) * dayMicros;
}

const integers = (count: number) => new Array<SqlType>(count).fill(int4Type);

function makers(): Signature[] {
  const stamp = (values: readonly Datum[]) => {
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = values as number[];
    return d.makeTimestamp([year, month, day], [hour, minute, second]);
  };
  return [
    signature('make_date', integers(3), dateType, (a, b, c) => d.makeDate(num(a), num(b), num(c))),
    signature('make_time', [int4Type, int4Type, float8Type], timeType, (a, b, c) =>
      d.makeTime(num(a), num(b), num(c)),
    ),
    manySignature('make_timestamp', [...integers(5), float8Type], timestampType, stamp),
    manySignature(
      'make_timestamptz',
      [...integers(5), float8Type],
      timestamptzType,
      (values, { zone }) => toUtc(zone, stamp(values)),
      stable,
    ),
    manySignature(
      'make_timestamptz',
      [...integers(5), float8Type, textType],
      timestamptzType,
      (values) => toUtc(zoneNamed(text(values[6] ?? '')), stamp(values)),
    ),
    ...Array.from({ length: 8 }, (_one, count) =>
      manySignature(
        'make_interval',
        [...integers(Math.min(count, 6)), ...(count === 7 ? [float8Type] : [])],
        intervalType,
        (values) => {
          const at = (i: number) => num(values[i] ?? 0);
          return d.makeIntervalOf([at(0), at(1), at(2), at(3), at(4), at(5), at(6)]);
        },
      ),
    ),
    signature('to_timestamp', [float8Type], timestamptzType, (a) => fromEpoch(num(a))),
  ];
}

/** Throws 22008. */
function fromEpoch(seconds: number): bigint {
  if (seconds === Infinity) return timestampInfinity;
  if (seconds === -Infinity) return timestampMinusInfinity;
  if (Number.isNaN(seconds)) throw new SqlError('22008', 'timestamp cannot be NaN');
  const micros = Math.round((seconds - epochSeconds) * 1e6);
  const value = Number.isFinite(micros) ? BigInt(micros) : 0n;
  if (!Number.isFinite(micros) || !isTimestamp(value))
    throw new SqlError('22008', `timestamp out of range: "${seconds}"`);
  return value;
}

/** CURRENT_DATE and its like: what the grammar calls them, as functions of a precision. */
function currents(): Signature[] {
  const define = (
    name: string,
    type: SqlType,
    run: (local: bigint, offset: number, now: bigint) => Datum,
  ) => {
    const rounded =
      (digits: number): Implementation =>
      (_a, _b, _c, { now, zone }) => {
        const at = roundMicros(now, digits);
        return run(localFromUtc(zone, at), offsetAt(zone, at), at);
      };
    return [
      signature(name, [], type, rounded(6), stable),
      signature(
        name,
        [int4Type],
        type,
        (a, b, c, context) => rounded(num(a))(a, b, c, context),
        stable,
      ),
    ];
  };
  return [
    ...define('current_date', dateType, (local) => civilTime(local).days),
    ...define('localtimestamp', timestampType, (local) => local),
    ...define('localtime', timeType, (local) => inDay(civilTime(local))),
    ...define(
      'current_time',
      timetzType,
      (local, offset) => new TimeTzValue(inDay(civilTime(local)), offset),
    ),
    ...define('current_timestamp', timestamptzType, (_local, _offset, now) => now),
  ];
}

/** OVERLAPS and to_char are at home here, too. */
function others(): Signature[] {
  return [
    signature('justify_hours', [intervalType], intervalType, (a) => d.justifyHours(span(a))),
    signature('justify_days', [intervalType], intervalType, (a) => d.justifyDays(span(a))),
    signature('justify_interval', [intervalType], intervalType, (a) => d.justifyInterval(span(a))),
    signature('isfinite', [timestampType], boolType, (a) => isFiniteTimestamp(big(a))),
    signature('isfinite', [timestamptzType], boolType, (a) => isFiniteTimestamp(big(a))),
    signature('isfinite', [dateType], boolType, (a) => isFiniteDate(num(a))),
    signature('isfinite', [intervalType], boolType, () => true),
    signature('to_char', [timestampType, textType], textType, (a, b) =>
      formatDateTime(big(a), text(b), undefined),
    ),
    signature(
      'to_char',
      [timestamptzType, textType],
      textType,
      (a, b, _c, { zone }) =>
        formatDateTime(localFromUtc(zone, big(a)), text(b), {
          zone,
          offset: offsetAt(zone, big(a)),
        }),
      stable,
    ),
    signature('to_char', [intervalType, textType], textType, (a, b) =>
      formatIntervalBy(span(a), text(b)),
    ),
    signature(
      'to_timestamp',
      [textType, textType],
      timestamptzType,
      (a, b, _c, { zone }) => {
        const { local, offset } = parseDateTime(text(a), text(b));
        return offset === undefined
          ? toUtc(zone, local)
          : checkTimestamp(local - BigInt(offset) * million);
      },
      stable,
    ),
    signature(
      'to_date',
      [textType, textType],
      dateType,
      (a, b) => civilTime(parseDateTime(text(a), text(b)).local).days,
    ),
  ];
}

export const datetimeFunctions: readonly Signature[] = [
  ...zoned(),
  ...extracts(),
  ...truncations(),
  ...ages(),
  ...makers(),
  ...currents(),
  ...others(),
];
