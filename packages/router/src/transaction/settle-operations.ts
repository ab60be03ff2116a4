/**
 * What becomes of a transaction: its record asked and decided, promises prevented, intents resolved. All of it may be
 * asked by anybody, any number of times; none of it needs a session.
 */
import type { ErrorCode } from '@flotilla/base';
import { compareBytes } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Response } from '../client-link.ts';
import { Operation } from '../operation.ts';
import { type CallPiece, RangeCall } from '../range-call.ts';
import type { OperationOptions } from '../router-api.ts';
import { type Part, SpreadOperation, type SpreadParts, slices } from './spread-operation.ts';
import type {
  DecidedState,
  Decision,
  RecordQuery,
  RecordStatus,
  Resolution,
  TransactionRecord,
  WireRequest,
} from './transaction-api.ts';

const { TransactionStatus } = kv;

/** Keys that one message names: what a leaseholder does for them in one go should not hold others up for long. */
const keysPerMessage = 2000;

/** A request to the range that holds a record. */
abstract class RecordOperation<Result> extends Operation<Result> {
  override readonly bytes: number;
  private readonly base: SpreadParts;
  private readonly call: RecordCall<Result>;

  constructor(base: SpreadParts, anchorKey: Uint8Array, options: OperationOptions | undefined) {
    const { clock, timings } = base.dispatcher;
    const timeoutMs = options?.timeoutMs ?? timings.operationTimeoutMs;
    super(base.admission, clock.nowMs() + timeoutMs, options?.signal);
    this.base = base;
    this.bytes = anchorKey.length;
    this.call = new RecordCall(this, anchorKey);
  }

  abstract body(piece: CallPiece): WireRequest;
  abstract read(response: Response): Result | undefined;

  override begin(): void {
    this.base.dispatcher.dispatch(this.call);
  }

  override wait(): void {
    this.base.dispatcher.waitIn('admission', this.call);
  }

  override abort(code: ErrorCode, message: string): void {
    this.base.dispatcher.fail(this.call, code, message);
  }
}

class RecordCall<Result> extends RangeCall {
  override readonly routeKey: Uint8Array;
  private readonly operation: RecordOperation<Result>;

  constructor(operation: RecordOperation<Result>, anchorKey: Uint8Array) {
    super(operation.deadlineAtMs);
    this.operation = operation;
    this.routeKey = anchorKey;
  }

  override fit(): boolean {
    return true;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const body = this.operation.body(piece);
    return kv.Request.encode({ ...body, requestId, timeoutMs, rangeId, generation }).finish();
  }

  override accepts(response: Response): boolean {
    return this.operation.read(response) !== undefined;
  }

  override complete(response: Response): void {
    const result = this.operation.read(response);
    if (result !== undefined) this.operation.succeed(result);
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.fail(code, message);
  }
}

export class QueryOperation extends RecordOperation<TransactionRecord> {
  private readonly record: RecordQuery;

  constructor(base: SpreadParts, record: RecordQuery, options?: OperationOptions) {
    super(base, record.anchorKey, options);
    this.record = record;
  }

  override body(): WireRequest {
    const { transactionId, anchorKey, withAllKeys } = this.record;
    return { queryTransaction: { transactionId, anchorKey, withAllKeys } };
  }

  override read(response: Response): TransactionRecord | undefined {
    const { queryTransaction } = response;
    if (!queryTransaction) return undefined;
    return {
      status: statusOf(queryTransaction.status),
      commitTimestamp: queryTransaction.commitTimestamp ?? 0,
      promisedKeys: (queryTransaction.promisedKeys ?? []).map((key) => Uint8Array.from(key)),
      keysOmitted: queryTransaction.keysOmitted ?? false,
      ageMs: queryTransaction.ageMs ?? 0,
      coordinatorAlive: queryTransaction.coordinatorAlive ?? false,
    };
  }
}

export class DecideOperation extends RecordOperation<DecidedState> {
  private readonly decision: Decision;
  /** Keys that every attempt has named: a split may come between two of them. */
  private resolved: readonly Uint8Array[] | undefined;

  constructor(base: SpreadParts, decision: Decision, options?: OperationOptions) {
    super(base, decision.anchorKey, options);
    this.decision = decision;
  }

  override body(piece: CallPiece): WireRequest {
    const { decision } = this;
    const here = decision.resolveKeys.filter(
      (key) => compareBytes(piece.startKey, key) <= 0 && compareBytes(key, piece.endKey) < 0,
    );
    const named = new Set(here);
    this.resolved = this.resolved?.filter((key) => named.has(key)) ?? here;
    return {
      decide: {
        transactionId: decision.transactionId,
        anchorKey: decision.anchorKey,
        expected: decision.expected === 'none' ? noRecord : TransactionStatus.TRANSACTION_STAGING,
        expectedTimestamp: decision.expectedTimestamp,
        outcome:
          decision.outcome === 'committed'
            ? TransactionStatus.TRANSACTION_COMMITTED
            : TransactionStatus.TRANSACTION_ABORTED,
        resolveKeys: here,
        // A split may have taken some of the keys away since the caller looked.
        forget: decision.forget && here.length === decision.resolveKeys.length,
      },
    };
  }

