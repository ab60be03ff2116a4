/** What joins of two inputs cost beside the inputs themselves, in rows of a scan. Guesses that decide between plans. */
import type { PhysicalJoinType } from '../execute/join.ts';
import { filteredKeysMax } from '../execute/push/key-filter.ts';
import { workMemoryBytes } from '../limits.ts';
import { sortCost } from './choose-path.ts';

/** A row that goes into a hash table, or is looked up there. */
const hashCost = 0.5;
/** A row of either side of a merge. */
const mergeCost = 0.2;
/** A row that goes to a file and comes back. */
const spillCost = 1.5;
/** A row that a store reads, and leaves out by a filter of keys: what it is cheaper than one that is sent. */
const filteredGain = 0.7;
/** Fewer rows than this are not filtered. */
const filteredRowsMin = 500;
/** Rows that memory has room for, of middling width. */
const rowsInMemory = (workMemoryBytes * 0.75) / 128;

export interface JoinSize {
  readonly type: PhysicalJoinType;
  readonly left: number;
  readonly right: number;
  /** Rows that come out. */
  readonly rows: number;
}

export function hashJoinCost({ type, left, right }: Omit<JoinSize, 'rows'>): number {
  const held = type === 'inner' ? Math.min(left, right) : right;
  const each = hashCost + (isLarge(held) ? spillCost : 0);
  return (left + right) * each;
}

/**
 * Of inputs that are in order. What a hash join would spare is counted as its cost: the bigger side's rows that match nothing are
 * not even sent.
 */
export function mergeJoinCost({ type, left, right, rows }: JoinSize): number {
  const [most, least] = [Math.max(left, right), Math.min(left, right)];
  const filters = type === 'inner' && least <= filteredKeysMax && most >= filteredRowsMin;
  const spared = filters ? Math.max(0, most - rows) * filteredGain : 0;
  return (left + right) * mergeCost + spared;
}

/** Bringing an input in order. */
export function sortingCost(rows: number): number {
  return sortCost(rows, undefined) + (isLarge(rows) ? rows * spillCost : 0);
}

/** Whether a side of a join has more rows than memory. */
export function isLarge(rows: number): boolean {
  return rows > rowsInMemory;
}
