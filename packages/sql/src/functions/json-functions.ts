/** Operators and functions over json and jsonb, as signatures. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from '../types/codec.ts';
import {
  formatJson,
  formatJsonb,
  isJsonArray,
  type JsonMember,
  JsonNumber,
  JsonObject,
  type JsonValue,
  parseJson,
  quoteJson,
  readJsonb,
  sortedObject,
} from '../types/json.ts';
import { compareNumeric } from '../types/numeric.ts';
import {
  anyarrayType,
  anyelementType,
  anyType,
  arrayTypeOf,
  boolType,
  int4Type,
  jsonbType,
  jsonType,
  recordType,
  type SqlType,
  textType,
} from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import { elementOf, memberOf, stepInto, textOfJson } from './json-access.ts';
import { jsonDatum, jsonKey, jsonWriter } from './json-build.ts';
import {
  type GeneralImplementation,
  manySignature,
  type Signature,
  signature,
  typedSignature,
} from './signature.ts';

const text = (value: Datum): string => value as string;
const textArray: SqlType = arrayTypeOf(textType) ?? textType;

interface Form {
  readonly type: SqlType;
  read(datum: Datum): JsonValue;
  print(value: JsonValue): string;
}

const forms: readonly Form[] = [
  { type: jsonType, read: (datum) => parseJson(text(datum), false), print: formatJson },
  { type: jsonbType, read: (datum) => readJsonb(text(datum)), print: formatJsonb },
];

function pathOf(value: Datum): readonly (string | null)[] {
  return (value as ArrayValue).elements as readonly (string | null)[];
}

function follow(value: JsonValue, path: Datum): JsonValue | undefined {
  let at: JsonValue | undefined = value;
  for (const step of pathOf(path)) {
    if (step === null || at === undefined) return undefined;
    at = stepInto(at, step);
  }
  return at;
}

function accessors({ type, read, print }: Form): Signature[] {
  const value = (found: JsonValue | undefined): Datum =>
    found === undefined ? null : print(found);
  const asText = (found: JsonValue | undefined): Datum => textOfJson(found, print);
  const prefix = type === jsonType ? 'json' : 'jsonb';
  const path = (name: string, give: (found: JsonValue | undefined) => Datum, result: SqlType) =>
    typedSignature(
      name,
      [type, textType],
      result,
      () =>
        ([json = null, ...steps]) =>
          give(follow(read(json), new ArrayValue(steps))),
      { variadic: true },
    );
  // PostgreSQL keeps a scalar of jsonb as an array with one element.
  const at = (whole: JsonValue, index: number): JsonValue | undefined =>
    type === jsonbType && !isJsonArray(whole) && !(whole instanceof JsonObject)
      ? elementOf([whole], index)
      : elementOf(whole, index);
  return [
    signature('->', [type, textType], type, (a, b) => value(memberOf(read(a), text(b)))),
    signature('->', [type, int4Type], type, (a, b) => value(at(read(a), b as number))),
    signature('->>', [type, textType], textType, (a, b) => asText(memberOf(read(a), text(b)))),
    signature('->>', [type, int4Type], textType, (a, b) => asText(at(read(a), b as number))),
    signature('#>', [type, textArray], type, (a, b) => value(follow(read(a), b))),
    signature('#>>', [type, textArray], textType, (a, b) => asText(follow(read(a), b))),
    path(`${prefix}_extract_path`, value, type),
    path(`${prefix}_extract_path_text`, asText, textType),
    signature(`${prefix}_typeof`, [type], textType, (a) => kindOf(read(a))),
    signature(`${prefix}_array_length`, [type], int4Type, (a) => arrayLength(read(a))),
    signature(`${prefix}_strip_nulls`, [type], type, (a) => print(stripNulls(read(a)))),
  ];
}

export function kindOf(value: JsonValue): string {
  if (value === null) return 'null';
  if (value instanceof JsonNumber) return 'number';
  if (value instanceof JsonObject) return 'object';
  return isJsonArray(value) ? 'array' : typeof value;
}

/** Throws 22023. */
function arrayLength(value: JsonValue): number {
  if (isJsonArray(value)) return value.length;
  throw new SqlError(
    '22023',
    value instanceof JsonObject
      ? 'cannot get array length of a non-array'
      : 'cannot get array length of a scalar',
  );
}

