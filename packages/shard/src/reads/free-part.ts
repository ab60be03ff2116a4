/** A scan meets something that it may not pass by: it ends before it, and the next one begins there. Pure. */
import { compareBytes, keySuccessor, type Span, spanContains } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Answer } from '../replica/answers.ts';

/** The part of a span that a scan meets before the first of some keys. */
export type FreePart<Obstacle> =
  | { readonly span: Span; readonly obstacle?: Obstacle }
  /** The obstacle comes first. */
  | { readonly span: undefined; readonly obstacle: Obstacle };

export function beforeObstacle<Obstacle extends { readonly key: Uint8Array }>(
  span: Span,
  obstacles: Iterable<Obstacle>,
  reverse: boolean,
): FreePart<Obstacle> {
  let first: Obstacle | undefined;
  for (const obstacle of obstacles) {
    if (!spanContains(span, obstacle.key)) continue;
    const order = first === undefined ? -1 : compareBytes(obstacle.key, first.key);
    if (first === undefined || (reverse ? order > 0 : order < 0)) first = obstacle;
  }
  if (first === undefined) return { span };
  const free: Span = reverse
    ? { startKey: keySuccessor(first.key), endKey: span.endKey }
    : { startKey: span.startKey, endKey: first.key };
  if (compareBytes(free.startKey, free.endKey) >= 0) return { span: undefined, obstacle: first };
  return { span: free, obstacle: first };
}

/** The answer of a scan of the part before an obstacle: the next one begins with it. */
export function resumeAt(
  answer: Answer,
  { key }: { readonly key: Uint8Array },
  reverse: boolean,
): Answer {
  return { scan: { ...answer.scan, resumeKey: reverse ? keySuccessor(key) : key } };
}

/** The answer of a scan that stopped behind a row: the next one begins there. */
export function resumeAfter(
  found: flotilla.kv.ScanResponse.$Properties,
  last: Uint8Array,
  reverse: boolean,
): Answer {
  return resumeAt({ scan: found }, { key: reverse ? last : keySuccessor(last) }, false);
}
