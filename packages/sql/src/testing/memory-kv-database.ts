/**
 * A KvDatabase in memory: an ordered map with a version for every key, conflict detection as the contract states it, and
 * a hook through which tests delay and fail operations. Every read and commit happens at one instant.
 */
import {
  compareBytes,
  DbError,
  keyBytesMax,
  type Span,
  toHex,
  valueBytesMax,
} from '@flotilla/base';
import type {
  BeginOptions,
  IsolationLevel,
  KvDatabase,
  KvPair,
  KvTransaction,
  Savepoint,
  ScanOptions,
} from '../kv-transaction.ts';

export type KvOperation =
  | { readonly kind: 'get'; readonly keys: readonly Uint8Array[] }
  | { readonly kind: 'scan'; readonly span: Span }
  | { readonly kind: 'commit'; readonly keys: readonly Uint8Array[] }
  /** After the writes were made: throwing here leaves them in place. */
  | { readonly kind: 'committed'; readonly keys: readonly Uint8Array[] };

interface Entry {
  readonly key: Uint8Array;
  value: Uint8Array;
  version: number;
}

type Write =
  | { readonly kind: 'put' | 'insert'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array };

/** Pairs that a scan hands out at once. */
const defaultBatchPairs = 1_000;

export class MemoryKvDatabase implements KvDatabase {
  /** Runs before (or after, see `committed`) every operation; may throw or wait. */
  onOperation: ((operation: KvOperation) => Promise<void> | void) | undefined;
  /** Operations so far, by kind. A getMany counts once. */
  readonly counts: { get: number; scan: number; commit: number } = { get: 0, scan: 0, commit: 0 };
  private readonly batchPairs: number;
  private readonly entries: Entry[] = [];
  private readonly index = new Map<string, Entry>();
  private version = 0;

  constructor(options: { readonly batchPairs?: number } = {}) {
    this.batchPairs = options.batchPairs ?? defaultBatchPairs;
  }

  begin(options: BeginOptions = {}): KvTransaction {
    return new MemoryTransaction(this, this.batchPairs, options.isolation ?? 'serializable');
  }

  /** Number of keys. */
  get size(): number {
    return this.entries.length;
  }

  /** All pairs in key order. */
  dump(): KvPair[] {
    return this.entries.map(({ key, value }) => ({ key, value }));
  }

  async operate(operation: KvOperation): Promise<void> {
    if (operation.kind !== 'committed') this.counts[operation.kind]++;
    if (this.onOperation !== undefined) await this.onOperation(operation);
  }

  read(key: Uint8Array): { readonly value: Uint8Array; readonly version: number } | undefined {
    return this.index.get(keyText(key));
  }

  /** The first pairs of the span, or the last if `reverse`, as they are now, in key order. */
  range(span: Span, limit: number, reverse: boolean): readonly Entry[] {
    const start = this.lowerBound(span.startKey);
    const end = this.lowerBound(span.endKey);
    return reverse
      ? this.entries.slice(Math.max(start, end - limit), end)
      : this.entries.slice(start, Math.min(end, start + limit));
  }

  /** Makes a transaction's writes, all or none. Throws DbError CONFLICT, KEY_EXISTS. */
  apply(
    reads: ReadonlyMap<string, number>,
    writes: ReadonlyMap<string, Write>,
    spans: readonly Span[],
  ): void {
    for (const [text, write] of writes) {
      const current = this.index.get(text);
      const seen = reads.get(text);
      if (seen !== undefined && seen !== (current?.version ?? 0))
        throw new DbError('CONFLICT', 'a key changed after it was read', { key: write.key });
      if (write.kind === 'insert' && current !== undefined)
        throw new DbError('KEY_EXISTS', 'the key is there already', { key: write.key });
    }
    this.version++;
    for (const span of spans) {
      const start = this.lowerBound(span.startKey);
      for (const entry of this.entries.splice(start, this.lowerBound(span.endKey) - start))
        this.index.delete(keyText(entry.key));
    }
    for (const [text, write] of writes) {
      if (write.kind === 'delete') this.remove(text, write.key);
      else this.set(text, write.key, write.value);
    }
  }

  private set(text: string, key: Uint8Array, value: Uint8Array): void {
    const existing = this.index.get(text);
    if (existing !== undefined) {
      existing.value = value;
      existing.version = this.version;
      return;
    }
    const entry = { key, value, version: this.version };
    const last = this.entries[this.entries.length - 1];
    if (last === undefined || compareBytes(last.key, key) < 0) this.entries.push(entry);
    else this.entries.splice(this.lowerBound(key), 0, entry);
    this.index.set(text, entry);
  }

  private remove(text: string, key: Uint8Array): void {
    if (this.index.delete(text)) this.entries.splice(this.lowerBound(key), 1);
  }

