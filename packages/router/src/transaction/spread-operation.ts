/**
 * An operation over any number of keys and spans: cut by range as the cache has it, one call per range, and cut again
 * wherever a range turns out to have been split. What is asked of a range, and what its answer means, is the business of
 * each kind. Every kind may be sent more than once.
 */
import { compareBytes, type ErrorCode } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Admission } from '../admission.ts';
import type { Response } from '../client-link.ts';
import type { Dispatcher } from '../dispatcher.ts';
import { Operation } from '../operation.ts';
import { type BlockingIntent, type CallPiece, RangeCall, type Refusal } from '../range-call.ts';
import type { OperationOptions } from '../router-api.ts';
import type { WireRequest } from './transaction-api.ts';

/** Something that goes to the range that holds it. `endKey` undefined: it lies at one key. */
export interface Part {
  readonly startKey: Uint8Array;
  readonly endKey?: Uint8Array | undefined;
}

export interface SpreadParts {
  readonly dispatcher: Dispatcher;
  readonly admission: Admission;
}

export interface TransactionParts extends SpreadParts {
  /** Client id of the coordinator. */
  readonly coordinator: string;
}

/**
 * Messages of one operation that wait for an answer. Most operations have one per range, and fewer than this; one that
 * writes much must not queue so much at a store that it is taken for silent.
 */
const messagesUnderWayMax = 4;

export abstract class SpreadOperation<P extends Part, Result> extends Operation<Result> {
  // Declared here and assigned in the constructor: see `RangeCall`.
  declare readonly bytes: number;
  declare protected readonly dispatcher: Dispatcher;
  declare protected readonly calls: Set<SpreadCall<P, Result>>;
  declare private readonly parts: readonly P[];
  /** Groups of parts, a message each, that wait until others are answered. */
  declare private queued: (readonly P[])[];

  constructor(base: SpreadParts, parts: readonly P[], bytes: number, options?: OperationOptions) {
    const { clock, timings } = base.dispatcher;
    const timeoutMs = options?.timeoutMs ?? timings.operationTimeoutMs;
    super(base.admission, clock.nowMs() + timeoutMs, options?.signal);
    this.bytes = bytes;
    this.dispatcher = base.dispatcher;
    this.calls = new Set();
    this.parts = parts;
    this.queued = [];
  }

  /** The body for these parts of one range. */
  abstract body(parts: readonly P[], storeId: number): WireRequest;
  abstract accepts(response: Response, parts: readonly P[]): boolean;
  /** One range has answered; `ended`: it was the last. */
  abstract onAnswer(
    response: Response,
    parts: readonly P[],
    fromStore: number,
    ended: boolean,
  ): void;

  /** The call is about to be sent to a range. @returns true: knowing that was all, and the call is done */
  settles(_call: SpreadCall<P, Result>, _rangeId: number): boolean {
    return false;
  }

  onLockWaiting(_refusal: Refusal): Error | undefined {
    return undefined;
  }

  onBlocked(_intent: BlockingIntent): Error | undefined {
    return undefined;
  }

  /** True if these parts of one range are too much for one message: `cutGroup` makes several of them. */
  tooLarge(_parts: readonly P[]): boolean {
    return false;
  }

  /** Parts of one range, in groups none of which is too large. */
  protected cutGroup(parts: readonly P[]): P[][] {
    return [[...parts]];
  }

  /** Cuts a span at a key strictly inside it. */
  protected cut(part: P, at: Uint8Array): readonly [P, P] {
    return [
      { ...part, endKey: at },
      { ...part, startKey: at },
    ];
  }

  /** Sends parts that belonged together in several messages, a few at a time. */
  protected spread(groups: readonly (readonly P[])[]): void {
    this.queued.push(...groups);
    this.sendQueued();
  }

  /** At least one of what is queued is under way, so that the deadline is kept. */
  private sendQueued(): void {
    // Some are done as soon as they are sent, and make room for more.
    while (this.queued.length > 0 && this.hasRoom) {
      const calls: SpreadCall<P, Result>[] = [];
      while (this.queued.length > 0 && this.hasRoom)
        calls.push(this.newCall(this.queued.shift() ?? []));
      for (const call of calls) this.dispatcher.dispatch(call);
    }
  }

  private get hasRoom(): boolean {
    return this.calls.size < messagesUnderWayMax;
  }

  /** Nothing is under way, and nothing waits to be. */
  protected get isIdle(): boolean {
    return this.calls.size === 0 && this.queued.length === 0;
  }

  override begin(): void {
    const [waiting] = this.calls;
    if (waiting !== undefined) this.dispatcher.dispatch(waiting);
    else this.dispatcher.dispatch(this.newCall(this.parts));
  }

