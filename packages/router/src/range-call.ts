/**
 * One request to one range, from its start until it is answered or given up: what an operation is cut into. The
 * `Dispatcher` moves it; a kind of call says how it is encoded, when it fits a range, and what its end means.
 */
import type { ErrorCode } from '@flotilla/base';
import type { Response } from './client-link.ts';
import type { CachedRange, Piece, RangeState } from './range-cache.ts';
import type { Timed } from './timed-set.ts';

/**
 * `flying`: a request is under way. `paused`: until `wakeAtMs`, then again. The others wait for something until the
 * deadline: `admission` for room, `lookup` for a descriptor, `session` for a session, `search` for another call to find
 * the leaseholder, `offline` for the connection, `blocked` until a transaction is out of the way.
 */
export type CallPhase =
  | 'new'
  | 'admission'
  | 'lookup'
  | 'session'
  | 'search'
  | 'offline'
  | 'blocked'
  | 'paused'
  | 'flying'
  | 'done';

export type Refusal = NonNullable<Response['refusal']>;
export type BlockingIntent = NonNullable<Refusal['blocked']>;
export type CallPiece = Piece<RangeCall>;
export type CallRange = CachedRange<RangeCall>;
export type CallRangeState = RangeState<RangeCall>;

export abstract class RangeCall implements Timed {
  wakeAtMs = 0;
  timedAt = -1;
  phase: CallPhase = 'new';
  readonly deadlineAtMs: number;

  // ---- the attempt under way; 0 = none
  requestId = 0;
  storeId = 0;
  sentAtMs = 0;
  /** The store is slow, not silent: the attempt was given more time once. */
  extended = false;
  /** Where the latest attempt went. */
  range: CallRange | undefined;

  // ---- reads of the past
  /** Any replica may be asked: the snapshot is old enough to be closed everywhere. */
  mayFollow = false;
  /** A replica could not tell. Until the leaseholder is silent, it is asked. */
  notClosed = false;
  /** The attempt under way went to any replica, and says so. */
  following = false;

  // ---- the search for a leaseholder
  /** The range whose leaseholder this call looks for, on behalf of all that wait. */
  scouting: CallRangeState | undefined;
  waitingOn: CallRangeState | undefined;

  // ---- history
  /** Request ids of attempts that were given up; their answers are still welcome. */
  earlierIds: number[] | undefined;
  /** Refusals and redirects since the last pause. */
  tries = 0;
  pauses = 0;
  notFound = 0;
  answered = false;

  constructor(deadlineAtMs: number) {
    this.deadlineAtMs = deadlineAtMs;
  }

  /** A key of the range that this call is for; with `routeBefore`, the range directly below it. */
  abstract readonly routeKey: Uint8Array;
  get routeBefore(): boolean {
    return false;
  }

  /**
   * Adapts the call to the piece it is about to go to.
   * @returns false: it does not go there now, because it has ended or waits for something
   */
  abstract fit(piece: CallPiece): boolean;

  abstract encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array;

  /** @returns false: not an answer to this kind of request */
  abstract accepts(response: Response): boolean;

  /** The answer, once. The call is done. @param fromStore 0: it did not say */
  abstract complete(response: Response, fromStore: number): void;

  /** No answer, once. The call is done. */
  abstract failWith(code: ErrorCode, message: string): void;

  /** An attempt has been handed to the network. */
  onAttempt(): void {}

  /** An attempt was refused and did nothing. */
  onAttemptRefused(): void {}

  /** @returns true: the call goes on with another session */
  onSessionExpired(): boolean {
    return false;
  }

  /**
   * It stands in a queue behind others' locks.
   * @returns an error that ends it; undefined = it asks again, which keeps its place
   */
  onLockWaiting(_refusal: Refusal): Error | undefined {
    return undefined;
  }

  /** An intent is in the way. @returns as `onLockWaiting` */
  onBlocked(_intent: BlockingIntent): Error | undefined {
    return undefined;
  }

  /**
   * It is about to be refused for good. @returns true: it goes on first, to learn what became of earlier attempts
   */
  onFinalRefusal(_error: Error): boolean {
    return false;
  }

  /** It was refused for good, for a reason that only its kind understands. Once; the call is done. */
  refuseWith(error: Error): void {
    this.failWith('UNAVAILABLE', error.message);
  }

  /** The call has ended, whichever way. */
  onDone(): void {}
}
