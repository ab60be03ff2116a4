/**
 * What clients saw, as the checkers take it. Times are milliseconds of one monotonic clock: whoever records a history
 * stamps all its operations, invocation before the request leaves and completion after the answer arrived.
 */

/** `unknown`: it may have happened, or may yet happen, or never. Operations that surely did nothing are left out. */
export interface Operation<Input, Output> {
  /** Who asked; one process has one operation under way at a time. For people who read a violation. */
  readonly process: string;
  readonly input: Input;
  readonly calledAt: number;
  readonly result:
    | { readonly kind: 'ok'; readonly output: Output; readonly returnedAt: number }
    | { readonly kind: 'unknown' };
}

/** Only `ok` is good: a checker that ran out of budget has shown nothing. */
export type Verdict =
  | { readonly kind: 'ok' }
  | { readonly kind: 'violation'; readonly message: string }
  | { readonly kind: 'unknown'; readonly message: string };
