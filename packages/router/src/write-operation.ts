/**
 * A conditional write to one range. Knows at every moment whether it may have taken effect: then it is retried only
 * under the session and serial number it was first sent with, and ends as OUTCOME_UNKNOWN unless a store knows better.
 *
 * Where a retry cannot be made though an earlier attempt may still arrive, because the range was cut or a transaction has
 * to move to a later timestamp, the number is used up: a write that does nothing takes it. Its answer is the earlier
 * attempt's if that was quicker, and otherwise proof that it will never take effect.
 */
import { compareBytes, DbError, type ErrorCode, keySuccessor, type Span } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Admission } from './admission.ts';
import type { Response } from './client-link.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Operation } from './operation.ts';
import { type CallPiece, RangeCall, type Refusal } from './range-call.ts';
import type { OperationOptions, WriteBatch, WriteOutcome } from './router-api.ts';
import type { Session, Sessions } from './sessions.ts';
import { wireComputation } from './transaction/computation.ts';
import { encodeHeaderField } from './transaction/header.ts';
import { wireReadCheck } from './transaction/read-check.ts';
import { waitNotice } from './transaction/refusals.ts';
import {
  type Computation,
  type OnWaiting,
  type ReadCheck,
  type TransactionContext,
  TransactionRefused,
} from './transaction/transaction-api.ts';
import { encodeWrite, type TransactionFields } from './wire.ts';

/** A timestamp that no version has: the clock has shown it half a century ago. */
const never = 1;

/** What a transaction that writes to one range adds to the write. */
export interface WriteTransaction {
  readonly context: TransactionContext;
  readonly coordinator: string;
  readonly readChecks: readonly ReadCheck[];
  readonly computations: readonly Computation[];
  readonly demandedTimestamp: number;
  readonly maxTimestamp: number;
  readonly onWaiting: OnWaiting | undefined;
}

export interface WriteParts {
  readonly dispatcher: Dispatcher;
  readonly admission: Admission;
  readonly sessions: Sessions;
}

export class WriteOperation extends Operation<WriteOutcome> {
  override readonly bytes: number;
  private readonly parts: WriteParts;
  private readonly call: WriteCall;

  /** @param hull smallest span around all keys and spans of the batch */
  constructor(
    parts: WriteParts,
    batch: WriteBatch,
    hull: Span,
    bytes: number,
    options?: OperationOptions,
    transaction?: WriteTransaction,
  ) {
    const { clock, timings } = parts.dispatcher;
    const timeoutMs = options?.timeoutMs ?? timings.operationTimeoutMs;
    super(parts.admission, clock.nowMs() + timeoutMs, options?.signal);
    this.parts = parts;
    this.bytes = bytes;
    this.call = new WriteCall(this, parts, batch, hull, transaction);
  }

  override begin(): void {
    this.parts.dispatcher.dispatch(this.call);
  }

  override wait(): void {
    this.parts.dispatcher.waitIn('admission', this.call);
  }

  override abort(code: ErrorCode, message: string): void {
    this.parts.dispatcher.fail(this.call, code, message);
  }
}

class WriteCall extends RangeCall {
  private readonly operation: WriteOperation;
  private readonly dispatcher: Dispatcher;
  private readonly sessions: Sessions;
  private batch: WriteBatch;
  private hull: Span;
  private session: Session | undefined;
  private waitingFor: Session | undefined;
  private serial = 0;
  private readonly transaction: WriteTransaction | undefined;
  /** Attempts under the present session that have left and were not refused: the write may have taken effect. */
  private inDoubt = 0;
  /** Why the write is not made; its number is being used up. */
  private givenUp: Error | undefined;

  constructor(
    operation: WriteOperation,
    parts: WriteParts,
    batch: WriteBatch,
    hull: Span,
    transaction: WriteTransaction | undefined,
  ) {
    super(operation.deadlineAtMs);
    this.transaction = transaction;
    this.operation = operation;
    this.dispatcher = parts.dispatcher;
    this.sessions = parts.sessions;
    this.batch = batch;
    this.hull = hull;
  }

  override get routeKey(): Uint8Array {
    return this.hull.startKey;
  }

  override fit(piece: CallPiece): boolean {
    if (compareBytes(this.hull.endKey, piece.endKey) > 0) {
      const error =
        this.transaction === undefined
          ? new DbError('NOT_SUPPORTED', 'a write must lie within one range')
          : new TransactionRefused('several-ranges');
      if (!this.onFinalRefusal(error)) {
        this.dispatcher.finish(this);
        this.operation.failWith(error);
        return false;
      }
    }
    if (this.session !== undefined) {
      // After a split the other half knows the session too: a write in doubt keeps its number there.
      if (this.inDoubt > 0 || this.session.rangeId === piece.range.rangeId) return true;
      this.releaseSerial();
    }
    const session = this.sessions.of(piece.range.rangeId, this.routeKey);
    if (!this.sessions.isOpen(session)) {
      this.waitingFor?.waiters.delete(this);
      this.waitingFor = session;
      this.sessions.waitFor(session, this);
      return false;
    }
    this.waitingFor = undefined;
    this.session = session;
    this.serial = session.takeSerial();
    return true;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const { session, serial } = this;
    const ids = {
      sessionId: session?.sessionId ?? 0,
      serial,
      ackedUpTo: session?.ackedUpTo ?? 0,
      transaction: this.transactionFields(),
    };
    return encodeWrite({ requestId, timeoutMs, rangeId, generation }, ids, this.batch);
  }

