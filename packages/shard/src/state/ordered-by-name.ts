/** A map from names of keys (`nameOf`: their order is that of the bytes) that can be walked within a span, in order. */
import type { Span } from '@flotilla/base';
import BTreeModule from 'sorted-btree';
import { nameOf } from './transaction-rows.ts';

// The library is CommonJS, and its class sits one level deeper than a default import reaches.
const BTree: typeof BTreeModule.default = BTreeModule.default ?? BTreeModule;

export type OrderedByName<Value> = BTreeModule.default<string, Value>;

export function orderedByName<Value>(): OrderedByName<Value> {
  return new BTree<string, Value>(undefined, compareNames);
}

/** What one of two maps names within the span, each once. Neither may change on the way. */
export function* namesWithin(
  { startKey, endKey }: Span,
  maps: readonly [OrderedByName<unknown>, OrderedByName<unknown>],
  reverse: boolean,
): Iterable<string> {
  const [low, high] = [nameOf(startKey), nameOf(endKey)];
  const [one, other] = maps.map((map) =>
    reverse ? map.entriesReversed(high, undefined, true) : map.entries(low),
  ) as [Entries, Entries];
  let a = nameFrom(one);
  let b = nameFrom(other);
  for (;;) {
    const name = firstOf(a, b, reverse);
    if (name === undefined || (reverse ? name < low : name >= high)) return;
    yield name;
    if (a === name) a = nameFrom(one);
    if (b === name) b = nameFrom(other);
  }
}

function firstOf(
  a: string | undefined,
  b: string | undefined,
  reverse: boolean,
): string | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return a < b === reverse ? b : a;
}

type Entries = IterableIterator<readonly [string, unknown]>;

function nameFrom(entries: Entries): string | undefined {
  const next = entries.next();
  return next.done === true ? undefined : next.value[0];
}

function compareNames(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