  override wait(): void {
    this.dispatcher.waitIn('admission', this.newCall(this.parts));
  }

  override abort(code: ErrorCode, message: string): void {
    this.endCalls();
    this.fail(code, message);
  }

  refuse(error: Error): void {
    this.endCalls();
    this.failWith(error);
  }

  /** The parts of a call that does not fit one range, or one message, become calls of their own. */
  split(call: SpreadCall<P, Result>): void {
    this.dispatcher.finish(call);
    this.calls.delete(call);
    this.spread(this.groups(call.parts));
  }

  complete(call: SpreadCall<P, Result>, response: Response, fromStore: number): void {
    this.calls.delete(call);
    if (this.settled) return;
    this.sendQueued();
    this.onAnswer(response, call.parts, fromStore, this.isIdle);
  }

  protected endCalls(): void {
    this.queued = [];
    for (const call of this.calls) this.dispatcher.finish(call);
    this.calls.clear();
  }

  protected newCall(parts: readonly P[]): SpreadCall<P, Result> {
    const call = new SpreadCall<P, Result>(this, parts);
    this.calls.add(call);
    return call;
  }

  protected groups(parts: readonly P[]): P[][] {
    const { cache } = this.dispatcher;
    // By piece: a range may be known on both sides of a newer one, and no message crosses that.
    const known = new Map<CallPiece, P[]>();
    const unknown: P[] = [];
    for (let part of parts) {
      for (;;) {
        const piece = cache.find(part.startKey);
        if (piece === undefined) {
          unknown.push(part);
          break;
        }
        const group = known.get(piece) ?? [];
        known.set(piece, group);
        if (part.endKey === undefined || compareBytes(part.endKey, piece.endKey) <= 0) {
          group.push(part);
          break;
        }
        const [inside, rest] = this.cut(part, piece.endKey);
        group.push(inside);
        part = rest;
      }
    }
    const groups = [...known.values()];
    // Each of an unknown range is looked up with its first part and cut again then.
    if (unknown.length > 0) groups.push(unknown);
    return inTurns(groups.map((group) => (this.tooLarge(group) ? this.cutGroup(group) : [group])));
  }
}

/** One of each range, then the next of each: what is much begins everywhere before it goes on anywhere. */
function inTurns<P>(ranges: readonly (readonly P[][])[]): P[][] {
  const turns: P[][] = [];
  const longest = ranges.reduce((most, { length }) => Math.max(most, length), 0);
  for (let turn = 0; turn < longest; turn++)
    for (const groups of ranges) {
      const group = groups[turn];
      if (group !== undefined) turns.push(group);
    }
  return turns;
}

export class SpreadCall<P extends Part, Result> extends RangeCall {
  readonly parts: readonly P[];
  override readonly routeKey: Uint8Array;
  private readonly operation: SpreadOperation<P, Result>;

  constructor(operation: SpreadOperation<P, Result>, parts: readonly P[]) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.parts = parts;
    this.routeKey = parts[0]?.startKey ?? noKey;
  }

  override fit(piece: CallPiece): boolean {
    for (const { startKey, endKey } of this.parts) {
      const inside =
        compareBytes(piece.startKey, startKey) <= 0 &&
        (endKey === undefined
          ? compareBytes(startKey, piece.endKey) < 0
          : compareBytes(endKey, piece.endKey) <= 0);
      if (inside) continue;
      this.operation.split(this);
      return false;
    }
    if (this.operation.tooLarge(this.parts)) {
      this.operation.split(this);
      return false;
    }
    return !this.operation.settles(this, piece.range.rangeId);
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const body = this.operation.body(this.parts, this.storeId);
    return kv.Request.encode({ ...body, requestId, timeoutMs, rangeId, generation }).finish();
  }

  override accepts(response: Response): boolean {
    return this.operation.accepts(response, this.parts);
  }

  override complete(response: Response, fromStore: number): void {
    this.operation.complete(this, response, fromStore);
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.abort(code, message);
  }

  override onLockWaiting(refusal: Refusal): Error | undefined {
    return this.operation.onLockWaiting(refusal);
  }

  override onBlocked(intent: BlockingIntent): Error | undefined {
    return this.operation.onBlocked(intent);
  }

  override refuseWith(error: Error): void {
    this.operation.refuse(error);
  }
}

const noKey = new Uint8Array(0);

/** Parts in groups of so many at most. */
export function slices<P>(parts: readonly P[], most: number): P[][] {
  const groups: P[][] = [];
  for (let at = 0; at < parts.length; at += most) groups.push(parts.slice(at, at + most));
  return groups;
}
