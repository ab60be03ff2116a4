/**
 * Branded identifiers. A plain number becomes an id only through its `toX`, which checks it; arithmetic on ids gives a
 * plain number again. All ids, indices and timestamps are safe integers (below 2^53), so they travel as JS numbers.
 */
import { assert } from './assert.ts';

declare const tag: unique symbol;
export type Branded<Base, Name extends string> = Base & { readonly [tag]: Name };

/** Election epoch. Unit: elections, from 0. Never falls on one replica. Raft Fig. 2 `currentTerm`. */
export type Term = Branded<number, 'Term'>;
/** Position in one group's log. The first entry is 1; 0 is "before the log". */
export type LogIndex = Branded<number, 'LogIndex'>;
/** One store process and its disk. From 1. Given once; a wiped disk comes back under a new id. */
export type StoreId = Branded<number, 'StoreId'>;
/** One Raft group, which is one range of the key space. From 1. */
export type RangeId = Branded<number, 'RangeId'>;
/** One member of one group. From 1, unique within its range, never used again after removal. */
export type ReplicaId = Branded<number, 'ReplicaId'>;
/** Hybrid logical clock reading: milliseconds since 2020-01-01 UTC times 4096, plus a 12-bit counter. 0 = never. */
export type Timestamp = Branded<number, 'Timestamp'>;

function checked(name: string, n: number, least: number): number {
  if (!(Number.isSafeInteger(n) && n >= least))
    assert(false, `${name} is a safe integer >= ${least}`, { n }); // built only on failure: a hot path
  return n;
}

export function toTerm(n: number): Term {
  return checked('term', n, 0) as Term;
}
export function toLogIndex(n: number): LogIndex {
  return checked('log index', n, 0) as LogIndex;
}
export function toStoreId(n: number): StoreId {
  return checked('store id', n, 1) as StoreId;
}
export function toRangeId(n: number): RangeId {
  return checked('range id', n, 1) as RangeId;
}
export function toReplicaId(n: number): ReplicaId {
  return checked('replica id', n, 1) as ReplicaId;
}
export function toTimestamp(n: number): Timestamp {
  return checked('timestamp', n, 0) as Timestamp;
}
export function nextTerm(term: Term): Term {
  return toTerm(term + 1);
}
export function nextIndex(index: LogIndex): LogIndex {
  return toLogIndex(index + 1);
}
