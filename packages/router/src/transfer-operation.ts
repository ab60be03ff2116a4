/** Asks the leaseholder of a key's range, whoever that is by then, to hand the range to another of its stores. */
import type { ErrorCode, StoreId } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Admission } from './admission.ts';
import type { Response } from './client-link.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Operation } from './operation.ts';
import { type CallPiece, RangeCall } from './range-call.ts';
import type { OperationOptions } from './router-api.ts';

export class TransferOperation extends Operation<void> {
  override readonly bytes: number;
  private readonly dispatcher: Dispatcher;
  private readonly call: TransferCall;

  constructor(
    dispatcher: Dispatcher,
    admission: Admission,
    key: Uint8Array,
    to: StoreId,
    options: OperationOptions | undefined,
  ) {
    const timeoutMs = options?.timeoutMs ?? dispatcher.timings.operationTimeoutMs;
    super(admission, dispatcher.clock.nowMs() + timeoutMs, options?.signal);
    this.dispatcher = dispatcher;
    this.bytes = key.length;
    this.call = new TransferCall(this, key, to);
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

/** May be sent again: a leaseholder that is the target already agrees. */
class TransferCall extends RangeCall {
  override readonly routeKey: Uint8Array;
  private readonly operation: TransferOperation;
  private readonly targetStoreId: StoreId;

  constructor(operation: TransferOperation, key: Uint8Array, to: StoreId) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.routeKey = key;
    this.targetStoreId = to;
  }

  override fit(): boolean {
    return true;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const transferLease = { targetStoreId: this.targetStoreId };
    return kv.Request.encode({
      requestId,
      timeoutMs,
      rangeId,
      generation,
      transferLease,
    }).finish();
  }

  override accepts(response: Response): boolean {
    return !!response.transferLease;
  }

  override complete(response: Response): void {
    const { ok, message } = response.transferLease ?? {};
    if (ok) this.operation.succeed();
    else this.operation.fail('INVALID_ARGUMENT', message || 'the leaseholder refuses');
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.fail(code, message);
  }
}
