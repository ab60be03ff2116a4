/**
 * The contract of the router: key-value operations by key, wherever the key lives. It caches which range holds a key
 * and who leads it, learns by redirects and silence, cuts operations by range, and sends everything for one store in
 * one turn as one frame. Retries are its business: each operation has a deadline and ends by it. Every retried write
 * carries its session and serial number, so that it takes effect once.
 */
import type { Span, StoreId } from '@flotilla/base';
import type {
  InspectResponse,
  RangeConfiguration,
  RangeConfigurationChange,
  RangeInfo,
  StatusResponse,
} from '@flotilla/shard/protocol';
import type {
  KvRow,
  KvValue,
  OperationOptions,
  ScanOptions,
  WriteBatch,
  WriteOutcome,
} from './kv-types.ts';
import type { TransactionRouter } from './transaction/transaction-api.ts';

export * from './kv-types.ts';
export type { RangeConfiguration, RangeConfigurationChange };

export interface MembersChange {
  readonly add: readonly StoreId[];
  readonly remove: readonly StoreId[];
}

export interface StoreStatus extends StatusResponse {}

/** Locks, transactions and contended keys, as one store has them in memory. */
export interface StoreInspection extends InspectResponse {}

/**
 * Errors of all operations: DbError with code
 * - TIMEOUT, UNAVAILABLE, CANCELLED: reads, and writes that surely did nothing (`outcome: 'not_applied'`);
 * - OUTCOME_UNKNOWN: a write was sent and its fate could not be learned before the deadline;
 * - TOO_LARGE, INVALID_ARGUMENT, CLOSED.
 */
/** Messages between processes that ask stores: at most once, soon or never. */
export interface Peers {
  /** What others send to: the client id of this process. */
  readonly id: string;
  /** @param payload a few kilobytes at most */
  send(to: string, topic: string, payload: Uint8Array): void;
  /** One handler per topic. @returns takes it away */
  listen(topic: string, handler: (from: string, payload: Uint8Array) => void): () => void;
}

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

  /** The other processes that ask. */
  readonly peers: Peers;

  /** The steps of transactions over any number of ranges. */
  readonly transactions: TransactionRouter;

  /** The range that holds `key`, from the cache or looked up. For tests, status and planning. */
  lookup(key: Uint8Array, options?: OperationOptions): Promise<RangeInfo>;
  /** Asks every store that answers within `timeoutMs`. */
  discover(options: { readonly timeoutMs: number }): Promise<readonly DiscoveredStore[]>;
  /**
   * Asks the leaseholder of the key's range to give it voters on some stores and take them from others; resolves when that
   * is so. Rejects with INVALID_ARGUMENT where the leaseholder refuses or gives up.
   */
  changeMembers(key: Uint8Array, change: MembersChange, options?: OperationOptions): Promise<void>;
  /** One store's own account of its replicas, or of one of them. */
  status(storeId: StoreId, options?: StatusOptions): Promise<StoreStatus>;
  /** One store's locks, transactions and contended keys: bounded, waits first. */
  inspect(storeId: StoreId, options?: OperationOptions): Promise<StoreInspection>;
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
  /**
   * Changes what is wanted of the ranges of a span, whoever holds them; they follow within seconds or minutes. A narrower
   * span wins over a wider one, field by field. @returns what is wanted now; undefined = nothing of its own
   */
  configureSpan(
    span: Span,
    change: RangeConfigurationChange,
    options?: OperationOptions,
  ): Promise<RangeConfiguration | undefined>;
  /** Of all spans, in key order. */
  readConfigurations(options?: OperationOptions): Promise<readonly RangeConfiguration[]>;
  close(): Promise<void>;
}

export interface StatusOptions extends OperationOptions {
  /** The replica of this range alone. Default: all, which are megabytes where there are ten thousand. */
  readonly rangeId?: number;
}

export interface DiscoveredStore {
  readonly storeId: number;
  /** Empty: the store is not part of a cluster yet. */
  readonly clusterId: Uint8Array;
  readonly version: string;
  readonly knownStoreIds: readonly number[];
}