function stripNulls(value: JsonValue): JsonValue {
  if (isJsonArray(value)) return value.map(stripNulls);
  if (!(value instanceof JsonObject)) return value;
  return new JsonObject(
    value.members
      .filter((one) => one.value !== null)
      .map((one) => ({ key: one.key, value: stripNulls(one.value) })),
  );
}

/** @> */
function contains(a: JsonValue, b: JsonValue, top: boolean): boolean {
  if (a instanceof JsonObject) {
    if (!(b instanceof JsonObject)) return false;
    return b.members.every((one) => {
      const own = a.get(one.key);
      return own !== undefined && contains(own, one.value, false);
    });
  }
  if (isJsonArray(a)) {
    // At the top an array may contain a primitive that is one of its elements.
    const wanted = isJsonArray(b) ? b : top && !(b instanceof JsonObject) ? [b] : undefined;
    return wanted?.every((one) => a.some((own) => contains(own, one, false))) ?? false;
  }
  if (a instanceof JsonNumber)
    return b instanceof JsonNumber && compareNumeric(a.text, b.text) === 0;
  return a === b;
}

function hasKey(value: JsonValue, key: string): boolean {
  if (value instanceof JsonObject) return value.get(key) !== undefined;
  return isJsonArray(value) ? value.includes(key) : value === key;
}

/** || */
function concatenate(a: JsonValue, b: JsonValue): JsonValue {
  if (a instanceof JsonObject && b instanceof JsonObject)
    return sortedObject([...a.members, ...b.members]);
  const list = (value: JsonValue) => (isJsonArray(value) ? value : [value]);
  return [...list(a), ...list(b)];
}

/** Throws 22023. */
function withoutKeys(value: JsonValue, keys: readonly (string | null)[]): JsonValue {
  if (value instanceof JsonObject)
    return new JsonObject(value.members.filter((one) => !keys.includes(one.key)));
  if (isJsonArray(value))
    return value.filter((one) => typeof one !== 'string' || !keys.includes(one));
  throw new SqlError('22023', 'cannot delete from scalar');
}

/** Throws 22023. */
function withoutIndex(value: JsonValue, index: number): JsonValue {
  if (value instanceof JsonObject)
    throw new SqlError('22023', 'cannot delete from object using integer index');
  if (!isJsonArray(value)) throw new SqlError('22023', 'cannot delete from scalar');
  const at = index < 0 ? value.length + index : index;
  return value.filter((_one, i) => i !== at);
}

type Change =
  | { readonly kind: 'set'; readonly value: JsonValue; readonly create: boolean }
  | { readonly kind: 'insert'; readonly value: JsonValue; readonly after: boolean }
  | { readonly kind: 'delete' };

