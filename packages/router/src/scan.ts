/** Reads of rows in key order: one request after the other, range after range, each as large as the caller wants. */
import { compareBytes, type ErrorCode, type Span } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Admission } from './admission.ts';
import type { Response } from './client-link.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Operation } from './operation.ts';
import { type CallPiece, RangeCall } from './range-call.ts';
import type { KvRow, OperationOptions, ScanOptions } from './router-api.ts';
import { headerFields, mayFollow, observe } from './transaction/header.ts';
import type { TransactionContext } from './transaction/transaction-api.ts';

const defaultBatchRows = 1000;

/** Forward: from startKey up. Reverse: from endKey down. Each batch has a deadline of its own. */
export async function* scanSpan(
  dispatcher: Dispatcher,
  admission: Admission,
  span: Span,
  options: ScanOptions = {},
): AsyncGenerator<readonly KvRow[], void, void> {
  let { startKey, endKey } = span;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  const reverse = options.reverse === true;
  const batchRows = Math.max(1, options.batchRows ?? defaultBatchRows);
  while (left > 0 && compareBytes(startKey, endKey) < 0) {
    const maxRows = Math.min(left, batchRows);
    const batch = await new ScanOperation(
      dispatcher,
      admission,
      { span: { startKey, endKey }, maxRows, reverse },
      options,
    ).start();
    left -= batch.rows.length;
    if (reverse) endKey = batch.next;
    else startKey = batch.next;
    if (batch.rows.length > 0) yield batch.rows;
  }
}

export interface ScanRequest {
  readonly span: Span;
  readonly maxRows: number;
  readonly reverse: boolean;
  /** In a transaction: what stores are to make of the rows. */
  readonly program?: Uint8Array | undefined;
}

export interface ScanBatch {
  /** None where the program was run. */
  readonly rows: readonly KvRow[];
  /** Undefined: there was no program, or the store knows of none. */
  readonly evaluated: { readonly result: Uint8Array; readonly rowsRead: number } | undefined;
  readonly from: { readonly rangeId: number; readonly storeId: number };
  /** Where to go on: the next startKey, or in reverse the next endKey. */
  readonly next: Uint8Array;
  /** In a transaction: the snapshot. */
  readonly readTimestamp: number;
}

/** What a transaction adds to a scan. */
export interface ScanTransaction {
  readonly context: TransactionContext;
  readonly coordinator: string;
  /** HLC, when the scan began. */
  readonly now: number;
}

export class ScanOperation extends Operation<ScanBatch> {
  override readonly bytes: number;
  private readonly dispatcher: Dispatcher;
  private readonly call: ScanCall;

  constructor(
    dispatcher: Dispatcher,
    admission: Admission,
    request: ScanRequest,
    options: OperationOptions,
    transaction?: ScanTransaction,
  ) {
    const timeoutMs = options.timeoutMs ?? dispatcher.timings.operationTimeoutMs;
    super(admission, dispatcher.clock.nowMs() + timeoutMs, options.signal);
    this.dispatcher = dispatcher;
    this.bytes = request.span.startKey.length + request.span.endKey.length;
    this.call = new ScanCall(this, request, transaction);
    const { followerReadLagMs } = dispatcher.timings;
    this.call.mayFollow =
      transaction !== undefined &&
      mayFollow(transaction.context, transaction.now, followerReadLagMs);
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

class ScanCall extends RangeCall {
  private readonly operation: ScanOperation;
  private readonly request: ScanRequest;
  private readonly transaction: ScanTransaction | undefined;
  /** The part of the span that the latest attempts ask for. */
  private asked: Span;
  /** The first of them, by its request id. Attempts before it asked for another part: theirs are other rows. */
  private askedSince = 0;

  constructor(
    operation: ScanOperation,
    request: ScanRequest,
    transaction: ScanTransaction | undefined,
  ) {
    super(operation.deadlineAtMs);
    this.transaction = transaction;
    this.operation = operation;
    this.request = request;
    this.asked = request.span;
  }

  override get routeKey(): Uint8Array {
    return this.request.reverse ? this.request.span.endKey : this.request.span.startKey;
  }

  override get routeBefore(): boolean {
    return this.request.reverse;
  }

  override fit(piece: CallPiece): boolean {
    const { startKey, endKey } = this.request.span;
    const asked = {
      startKey: compareBytes(startKey, piece.startKey) > 0 ? startKey : piece.startKey,
      endKey: compareBytes(endKey, piece.endKey) < 0 ? endKey : piece.endKey,
    };
    if (!isSameSpan(asked, this.asked)) this.askedSince = Number.POSITIVE_INFINITY;
    this.asked = asked;
    return true;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const { maxRows, reverse, program } = this.request;
    this.askedSince = Math.min(this.askedSince, requestId);
    const rows = { ...this.asked, maxRows, reverse };
    const scan = program === undefined ? rows : { ...rows, program };
    const { transaction, storeId, following: followerRead } = this;
    const request = { requestId, timeoutMs, rangeId, generation, scan, followerRead };
    if (transaction === undefined) return kv.Request.encode(request).finish();
    const header = headerFields(transaction.context, { ...transaction, storeId });
    return kv.Request.encode({ ...request, transaction: header }).finish();
  }

  override accepts(response: Response): boolean {
    const { scan, requestId = 0 } = response;
    if (!scan || requestId < this.askedSince) return false;
    const resume = scan.resumeKey;
    if (!resume || resume.length === 0) return true;
    // A store that does not move on would keep us here for ever.
    const { startKey, endKey } = this.request.span;
    return this.request.reverse
      ? compareBytes(resume, endKey) < 0 && compareBytes(resume, startKey) > 0
      : compareBytes(resume, startKey) > 0 && compareBytes(resume, endKey) < 0;
  }

  override complete(response: Response, fromStore: number): void {
    const { storeTimestamp, readTimestamp } = response.scan ?? {};
    if (this.transaction !== undefined)
      observe(this.transaction.context, fromStore, storeTimestamp ?? 0);
    const rows = (response.scan?.rows ?? []).map(({ key, value, timestamp }) => ({
      key: key ?? noBytes,
      value: value ?? noBytes,
      timestamp: timestamp ?? 0,
    }));
    const resume = response.scan?.resumeKey;
    const asked = this.request.reverse ? this.asked.startKey : this.asked.endKey;
    const next = resume && resume.length > 0 ? resume : asked;
    const { evaluated, result, rowsRead } = response.scan ?? {};
    this.operation.succeed({
      rows,
      evaluated:
        evaluated === true ? { result: result ?? noBytes, rowsRead: rowsRead ?? 0 } : undefined,
      from: { rangeId: this.range?.rangeId ?? 0, storeId: fromStore },
      next,
      readTimestamp: readTimestamp ?? 0,
    });
  }

  override refuseWith(error: Error): void {
    this.operation.failWith(error);
  }

  override failWith(code: ErrorCode, message: string): void {
    this.operation.fail(code, message);
  }
}

function isSameSpan(a: Span, b: Span): boolean {
  return compareBytes(a.startKey, b.startKey) === 0 && compareBytes(a.endKey, b.endKey) === 0;
}

const noBytes = new Uint8Array(0);
