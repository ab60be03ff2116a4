/** Assignments to elements and slices of arrays, and into jsonb: `SET a[2] = …`, `SET j['k'] = …`. Pure. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import {
  formatJsonb,
  isJsonArray,
  JsonObject,
  type JsonValue,
  readJsonb,
  sortedObject,
} from '../types/json.ts';
import { type ArrayDimension, ArrayValue } from '../types/values.ts';
import type { SliceBound } from './array-values.ts';

/** PostgreSQL's MaxArraySize, in elements of eight bytes. */
const elementsMax = 134_217_727;

function subscriptError(message: string): SqlError {
  return new SqlError('2202E', message);
}

/** The array with other elements from `at` on in one dimension, NULLs where a gap would be. */
function extended(
  array: ArrayValue,
  from: number,
  to: number,
): { readonly elements: Datum[]; readonly lower: number } {
  const [dimension] = array.dimensions;
  const { lower, length } = dimension ?? { lower: from, length: 0 };
  const first = Math.min(lower, from);
  const last = Math.max(lower + length - 1, to);
  if (last - first + 1 > elementsMax)
    throw new SqlError('54000', `array size exceeds the maximum allowed (${elementsMax})`);
  const elements: Datum[] = new Array<Datum>(last - first + 1).fill(null);
  for (let i = 0; i < length; i++) elements[lower - first + i] = array.elements[i] ?? null;
  return { elements, lower: first };
}

/** Throws 2202E, 54000. */
export function assignElement(
  array: ArrayValue,
  subscripts: readonly number[],
  value: Datum,
): ArrayValue {
  const { dimensions } = array;
  if (dimensions.length === 0)
    return new ArrayValue(
      [value],
      subscripts.map((lower) => ({ length: 1, lower })),
    );
  if (dimensions.length !== subscripts.length)
    throw subscriptError('wrong number of array subscripts');
  const [only = 1] = subscripts;
  if (dimensions.length === 1) {
    const { elements, lower } = extended(array, only, only);
    elements[only - lower] = value;
    return new ArrayValue(elements, [{ length: elements.length, lower }]);
  }
  let offset = 0;
  dimensions.forEach(({ length, lower }, i) => {
    const at = (subscripts[i] ?? 0) - lower;
    if (at < 0 || at >= length) throw subscriptError('array subscript out of range');
    offset = offset * length + at;
  });
  const elements = [...array.elements];
  elements[offset] = value;
  return new ArrayValue(elements, dimensions);
}

/** Throws 2202E, 54000. */
export function assignSlice(
  array: ArrayValue,
  bounds: readonly SliceBound[],
  source: ArrayValue,
): ArrayValue {
  const { dimensions } = array;
  const empty = dimensions.length === 0;
  if (!empty && dimensions.length < bounds.length)
    throw subscriptError('wrong number of array subscripts');
  const spans = (empty ? bounds : dimensions).map((_one, i) => {
    const [bound, own] = [bounds[i], dimensions[i]];
    if (own === undefined && (bound?.lower === undefined || bound.upper === undefined))
      throw subscriptError('array slice subscript must provide both boundaries');
    const from = bound?.lower ?? own?.lower ?? 1;
    const to = bound?.upper ?? (own === undefined ? 0 : own.lower + own.length - 1);
    if (dimensions.length !== 1 && to < from)
      throw subscriptError('upper bound cannot be less than lower bound');
    if (dimensions.length > 1 && own !== undefined)
      if (from < own.lower || to > own.lower + own.length - 1)
        throw subscriptError('array subscript out of range');
    return { from, to };
  });
  const wanted = spans.reduce((product, { from, to }) => product * Math.max(0, to - from + 1), 1);
  if (source.elements.length < wanted) throw subscriptError('source array too small');
  if (empty) {
    const shape: ArrayDimension[] = spans.map(({ from, to }) => ({
      length: to - from + 1,
      lower: from,
    }));
    return new ArrayValue(source.elements.slice(0, wanted), shape);
  }
  const [span] = spans;
  if (dimensions.length === 1 && span !== undefined) {
    if (span.to < span.from) throw subscriptError('upper bound cannot be less than lower bound');
    const { elements, lower } = extended(array, span.from, span.to);
    for (let i = 0; i < wanted; i++) elements[span.from - lower + i] = source.elements[i] ?? null;
    return new ArrayValue(elements, [{ length: elements.length, lower }]);
  }
  const elements = [...array.elements];
  let next = 0;
  const walk = (depth: number, base: number): void => {
    const [own, part] = [dimensions[depth], spans[depth]];
    if (own === undefined || part === undefined) return;
    for (let at = part.from; at <= part.to; at++) {
      const offset = base * own.length + at - own.lower;
      if (depth === dimensions.length - 1) elements[offset] = source.elements[next++] ?? null;
      else walk(depth + 1, offset);
    }
  };
  walk(0, 0);
  return new ArrayValue(elements, dimensions);
}

/** Sets what the path leads to, making what is missing on the way. Throws 22023. */
export function assignJson(json: Datum, path: readonly (string | number)[], value: Datum): string {
  const old = json === null ? undefined : readJsonb(json as string);
  const wanted = value === null ? null : readJsonb(value as string);
  return formatJsonb(placed(old, path, 0, wanted));
}

function placed(
  old: JsonValue | undefined,
  path: readonly (string | number)[],
  depth: number,
  value: JsonValue,
): JsonValue {
  const step = path[depth];
  if (step === undefined) return value;
  const inner = (member: JsonValue | undefined) => placed(member, path, depth + 1, value);
  if (old instanceof JsonObject)
    return sortedObject([
      ...old.members.filter(({ key }) => key !== String(step)),
      { key: String(step), value: inner(old.get(String(step))) },
    ]);
  if (old === undefined || old === null) {
    if (old === null && depth > 0) throw notComposite();
    if (typeof step === 'string') return new JsonObject([{ key: step, value: inner(undefined) }]);
    return withElement([], step, depth, inner);
  }
  if (!isJsonArray(old)) throw notComposite();
  if (typeof step === 'number') return withElement(old, step, depth, inner);
  if (!/^\s*[+-]?\d+$/.test(step))
    throw new SqlError(
      '22P02',
      `path element at position ${depth + 1} is not an integer: "${step}"`,
    );
  return withElement(old, Number(step), depth, inner);
}

function notComposite(): SqlError {
  return new SqlError('22023', 'cannot replace existing key', {
    detail: 'The path assumes key is a composite object, but it is a scalar value.',
  });
}

function withElement(
  list: readonly JsonValue[],
  step: number,
  depth: number,
  inner: (member: JsonValue | undefined) => JsonValue,
): JsonValue {
  const at = step < 0 ? list.length + step : step;
  if (at < 0)
    throw new SqlError('22023', `path element at position ${depth + 1} is out of range: ${step}`);
  if (at > elementsMax) throw new SqlError('54000', 'jsonb array would have too many elements');
  const next: JsonValue[] = [...list];
  while (next.length < at) next.push(null);
  next[at] = inner(list[at]);
  return next;
}