  private lowerBound(key: Uint8Array): number {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.entries[middle];
      if (entry !== undefined && compareBytes(entry.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

interface Buffered {
  readonly writes: ReadonlyMap<string, Write>;
  readonly spans: readonly Span[];
}

class MemoryTransaction implements KvTransaction {
  private readonly database: MemoryKvDatabase;
  private readonly batchPairs: number;
  /** Version of each key when it was first read; 0 = absent. */
  private readonly reads = new Map<string, number>();
  private writes = new Map<string, Write>();
  private spans: readonly Span[] = [];
  private readonly isolation: IsolationLevel;
  private statement: Savepoint | undefined;
  private hasRead = false;
  private ended = false;

  constructor(database: MemoryKvDatabase, batchPairs: number, isolation: IsolationLevel) {
    this.database = database;
    this.batchPairs = batchPairs;
    this.isolation = isolation;
  }

  get restartable(): boolean {
    return this.isolation === 'read committed' || !this.hasRead;
  }

  savepoint(): Savepoint {
    return { savepoint: { writes: new Map(this.writes), spans: this.spans } };
  }

  rollbackTo(savepoint: Savepoint): void {
    const { writes, spans } = savepoint.savepoint as Buffered;
    this.writes = new Map(writes);
    this.spans = spans;
  }

  release(): void {
    // A savepoint is a copy.
  }

  beginStatement(): void {
    this.statement = this.savepoint();
    if (this.isolation === 'read committed') this.forgetReads();
    else this.hasRead = this.reads.size > 0;
  }

  restartStatement(): void {
    if (!this.restartable || this.statement === undefined)
      throw new DbError('INVALID_ARGUMENT', 'the statement cannot be run again by itself');
    this.rollbackTo(this.statement);
    this.forgetReads();
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    await this.database.operate({ kind: 'get', keys: [key] });
    return this.readNow(key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    await this.database.operate({ kind: 'get', keys });
    return keys.map((key) => this.readNow(key));
  }

  async *scan(
    span: Span,
    options: ScanOptions = {},
  ): AsyncGenerator<readonly KvPair[], void, undefined> {
    let { startKey, endKey } = span;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0 && compareBytes(startKey, endKey) < 0) {
      if (options.signal?.aborted === true)
        throw new DbError('CANCELLED', 'the scan was cancelled');
      await this.database.operate({ kind: 'scan', span: { startKey, endKey } });
      const pairs = this.merged({ startKey, endKey }, options.reverse === true);
      const batch = pairs.slice(0, Math.min(this.batchPairs, left));
      for (const { key } of batch) this.note(key);
      left -= batch.length;
      const last = batch[batch.length - 1];
      if (last !== undefined) yield batch;
      if (last === undefined || batch.length === pairs.length) return;
      if (options.reverse === true) endKey = last.key;
      else startKey = Buffer.concat([last.key, Uint8Array.of(0)]);
    }
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.check(key, value);
    const before = this.writes.get(keyText(key));
    const kind = before?.kind === 'insert' ? 'insert' : 'put';
    this.writes.set(keyText(key), { kind, key, value });
  }

  insert(key: Uint8Array, value: Uint8Array): void {
    this.check(key, value);
    const before = this.writes.get(keyText(key));
    if (before !== undefined && before.kind !== 'delete')
      throw new DbError('KEY_EXISTS', 'the transaction has written the key', { key });
    this.writes.set(keyText(key), { kind: before === undefined ? 'insert' : 'put', key, value });
  }

  delete(key: Uint8Array): void {
    this.check(key, new Uint8Array(0));
    this.writes.set(keyText(key), { kind: 'delete', key });
  }

  deleteSpan(span: Span): void {
    this.spans = [...this.spans, span];
  }

  async commit(): Promise<void> {
    if (this.ended) throw new DbError('CLOSED', 'the transaction has ended');
    this.ended = true;
    const keys = [...this.writes.values()].map((write) => write.key);
    await this.database.operate({ kind: 'commit', keys });
    this.database.apply(this.reads, this.writes, this.spans);
    await this.database.operate({ kind: 'committed', keys });
  }

  rollback(): void {
    this.ended = true;
  }

  /** Of what was read, only what was then written counts. */
  private forgetReads(): void {
    for (const text of this.reads.keys()) if (!this.writes.has(text)) this.reads.delete(text);
  }

  private readNow(key: Uint8Array): Uint8Array | undefined {
    this.note(key);
    const written = this.writes.get(keyText(key));
    if (written !== undefined) return written.kind === 'delete' ? undefined : written.value;
    return this.database.read(key)?.value;
  }

  private note(key: Uint8Array): void {
    const text = keyText(key);
    if (!this.reads.has(text)) this.reads.set(text, this.database.read(key)?.version ?? 0);
  }

  /** The span with this transaction's own writes in it. */
  private merged(span: Span, reverse: boolean): KvPair[] {
    // One more than a batch tells whether there is another; own deletes may hide any number.
    const limit = this.writes.size === 0 ? this.batchPairs + 1 : Number.MAX_SAFE_INTEGER;
    const stored = this.database
      .range(span, limit, reverse)
      .map(({ key, value }): KvPair => ({ key, value }));
    const sorted = this.writes.size === 0 ? stored : this.withOwnWrites(span, stored);
    return reverse ? sorted.reverse() : sorted;
  }

  private withOwnWrites(span: Span, stored: readonly KvPair[]): KvPair[] {
    const pairs = new Map(stored.map((pair) => [toHex(pair.key), pair]));
    for (const write of this.writes.values()) {
      if (compareBytes(write.key, span.startKey) < 0 || compareBytes(write.key, span.endKey) >= 0)
        continue;
      if (write.kind === 'delete') pairs.delete(toHex(write.key));
      else pairs.set(toHex(write.key), { key: write.key, value: write.value });
    }
    return [...pairs.values()].sort((a, b) => compareBytes(a.key, b.key));
  }

  private check(key: Uint8Array, value: Uint8Array): void {
    if (this.ended) throw new DbError('CLOSED', 'the transaction has ended');
    if (key.length > keyBytesMax) throw new DbError('TOO_LARGE', `key has ${key.length} bytes`);
    if (value.length > valueBytesMax)
      throw new DbError('TOO_LARGE', `value has ${value.length} bytes`);
  }
}
