/** Set-returning functions over json and jsonb. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import {
  formatJson,
  formatJsonb,
  isJsonArray,
  JsonObject,
  type JsonValue,
  parseJson,
  readJsonb,
} from '../types/json.ts';
import { jsonbType, jsonType, type SqlType, textType } from '../types/type.ts';
import { textOfJson } from './json-access.ts';
import { kindOf } from './json-functions.ts';
import type { SetColumn, SetRow, SetSignature } from './set-returning.ts';

function define(
  name: string,
  type: SqlType,
  columns: readonly SetColumn[],
  rows: (value: JsonValue, print: (value: JsonValue) => string) => Iterable<SetRow>,
): SetSignature {
  const binary = type === jsonbType;
  return {
    name,
    parameters: [type],
    columns,
    strict: true,
    rows: ([datum = null]: readonly Datum[]) =>
      rows(
        binary ? readJsonb(datum as string) : parseJson(datum as string, false),
        binary ? formatJsonb : formatJson,
      ),
  };
}

/** Throws 22023. */
function membersOf(value: JsonValue, name: string): JsonObject {
  if (value instanceof JsonObject) return value;
  throw new SqlError(
    '22023',
    isJsonArray(value) && !name.startsWith('jsonb')
      ? 'cannot deconstruct an array as an object'
      : `cannot call ${name} on a non-object`,
  );
}

/** Throws 22023. */
function elementsOf(value: JsonValue, name: string): readonly JsonValue[] {
  if (isJsonArray(value)) return value;
  const scalar = kindOf(value) !== 'object';
  throw new SqlError(
    '22023',
    name.startsWith('jsonb')
      ? `cannot extract elements from ${scalar ? 'a scalar' : 'an object'}`
      : scalar
        ? `cannot call ${name} on a scalar`
        : `cannot call ${name} on a non-array`,
  );
}

function family(prefix: 'json' | 'jsonb', type: SqlType): SetSignature[] {
  const pair = (value: SqlType): SetColumn[] => [
    { name: 'key', type: textType },
    { name: 'value', type: value },
  ];
  const each = (
    name: string,
    value: SqlType,
    give: (one: JsonValue, print: (value: JsonValue) => string) => Datum,
  ) =>
    define(name, type, pair(value), function* (json, print) {
      for (const one of membersOf(json, name).members) yield [one.key, give(one.value, print)];
    });
  const elements = (
    name: string,
    value: SqlType,
    give: (one: JsonValue, print: (value: JsonValue) => string) => Datum,
  ) =>
    define(name, type, [{ name: 'value', type: value }], function* (json, print) {
      for (const one of elementsOf(json, name)) yield [give(one, print)];
    });
  return [
    each(`${prefix}_each`, type, (one, print) => print(one)),
    each(`${prefix}_each_text`, textType, (one, print) => textOfJson(one, print)),
    elements(`${prefix}_array_elements`, type, (one, print) => print(one)),
    elements(`${prefix}_array_elements_text`, textType, (one, print) => textOfJson(one, print)),
    define(`${prefix}_object_keys`, type, [{ name: undefined, type: textType }], function* (json) {
      if (!(json instanceof JsonObject))
        throw new SqlError(
          '22023',
          `cannot call ${prefix}_object_keys on ${isJsonArray(json) ? 'an array' : 'a scalar'}`,
        );
      for (const one of json.members) yield [one.key];
    }),
  ];
}

export const jsonSetFunctions: readonly SetSignature[] = [
  ...family('json', jsonType),
  ...family('jsonb', jsonbType),
];
