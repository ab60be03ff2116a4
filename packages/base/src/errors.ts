/**
 * Errors that cross a package's public API. A new code exists only if some caller would act on it differently; codes
 * are stable and listed in `packages/base/ERRORS.md`, texts are not.
 */

export type ErrorCode =
  /** The deadline passed. Outcome is stated separately. */
  | 'TIMEOUT'
  /** No store answered for the key before the deadline. */
  | 'UNAVAILABLE'
  /** A server shed the request before doing anything; retry after `retryAfterMs`. */
  | 'BUSY'
  /** A write may or may not have taken effect and nobody can say any more. */
  | 'OUTCOME_UNKNOWN'
  /** A condition of a write did not hold, or a read went stale before commit; the whole transaction may be retried. */
  | 'CONFLICT'
  /** The transaction was chosen to end a cycle of transactions that wait for each other; it may be retried. */
  | 'DEADLOCK'
  /** What was to be read is older than the versions that are kept. */
  | 'SNAPSHOT_TOO_OLD'
  /** A lock was held by another transaction for longer than the caller would wait. */
  | 'LOCK_NOT_AVAILABLE'
  /** A key that had to be absent is there. `key` names it. */
  | 'KEY_EXISTS'
  /** The caller asked for something that the API does not allow. */
  | 'INVALID_ARGUMENT'
  /** Correct request, but not built yet. */
  | 'NOT_SUPPORTED'
  /** A value or message exceeds its limit. */
  | 'TOO_LARGE'
  /** Stored bytes failed their checksum. */
  | 'CORRUPTION'
  /** The caller cancelled. */
  | 'CANCELLED'
  /** The handle is closed. */
  | 'CLOSED';

export interface DbErrorOptions {
  /** `unknown` only where a write may have been applied. */
  readonly outcome?: 'not_applied' | 'unknown';
  readonly retryAfterMs?: number;
  readonly key?: Uint8Array;
  readonly cause?: unknown;
}

export class DbError extends Error {
  readonly code: ErrorCode;
  readonly outcome: 'not_applied' | 'unknown';
  readonly retryAfterMs: number | undefined;
  readonly key: Uint8Array | undefined;

  constructor(code: ErrorCode, message: string, options: DbErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DbError';
    this.code = code;
    this.outcome = options.outcome ?? 'not_applied';
    this.retryAfterMs = options.retryAfterMs;
    this.key = options.key;
  }
}
