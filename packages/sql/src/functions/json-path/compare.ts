/** Comparisons of SQL/JSON path items: true, false or unknown. Pure. */
import { SqlError } from '../../sql-error.ts';
import { dayMicros } from '../../types/calendar.ts';
import type { TextContext } from '../../types/codec.ts';
import { JsonNumber } from '../../types/json.ts';
import type { PathComparison } from '../../types/json-path/nodes.ts';
import { compareNumeric } from '../../types/numeric.ts';
import { compareText } from '../../types/strings.ts';
import { offsetAt, timeTzCodec, utcFromLocal } from '../../types/timestamp.ts';
import { TimeTzValue } from '../../types/values.ts';
import { isContainer, type PathItem, PathMoment } from './items.ts';

/** Three-valued logic; undefined is unknown. */
export type Truth = boolean | undefined;

/** @param context whose zone may be used; undefined: none, and casts that need one fail. Throws 0A000. */
export function compareItems(
  mark: PathComparison,
  a: PathItem,
  b: PathItem,
  context: TextContext | undefined,
): Truth {
  if (a === null || b === null) return a === b ? holds(mark, 0) : mark === '!=';
  const order = orderOf(a, b, context);
  return order === undefined ? undefined : holds(mark, order);
}

function holds(mark: PathComparison, order: number): boolean {
  switch (mark) {
    case '==':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '>':
      return order > 0;
    case '<=':
      return order <= 0;
    default:
      return order >= 0;
  }
}

/** Undefined: of different types, or of one without an order. */
function orderOf(a: PathItem, b: PathItem, context: TextContext | undefined): number | undefined {
  if (a instanceof PathMoment)
    return b instanceof PathMoment ? compareMoments(a, b, context) : undefined;
  if (b instanceof PathMoment || isContainer(a) || isContainer(b)) return undefined;
  if (a instanceof JsonNumber)
    return b instanceof JsonNumber ? compareNumeric(a.text, b.text) : undefined;
  if (typeof a === 'string') return typeof b === 'string' ? compareText(a, b) : undefined;
  return typeof b === 'boolean' ? Number(a) - Number(b) : undefined;
}

function isTimeOfDay({ kind }: PathMoment): boolean {
  return kind === 'time' || kind === 'timetz';
}

function compareMoments(
  a: PathMoment,
  b: PathMoment,
  context: TextContext | undefined,
): number | undefined {
  if (isTimeOfDay(a) !== isTimeOfDay(b)) return undefined;
  if (isTimeOfDay(a)) {
    if (a.kind === 'time' && b.kind === 'time')
      return compareBig(a.value as bigint, b.value as bigint);
    return timeTzCodec.compare?.(withOffset(a, context), withOffset(b, context)) ?? 0;
  }
  if (a.kind !== 'timestamptz' && b.kind !== 'timestamptz')
    return compareBig(localMicros(a), localMicros(b));
  return compareBig(utcMicros(a, context), utcMicros(b, context));
}

function compareBig(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function localMicros({ kind, value }: PathMoment): bigint {
  return kind === 'date' ? BigInt(value as number) * dayMicros : (value as bigint);
}

function utcMicros(moment: PathMoment, context: TextContext | undefined): bigint {
  if (moment.kind === 'timestamptz') return moment.value as bigint;
  return utcFromLocal(zoneFor(moment.kind, 'timestamptz', context).zone, localMicros(moment));
}

function withOffset({ kind, value }: PathMoment, context: TextContext | undefined): TimeTzValue {
  if (kind === 'timetz') return value as TimeTzValue;
  const { zone, now } = zoneFor('time', 'timetz', context);
  return new TimeTzValue(value as bigint, offsetAt(zone, now));
}

/** Throws 0A000. */
function zoneFor(from: string, to: string, context: TextContext | undefined): TextContext {
  if (context !== undefined) return context;
  throw new SqlError(
    '0A000',
    `cannot convert value from ${from} to ${to} without time zone usage`,
    { hint: 'Use *_tz() function for time zone support.' },
  );
}
