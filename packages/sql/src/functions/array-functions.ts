/** Operators and functions over arrays, as signatures. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { comparatorOf, isOrdered } from '../types/compare.ts';
import {
  anyarrayType,
  anycompatiblearrayType,
  anycompatibleType,
  anyelementType,
  arrayTypeOf,
  boolType,
  int4Type,
  type SqlType,
  textType,
} from '../types/type.ts';
import { type ArrayDimension, ArrayValue, emptyArray } from '../types/values.ts';
import { type CallTypes, type Signature, signature, typedSignature } from './signature.ts';

const textArray: SqlType = arrayTypeOf(textType) ?? textType;
const intArray: SqlType = arrayTypeOf(int4Type) ?? int4Type;
const array = (value: Datum | undefined): ArrayValue => value as ArrayValue;
const lax = { strict: false } as const;

type Same = (a: Datum, b: Datum) => boolean;

/** Equality of elements; NULLs are equal to each other where `nulls`. Throws 42883. */
function sameElement(type: SqlType | undefined, nulls: boolean): Same {
  const element = type?.element;
  if (element === undefined || !isOrdered(element))
    throw new SqlError(
      '42883',
      `could not identify an equality operator for type ${element?.display ?? type?.display}`,
    );
  const compare = comparatorOf(element);
  return (a, b) => (a === null || b === null ? nulls && a === b : compare(a, b) === 0);
}

function relation(
  name: string,
  test: (a: ArrayValue, b: ArrayValue, same: Same) => boolean,
): Signature {
  return typedSignature(name, [anyarrayType, anyarrayType], boolType, ({ parameters }) => {
    const same = sameElement(parameters[0], false);
    return ([a, b]) => test(array(a), array(b), same);
  });
}

function containsAll(a: ArrayValue, b: ArrayValue, same: Same): boolean {
  return b.elements.every((wanted) => a.elements.some((own) => same(own, wanted)));
}

/** Joins along the first dimension. Throws 2202E. */
export function concatenateArrays(a: ArrayValue, b: ArrayValue): ArrayValue {
  if (a.dimensions.length === 0) return b;
  if (b.dimensions.length === 0) return a;
  const [first, second] = [a.dimensions[0], b.dimensions[0]];
  if (first === undefined || second === undefined) return a;
  const bad = (detail: string) =>
    new SqlError('2202E', 'cannot concatenate incompatible arrays', { detail });
  const tail = (one: ArrayValue, from: number) =>
    one.dimensions
      .slice(from)
      .map((d) => d.length)
      .join();
  if (a.dimensions.length === b.dimensions.length) {
    if (tail(a, 1) !== tail(b, 1))
      throw bad('Arrays with differing element dimensions are not compatible for concatenation.');
    return new ArrayValue(
      [...a.elements, ...b.elements],
      [{ length: first.length + second.length, lower: first.lower }, ...a.dimensions.slice(1)],
    );
  }
  const [large, small] = a.dimensions.length > b.dimensions.length ? [a, b] : [b, a];
  if (large.dimensions.length !== small.dimensions.length + 1)
    throw bad(
      `Arrays of ${a.dimensions.length} and ${b.dimensions.length} dimensions are not compatible for concatenation.`,
    );
  if (tail(large, 1) !== tail(small, 0))
    throw bad('Arrays with differing dimensions are not compatible for concatenation.');
  const outer = large.dimensions[0] ?? { length: 0, lower: 1 };
  return new ArrayValue(
    [...a.elements, ...b.elements],
    [{ length: outer.length + 1, lower: outer.lower }, ...large.dimensions.slice(1)],
  );
}

/** Throws 22000. */
function withElement(value: Datum, element: Datum, atEnd: boolean): ArrayValue {
  const own = value === null ? emptyArray : array(value);
  if (own.dimensions.length > 1)
    throw new SqlError('22000', 'argument must be empty or one-dimensional array');
  const lower = own.dimensions[0]?.lower ?? 1;
  const elements = atEnd ? [...own.elements, element] : [element, ...own.elements];
  return new ArrayValue(elements, [{ length: elements.length, lower }]);
}

