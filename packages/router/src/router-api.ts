/**
 * The contract of the router: key-value operations by key, wherever the key lives. It caches which range holds a key
 * and who leads it, learns by redirects and silence, cuts operations by range, and sends everything for one store in
 * one turn as one frame. Retries are its business: each operation has a deadline and ends by it. Every retried write
 * carries its session and serial number, so that it takes effect once.
 */
import type { Span, StoreId } from '@flotilla/base';
import type { RangeInfo, StatusResponse } from '@flotilla/shard/protocol';

export interface KvValue {
  readonly value: Uint8Array;
  readonly timestamp: number;
}

export interface KvRow extends KvValue {
  readonly key: Uint8Array;
}

export interface OperationOptions {
  /** From now. Default: 10 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ScanOptions extends OperationOptions {
  /** Stop after this many rows in total. Default: no limit. */
  readonly limit?: number;
  readonly reverse?: boolean;
  /** Rows per request to a store. Default: 1,000. */
  readonly batchRows?: number;
}

export type WriteCondition =
  | { readonly kind: 'absent'; readonly key: Uint8Array }
  /** The newest version is the one read: `timestamp` 0 = the key was absent. */
  | { readonly kind: 'unchanged'; readonly key: Uint8Array; readonly timestamp: number };

export type WriteMutation =
  | { readonly kind: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array };

export interface WriteBatch {
  readonly conditions: readonly WriteCondition[];
  readonly mutations: readonly WriteMutation[];
  readonly deleteSpans: readonly Span[];
}

export type WriteOutcome =
  | { readonly applied: true; readonly timestamp: number }
  | {
      readonly applied: false;
      /** Index into `conditions`. */
      readonly failedCondition: number;
      readonly foundTimestamp: number;
    };

export interface MembersChange {
  readonly add: readonly StoreId[];
  readonly remove: readonly StoreId[];
}

export interface StoreStatus extends StatusResponse {}

/**
 * Errors of all operations: DbError with code
 * - TIMEOUT, UNAVAILABLE, CANCELLED: reads, and writes that surely did nothing (`outcome: 'not_applied'`);
 * - OUTCOME_UNKNOWN: a write was sent and its fate could not be learned before the deadline;
 * - TOO_LARGE, INVALID_ARGUMENT, CLOSED.
 */
export interface Router {
  /** Linearizable newest values, in order of `keys`; undefined = absent. One request per range, in parallel. */
  get(
    keys: readonly Uint8Array[],
    options?: OperationOptions,
  ): Promise<readonly (KvValue | undefined)[]>;
  /** Rows of the span in key order (or reverse), range after range, each batch linearizable on its own. */
  scan(span: Span, options?: ScanOptions): AsyncIterable<readonly KvRow[]>;
  /** Checks and writes at one instant. All keys and spans must lie in one range: NOT_SUPPORTED otherwise. */
  write(batch: WriteBatch, options?: OperationOptions): Promise<WriteOutcome>;

  /** The range that holds `key`, from the cache or looked up. For tests, status and planning. */
  lookup(key: Uint8Array, options?: OperationOptions): Promise<RangeInfo>;
  /** Asks every store that answers within `timeoutMs`. */
  discover(options: { readonly timeoutMs: number }): Promise<readonly DiscoveredStore[]>;
  /**
   * Asks the leaseholder of the key's range to give it voters on some stores and take them from others; resolves when that
   * is so. Rejects with INVALID_ARGUMENT where the leaseholder refuses or gives up.
   */
  changeMembers(key: Uint8Array, change: MembersChange, options?: OperationOptions): Promise<void>;
  /** One store's own account of its replicas. */
  status(storeId: StoreId, options?: OperationOptions): Promise<StoreStatus>;
  /**
   * Asks the leaseholder of the key's range to hand it to `to`. Resolves when that has begun; `status` shows how it ended.
   * Rejects with INVALID_ARGUMENT where the leaseholder refuses.
   */
  transferLease(key: Uint8Array, to: StoreId, options?: OperationOptions): Promise<void>;
  /**
   * Cuts the range that holds `key`, so that a range begins with it; does nothing where one does already.
   * @returns that range. Rejects with UNAVAILABLE where it cannot be cut just now.
   */
  split(key: Uint8Array, options?: OperationOptions): Promise<NonNullable<RangeInfo['descriptor']>>;
  close(): Promise<void>;
}

export interface DiscoveredStore {
  readonly storeId: number;
  /** Empty: the store is not part of a cluster yet. */
  readonly clusterId: Uint8Array;
  readonly version: string;
  readonly knownStoreIds: readonly number[];
}
