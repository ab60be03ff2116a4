/** Asks the leaseholder of a key's range to cut the range there, so that another one begins with the key. */
import type { ErrorCode } from '@flotilla/base';
import { kv, type RangeInfo } from '@flotilla/shard/protocol';
import type { Admission } from './admission.ts';
import type { Response } from './client-link.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Operation } from './operation.ts';
import { type CallPiece, RangeCall } from './range-call.ts';
import type { OperationOptions } from './router-api.ts';

type Descriptor = NonNullable<RangeInfo['descriptor']>;

export class SplitOperation extends Operation<Descriptor> {
  override readonly bytes: number;
  private readonly dispatcher: Dispatcher;
  private readonly call: SplitCall;

  constructor(
    dispatcher: Dispatcher,
    admission: Admission,
    key: Uint8Array,
    options: OperationOptions | undefined,
  ) {
    const timeoutMs = options?.timeoutMs ?? dispatcher.timings.operationTimeoutMs;
    super(admission, dispatcher.clock.nowMs() + timeoutMs, options?.signal);
    this.dispatcher = dispatcher;
    this.bytes = key.length;
    this.call = new SplitCall(this, dispatcher, key);
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

/** May be sent again: where a range begins already there is nothing to cut. */
class SplitCall extends RangeCall {
  override readonly routeKey: Uint8Array;
  private readonly operation: SplitOperation;
  private readonly dispatcher: Dispatcher;

  constructor(operation: SplitOperation, dispatcher: Dispatcher, key: Uint8Array) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.dispatcher = dispatcher;
    this.routeKey = key;
  }

  override fit(): boolean {
    return true;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const split = { splitKey: this.routeKey };
    return kv.Request.encode({ requestId, timeoutMs, rangeId, generation, split }).finish();
  }

  override accepts(response: Response): boolean {
    return !!response.split;
  }

  override complete(response: Response): void {
    const { ok, message, left, right } = response.split ?? {};
    if (!ok || !right) {
      this.operation.fail('UNAVAILABLE', message || 'the leaseholder does not split the range');
      return;
    }
    for (const descriptor of [left, right])
      if (descriptor) this.dispatcher.cache.learn({ descriptor });
    this.operation.succeed(right);
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.fail(code, message);
  }
}