/** jsonb_set, jsonb_insert and #-: the value with a change at the end of a path. Throws 22P02, 22023. */
function changeAt(
  value: JsonValue,
  path: readonly (string | null)[],
  change: Change,
  depth = 0,
): JsonValue {
  const step = path[depth];
  if (step === undefined || step === null) return value;
  const last = depth === path.length - 1;
  // As PostgreSQL: a path into nothing is not looked at where nothing is added.
  const adds = change.kind === 'insert' || (change.kind === 'set' && change.create);
  if (depth === 0 && !adds && isEmpty(value)) return value;
  if (value instanceof JsonObject) {
    const own = value.get(step);
    if (!last)
      return own === undefined
        ? value
        : withMember(value, step, changeAt(own, path, change, depth + 1));
    if (change.kind === 'delete')
      return new JsonObject(value.members.filter((one) => one.key !== step));
    if (change.kind === 'insert') {
      if (own !== undefined)
        throw new SqlError('22023', 'cannot replace existing key', {
          hint: 'Try using the function jsonb_set to replace key value.',
        });
      return withMember(value, step, change.value);
    }
    return own !== undefined || change.create ? withMember(value, step, change.value) : value;
  }
  if (!isJsonArray(value)) return value;
  if (!/^\s*[+-]?\d+$/.test(step))
    throw new SqlError(
      '22P02',
      `path element at position ${depth + 1} is not an integer: "${step}"`,
    );
  const index = Number(step);
  const at = index < 0 ? value.length + index : index;
  const inside = at >= 0 && at < value.length;
  if (!last) {
    if (!inside) return value;
    return value.map((one, i) => (i === at ? changeAt(one, path, change, depth + 1) : one));
  }
  if (change.kind === 'delete') return value.filter((_one, i) => i !== at);
  if (change.kind === 'insert') {
    const place = !inside ? (at < 0 ? 0 : value.length) : change.after ? at + 1 : at;
    return [...value.slice(0, place), change.value, ...value.slice(place)];
  }
  if (inside) return value.map((one, i) => (i === at ? change.value : one));
  if (!change.create) return value;
  return at < 0 ? [change.value, ...value] : [...value, change.value];
}

function isEmpty(value: JsonValue): boolean {
  return value instanceof JsonObject
    ? value.members.length === 0
    : isJsonArray(value) && value.length === 0;
}

function withMember(object: JsonObject, key: string, value: JsonValue): JsonObject {
  return sortedObject([...object.members, { key, value }]);
}

/** Throws 22023. */
function checkContainer(value: JsonValue, message: string): JsonValue {
  if (value instanceof JsonObject || isJsonArray(value)) return value;
  throw new SqlError('22023', message);
}

function changes(): Signature[] {
  const set = (values: readonly Datum[]) => {
    const [json = null, path = null, replacement = null, create = true] = values;
    const value = checkContainer(readJsonb(text(json)), 'cannot set path in scalar');
    const change: Change = {
      kind: 'set',
      value: readJsonb(text(replacement)),
      create: create === true,
    };
    return formatJsonb(changeAt(value, pathOf(path), change));
  };
  const setLax = (values: readonly Datum[]) => {
    const [json = null, path = null, replacement = null] = values;
    const [create = true, treatment = 'use_json_null'] = values.slice(3);
    if (json === null || path === null || create === null) return null;
    if (replacement !== null) return set([json, path, replacement, create]);
    switch (treatment) {
      case null:
        throw new SqlError(
          '22023',
          'null_value_treatment must be "delete_key", "return_target", "use_json_null", or "raise_exception"',
        );
      case 'raise_exception':
        throw new SqlError('22004', 'JSON value must not be null', {
          detail: 'Exception was raised because null_value_treatment is "raise_exception".',
          hint: 'To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.',
        });
      case 'use_json_null':
        return set([json, path, 'null', create]);
      case 'delete_key':
        return formatJsonb(
          changeAt(
            checkContainer(readJsonb(text(json)), 'cannot delete path in scalar'),
            pathOf(path),
            {
              kind: 'delete',
            },
          ),
        );
      case 'return_target':
        return json;
      default:
        throw new SqlError(
          '22023',
          'null_value_treatment must be "delete_key", "return_target", "use_json_null", or "raise_exception"',
        );
    }
  };
  const insert = (values: readonly Datum[]) => {
    const [json = null, path = null, added = null, after = false] = values;
    const value = checkContainer(readJsonb(text(json)), 'cannot set path in scalar');
    const change: Change = { kind: 'insert', value: readJsonb(text(added)), after: after === true };
    return formatJsonb(changeAt(value, pathOf(path), change));
  };
  const j = jsonbType;
  return [
    manySignature('jsonb_set', [j, textArray, j], j, set),
    manySignature('jsonb_set', [j, textArray, j, boolType], j, set),
    ...[3, 4, 5].map((count) =>
      manySignature(
        'jsonb_set_lax',
        [j, textArray, j, boolType, textType].slice(0, count),
        j,
        setLax,
        { strict: false },
      ),
    ),
    manySignature('jsonb_insert', [j, textArray, j], j, insert),
    manySignature('jsonb_insert', [j, textArray, j, boolType], j, insert),
    signature('#-', [j, textArray], j, (a, b) =>
      formatJsonb(
        changeAt(checkContainer(readJsonb(text(a)), 'cannot delete path in scalar'), pathOf(b), {
          kind: 'delete',
        }),
      ),
    ),
    signature('jsonb_pretty', [j], textType, (a) => pretty(readJsonb(text(a)), 0)),
  ];
}