  override accepts(response: Response): boolean {
    return !!response.write;
  }

  override complete(response: Response): void {
    const { applied, timestamp, failedCondition, foundTimestamp } = response.write ?? {};
    if (!applied && this.givenUp !== undefined) {
      this.operation.failWith(this.givenUp);
      return;
    }
    this.operation.succeed(
      applied
        ? { applied: true, timestamp: timestamp ?? 0 }
        : {
            applied: false,
            failedCondition: failedCondition ?? 0,
            foundTimestamp: foundTimestamp ?? 0,
          },
    );
  }

  override onAttempt(): void {
    this.inDoubt++;
  }

  override onAttemptRefused(): void {
    this.inDoubt--;
  }

  override onSessionExpired(): boolean {
    const { session } = this;
    if (session === undefined) return false;
    this.sessions.expire(session);
    if (this.inDoubt > 0) return false;
    this.session = undefined;
    return true;
  }

  override failWith(code: ErrorCode, message: string): void {
    if (this.inDoubt > 0 && code !== 'OUTCOME_UNKNOWN')
      this.operation.fail('OUTCOME_UNKNOWN', `the write may have taken effect: ${message}`);
    else this.operation.fail(code, message);
  }

  override onLockWaiting(refusal: Refusal): Error | undefined {
    if (this.givenUp !== undefined) return undefined;
    return this.transaction?.onWaiting?.(waitNotice(refusal));
  }

  /** An earlier attempt may still take effect, whatever this one was told: uses up the number that both have. */
  override onFinalRefusal(error: Error): boolean {
    if (this.inDoubt === 0 || this.givenUp !== undefined) return false;
    this.givenUp = error;
    const key = this.routeKey;
    this.batch = {
      conditions: [{ kind: 'unchanged', key, timestamp: never }],
      mutations: [],
      deleteSpans: [],
    };
    this.hull = { startKey: key, endKey: keySuccessor(key) };
    return true;
  }

  override refuseWith(error: Error): void {
    if (this.inDoubt > 0) this.failWith('OUTCOME_UNKNOWN', 'the write may have taken effect');
    else this.operation.failWith(error);
  }

  override onDone(): void {
    this.waitingFor?.waiters.delete(this);
    this.releaseSerial();
  }

  private transactionFields(): TransactionFields | undefined {
    const { transaction } = this;
    if (transaction === undefined || this.givenUp !== undefined) return undefined;
    const { context, coordinator, readChecks, computations } = transaction;
    const { demandedTimestamp, maxTimestamp } = transaction;
    return {
      header: encodeHeaderField(context, { coordinator, storeId: this.storeId }),
      body: kv.WriteRequest.encode({
        // Behind those of the batch: a repeated field goes on.
        conditions: computations.map(wireComputation),
        readChecks: readChecks.map(wireReadCheck),
        demandedTimestamp,
        maxTimestamp,
      }).finish(),
    };
  }

  private releaseSerial(): void {
    const { session } = this;
    this.session = undefined;
    if (session !== undefined) this.sessions.answer(session, this.serial);
  }
}

/** The smallest span around everything that a batch names. Throws INVALID_ARGUMENT if it names nothing. */
export function hullOf(
  batch: WriteBatch,
  readChecks: readonly ReadCheck[] = [],
  computations: readonly Computation[] = [],
): Span {
  let startKey: Uint8Array | undefined;
  let lastKey: Uint8Array | undefined;
  for (const part of [batch.conditions, batch.mutations, computations])
    for (const { key } of part) {
      if (startKey === undefined || compareBytes(key, startKey) < 0) startKey = key;
      if (lastKey === undefined || compareBytes(key, lastKey) > 0) lastKey = key;
    }
  let endKey = lastKey === undefined ? undefined : keySuccessor(lastKey);
  for (const span of batch.deleteSpans) {
    if (startKey === undefined || compareBytes(span.startKey, startKey) < 0)
      startKey = span.startKey;
    if (endKey === undefined || compareBytes(span.endKey, endKey) > 0) endKey = span.endKey;
  }
  for (const check of readChecks) {
    const checkEnd = check.endKey ?? keySuccessor(check.startKey);
    if (startKey === undefined || compareBytes(check.startKey, startKey) < 0)
      startKey = check.startKey;
    if (endKey === undefined || compareBytes(checkEnd, endKey) > 0) endKey = checkEnd;
  }
  if (startKey === undefined || endKey === undefined)
    throw new DbError('INVALID_ARGUMENT', 'a write names at least one key or span');
  return { startKey, endKey };
}
