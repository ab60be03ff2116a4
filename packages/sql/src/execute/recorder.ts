/**
 * What really happened in one run of a plan, for EXPLAIN ANALYZE: rows of each operator, and what was asked of the stores.
 * A plan is instrumented once; runs without a recorder pay for nothing but a look whether there is one.
 */
import type { Span } from '@flotilla/base';
import type {
  EvaluatedKeys,
  EvaluatedPart,
  EvaluateOptions,
  KvPair,
  KvTransaction,
  LockedValue,
  ReadOptions,
  Savepoint,
  ScanOptions,
  TimeBound,
} from '../kv-transaction.ts';
import type { Batches, Operator } from './operator.ts';

export interface NodeRecord {
  rows: number;
  loops: number;
}

export class Recorder {
  readonly nodes: Map<Operator, NodeRecord> = new Map();
  /** Reads that were sent; key-value pairs, and their bytes, that came back. */
  readonly storage: { requests: number; rows: number; bytes: number } = {
    requests: 0,
    rows: 0,
    bytes: 0,
  };
  /** Of the requests, those in which stores evaluated: rows that they read, and who they were. */
  readonly evaluated: {
    requests: number;
    rowsRead: number;
    readonly ranges: Set<number>;
    readonly stores: Set<number>;
  } = { requests: 0, rowsRead: 0, ranges: new Set(), stores: new Set() };

  /** The statement is run again: only its last run counts. */
  reset(): void {
    this.nodes.clear();
    Object.assign(this.storage, { requests: 0, rows: 0, bytes: 0 });
    Object.assign(this.evaluated, { requests: 0, rowsRead: 0 });
    this.evaluated.ranges.clear();
    this.evaluated.stores.clear();
  }

  /** A run of the operator begins. */
  begin(operator: Operator): NodeRecord {
    let record = this.nodes.get(operator);
    if (record === undefined) {
      record = { rows: 0, loops: 0 };
      this.nodes.set(operator, record);
    }
    record.loops++;
    return record;
  }

  /** Rows of an operator whose work another does. */
  add(operator: Operator | undefined, rows: number): void {
    if (operator === undefined) return;
    const record = this.nodes.get(operator) ?? this.begin(operator);
    record.rows += rows;
  }

  /** Rows of what a store has computed. */
  received(rows: number): void {
    this.storage.rows += rows;
  }

  part(part: EvaluatedPart): void {
    this.storage.requests++;
    if (part.result === undefined) this.pairs(part.pairs);
    else this.result(part.result, part);
  }

  private result(
    result: Uint8Array,
    { rowsRead, from }: Pick<EvaluatedPart, 'rowsRead' | 'from'>,
  ): void {
    const { evaluated } = this;
    this.storage.bytes += result.length;
    evaluated.requests++;
    evaluated.rowsRead += rowsRead;
    if (from === undefined) return;
    evaluated.ranges.add(from.rangeId);
    evaluated.stores.add(from.storeId);
  }

  /** @param keys that were asked for */
  keys(keys: readonly Uint8Array[], part: EvaluatedKeys): void {
    const { result, positions, values } = part;
    // For keys that the transaction has written nothing is read.
    if (part.rowsRead > 0 || result !== undefined) this.storage.requests++;
    if (result !== undefined) this.result(result, part);
    else
      this.pairs(
        positions.flatMap((position, i) => {
          const [key, value] = [keys[position], values[i]];
          return key === undefined || value === undefined ? [] : [{ key, value }];
        }),
      );
  }

  pairs(values: Iterable<KvPair>): void {
    for (const { key, value } of values) {
      this.storage.rows++;
      this.storage.bytes += key.length + value.length;
    }
  }
}

/** Lets runs with a recorder be recorded: all operators of a tree. */
export function instrument(operator: Operator): void {
  const open = operator.open.bind(operator);
  const recorded: Operator['open'] = (run, ...hints) =>
    run.recorder === undefined
      ? open(run, ...hints)
      : counted(run.recorder.begin(operator), open(run, ...hints));
  Object.assign(operator, { open: recorded });
  for (const input of operator.inputs) instrument(input);
}

async function* counted(record: NodeRecord, batches: Batches): Batches {
  for await (const batch of batches) {
    record.rows += batch.length;
    yield batch;
  }
}

