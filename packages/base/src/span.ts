/** Half-open spans of keys `[startKey, endKey)`. The key space runs from the empty key to `keyMax`, exclusive. */
import { compareBytes } from './bytes.ts';

/** Above every key that may be stored. As an end key it means "to the end of the key space". */
export const keyMax: Uint8Array = Uint8Array.of(0xff, 0xff);

export interface Span {
  readonly startKey: Uint8Array;
  /** Exclusive; greater than startKey. */
  readonly endKey: Uint8Array;
}

export function spanContains(span: Span, key: Uint8Array): boolean {
  return compareBytes(span.startKey, key) <= 0 && compareBytes(key, span.endKey) < 0;
}

export function spanContainsSpan(outer: Span, inner: Span): boolean {
  return (
    compareBytes(outer.startKey, inner.startKey) <= 0 &&
    compareBytes(inner.endKey, outer.endKey) <= 0
  );
}

export function spansOverlap(a: Span, b: Span): boolean {
  return compareBytes(a.startKey, b.endKey) < 0 && compareBytes(b.startKey, a.endKey) < 0;
}

/** The common part, or undefined where there is none. */
export function spanIntersection(a: Span, b: Span): Span | undefined {
  const startKey = compareBytes(a.startKey, b.startKey) >= 0 ? a.startKey : b.startKey;
  const endKey = compareBytes(a.endKey, b.endKey) <= 0 ? a.endKey : b.endKey;
  return compareBytes(startKey, endKey) < 0 ? { startKey, endKey } : undefined;
}
