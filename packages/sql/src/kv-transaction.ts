/**
 * What the SQL layer needs of the key-value layer below: a transaction over ordered byte keys. `client` implements it
 * over the router; tests implement it over a map. SQL knows nothing of ranges, stores or consensus.
 */
import type { Span } from '@flotilla/base';

export interface KvPair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface ScanOptions {
  /** Stop after this many pairs. */
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly signal?: AbortSignal;
}

export interface KvTransaction {
  /** Newest value, the transaction's own writes included. */
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** As `get`, in one round trip per range; results in order of `keys`. */
  getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** Pairs of the span in key order (or reverse), own writes included, in batches that arrived together. */
  scan(span: Span, options?: ScanOptions): AsyncIterable<readonly KvPair[]>;

  /** Buffers a write. Synchronous: nothing leaves before `commit`. Throws DbError TOO_LARGE. */
  put(key: Uint8Array, value: Uint8Array): void;
  /** As `put`, but the key must be absent: otherwise commit fails with DbError KEY_EXISTS naming the key. Throws
   *  KEY_EXISTS at once if this transaction has already written the key. */
  insert(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  /** Deletes every key of the span when the transaction commits. The span lies in one table's key space. */
  deleteSpan(span: Span): void;

  /**
   * Makes all buffered writes at once, if every key that was both read and written is unchanged since it was read.
   * Errors: CONFLICT (nothing written; run the statement again), KEY_EXISTS, OUTCOME_UNKNOWN, UNAVAILABLE, TIMEOUT.
   */
  commit(): Promise<void>;
  /** Forgets the buffered writes. */
  rollback(): void;
}

export interface BeginOptions {
  /** The caller will not write: what is read need not be remembered for commit. Writes then throw. */
  readonly readOnly?: boolean;
}

/** Where transactions come from. */
export interface KvDatabase {
  begin(options?: BeginOptions): KvTransaction;
}