function pretty(value: JsonValue, depth: number): string {
  const indent = '    '.repeat(depth + 1);
  const end = '    '.repeat(depth);
  if (value instanceof JsonObject) {
    if (value.members.length === 0) return `{\n${end}}`;
    const members = value.members.map(
      (one) => `${indent}${quoteJson(one.key)}: ${pretty(one.value, depth + 1)}`,
    );
    return `{\n${members.join(',\n')}\n${end}}`;
  }
  if (!isJsonArray(value)) return formatJsonb(value);
  if (value.length === 0) return `[\n${end}]`;
  return `[\n${value.map((one) => `${indent}${pretty(one, depth + 1)}`).join(',\n')}\n${end}]`;
}

export const jsonOperators: readonly Signature[] = [
  ...forms.flatMap(accessors).filter((one) => /^\W/.test(one.name)),
  ...changes().filter((one) => /^\W/.test(one.name)),
  signature('@>', [jsonbType, jsonbType], boolType, (a, b) =>
    contains(readJsonb(text(a)), readJsonb(text(b)), true),
  ),
  signature('<@', [jsonbType, jsonbType], boolType, (a, b) =>
    contains(readJsonb(text(b)), readJsonb(text(a)), true),
  ),
  signature('?', [jsonbType, textType], boolType, (a, b) => hasKey(readJsonb(text(a)), text(b))),
  signature('?|', [jsonbType, textArray], boolType, (a, b) =>
    pathOf(b).some((key) => key !== null && hasKey(readJsonb(text(a)), key)),
  ),
  signature('?&', [jsonbType, textArray], boolType, (a, b) =>
    pathOf(b).every((key) => key === null || hasKey(readJsonb(text(a)), key)),
  ),
  signature('||', [jsonbType, jsonbType], jsonbType, (a, b) =>
    formatJsonb(concatenate(readJsonb(text(a)), readJsonb(text(b)))),
  ),
  signature('-', [jsonbType, textType], jsonbType, (a, b) =>
    formatJsonb(withoutKeys(readJsonb(text(a)), [text(b)])),
  ),
  signature('-', [jsonbType, textArray], jsonbType, (a, b) =>
    formatJsonb(withoutKeys(readJsonb(text(a)), pathOf(b))),
  ),
  signature('-', [jsonbType, int4Type], jsonbType, (a, b) =>
    formatJsonb(withoutIndex(readJsonb(text(a)), b as number)),
  ),
];

function nullKey(argument: number, binary: boolean): SqlError {
  return binary
    ? new SqlError('22023', `argument ${argument}: key must not be null`)
    : new SqlError('22023', `argument ${argument} cannot be null`, {
        hint: 'Object keys should be text.',
      });
}

/** Members from pairs of arguments. */
function builtObject(
  values: readonly Datum[],
  types: readonly SqlType[],
  context: TextContext,
  binary: boolean,
): string {
  if (values.length % 2 !== 0)
    throw new SqlError('22023', 'argument list must have even number of elements', {
      hint: 'The arguments of json_build_object() must consist of alternating keys and values.',
    });
  const members: string[] = [];
  for (let i = 0; i < values.length; i += 2) {
    const [keyType = textType, type = textType] = [types[i], types[i + 1]];
    const key = values[i] ?? null;
    if (key === null) throw nullKey(i + 1, binary);
    members.push(
      `${quoteJson(jsonKey(key, keyType, context))} : ${jsonWriter(type)(values[i + 1] ?? null, context)}`,
    );
  }
  return `{${members.join(', ')}}`;
}

