/** Rows out of JSON objects: json_to_record, json_to_recordset and their binary twins. */
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
import { parseText } from '../types/text-codec.ts';
import { jsonbType, jsonType, type SqlType } from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import { textOfJson } from './json-access.ts';
import type { SetRow, SetSignature } from './set-returning.ts';
import type { EvalContext } from './signature.ts';

export interface RecordColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly modifier: number;
}

/** @param name of the function. What it gives throws 22023, and what the types' input throws. */
export function recordFromJson(
  name: string,
  columns: readonly RecordColumn[],
): SetSignature['rows'] {
  const binary = name.startsWith('jsonb');
  const print = binary ? formatJsonb : formatJson;
  const row = (value: JsonValue, context: EvalContext): SetRow => {
    if (!(value instanceof JsonObject))
      throw new SqlError(
        '22023',
        name.endsWith('set')
          ? `argument of ${name} must be an array of objects`
          : `cannot call populate_composite on ${isJsonArray(value) ? 'an array' : 'a scalar'}`,
      );
    const members = new Map(value.members.map((one) => [one.key, one.value]));
    return columns.map(({ name: key, type, modifier }) => {
      const member = members.get(key);
      return member === undefined ? null : fromJson(member, type, { modifier, context, print });
    });
  };
  return function* ([datum = null], context) {
    const value = binary ? readJsonb(datum as string) : parseJson(datum as string, false);
    if (!name.endsWith('set')) {
      yield row(value, context);
      return;
    }
    if (!isJsonArray(value))
      throw new SqlError(
        '22023',
        `cannot call ${name} on ${binary ? 'a non-array' : value instanceof JsonObject ? 'an object' : 'a scalar'}`,
      );
    for (const one of value) yield row(one, context);
  };
}

interface Target {
  readonly modifier: number;
  readonly context: EvalContext;
  readonly print: (value: JsonValue) => string;
}

/** JSON as a value of a type: an array element by element, all else by its text. */
function fromJson(value: JsonValue, type: SqlType, target: Target): Datum {
  const { modifier, context, print } = target;
  if (type === jsonType || type === jsonbType)
    return value === null && type === jsonType ? null : print(value);
  if (value === null) return null;
  const { element } = type;
  if (element !== undefined && type.category === 'A' && isJsonArray(value)) {
    if (value.some(isJsonArray))
      throw new SqlError('0A000', 'JSON arrays of arrays as SQL arrays are not supported yet');
    return new ArrayValue(value.map((one) => fromJson(one, element, target)));
  }
  const parsed = parseText(type, textOfJson(value, print) as string, context, modifier);
  const form = type.codec?.modifier;
  return form === undefined || modifier < 0 ? parsed : form.apply(parsed, modifier, false);
}