export const arrayOperators: readonly Signature[] = [
  relation('@>', containsAll),
  relation('<@', (a, b, same) => containsAll(b, a, same)),
  relation('&&', (a, b, same) =>
    a.elements.some((one) => b.elements.some((other) => same(one, other))),
  ),
  signature(
    '||',
    [anycompatiblearrayType, anycompatiblearrayType],
    anycompatiblearrayType,
    (a, b) => (a === null ? b : b === null ? a : concatenateArrays(array(a), array(b))),
    lax,
  ),
  signature(
    '||',
    [anycompatiblearrayType, anycompatibleType],
    anycompatiblearrayType,
    (a, b) => withElement(a, b, true),
    lax,
  ),
  signature(
    '||',
    [anycompatibleType, anycompatiblearrayType],
    anycompatiblearrayType,
    (a, b) => withElement(b, a, false),
    lax,
  ),
];

function dimensionOf(value: Datum, dimension: Datum): ArrayDimension | undefined {
  return array(value).dimensions[(dimension as number) - 1];
}

/** Elements one by one over a one-dimensional array. Throws 0A000. */
function single(value: ArrayValue, what: string): ArrayValue {
  if (value.dimensions.length > 1)
    throw new SqlError('0A000', `${what} multidimensional arrays is not supported`);
  return value;
}

function positions({ parameters }: CallTypes, value: ArrayValue, wanted: Datum): number[] {
  const same = sameElement(parameters[0], true);
  const lower = single(value, 'searching for elements in').dimensions[0]?.lower ?? 1;
  return value.elements.flatMap((one, i) => (same(one, wanted) ? [lower + i] : []));
}

function joinTexts(
  types: CallTypes,
): (
  values: readonly Datum[],
  context: Parameters<NonNullable<SqlType['codec']>['format']>[1],
) => Datum {
  const element = types.parameters[0]?.element;
  return ([value = null, separator = null, nullText = null], context) => {
    if (value === null || separator === null) return null;
    const parts = array(value).elements.flatMap((one) =>
      one === null
        ? nullText === null
          ? []
          : [nullText as string]
        : [element?.codec?.format(one, context) ?? ''],
    );
    return parts.join(separator as string);
  };
}

function splitText(text: Datum, separator: Datum, nullText: Datum): Datum {
  if (text === null) return null;
  const whole = text as string;
  if (whole === '') return emptyArray;
  const parts =
    separator === null ? [...whole] : separator === '' ? [whole] : whole.split(separator as string);
  return new ArrayValue(parts.map((part) => (part === nullText ? null : part)));
}

/** Throws 2202E, 22004. */
function filled(value: Datum, lengths: Datum, lowers: Datum): Datum {
  if (lengths === null)
    throw new SqlError('22004', 'dimension array or low bound array cannot be null');
  const sizes = array(lengths).elements as readonly number[];
  const starts = lowers === null ? undefined : (array(lowers).elements as readonly number[]);
  const total = sizes.reduce((product, size) => product * size, sizes.length === 0 ? 0 : 1);
  if (total === 0) return emptyArray;
  if (total > 10_000_000 || sizes.some((size) => size < 0))
    throw new SqlError('54000', 'array size exceeds the maximum allowed');
  return new ArrayValue(
    new Array<Datum>(total).fill(value),
    sizes.map((length, i) => ({ length, lower: starts?.[i] ?? 1 })),
  );
}

/** Throws 2202E. */
function trimmed(value: ArrayValue, count: number): ArrayValue {
  const outer = value.dimensions[0];
  const length = outer?.length ?? 0;
  if (count < 0 || count > length)
    throw new SqlError('2202E', `number of elements to trim must be between 0 and ${length}`);
  if (outer === undefined || count === length) return emptyArray;
  const kept = length - count;
  return new ArrayValue(value.elements.slice(0, (value.elements.length / length) * kept), [
    { length: kept, lower: 1 },
    ...value.dimensions.slice(1).map((one) => ({ length: one.length, lower: 1 })),
  ]);
}