  override read(response: Response): DecidedState | undefined {
    const { decide } = response;
    if (!decide) return undefined;
    return {
      status: statusOf(decide.status),
      commitTimestamp: decide.commitTimestamp ?? 0,
      resolved: this.resolved ?? [],
    };
  }
}

const noRecord = TransactionStatus.TRANSACTION_NONE;

function statusOf(status: number | null | undefined): RecordStatus {
  switch (status) {
    case TransactionStatus.TRANSACTION_STAGING:
      return 'staging';
    case TransactionStatus.TRANSACTION_COMMITTED:
      return 'committed';
    case TransactionStatus.TRANSACTION_ABORTED:
      return 'aborted';
    default:
      return 'none';
  }
}

export class PreventOperation extends SpreadOperation<Part, boolean> {
  private readonly transactionId: Uint8Array;
  private readonly commitTimestamp: number;
  private allFound = true;

  constructor(
    base: SpreadParts,
    transactionId: Uint8Array,
    commitTimestamp: number,
    keys: readonly Uint8Array[],
    options?: OperationOptions,
  ) {
    super(base, keys.map(partAt), bytesOf(keys), options);
    this.transactionId = transactionId;
    this.commitTimestamp = commitTimestamp;
  }

  override body(parts: readonly Part[]): WireRequest {
    const { transactionId, commitTimestamp } = this;
    return {
      prevent: { transactionId, commitTimestamp, keys: parts.map(({ startKey }) => startKey) },
    };
  }

  override accepts(response: Response): boolean {
    return !!response.prevent;
  }

  override tooLarge(parts: readonly Part[]): boolean {
    return parts.length > keysPerMessage;
  }

  protected override cutGroup(parts: readonly Part[]): Part[][] {
    return slices(parts, keysPerMessage);
  }

  /** Every range is asked, whatever the others say: the intents that are found are still to be dealt with. */
  override onAnswer(
    response: Response,
    _parts: readonly Part[],
    _fromStore: number,
    ended: boolean,
  ): void {
    if (!response.prevent?.allFound) this.allFound = false;
    if (ended) this.succeed(this.allFound);
  }
}

interface ResolvePart extends Part {
  readonly resolution: Resolution;
  /** The record goes, rather than an intent. */
  readonly forget: boolean;
}

export class ResolveOperation extends SpreadOperation<ResolvePart, void> {
  constructor(base: SpreadParts, resolutions: readonly Resolution[], options?: OperationOptions) {
    let bytes = 0;
    for (const { keys } of resolutions) bytes += bytesOf(keys) + 32;
    super(base, resolutions.flatMap(resolveParts), bytes, options);
  }

  override body(parts: readonly ResolvePart[]): WireRequest {
    const groups = new Map<Resolution, { keys: Uint8Array[]; forget: boolean }>();
    for (const part of parts) {
      let group = groups.get(part.resolution);
      if (group === undefined) {
        group = { keys: [], forget: false };
        groups.set(part.resolution, group);
      }
      if (part.forget) group.forget = true;
      else group.keys.push(part.startKey);
    }
    const resolutions = [...groups].map(([resolution, { keys, forget }]) => ({
      transactionId: resolution.transactionId,
      committed: resolution.committed,
      commitTimestamp: resolution.commitTimestamp,
      keys,
      ...(resolution.undecided === true ? { undecided: true } : {}),
      ...(forget && resolution.forgetAnchorKey !== undefined
        ? {
            forgetAnchorKey: resolution.forgetAnchorKey,
            byCoordinator: resolution.byCoordinator ?? false,
          }
        : {}),
    }));
    return { resolve: { resolutions } };
  }

  override accepts(response: Response): boolean {
    return !!response.resolve;
  }

  override tooLarge(parts: readonly ResolvePart[]): boolean {
    return parts.length > keysPerMessage;
  }

  protected override cutGroup(parts: readonly ResolvePart[]): ResolvePart[][] {
    return slices(parts, keysPerMessage);
  }

  override onAnswer(
    _response: Response,
    _parts: readonly ResolvePart[],
    _fromStore: number,
    ended: boolean,
  ): void {
    if (ended) this.succeed();
  }
}

function partAt(key: Uint8Array): Part {
  return { startKey: key };
}

function resolveParts(resolution: Resolution): ResolvePart[] {
  const parts: ResolvePart[] = resolution.keys.map((key) => ({
    startKey: key,
    resolution,
    forget: false,
  }));
  const { forgetAnchorKey } = resolution;
  if (forgetAnchorKey !== undefined)
    parts.push({ startKey: forgetAnchorKey, resolution, forget: true });
  return parts;
}

function bytesOf(keys: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const key of keys) bytes += key.length;
  return bytes;
}
