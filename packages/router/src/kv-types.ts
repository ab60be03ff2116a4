/** Rows, conditions, writes and options, as every operation of the router takes and gives them. */
import type { Span } from '@flotilla/base';

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
