/**
 * A program over the rows of keys, for those of them that one range holds: one request, and an answer that says how many of
 * the keys it is about. A store that knows of no programs sends the values.
 */
import { compareBytes, type ErrorCode } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Response } from '../client-link.ts';
import type { Dispatcher } from '../dispatcher.ts';
import { Operation } from '../operation.ts';
import { type CallPiece, RangeCall } from '../range-call.ts';
import type { OperationOptions } from '../router-api.ts';
import { headerFields, mayFollow, observe } from './header.ts';
import type { TransactionParts } from './spread-operation.ts';
import type { EvaluatedKeys, KeyEvaluation, TransactionContext } from './transaction-api.ts';

/** Keys per request: what a store looks up in one turn for a program. */
const keysPerRequest = 256;

export class EvaluateOperation extends Operation<EvaluatedKeys> {
  override readonly bytes: number;
  private readonly dispatcher: Dispatcher;
  private readonly call: EvaluateCall;

  /** @param request in key order; at least one key @param options with the time, HLC */
  constructor(
    { dispatcher, admission, coordinator }: TransactionParts,
    context: TransactionContext,
    request: KeyEvaluation,
    { now, ...options }: OperationOptions & { readonly now: number },
  ) {
    const timeoutMs = options.timeoutMs ?? dispatcher.timings.operationTimeoutMs;
    super(admission, dispatcher.clock.nowMs() + timeoutMs, options.signal);
    this.dispatcher = dispatcher;
    let bytes = request.program.length;
    for (const key of request.keys) bytes += key.length;
    this.bytes = bytes;
    this.call = new EvaluateCall(this, request, { context, coordinator });
    this.call.mayFollow = mayFollow(context, now, dispatcher.timings.followerReadLagMs);
  }

  override begin(): void {
    this.dispatcher.dispatch(this.call);
  }

  override wait(): void {
    this.dispatcher.waitIn('admission', this.call);
  }

  override abort(code: ErrorCode, message: string): void {
    this.dispatcher.fail(this.call, code, message);
  }
}

interface Asking {
  readonly context: TransactionContext;
  readonly coordinator: string;
}

class EvaluateCall extends RangeCall {
  private readonly operation: EvaluateOperation;
  private readonly request: KeyEvaluation;
  private readonly asking: Asking;
  /** How many of the keys the latest attempt asked for. */
  private asked = 0;

  constructor(operation: EvaluateOperation, request: KeyEvaluation, asking: Asking) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.request = request;
    this.asking = asking;
  }

  override get routeKey(): Uint8Array {
    return this.request.keys[0] ?? noBytes;
  }

  override fit(piece: CallPiece): boolean {
    const { keys } = this.request;
    const most = Math.min(keys.length, keysPerRequest);
    let count = 1; // it was routed by its first key
    while (count < most && compareBytes(keys[count] ?? noBytes, piece.endKey) < 0) count++;
    this.asked = count;
    return true;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const { keys, program } = this.request;
    const transaction = headerFields(this.asking.context, {
      coordinator: this.asking.coordinator,
      storeId: this.storeId,
    });
    const { following: followerRead } = this;
    const get = { keys: keys.slice(0, this.asked), program };
    const request = { requestId, timeoutMs, rangeId, generation, followerRead, get, transaction };
    return kv.Request.encode(request).finish();
  }

  override accepts({ get }: Response): boolean {
    if (!get) return false;
    const done = get.evaluated ? (get.keysDone ?? 0) : (get.values?.length ?? 0);
    return done > 0 && done <= this.request.keys.length;
  }

  override complete({ get }: Response, fromStore: number): void {
    observe(this.asking.context, fromStore, get?.storeTimestamp ?? 0);
    const from = { rangeId: this.range?.rangeId ?? 0, storeId: fromStore };
    const readTimestamp = get?.readTimestamp ?? 0;
    if (get?.evaluated === true) {
      const { keysDone: done = 0, result, rowsRead } = get;
      const evaluated = { result: result ?? noBytes, rowsRead: rowsRead ?? 0 };
      this.operation.succeed({ done: done ?? 0, evaluated, values: [], from, readTimestamp });
      return;
    }
    const values = (get?.values ?? []).map(({ present, value, timestamp }) =>
      present === true ? { value: value ?? noBytes, timestamp: timestamp ?? 0 } : undefined,
    );
    const done = values.length;
    this.operation.succeed({ done, evaluated: undefined, values, from, readTimestamp });
  }

  override refuseWith(error: Error): void {
    this.operation.failWith(error);
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.fail(code, message);
  }
}

const noBytes = new Uint8Array(0);
