/** Asks the leaseholder of a key's range, whoever that is by then, to give the range other members, and waits until it has. */
import type { ErrorCode } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Admission } from './admission.ts';
import type { Response } from './client-link.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Operation } from './operation.ts';
import { type CallPiece, RangeCall } from './range-call.ts';
import type { MembersChange, OperationOptions } from './router-api.ts';

export class ChangeMembersOperation extends Operation<void> {
  override readonly bytes: number;
  private readonly dispatcher: Dispatcher;
  private readonly call: ChangeMembersCall;

  constructor(
    dispatcher: Dispatcher,
    admission: Admission,
    key: Uint8Array,
    change: MembersChange,
    options: OperationOptions | undefined,
  ) {
    const timeoutMs = options?.timeoutMs ?? dispatcher.timings.operationTimeoutMs;
    super(admission, dispatcher.clock.nowMs() + timeoutMs, options?.signal);
    this.dispatcher = dispatcher;
    this.bytes = key.length;
    this.call = new ChangeMembersCall(this, key, change);
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

/** May be sent again, to the next leaseholder too: what is done already is not done again. */
class ChangeMembersCall extends RangeCall {
  override readonly routeKey: Uint8Array;
  private readonly operation: ChangeMembersOperation;
  private readonly change: MembersChange;

  constructor(operation: ChangeMembersOperation, key: Uint8Array, change: MembersChange) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.routeKey = key;
    this.change = change;
  }

  override fit(): boolean {
    return true;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const { add, remove } = this.change;
    const changeReplicas = { add: [...add], remove: [...remove] };
    return kv.Request.encode({
      requestId,
      timeoutMs,
      rangeId,
      generation,
      changeReplicas,
    }).finish();
  }

  override accepts(response: Response): boolean {
    return !!response.changeReplicas;
  }

  override complete(response: Response): void {
    const { ok, message } = response.changeReplicas ?? {};
    if (ok) this.operation.succeed();
    else this.operation.fail('INVALID_ARGUMENT', message || 'the leaseholder refuses');
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.fail(code, message);
  }
}
