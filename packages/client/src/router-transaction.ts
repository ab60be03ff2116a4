/**
 * The transaction that SQL runs on: reads go to the router and are remembered with the version they saw, writes stay
 * here until `commit` sends them as one conditional write. That write is one entry in one range's log, so it is made
 * whole or not at all; writes that would touch two ranges are refused with NOT_SUPPORTED.
 *
 * Every read sees the newest value. Not validated at commit: what was read and not written, and keys that were absent
 * from a scan. Locks are not taken: two that change a key meet at commit.
 */
import {
  compareBytes,
  DbError,
  keyBytesMax,
  keySuccessor,
  type Logger,
  type Span,
  silentLogger,
  toHex,
  valueBytesMax,
} from '@flotilla/base';
import type { Router, WriteCondition, WriteMutation } from '@flotilla/router';
import type {
  BeginOptions,
  IsolationLevel,
  KvDatabase,
  KvPair,
  KvTransaction,
  Savepoint,
  ScanOptions,
} from '@flotilla/sql';
import { ScanMerge } from './transaction/scan-merge.ts';
import { keyText, type OwnWrite, WriteBuffer } from './transaction/write-buffer.ts';

/** Largest sum of one transaction's writes. Unit: bytes. Leaves room in a message (16 MiB) for the replaced values. */
export const transactionBytesMax: number = 8 * 1024 * 1024;
/** Rows that one command of a span's deletion may cover. Unit: rows. Bounds the log entry and its apply time. */
export const deleteSpanRowsMax: number = 1000;

export class RouterDatabase implements KvDatabase {
  private readonly router: Router;
  private readonly logger: Logger;

  constructor(router: Router, logger: Logger = silentLogger) {
    this.router = router;
    this.logger = logger;
  }

  begin(options: BeginOptions = {}): KvTransaction {
    return new RouterTransaction(this.router, this.logger, options);
  }
}

export class RouterTransaction implements KvTransaction {
  private readonly router: Router;
  private readonly logger: Logger;
  private readonly readOnly: boolean;
  private readonly isolation: IsolationLevel;
  private readonly overlay = new WriteBuffer();
  /** Version of each key as it was first read; 0 = absent. */
  private readonly reads = new Map<string, number>();
  /** The overlay's mark at the statement that began last. */
  private statement: number | undefined;
  /** An earlier statement has read something. */
  private hasRead = false;
  private finished = false;

  constructor(router: Router, logger: Logger, options: BeginOptions) {
    if (options.asOf !== undefined)
      throw new DbError('NOT_SUPPORTED', 'reads of the past are not supported yet');
    this.router = router;
    this.logger = logger;
    this.readOnly = options.readOnly ?? false;
    this.isolation = options.isolation ?? 'serializable';
  }

  get restartable(): boolean {
    return this.isolation === 'read committed' || !this.hasRead;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const [value] = await this.getMany([key]);
    return value;
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    this.checkOpen();
    const own = keys.map((key) => this.overlay.lookup(key));
    const missing = keys.filter((_key, index) => own[index] === undefined);
    const found = missing.length === 0 ? [] : await this.router.get(missing);
    missing.forEach((key, index) => {
      this.remember(key, found[index]?.timestamp ?? 0);
    });
    let next = 0;
    return own.map((entry) => (entry === undefined ? found[next++]?.value : entry.value));
  }

  /** Shows the transaction's own writes as they were when the scan began. */
  async *scan(span: Span, options: ScanOptions = {}): AsyncIterable<readonly KvPair[]> {
    this.checkOpen();
    const reverse = options.reverse ?? false;
    const pieces = this.overlay.remaining(span).map((piece) => ({
      piece,
      own: this.overlay.within(piece),
    }));
    if (reverse) pieces.reverse();
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    for (const { piece, own } of pieces) {
      if (left <= 0) return;
      for await (const pairs of this.scanPiece(piece, own, { ...options, limit: left })) {
        left -= pairs.length;
        yield pairs;
      }
    }
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.buffer(key, value, false);
  }

  insert(key: Uint8Array, value: Uint8Array): void {
    const own = this.overlay.lookup(key);
    if (own?.value !== undefined)
      throw new DbError('KEY_EXISTS', 'this transaction has written the key', { key });
    // A key that this transaction deletes will be absent by then: only an unknown one has to be checked.
    this.buffer(key, value, own === undefined);
  }

  delete(key: Uint8Array): void {
    this.buffer(key, undefined, false);
  }

  deleteSpan(span: Span): void {
    this.checkWritable();
    if (compareBytes(span.startKey, span.endKey) >= 0)
      throw new DbError('INVALID_ARGUMENT', 'a span begins before it ends');
    this.overlay.deleteSpan(span);
  }

  savepoint(): Savepoint {
    return { savepoint: this.overlay.mark() };
  }

  rollbackTo(savepoint: Savepoint): void {
    this.checkOpen();
    this.overlay.undoTo(savepoint.savepoint as number);
  }

  release(_savepoint: Savepoint): void {
    this.checkOpen();
  }

  beginStatement(): void {
    this.checkOpen();
    this.statement = this.overlay.mark();
    if (this.isolation === 'read committed') this.forgetReads();
    else this.hasRead = this.reads.size > 0;
  }

  restartStatement(): void {
    if (!this.restartable || this.statement === undefined)
      throw new DbError('INVALID_ARGUMENT', 'the statement cannot be run again by itself');
    this.overlay.undoTo(this.statement);
    this.forgetReads();
  }

