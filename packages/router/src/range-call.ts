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
  // Declared here and assigned in the constructor. What a class that many others extend defines as fields, V8 defines one by
  // one in its runtime, however warm the code is: 2 us for these, where assignments take 0.1 us.
  declare wakeAtMs: number;
  declare phase: CallPhase;
  declare readonly deadlineAtMs: number;

  // ---- the attempt under way; 0 = none
  declare requestId: number;
  declare storeId: number;
  declare sentAtMs: number;
  /** The store is slow, not silent: the attempt was given more time once. */
  declare extended: boolean;
  /** Where the latest attempt went. */
  declare range: CallRange | undefined;

  // ---- reads of the past
  /** Any replica may be asked: the snapshot is old enough to be closed everywhere. */
  declare mayFollow: boolean;
  /** A replica could not tell. Until the leaseholder is silent, it is asked. */
  declare notClosed: boolean;
  /** The attempt under way went to any replica, and says so. */
  declare following: boolean;

  // ---- the search for a leaseholder
  /** The range whose leaseholder this call looks for, on behalf of all that wait. */
  declare scouting: CallRangeState | undefined;
  declare waitingOn: CallRangeState | undefined;

  // ---- history
  /** Request ids of attempts that were given up; their answers are still welcome. */
  declare earlierIds: number[] | undefined;
  /** Refusals and redirects since the last pause. */
  declare tries: number;
  declare pauses: number;
  declare notFound: number;
  declare answered: boolean;

  constructor(deadlineAtMs: number) {
    this.wakeAtMs = 0;
    this.phase = 'new';
    this.deadlineAtMs = deadlineAtMs;
    this.requestId = 0;
    this.storeId = 0;
    this.sentAtMs = 0;
    this.extended = false;
    this.range = undefined;
    this.mayFollow = false;
    this.notClosed = false;
    this.following = false;
    this.scouting = undefined;
    this.waitingOn = undefined;
    this.earlierIds = undefined;
    this.tries = 0;
    this.pauses = 0;
    this.notFound = 0;
    this.answered = false;
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
