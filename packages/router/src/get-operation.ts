/** Reads of the newest values of some keys: one call per range, in parallel. */
import type { ErrorCode } from '@flotilla/base';
import { compareBytes } from '@flotilla/base';
import type { Admission } from './admission.ts';
import type { Response } from './client-link.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Operation } from './operation.ts';
import { type CallPiece, RangeCall, type Refusal } from './range-call.ts';
import type { KvValue, OperationOptions } from './router-api.ts';
import { encodeGet, type TransactionFields } from './wire.ts';

export type GetResult = readonly (KvValue | undefined)[];

/** What a transaction's read has beyond a plain one: how its requests differ, and what it makes of the answers. */
export interface GetTransaction {
  /** The keys turned out to lie in several ranges. */
  onSeveralRanges(): void;
  /** Any replica may be asked. */
  mayFollow(): boolean;
  /** @param following any replica is asked */
  fields(storeId: number, following: boolean): TransactionFields;
  onAnswer(
    response: NonNullable<Response['get']>,
    indexes: readonly number[],
    fromStore: number,
  ): void;
  onLockWaiting(refusal: Refusal): Error | undefined;
}

/** Keys per request: what a store takes at once. */
const keysPerRequest = 1000;

export class GetOperation extends Operation<GetResult> {
  override readonly bytes: number;
  readonly dispatcher: Dispatcher;
  readonly transaction: GetTransaction | undefined;
  readonly keys: readonly Uint8Array[];
  readonly values: (KvValue | undefined)[];
  private remaining: number;
  private readonly calls: GetCall[] = [];

  constructor(
    dispatcher: Dispatcher,
    admission: Admission,
    keys: readonly Uint8Array[],
    options: OperationOptions | undefined,
    transaction?: GetTransaction,
  ) {
    const timeoutMs = options?.timeoutMs ?? dispatcher.timings.operationTimeoutMs;
    super(admission, dispatcher.clock.nowMs() + timeoutMs, options?.signal);
    this.dispatcher = dispatcher;
    this.transaction = transaction;
    this.keys = keys;
    this.values = new Array(keys.length);
    this.remaining = keys.length;
    let bytes = 0;
    for (const key of keys) bytes += key.length;
    this.bytes = bytes;
  }

  override begin(): void {
    const [waiting] = this.calls;
    if (waiting !== undefined) this.dispatcher.dispatch(waiting);
    else this.dispatcher.dispatch(this.newCall(allIndexes(this.keys.length)));
  }

  override wait(): void {
    this.dispatcher.waitIn('admission', this.newCall(allIndexes(this.keys.length)));
  }

  override abort(code: ErrorCode, message: string): void {
    this.endCalls();
    this.fail(code, message);
  }

  /** The keys of a call that has several ranges, or too many keys, become calls of their own. */
  split(call: GetCall): void {
    const { cache } = this.dispatcher;
    // By piece: a range may be known on both sides of a newer one, and no message crosses that.
    const groups = new Map<CallPiece | undefined, number[][]>();
    for (const index of call.indexes) {
      const key = this.keys[index] ?? noKey;
      const piece = cache.find(key);
      let chunks = groups.get(piece);
      if (chunks === undefined) {
        chunks = [[]];
        groups.set(piece, chunks);
      }
      let last = chunks.at(-1);
      if (last === undefined || last.length >= keysPerRequest) {
        last = [];
        chunks.push(last);
      }
      last.push(index);
    }
    this.dispatcher.finish(call);
    const calls: GetCall[] = [];
    for (const chunks of groups.values())
      for (const indexes of chunks) if (indexes.length > 0) calls.push(this.newCall(indexes));
    if (calls.length > 1) this.transaction?.onSeveralRanges();
    for (const next of calls) this.dispatcher.dispatch(next);
  }

  refuse(error: Error): void {
    this.endCalls();
    this.failWith(error);
  }

  complete(call: GetCall, response: Response, fromStore: number): void {
    if (response.get) this.transaction?.onAnswer(response.get, call.indexes, fromStore);
    const values = response.get?.values ?? [];
    const { indexes } = call;
    for (let i = 0; i < indexes.length; i++) {
      const value = values[i];
      if (value?.present)
        this.values[indexes[i] ?? 0] = {
          value: value.value ?? noKey,
          timestamp: value.timestamp ?? 0,
        };
    }
    this.remaining -= indexes.length;
    if (this.remaining === 0) this.succeed(this.values);
  }

  private newCall(indexes: readonly number[]): GetCall {
    const call = new GetCall(this, indexes);
    this.calls.push(call);
    return call;
  }

  private endCalls(): void {
    for (const call of this.calls) this.dispatcher.finish(call);
  }
}

class GetCall extends RangeCall {
  readonly indexes: readonly number[];
  override readonly routeKey: Uint8Array;
  private readonly operation: GetOperation;
  private readonly keys: readonly Uint8Array[];

  constructor(operation: GetOperation, indexes: readonly number[]) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.indexes = indexes;
    const { keys } = operation;
    this.keys =
      indexes.length === keys.length ? keys : indexes.map((index) => keys[index] ?? noKey);
    this.routeKey = this.keys[0] ?? noKey;
    this.mayFollow = operation.transaction?.mayFollow() ?? false;
  }

  override fit(piece: CallPiece): boolean {
    const { keys } = this;
    if (keys.length === 1) return true; // it was routed by its only key
    let fits = keys.length <= keysPerRequest;
    for (let i = 1; fits && i < keys.length; i++) {
      const key = keys[i] ?? noKey;
      fits = compareBytes(piece.startKey, key) <= 0 && compareBytes(key, piece.endKey) < 0;
    }
    if (!fits) this.operation.split(this);
    return fits;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const fields = this.operation.transaction?.fields(this.storeId, this.following);
    return encodeGet({ requestId, timeoutMs, rangeId, generation }, this.keys, fields);
  }

  override accepts(response: Response): boolean {
    return response.get?.values?.length === this.indexes.length;
  }

  override complete(response: Response, fromStore: number): void {
    this.operation.complete(this, response, fromStore);
  }

  override onLockWaiting(refusal: Refusal): Error | undefined {
    return this.operation.transaction?.onLockWaiting(refusal);
  }

  override refuseWith(error: Error): void {
    this.operation.refuse(error);
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.abort(code, message);
  }
}

const noKey = new Uint8Array(0);
const onlyIndex: readonly number[] = [0];

function allIndexes(count: number): readonly number[] {
  return count === 1 ? onlyIndex : Array.from({ length: count }, (_, index) => index);
}
