/** Reaching into JSON values: `->`, `->>`, `#>`, `#>>` and subscripts, for json and jsonb. Pure. */
import type { Datum } from '../session-api.ts';
import {
  formatJsonb,
  isJsonArray,
  JsonNumber,
  JsonObject,
  type JsonValue,
  readJsonb,
} from '../types/json.ts';

/** A member by its key. Undefined: there is none. */
export function memberOf(value: JsonValue, key: string): JsonValue | undefined {
  return value instanceof JsonObject ? value.get(key) : undefined;
}

/** An element by its index; negative ones count from the end. */
export function elementOf(value: JsonValue, index: number): JsonValue | undefined {
  if (!isJsonArray(value)) return undefined;
  return value[index < 0 ? value.length + index : index];
}

/** Member or element by a step of a path. */
export function stepInto(value: JsonValue, step: string): JsonValue | undefined {
  if (value instanceof JsonObject) return value.get(step);
  if (!isJsonArray(value) || !/^\s*[+-]?\d+$/.test(step)) return undefined;
  const index = Number(step);
  return Math.abs(index) > 2_147_483_647 ? undefined : elementOf(value, index);
}

/** What `->>` gives: strings without their quotes, SQL NULL for null. */
export function textOfJson(
  value: JsonValue | undefined,
  print: (value: JsonValue) => string,
): Datum {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return value;
  if (value instanceof JsonNumber) return value.text;
  return print(value);
}

export function jsonbSubscript(json: string, at: string | number): Datum {
  const value = readJsonb(json);
  const found = typeof at === 'number' ? elementOf(value, at) : stepInto(value, at);
  return found === undefined ? null : formatJsonb(found);
}
