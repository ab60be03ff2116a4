/** (start, end) OVERLAPS (start, end): over times and timestamps; an interval in place of an end is a length. */
import type { Datum } from '../session-api.ts';
import {
  boolType,
  intervalType,
  type SqlType,
  timestampType,
  timestamptzType,
  timeType,
  timetzType,
} from '../types/type.ts';
import type { IntervalValue, TimeTzValue } from '../types/values.ts';
import { addToTime, addToTimestamp, addToTimestampTz } from './datetime.ts';
import { type EvalContext, manySignature, type Signature } from './signature.ts';

type Ordered = bigint;

/** As overlaps_timestamp of PostgreSQL: a NULL end makes a point of a period, and the answer unknown where it matters. */
function overlap(
  [s1, e1]: readonly [Ordered | null, Ordered | null],
  [s2, e2]: readonly [Ordered | null, Ordered | null],
): boolean | null {
  const [a, aEnd] = sorted(s1, e1);
  const [b, bEnd] = sorted(s2, e2);
  if (a === null || b === null) return null;
  if (a === b) return aEnd === null || bEnd === null ? null : true;
  const [firstEnd, secondStart, secondEnd] = a > b ? [bEnd, a, aEnd] : [aEnd, b, bEnd];
  if (firstEnd === null) return null;
  if (secondStart < firstEnd) return true;
  return secondEnd === null ? null : false;
}

/** The earlier first; what is NULL last. */
function sorted(
  start: Ordered | null,
  end: Ordered | null,
): readonly [Ordered | null, Ordered | null] {
  if (start === null) return [end, null];
  if (end !== null && start > end) return [end, start];
  return [start, end];
}

interface Family {
  readonly type: SqlType;
  readonly order: (value: Datum) => Ordered;
  readonly add: ((value: Datum, length: IntervalValue, context: EvalContext) => Datum) | undefined;
}

const micros = (value: Datum): Ordered => value as bigint;

const families: readonly Family[] = [
  {
    type: timestampType,
    order: micros,
    add: (value, length) => addToTimestamp(value as bigint, length),
  },
  {
    type: timestamptzType,
    order: micros,
    add: (value, length, { zone }) => addToTimestampTz(value as bigint, length, zone),
  },
  {
    type: timeType,
    order: micros,
    add: (value, length) => addToTime(value as bigint, length.micros),
  },
  {
    type: timetzType,
    order: (value) => {
      const { micros: local, offset } = value as TimeTzValue;
      return local - BigInt(offset) * 1_000_000n;
    },
    add: undefined,
  },
];

export const overlapsFunctions: readonly Signature[] = families.flatMap(({ type, order, add }) => {
  const forms: (readonly [SqlType, SqlType])[] =
    add === undefined
      ? [[type, type]]
      : [
          [type, type],
          [intervalType, intervalType],
          [intervalType, type],
          [type, intervalType],
        ];
  return forms.map(([first, second]) =>
    manySignature(
      'overlaps',
      [type, first, type, second],
      boolType,
      ([s1 = null, e1 = null, s2 = null, e2 = null], context) => {
        const period = (start: Datum, end: Datum, kind: SqlType) => {
          const until =
            kind !== intervalType || end === null
              ? end
              : start === null || add === undefined
                ? null
                : add(start, end as IntervalValue, context);
          return [
            start === null ? null : order(start),
            until === null ? null : order(until),
          ] as const;
        };
        return overlap(period(s1, e1, first), period(s2, e2, second));
      },
      { strict: false, volatility: type === timestamptzType ? 'stable' : 'immutable' },
    ),
  );
});
