/** Finds the range of a key and says what is known about it, without sending anything to it. */
import type { ErrorCode } from '@flotilla/base';
import type { RangeInfo } from '@flotilla/shard/protocol';
import type { Admission } from './admission.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Operation } from './operation.ts';
import { type CallPiece, RangeCall } from './range-call.ts';
import type { OperationOptions } from './router-api.ts';

export class LookupOperation extends Operation<RangeInfo> {
  override readonly bytes: number;
  readonly dispatcher: Dispatcher;
  private readonly call: PeekCall;

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
    this.call = new PeekCall(this, key);
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

/** Ends as soon as it has a range to go to. */
class PeekCall extends RangeCall {
  override readonly routeKey: Uint8Array;
  private readonly operation: LookupOperation;

  constructor(operation: LookupOperation, key: Uint8Array) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.routeKey = key;
  }

  override fit(piece: CallPiece): boolean {
    const { descriptor, state } = piece.range;
    this.operation.dispatcher.finish(this);
    this.operation.succeed({
      descriptor,
      leaseholderStoreId: state.leaseholder,
      term: state.term,
    });
    return false;
  }

  override encode(): Uint8Array {
    return new Uint8Array(0); // never sent: `fit` ends the call
  }

  override accepts(): boolean {
    return false;
  }

  override complete(): void {}

  override failWith(code: ErrorCode, message: string): void {
    this.operation.fail(code, message);
  }
}
