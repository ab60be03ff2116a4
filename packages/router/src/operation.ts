/**
 * One thing that a user waits for: a promise, a deadline, perhaps an abort signal, and its share of what may be under
 * way at once. Cut into calls by its kind.
 */
import { DbError, type ErrorCode } from '@flotilla/base';
import type { Admission } from './admission.ts';

export abstract class Operation<Result> {
  // Declared here and assigned in the constructor: see `RangeCall`.
  declare readonly promise: Promise<Result>;
  declare readonly deadlineAtMs: number;
  /** Keys and values: what admission counts. */
  abstract readonly bytes: number;
  declare admitted: boolean;
  declare settled: boolean;
  declare private readonly admission: Admission;
  declare private readonly signal: AbortSignal | undefined;
  declare private onAbort: (() => void) | undefined;
  declare private resolve: (result: Result) => void;
  declare private reject: (error: Error) => void;

  constructor(admission: Admission, deadlineAtMs: number, signal: AbortSignal | undefined) {
    this.deadlineAtMs = deadlineAtMs;
    this.admitted = false;
    this.settled = false;
    this.admission = admission;
    this.signal = signal;
    this.onAbort = undefined;
    this.resolve = unset;
    this.reject = unset;
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  /** Starts as soon as there is room. */
  start(): Promise<Result> {
    const { signal } = this;
    if (signal !== undefined) {
      if (signal.aborted) {
        this.fail('CANCELLED', 'the caller cancelled');
        return this.promise;
      }
      this.onAbort = (): void => this.abort('CANCELLED', 'the caller cancelled');
      signal.addEventListener('abort', this.onAbort);
    }
    this.admission.enter(this);
    return this.promise;
  }

  /** There is room: sends calls. */
  abstract begin(): void;

  /** There is no room yet: waits until `begin`, but not beyond the deadline. */
  abstract wait(): void;

  /** Ends every call and fails with what can be said then. */
  abstract abort(code: ErrorCode, message: string): void;

  succeed(result: Result): void {
    if (this.settle()) this.resolve(result);
  }

  fail(code: ErrorCode, message: string): void {
    const outcome = code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'not_applied';
    this.failWith(new DbError(code, message, { outcome }));
  }

  failWith(error: Error): void {
    if (this.settle()) this.reject(error);
  }

  private settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    if (this.onAbort !== undefined) this.signal?.removeEventListener('abort', this.onAbort);
    this.admission.leave(this);
    return true;
  }
}

function unset(): void {}
