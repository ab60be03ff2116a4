/** Building arrays and taking them apart: constructors, subscripts, slices. Pure. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { dimensionsMax } from '../types/array.ts';
import { type ArrayDimension, ArrayValue, emptyArray } from '../types/values.ts';

/** ARRAY[…] over arrays: one dimension more. NULLs among them count as empty. Throws 2202E, 54000. */
export function nestArrays(values: readonly Datum[]): ArrayValue {
  const arrays = values.map((one) => (one === null ? emptyArray : (one as ArrayValue)));
  const [first] = arrays;
  if (first === undefined || arrays.every((one) => one.elements.length === 0)) return emptyArray;
  const same = (one: ArrayValue) =>
    one.dimensions.length === first.dimensions.length &&
    one.dimensions.every((own, i) => own.length === first.dimensions[i]?.length);
  if (!arrays.every(same))
    throw new SqlError(
      '2202E',
      'multidimensional arrays must have array expressions with matching dimensions',
    );
  if (first.dimensions.length >= dimensionsMax)
    throw new SqlError(
      '54000',
      `number of array dimensions (${first.dimensions.length + 1}) exceeds the maximum allowed (${dimensionsMax})`,
    );
  return new ArrayValue(
    arrays.flatMap((one) => one.elements),
    [{ length: arrays.length, lower: 1 }, ...first.dimensions],
  );
}

/** One element; NULL for anything outside. */
export function arrayElement(array: ArrayValue, subscripts: readonly number[]): Datum {
  const { dimensions, elements } = array;
  if (subscripts.length !== dimensions.length) return null;
  let offset = 0;
  for (let i = 0; i < dimensions.length; i++) {
    const { length, lower } = dimensions[i] ?? { length: 0, lower: 1 };
    const at = (subscripts[i] ?? 0) - lower;
    if (at < 0 || at >= length) return null;
    offset = offset * length + at;
  }
  return elements[offset] ?? null;
}

export interface SliceBound {
  /** Undefined: from the beginning, to the end. */
  readonly lower: number | undefined;
  readonly upper: number | undefined;
}

/** The part between bounds; its subscripts begin at 1. Empty where it holds nothing. */
export function arraySlice(array: ArrayValue, bounds: readonly SliceBound[]): ArrayValue {
  const { dimensions } = array;
  if (bounds.length > dimensions.length) return emptyArray;
  const spans = dimensions.map(({ length, lower }, i) => {
    const bound = bounds[i];
    const from = Math.max(bound?.lower ?? lower, lower);
    const to = Math.min(bound?.upper ?? lower + length - 1, lower + length - 1);
    return { from: from - lower, length: to - from + 1 };
  });
  if (spans.some((span) => span.length <= 0) || spans.length === 0) return emptyArray;
  const elements: Datum[] = [];
  const walk = (depth: number, base: number) => {
    const span = spans[depth];
    const dimension = dimensions[depth];
    if (span === undefined || dimension === undefined) return;
    for (let i = 0; i < span.length; i++) {
      const at = base * dimension.length + span.from + i;
      if (depth === dimensions.length - 1) elements.push(array.elements[at] ?? null);
      else walk(depth + 1, at);
    }
  };
  walk(0, 0);
  const shape: ArrayDimension[] = spans.map((span) => ({ length: span.length, lower: 1 }));
  return new ArrayValue(elements, shape);
}