function builders(binary: boolean): Signature[] {
  const type = binary ? jsonbType : jsonType;
  const prefix = binary ? 'jsonb' : 'json';
  const many = { strict: false, volatility: 'stable', variadic: true } as const;
  const none = { strict: false } as const;
  return [
    typedSignature(
      `${prefix}_build_object`,
      [anyType],
      type,
      ({ parameters }) =>
        (values, context) =>
          jsonDatum(builtObject(values, parameters, context, binary), binary),
      many,
    ),
    signature(`${prefix}_build_object`, [], type, () => '{}', none),
    typedSignature(
      `${prefix}_build_array`,
      [anyType],
      type,
      ({ parameters }) => {
        const writers = parameters.map((type) => jsonWriter(type));
        return (values, context) =>
          jsonDatum(`[${values.map((one, i) => writers[i]?.(one, context)).join(', ')}]`, binary);
      },
      many,
    ),
    signature(`${prefix}_build_array`, [], type, () => '[]', none),
    typedSignature(
      `to_${prefix}`,
      [anyelementType],
      type,
      ({ parameters }) => {
        const write = jsonWriter(parameters[0] ?? textType);
        return ([value = null], context) => jsonDatum(write(value, context), binary);
      },
      { volatility: 'stable' },
    ),
    signature(`${prefix}_object`, [textArray], type, (a) => {
      const { elements } = a as ArrayValue;
      if (elements.length % 2 !== 0)
        throw new SqlError('2202E', 'array must have even number of elements');
      const members: JsonMember[] = [];
      for (let i = 0; i < elements.length; i += 2)
        members.push(member(elements[i] ?? null, elements[i + 1] ?? null));
      return jsonDatum(objectText(members), binary);
    }),
    signature(`${prefix}_object`, [textArray, textArray], type, (a, b) => {
      const [keys, values] = [(a as ArrayValue).elements, (b as ArrayValue).elements];
      if (keys.length !== values.length) throw new SqlError('2202E', 'mismatched array dimensions');
      return jsonDatum(objectText(keys.map((key, i) => member(key, values[i] ?? null))), binary);
    }),
  ];
}

function member(key: Datum, value: Datum): JsonMember {
  if (key === null) throw new SqlError('22004', 'null value not allowed for object key');
  return { key: text(key), value: value === null ? null : text(value) };
}

function objectText(members: readonly JsonMember[]): string {
  return `{${members.map((one) => `${quoteJson(one.key)} : ${formatJsonb(one.value)}`).join(', ')}}`;
}

export const jsonFunctions: readonly Signature[] = [
  ...forms.flatMap(accessors).filter((one) => /^\w/.test(one.name)),
  ...changes().filter((one) => /^\w/.test(one.name)),
  ...builders(false),
  ...builders(true),
  ...[false, true].flatMap((hasStyle) => [
    typedSignature(
      'array_to_json',
      hasStyle ? [anyarrayType, boolType] : [anyarrayType],
      jsonType,
      ({ parameters }) => styled(parameters[0] ?? textType),
      { volatility: 'stable' },
    ),
    typedSignature(
      'row_to_json',
      hasStyle ? [recordType, boolType] : [recordType],
      jsonType,
      () => styled(recordType),
      { volatility: 'stable' },
    ),
  ]),
];

/** In the long style each member stands on a line of its own. */
function styled(type: SqlType): GeneralImplementation {
  const [short, long] = [jsonWriter(type), jsonWriter(type, '\n ')];
  return ([value = null, style = false], context) =>
    (style === true ? long : short)(value, context);
}