const e = anycompatibleType;
const arr = anycompatiblearrayType;

export const arrayFunctions: readonly Signature[] = [
  signature('array_append', [arr, e], arr, (a, b) => withElement(a, b, true), lax),
  signature('array_prepend', [e, arr], arr, (a, b) => withElement(b, a, false), lax),
  signature(
    'array_cat',
    [arr, arr],
    arr,
    (a, b) => (a === null ? b : b === null ? a : concatenateArrays(array(a), array(b))),
    lax,
  ),
  signature(
    'array_length',
    [anyarrayType, int4Type],
    int4Type,
    (a, b) => dimensionOf(a, b)?.length ?? null,
  ),
  signature(
    'array_lower',
    [anyarrayType, int4Type],
    int4Type,
    (a, b) => dimensionOf(a, b)?.lower ?? null,
  ),
  signature('array_upper', [anyarrayType, int4Type], int4Type, (a, b) => {
    const own = dimensionOf(a, b);
    return own === undefined ? null : own.lower + own.length - 1;
  }),
  signature('array_ndims', [anyarrayType], int4Type, (a) => array(a).dimensions.length || null),
  signature('array_dims', [anyarrayType], textType, (a) => {
    const { dimensions } = array(a);
    if (dimensions.length === 0) return null;
    return dimensions.map((one) => `[${one.lower}:${one.lower + one.length - 1}]`).join('');
  }),
  signature('cardinality', [anyarrayType], int4Type, (a) => array(a).elements.length),
  typedSignature(
    'array_position',
    [arr, e],
    int4Type,
    (types) =>
      ([value = null, wanted = null]) =>
        value === null ? null : (positions(types, array(value), wanted)[0] ?? null),
    lax,
  ),
  typedSignature(
    'array_position',
    [arr, e, int4Type],
    int4Type,
    (types) =>
      ([value = null, wanted = null, start = null]) => {
        if (value === null) return null;
        if (start === null) throw new SqlError('22004', 'initial position must not be null');
        return positions(types, array(value), wanted).find((at) => at >= (start as number)) ?? null;
      },
    lax,
  ),
  typedSignature(
    'array_positions',
    [arr, e],
    intArray,
    (types) =>
      ([value = null, wanted = null]) =>
        value === null ? null : new ArrayValue(positions(types, array(value), wanted)),
    lax,
  ),
  typedSignature(
    'array_remove',
    [arr, e],
    arr,
    ({ parameters }) => {
      const same = sameElement(parameters[0], true);
      return ([value = null, unwanted = null]) =>
        value === null
          ? null
          : new ArrayValue(
              single(array(value), 'removing elements from').elements.filter(
                (one) => !same(one, unwanted),
              ),
            );
    },
    lax,
  ),
  typedSignature(
    'array_replace',
    [arr, e, e],
    arr,
    ({ parameters }) => {
      const same = sameElement(parameters[0], true);
      return ([value = null, from = null, to = null]) =>
        value === null
          ? null
          : new ArrayValue(
              array(value).elements.map((one) => (same(one, from) ? to : one)),
              array(value).dimensions,
            );
    },
    lax,
  ),
  typedSignature('array_to_string', [anyarrayType, textType], textType, joinTexts, {
    volatility: 'stable',
  }),
  typedSignature('array_to_string', [anyarrayType, textType, textType], textType, joinTexts, {
    ...lax,
    volatility: 'stable',
  }),
  signature(
    'string_to_array',
    [textType, textType],
    textArray,
    (a, b) => splitText(a, b, null),
    lax,
  ),
  signature('string_to_array', [textType, textType, textType], textArray, splitText, lax),
  signature(
    'array_fill',
    [anyelementType, intArray],
    anyarrayType,
    (a, b) => filled(a, b, null),
    lax,
  ),
  signature('array_fill', [anyelementType, intArray, intArray], anyarrayType, filled, lax),
  signature('trim_array', [anyarrayType, int4Type], anyarrayType, (a, b) =>
    trimmed(array(a), b as number),
  ),
];