/** A transaction whose reads are counted. */
export class RecordedTransaction implements KvTransaction {
  private readonly inner: KvTransaction;
  private readonly recorder: Recorder;

  constructor(inner: KvTransaction, recorder: Recorder) {
    this.inner = inner;
    this.recorder = recorder;
  }

  get bound(): TimeBound | undefined {
    return this.inner.bound;
  }

  set bound(bound: TimeBound | undefined) {
    this.inner.bound = bound;
  }

  async get(key: Uint8Array, options?: ReadOptions): Promise<Uint8Array | undefined> {
    this.recorder.storage.requests++;
    const value = await this.inner.get(key, options);
    if (value !== undefined) this.recorder.pairs([{ key, value }]);
    return value;
  }

  getMany(
    keys: readonly Uint8Array[],
    options: ReadOptions & { readonly wait: 'skip' },
  ): Promise<readonly LockedValue[]>;
  getMany(
    keys: readonly Uint8Array[],
    options?: ReadOptions,
  ): Promise<readonly (Uint8Array | undefined)[]>;
  async getMany(
    keys: readonly Uint8Array[],
    options?: ReadOptions,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    this.recorder.storage.requests++;
    const values = await this.inner.getMany(keys, options);
    this.recorder.pairs(
      keys.flatMap((key, i) => {
        const value = values[i];
        return value instanceof Uint8Array ? [{ key, value }] : [];
      }),
    );
    return values;
  }

  async *scan(span: Span, options?: ScanOptions): AsyncGenerator<readonly KvPair[]> {
    this.recorder.storage.requests++;
    let batches = 0;
    for await (const batch of this.inner.scan(span, options)) {
      if (batches++ > 0) this.recorder.storage.requests++;
      this.recorder.pairs(batch);
      yield batch;
    }
  }

  evaluate(
    spans: readonly Span[],
    program: Uint8Array,
    options?: EvaluateOptions,
  ): AsyncIterable<EvaluatedPart> | undefined {
    const parts = this.inner.evaluate(spans, program, options);
    return parts && this.counted(parts);
  }

  private async *counted(parts: AsyncIterable<EvaluatedPart>): AsyncGenerator<EvaluatedPart> {
    for await (const part of parts) {
      this.recorder.part(part);
      yield part;
    }
  }

  evaluateKeys(
    keys: readonly Uint8Array[],
    program: Uint8Array,
    signal?: AbortSignal,
  ): AsyncIterable<EvaluatedKeys> | undefined {
    const parts = this.inner.evaluateKeys(keys, program, signal);
    return parts && this.countedKeys(keys, parts);
  }

  private async *countedKeys(
    keys: readonly Uint8Array[],
    parts: AsyncIterable<EvaluatedKeys>,
  ): AsyncGenerator<EvaluatedKeys> {
    for await (const part of parts) {
      this.recorder.keys(keys, part);
      yield part;
    }
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.inner.put(key, value);
  }

  insert(key: Uint8Array, value: Uint8Array): void {
    this.inner.insert(key, value);
  }

  delete(key: Uint8Array): void {
    this.inner.delete(key);
  }

  deleteSpan(span: Span): void {
    this.inner.deleteSpan(span);
  }

  claim(span: Span): void {
    this.inner.claim(span);
  }

  hasClaimed(span: Span): boolean {
    return this.inner.hasClaimed(span);
  }

  get claimedBytes(): number {
    return this.inner.claimedBytes;
  }

  flush(signal?: AbortSignal): Promise<void> {
    return this.inner.flush(signal);
  }

  readSince(timestamp: number): Promise<void> {
    return this.inner.readSince(timestamp);
  }

  savepoint(): Savepoint {
    return this.inner.savepoint();
  }

  rollbackTo(savepoint: Savepoint): void {
    this.inner.rollbackTo(savepoint);
  }

  release(savepoint: Savepoint): void {
    this.inner.release(savepoint);
  }

  beginStatement(): void {
    this.inner.beginStatement();
  }

  get restartable(): boolean {
    return this.inner.restartable;
  }

  restartStatement(): void {
    this.inner.restartStatement();
  }

  commit(): Promise<void> {
    return this.inner.commit();
  }

  commitComputed(key: Uint8Array, program: Uint8Array): Promise<boolean> {
    this.recorder.storage.requests++;
    return this.inner.commitComputed(key, program);
  }

  rollback(): void {
    this.inner.rollback();
  }
}
