/** SQL values as JSON: to_json, row_to_json, the builders and the aggregates. Text of json is built, not parsed. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { formatOffset } from '../types/calendar.ts';
import type { TextContext } from '../types/codec.ts';
import { formatJsonb, parseJson, quoteJson } from '../types/json.ts';
import { formatMoment, isFiniteTimestamp, offsetAt } from '../types/timestamp.ts';
import {
  boolType,
  float4Type,
  float8Type,
  isInteger,
  jsonbType,
  jsonType,
  numericType,
  recordType,
  type SqlType,
  timestampType,
  timestamptzType,
} from '../types/type.ts';
import { ArrayValue, RecordValue } from '../types/values.ts';

/** Writes a value of one type as JSON. */
export type JsonWriter = (value: Datum, context: TextContext) => string;

/** How values of a type become JSON, as json_categorize_type says. @param gap between the members at the top */
export function jsonWriter(type: SqlType, gap = ''): JsonWriter {
  const orNull =
    (write: (value: Exclude<Datum, null>, context: TextContext) => string): JsonWriter =>
    (value, context) =>
      value === null ? 'null' : write(value, context);
  if (type === boolType) return orNull((value) => (value === true ? 'true' : 'false'));
  if (isInteger(type)) return orNull(String);
  if (type === numericType || type === float4Type || type === float8Type)
    return orNull((value, context) => {
      const text = type.codec?.format(value, context) ?? '';
      return /[NI]/.test(text) ? quoteJson(text) : text;
    });
  if (type === jsonType || type === jsonbType) return orNull(String);
  if (type === timestampType)
    return orNull((value) => quoteJson(momentText(value as bigint, 0, false)));
  if (type === timestamptzType)
    return orNull((value, { zone }) => {
      const moment = value as bigint;
      return quoteJson(
        momentText(moment, isFiniteTimestamp(moment) ? offsetAt(zone, moment) : 0, true),
      );
    });
  if (type === recordType)
    return orNull((value, context) => recordJson(value as RecordValue, context, gap));
  const { element } = type;
  if (element !== undefined && type.name.startsWith('_')) {
    const inner = jsonWriter(element);
    return orNull((value, context) =>
      arrayJson(value as ArrayValue, (one) => inner(one, context), gap),
    );
  }
  return orNull((value, context) => quoteJson(type.codec?.format(value, context) ?? String(value)));
}

function momentText(value: bigint, offset: number, withZone: boolean): string {
  if (!isFiniteTimestamp(value)) return value > 0n ? 'infinity' : '-infinity';
  const text = withZone ? fullOffset(offset) : '';
  return formatMoment(value + BigInt(offset) * 1_000_000n, text, 'T');
}

/** JSON has hours and minutes always. */
export function fullOffset(offset: number): string {
  const text = formatOffset(offset);
  return text.length === 3 ? `${text}:00` : text;
}

function arrayJson(value: ArrayValue, element: (one: Datum) => string, gap: string): string {
  const { dimensions, elements } = value;
  if (dimensions.length === 0) return '[]';
  let at = 0;
  const level = (depth: number): string => {
    const parts: string[] = [];
    for (let i = 0; i < (dimensions[depth]?.length ?? 0); i++)
      parts.push(
        depth + 1 < dimensions.length ? level(depth + 1) : element(elements[at++] ?? null),
      );
    return `[${parts.join(depth === 0 ? `,${gap}` : ',')}]`;
  };
  return level(0);
}

function recordJson(record: RecordValue, context: TextContext, gap: string): string {
  const types = record.types as readonly SqlType[];
  const members = record.values.map((value, i) => {
    const type = types[i];
    const text = type === undefined ? 'null' : jsonWriter(type)(value, context);
    return `${quoteJson(record.names?.[i] ?? `f${i + 1}`)}:${text}`;
  });
  return `{${members.join(`,${gap}`)}}`;
}

/** JSON text as a datum of json or jsonb. */
export function jsonDatum(text: string, binary: boolean): Datum {
  return binary ? formatJsonb(parseJson(text, true)) : text;
}

/** The key of a member: any scalar that is not NULL. Throws 22023. */
export function jsonKey(value: Exclude<Datum, null>, type: SqlType, context: TextContext): string {
  if (
    value instanceof ArrayValue ||
    value instanceof RecordValue ||
    type === jsonType ||
    type === jsonbType
  )
    throw new SqlError('22023', 'key value must be scalar, not array, composite, or json');
  if (type === boolType) return value === true ? 'true' : 'false';
  return type.codec?.format(value, context) ?? String(value);
}
