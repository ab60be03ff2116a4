/** What a KvDatabase in memory holds: an ordered map with the versions of every key, locks, and what it counts. Knows no transactions. */
import { type Clock, compareBytes, DbError, HybridLogicalClock, type Span } from '@flotilla/base';
import type { KvPair } from '../kv-transaction.ts';
import { MemoryLocks } from './memory-locks.ts';

export type KvOperation =
  | { readonly kind: 'get'; readonly keys: readonly Uint8Array[] }
  | { readonly kind: 'scan'; readonly span: Span }
  | { readonly kind: 'commit'; readonly keys: readonly Uint8Array[] }
  | { readonly kind: 'flush'; readonly keys: readonly Uint8Array[] }
  /** After the writes were made: throwing here leaves them in place. */
  | { readonly kind: 'committed'; readonly keys: readonly Uint8Array[] };

export interface Version {
  readonly version: number;
  /** Undefined: deleted. */
  readonly value: Uint8Array | undefined;
}

interface Entry {
  readonly key: Uint8Array;
  /** Oldest first; never empty. */
  versions: Version[];
}

export interface Write {
  readonly key: Uint8Array;
  /** Undefined: delete. */
  readonly value: Uint8Array | undefined;
  readonly mustBeAbsent: boolean;
}

/** Versions of one key that are kept. A snapshot that needs an older one meets a CONFLICT. */
const versionsMax = 200;
export const newest: number = Number.MAX_SAFE_INTEGER;

/** All of a database in memory but its transactions. */
export class MemoryStore {
  /** Runs before (or after, see `committed`) every operation; may throw or wait. */
  onOperation: ((operation: KvOperation) => Promise<void> | void) | undefined;
  /** Operations so far, by kind. A getMany counts once. */
  readonly counts: { get: number; scan: number; commit: number; flush: number } = {
    ...{ get: 0, scan: 0, commit: 0, flush: 0 },
  };
  /** False: programs are not run here. */
  evaluates = true;
  /** Answers of programs, those of them over rows of keys, and rows that they have written. */
  readonly evaluated: { parts: number; ofKeys: number; writes: number } = {
    ...{ parts: 0, ofKeys: 0, writes: 0 },
  };
  readonly locks: MemoryLocks = new MemoryLocks();
  private readonly entries: Entry[] = [];
  private readonly index = new Map<string, Entry>();
  private lastVersion = 0;
  private readonly hlc: HybridLogicalClock;

  constructor(clock: Clock) {
    this.hlc = new HybridLogicalClock(clock, { maxOffsetMs: 500 });
  }

  /** Every operation is as of the moment at which it is made. */
  now(): number {
    return this.hlc.now();
  }

  /** Of the last commit. */
  get version(): number {
    return this.lastVersion;
  }

  /** Number of keys. */
  get size(): number {
    return this.dump().length;
  }

  /** All pairs in key order. */
  dump(): KvPair[] {
    return this.entries.flatMap((entry) => pairOf(entry, newest) ?? []);
  }

  async operate(operation: KvOperation): Promise<void> {
    if (operation.kind !== 'committed') this.counts[operation.kind]++;
    if (this.onOperation !== undefined) await this.onOperation(operation);
  }

  /** The key's version as of a snapshot; version 0 where there was none. Throws CONFLICT: it is too old. */
  read(key: Uint8Array, snapshot: number = newest): Version {
    const entry = this.index.get(keyText(key));
    return (entry && versionAt(entry, snapshot)) ?? { version: 0, value: undefined };
  }

  /** The first pairs of the span, or the last if `reverse`, as of a snapshot, in scan order. */
  range(span: Span, snapshot: number, limit: number, reverse: boolean): KvPair[] {
    const start = this.lowerBound(span.startKey);
    const end = this.lowerBound(span.endKey);
    const pairs: KvPair[] = [];
    for (let i = 0; i < end - start && pairs.length < limit; i++) {
      const entry = this.entries[reverse ? end - 1 - i : start + i];
      const pair = entry && pairOf(entry, snapshot);
      if (pair !== undefined) pairs.push(pair);
    }
    return pairs;
  }

  /** Whether anything in the span has changed since the snapshot. */
  changedSince(span: Span, snapshot: number): boolean {
    const end = this.lowerBound(span.endKey);
    for (let i = this.lowerBound(span.startKey); i < end; i++)
      if ((this.entries[i]?.versions.at(-1)?.version ?? 0) > snapshot) return true;
    return false;
  }

  /** Makes writes at one instant. They have been checked. */
  apply(writes: Iterable<Write>, spans: readonly Span[]): void {
    this.lastVersion++;
    for (const span of spans)
      for (const { key } of this.range(span, newest, newest, false)) this.set(key, undefined);
    for (const { key, value } of writes) this.set(key, value);
  }

  private set(key: Uint8Array, value: Uint8Array | undefined): void {
    const version = { version: this.lastVersion, value };
    const text = keyText(key);
    const existing = this.index.get(text);
    if (existing !== undefined) {
      existing.versions.push(version);
      if (existing.versions.length > versionsMax) existing.versions.splice(0, versionsMax / 2);
      return;
    }
    const entry = { key, versions: [version] };
    const last = this.entries[this.entries.length - 1];
    if (last === undefined || compareBytes(last.key, key) < 0) this.entries.push(entry);
    else this.entries.splice(this.lowerBound(key), 0, entry);
    this.index.set(text, entry);
  }

  private lowerBound(key: Uint8Array): number {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.entries[middle];
      if (entry !== undefined && compareBytes(entry.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function versionAt(entry: Entry, snapshot: number): Version | undefined {
  const found = entry.versions.findLast(({ version }) => version <= snapshot);
  if (found === undefined && entry.versions.length >= versionsMax / 2)
    throw new DbError('CONFLICT', 'the snapshot is too old', { key: entry.key });
  return found;
}

function pairOf(entry: Entry, snapshot: number): KvPair | undefined {
  const value = versionAt(entry, snapshot)?.value;
  return value === undefined ? undefined : { key: entry.key, value };
}
