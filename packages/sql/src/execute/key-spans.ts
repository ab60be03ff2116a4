/** From the values of an access path, once they are known, to keys and spans of the key space. Reads nothing. */
import { compareBytes, prefixEnd, type Span } from '@flotilla/base';
import { likePrefix } from '../functions/like.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { CompiledBound, TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { ArrayValue } from '../types/values.ts';

/** The key where every key column has one value, as in a point lookup; undefined where one of them is NULL. */
export function pointKey(scan: TableScan, evaluation: EvalContext): Uint8Array | undefined {
  const values: Datum[] = [];
  for (const one of scan.equals) {
    const value = one.kind === 'values' ? (one.values[0]?.([], evaluation) ?? null) : null;
    if (value === null) return undefined;
    values.push(value);
  }
  return scan.store.prefixKey(values);
}

/** The keys of a point access, in key order or reverse, each once. A NULL equals nothing. */
export function pointKeys(scan: TableScan, evaluation: EvalContext): Uint8Array[] {
  const keys = prefixes(scan, evaluation).map((values) => keyAt(scan, values));
  if (keys.length < 2) return keys;
  keys.sort(scan.reverse ? (a, b) => compareBytes(b, a) : compareBytes);
  return keys.filter((key, i) => i === 0 || compareBytes(key, keys[i - 1] ?? key) !== 0);
}

/** Disjoint spans in key order, or reverse. */
export function keySpans(scan: TableScan, evaluation: EvalContext): Span[] {
  const bounds: Bounds = {
    lower: boundValue(scan.lower, evaluation),
    upper: boundValue(scan.upper, evaluation),
    pattern: scan.pattern?.([], evaluation),
  };
  if (bounds.lower === null || bounds.upper === null || bounds.pattern === null) return [];
  const spans: Span[] = [];
  for (const values of prefixes(scan, evaluation)) {
    const span = spanOf(scan, values, bounds);
    if (span !== undefined && compareBytes(span.startKey, span.endKey) < 0) spans.push(span);
  }
  if (spans.length < 2) return spans;
  spans.sort((a, b) => compareBytes(a.startKey, b.startKey));
  const distinct = spans.filter(
    (span, i) =>
      i === 0 || compareBytes(span.startKey, spans[i - 1]?.startKey ?? span.startKey) !== 0,
  );
  return scan.reverse ? distinct.reverse() : distinct;
}

/** Every combination of the values that the first key columns may have. */
function prefixes(scan: TableScan, evaluation: EvalContext): Datum[][] {
  let combinations: Datum[][] = [[]];
  for (const one of scan.equals) {
    const values = alternatives(one, evaluation);
    combinations = combinations.flatMap((head) => values.map((value) => [...head, value]));
  }
  return combinations;
}

function alternatives(one: TableScan['equals'][number], evaluation: EvalContext): readonly Datum[] {
  switch (one.kind) {
    case 'null':
      return [null];
    case 'array': {
      const array = one.array([], evaluation);
      return array instanceof ArrayValue ? array.elements.filter((value) => value !== null) : [];
    }
    case 'values':
      return one.values
        .map((evaluate) => evaluate([], evaluation))
        .filter((value) => value !== null);
  }
}

/** Where the values of the first columns are, in the key that the scan reads. */
function keyAt({ store, index }: TableScan, values: readonly Datum[]): Uint8Array {
  return index === undefined ? store.prefixKey(values) : index.store.columnsKey(values);
}

interface Bounds {
  readonly lower: Datum | undefined;
  readonly upper: Datum | undefined;
  readonly pattern: Datum | undefined;
}

/** What the bounds leave of the entries with these values: a bound on one side leaves out the NULLs on the other. */
function spanOf(scan: TableScan, values: readonly Datum[], bounds: Bounds): Span | undefined {
  const { lower, upper, pattern } = bounds;
  const prefix = keyAt(scan, values);
  let startKey: Uint8Array | undefined = prefix;
  let endKey = prefixEnd(prefix);
  const part = scan.parts[values.length];
  const keyOf = (value: Datum) => keyAt(scan, [...values, value]);
  if (pattern !== undefined && likePrefix(String(pattern)) !== '') {
    const key = keyOf(likePrefix(String(pattern)));
    // Without the two bytes that end a text, in either direction.
    startKey = key.subarray(0, key.length - 2);
    endKey = prefixEnd(startKey);
  } else if (part !== undefined) {
    const least = { value: lower, inclusive: scan.lower?.inclusive === true };
    const most = { value: upper, inclusive: scan.upper?.inclusive === true };
    const [low, high] = part.descending ? [most, least] : [least, most];
    const refusesNull =
      part.nullable &&
      (lower !== undefined || upper !== undefined || pattern !== undefined || scan.access.notNull);
    if (low.value !== undefined) {
      const key = keyOf(low.value);
      startKey = low.inclusive ? key : prefixEnd(key);
    } else if (refusesNull && part.nullsFirst) startKey = prefixEnd(keyOf(null));
    if (high.value !== undefined) {
      const key = keyOf(high.value);
      endKey = high.inclusive ? prefixEnd(key) : key;
    } else if (refusesNull && !part.nullsFirst) endKey = keyOf(null);
  }
  return startKey === undefined || endKey === undefined ? undefined : { startKey, endKey };
}

/** undefined = no bound; null = a bound that nothing meets. */
function boundValue(bound: CompiledBound | undefined, evaluation: EvalContext): Datum | undefined {
  return bound === undefined ? undefined : bound.evaluate([], evaluation);
}