  /**
   * Single writes first, at one instant; then the deleted spans, a chunk at a time, each chunk at an instant of its
   * own. With single writes made, the transaction counts as committed: a span that then fails to go is logged and
   * left behind, which is right for the only users of spans, DROP and TRUNCATE, whose data nothing refers to any more.
   * @throws DbError of the contract, and NOT_SUPPORTED: the writes do not lie in one range.
   */
  async commit(): Promise<void> {
    this.checkOpen();
    this.finished = true;
    if (this.overlay.isEmpty) return;
    const spans = this.overlay.deletedSpans;
    const written = await this.commitWrites();
    for (const span of spans) {
      try {
        await this.deleteInChunks(span);
      } catch (error) {
        if (!written) throw error;
        this.logger.warn(
          { startKey: toHex(span.startKey), endKey: toHex(span.endKey), err: error },
          'dropped_span_left_behind',
        );
      }
    }
  }

  rollback(): void {
    this.finished = true;
    this.overlay.clear();
    this.reads.clear();
  }

  private buffer(key: Uint8Array, value: Uint8Array | undefined, mustBeAbsent: boolean): void {
    this.checkWritable();
    if (key.length > keyBytesMax)
      throw new DbError('TOO_LARGE', `a key has at most ${keyBytesMax} bytes`, { key });
    if (value !== undefined && value.length > valueBytesMax)
      throw new DbError('TOO_LARGE', `a value has at most ${valueBytesMax} bytes`, { key });
    if (this.overlay.requestBytes + this.overlay.growthOf(key, value) > transactionBytesMax)
      throw new DbError('TOO_LARGE', `a transaction writes at most ${transactionBytesMax} bytes`);
    this.overlay.write(key, value, mustBeAbsent);
  }

  private async *scanPiece(
    piece: Span,
    own: readonly OwnWrite[],
    options: ScanOptions & { readonly limit: number },
  ): AsyncIterable<readonly KvPair[]> {
    const reverse = options.reverse ?? false;
    // Rows below that the transaction has deleted do not count towards the caller's limit.
    const hidden = own.reduce((count, write) => count + (write.value === undefined ? 1 : 0), 0);
    const rows = this.router.scan(piece, {
      reverse,
      ...(Number.isFinite(options.limit) ? { limit: options.limit + hidden } : {}),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const merge = new ScanMerge(own, reverse);
    let left = options.limit;
    for await (const batch of rows) {
      if (!this.readOnly) for (const row of batch) this.remember(row.key, row.timestamp);
      const merged = merge.next(batch);
      const pairs = merged.length > left ? merged.slice(0, left) : merged;
      left -= pairs.length;
      if (pairs.length > 0) yield pairs;
      if (left <= 0) return;
    }
    const rest = merge.rest();
    if (rest.length > 0) yield rest.length > left ? rest.slice(0, left) : rest;
  }

  /** Of what was read, only what was then written counts. */
  private forgetReads(): void {
    for (const text of this.reads.keys()) if (!this.overlay.writes(text)) this.reads.delete(text);
  }

  /** The first version seen is the one that counts: whatever was computed may rest on it. */
  private remember(key: Uint8Array, timestamp: number): void {
    if (this.readOnly) return;
    const text = keyText(key);
    if (!this.reads.has(text)) this.reads.set(text, timestamp);
  }

  /** @returns whether there was anything to write */
  private async commitWrites(): Promise<boolean> {
    const unchanged: WriteCondition[] = [];
    const absent: WriteCondition[] = [];
    const mutations: WriteMutation[] = [];
    for (const [text, { key, value, mustBeAbsent }] of this.overlay.entries()) {
      const timestamp = this.reads.get(text);
      if (mustBeAbsent) absent.push({ kind: 'absent', key });
      else if (timestamp !== undefined) unchanged.push({ kind: 'unchanged', key, timestamp });
      mutations.push(value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value });
    }
    if (mutations.length === 0) return false;
    // Staleness is judged first: a duplicate key found from stale reads may be gone when the statement runs again.
    const conditions = [...unchanged, ...absent];
    const outcome = await this.router.write({ conditions, mutations, deleteSpans: [] });
    if (outcome.applied) return true;
    const failed = conditions[outcome.failedCondition];
    const key = failed === undefined ? {} : { key: failed.key };
    if (failed?.kind === 'absent') throw new DbError('KEY_EXISTS', 'the key is there already', key);
    throw new DbError('CONFLICT', 'a key was changed since it was read', key);
  }

  private async deleteInChunks(span: Span): Promise<void> {
    let deleted = false;
    try {
      for await (const batch of this.router.scan(span, { batchRows: deleteSpanRowsMax })) {
        const [first, last] = [batch[0], batch[batch.length - 1]];
        if (first === undefined || last === undefined) continue;
        // From row to row, not from where the last chunk ended: a chunk must not reach into another range.
        const chunk = { startKey: first.key, endKey: keySuccessor(last.key) };
        await this.router.write({ conditions: [], mutations: [], deleteSpans: [chunk] });
        deleted = true;
      }
    } catch (error) {
      if (!deleted) throw error;
      throw new DbError('OUTCOME_UNKNOWN', 'a span was deleted in part', {
        outcome: 'unknown',
        cause: error,
      });
    }
  }

  private checkOpen(): void {
    if (this.finished) throw new DbError('CLOSED', 'the transaction has ended');
  }

  private checkWritable(): void {
    this.checkOpen();
    if (this.readOnly) throw new DbError('INVALID_ARGUMENT', 'the transaction is read-only');
  }
}
