/** What an SQL/JSON path works on: JSON values, and the dates and times that `.datetime()` makes. Pure. */
import type { Datum } from '../../session-api.ts';
import { formatTimeOfDay, million } from '../../types/calendar.ts';
import { isJsonArray, JsonNumber, JsonObject, type JsonValue } from '../../types/json.ts';
import { formatDate, formatMoment } from '../../types/timestamp.ts';
import type { TimeTzValue } from '../../types/values.ts';
import { fullOffset } from '../json-build.ts';

export type MomentKind = 'date' | 'time' | 'timetz' | 'timestamp' | 'timestamptz';

/** A date or time inside a path; a string once it leaves it. */
export class PathMoment {
  readonly kind: MomentKind;
  /** As a datum of the type of that name. */
  readonly value: Datum;
  /** Seconds east of Greenwich that a timestamptz was written with; 0 of others. */
  readonly offset: number;

  constructor(kind: MomentKind, value: Datum, offset: number) {
    this.kind = kind;
    this.value = value;
    this.offset = offset;
  }
}

export type PathItem = JsonValue | PathMoment;

/** Whether a chain gave items; 'failed' is an error that was suppressed. */
export type PathOutcome = 'some' | 'none' | 'failed';

export function isArrayItem(item: PathItem): item is readonly JsonValue[] {
  return Array.isArray(item);
}

export function isContainer(item: PathItem): item is JsonObject | readonly JsonValue[] {
  return item instanceof JsonObject || isArrayItem(item);
}

const momentNames: Readonly<Record<MomentKind, string>> = {
  date: 'date',
  time: 'time without time zone',
  timetz: 'time with time zone',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
};

/** What `.type()` gives. */
export function itemType(item: PathItem): string {
  if (item === null) return 'null';
  if (item instanceof PathMoment) return momentNames[item.kind];
  if (item instanceof JsonNumber) return 'number';
  if (item instanceof JsonObject) return 'object';
  return isJsonArray(item) ? 'array' : typeof item;
}

/** What leaves the path. */
export function jsonOfItem(item: PathItem): JsonValue {
  return item instanceof PathMoment ? momentText(item) : item;
}

function momentText({ kind, value, offset }: PathMoment): string {
  switch (kind) {
    case 'date':
      return formatDate(value as number);
    case 'time':
      return formatTimeOfDay(value as bigint);
    case 'timetz': {
      const time = value as TimeTzValue;
      return formatTimeOfDay(time.micros) + fullOffset(time.offset);
    }
    case 'timestamp':
      return formatMoment(value as bigint, '', 'T');
    default:
      return formatMoment((value as bigint) + BigInt(offset) * million, fullOffset(offset), 'T');
  }
}
