/** A transaction of a KvDatabase in memory: its snapshot, its buffered writes, its locks, and what it has read. */
import {
  compareBytes,
  DbError,
  keyBytesMax,
  type Span,
  spanContains,
  valueBytesMax,
} from '@flotilla/base';
import {
  type BeginOptions,
  type EvaluatedKeys,
  type EvaluatedPart,
  type EvaluateOptions,
  type IsolationLevel,
  type KvPair,
  type KvTransaction,
  type LockedValue,
  type LockMode,
  lockedByOther,
  type ReadOptions,
  type Savepoint,
  type ScanOptions,
  type TimeBound,
} from '../kv-transaction.ts';
import type { LockOwner } from './memory-locks.ts';
import { evaluateKeys, evaluateScans, type OwnScan, programs } from './memory-programs.ts';
import { keyText, type MemoryStore, newest, type Write } from './memory-store.ts';

/** What `savepoint` remembers. */
interface Buffered {
  readonly writes: ReadonlyMap<string, Write>;
  readonly spans: readonly Span[];
  readonly claimed: readonly Span[];
}

export class MemoryTransaction implements KvTransaction, LockOwner {
  bound: TimeBound | undefined = undefined;
  readonly number: number;
  private readonly database: MemoryStore;
  private readonly batchPairs: number;
  private readonly isolation: IsolationLevel;
  private readonly readOnly: boolean;
  /** Version of the database that reads see; set by the first read. */
  private snapshot: number | undefined;
  /** Version of each key as it was read; 0 = absent. */
  private readonly reads = new Map<
    string,
    { readonly key: Uint8Array; readonly version: number }
  >();
  private scanned: Span[] = [];
  private writes = new Map<string, Write>();
  private spans: readonly Span[] = [];
  /** Among `spans`: what lies there in the database is this transaction's, and is written once more when it commits. */
  private claimed: readonly Span[] = [];
  /** Keys of claimed spans that have left. */
  private readonly flushed = new Set<string>();
  private statement: Savepoint | undefined;
  private hasRead = false;
  private ended = false;

  constructor(database: MemoryStore, number: number, batchPairs: number, options: BeginOptions) {
    this.database = database;
    this.number = number;
    this.batchPairs = batchPairs;
    this.isolation = options.isolation ?? 'serializable';
    this.readOnly = options.readOnly ?? false;
  }

  get restartable(): boolean {
    return this.isolation === 'read committed' || !this.hasRead;
  }

  async get(key: Uint8Array, options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    const [value] = await this.getMany([key], options);
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
    options: ReadOptions = {},
  ): Promise<readonly LockedValue[]> {
    this.checkOpen();
    await this.database.operate({ kind: 'get', keys });
    const { lock } = options;
    await this.checkBound();
    if (lock === undefined) return keys.map((key) => this.readSnapshot(key));
    if (this.readOnly) throw new DbError('INVALID_ARGUMENT', 'the transaction is read-only');
    const values: LockedValue[] = [];
    for (const key of keys) {
      const free = await this.lock(key, lock, options);
      await this.checkBound();
      values.push(free ? this.readLocked(key, options) : lockedByOther);
    }
    return values;
  }

  async *scan(
    span: Span,
    options: ScanOptions = {},
  ): AsyncGenerator<readonly KvPair[], void, undefined> {
    this.checkOpen();
    const reverse = options.reverse === true;
    const own = new Map(this.writes);
    const holes = this.spans;
    this.snapshot ??= this.database.version;
    const { snapshot } = this;
    let { startKey, endKey } = span;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0 && compareBytes(startKey, endKey) < 0) {
      if (options.signal?.aborted === true)
        throw new DbError('CANCELLED', 'the scan was cancelled');
      const rest = { startKey, endKey };
      await this.database.operate({ kind: 'scan', span: rest });
      await this.checkBound();
      const pairs = this.merged(rest, snapshot, { own, holes, reverse });
      const batch = pairs.slice(0, Math.min(this.batchPairs, left));
      left -= batch.length;
      const last = batch[batch.length - 1];
      const done = last === undefined || batch.length === pairs.length;
      if (last !== undefined) {
        if (reverse) endKey = last.key;
        else startKey = Buffer.concat([last.key, Uint8Array.of(0)]);
      }
      if (!this.readOnly)
        this.noteScan(done && left > 0 ? rest : seen(rest, { startKey, endKey }, reverse), batch);
      if (batch.length > 0) yield batch;
      if (done) return;
    }
  }

  /** As stores do it: in answers of a few rows, and not where the transaction has written. */
  evaluate(
    spans: readonly Span[],
    program: Uint8Array,
    options: EvaluateOptions = {},
  ): AsyncIterable<EvaluatedPart> | undefined {
    const { evaluates, evaluated } = this.database;
    if (!evaluates) return undefined;
    const reverse = options.reverse === true;
    return evaluateScans([...this.scans(spans, options)], { program, reverse, evaluated });
  }

  private *scans(spans: readonly Span[], options: EvaluateOptions): Iterable<OwnScan> {
    const written = (span: Span): boolean =>
      [...this.writes.values()].some(({ key }) => spanContains(span, key)) ||
      this.spans.some((hole) => spansMeet(span, hole));
    for (const span of spans) yield { isOwn: written(span), scan: this.scan(span, options) };
  }

  evaluateKeys(
    keys: readonly Uint8Array[],
    program: Uint8Array,
  ): AsyncIterable<EvaluatedKeys> | undefined {
    const { evaluates, evaluated } = this.database;
    if (!evaluates) return undefined;
    const isOwn = (key: Uint8Array) => this.isWritten(key);
    return evaluateKeys({ keys, values: () => this.getMany(keys), isOwn }, program, evaluated);
  }

  private isWritten(key: Uint8Array): boolean {
    return this.writes.has(keyText(key)) || this.spans.some((hole) => spanContains(hole, key));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.buffer(key, value, false);
  }

  insert(key: Uint8Array, value: Uint8Array): void {
    const own = this.ownWrite(key);
    if (own?.value !== undefined)
      throw new DbError('KEY_EXISTS', 'the transaction has written the key', { key });
    this.buffer(key, value, own === undefined);
  }

  delete(key: Uint8Array): void {
    this.buffer(key, undefined, false);
  }

  deleteSpan(span: Span): void {
    this.checkOpen();
    for (const [text, write] of this.writes)
      if (spanContains(span, write.key)) this.writes.set(text, { ...write, value: undefined });
    this.spans = [...this.spans, span];
  }

  claim(span: Span): void {
    this.deleteSpan(span);
    this.claimed = [...this.claimed, span];
  }

  hasClaimed({ startKey, endKey }: Span): boolean {
    return this.claimed.some(
      (span) =>
        compareBytes(span.startKey, startKey) <= 0 && compareBytes(endKey, span.endKey) <= 0,
    );
  }

  get claimedBytes(): number {
    let bytes = 0;
    for (const [text, { key, value }] of this.writes)
      if (!this.flushed.has(text) && this.isClaimed(key))
        bytes += key.length + (value?.length ?? 0);
    return bytes;
  }

  async flush(): Promise<void> {
    const left = [...this.writes].filter(
      ([text, { key }]) => !this.flushed.has(text) && this.isClaimed(key),
    );
    await this.database.operate({ kind: 'flush', keys: left.map(([, { key }]) => key) });
    for (const [text] of left) this.flushed.add(text);
    this.database.apply(
      left.map(([, write]) => write),
      [],
    );
  }

  async readSince(_timestamp: number): Promise<void> {
    // Versions of the database are no timestamps: it moves to now.
    if (this.snapshot === undefined || this.snapshot === this.database.version) return;
    if (!this.holdsNow()) throw new DbError('CONFLICT', 'what was read has changed');
    this.snapshot = this.database.version;
  }

  private isClaimed(key: Uint8Array): boolean {
    return this.claimed.some((span) => spanContains(span, key));
  }

  savepoint(): Savepoint {
    const { spans, claimed } = this;
    const buffered: Buffered = { writes: new Map(this.writes), spans, claimed };
    return { savepoint: buffered };
  }

  rollbackTo(savepoint: Savepoint): void {
    this.checkOpen();
    const { writes, spans, claimed } = savepoint.savepoint as Buffered;
    this.writes = new Map(writes);
    this.spans = spans;
    this.claimed = claimed;
  }

  release(_savepoint: Savepoint): void {
    this.checkOpen();
  }

  beginStatement(): void {
    this.checkOpen();
    this.statement = this.savepoint();
    if (this.isolation === 'read committed') this.forgetReads();
    else this.hasRead = this.snapshot !== undefined;
  }

  restartStatement(): void {
    if (!this.restartable || this.statement === undefined)
      throw new DbError('INVALID_ARGUMENT', 'the statement cannot be run again by itself');
    this.rollbackTo(this.statement);
    this.forgetReads();
  }

  async commit(): Promise<void> {
    this.checkOpen();
    this.ended = true;
    const latest = this.bound?.timestamp;
    try {
      const keys = [...this.writes.values()].map((write) => write.key);
      await this.database.operate({ kind: 'commit', keys });
      if (this.writes.size > 0 || this.spans.length > 0) {
        // In one order, so that two commits do not wait for each other.
        for (const key of keys.sort(compareBytes))
          if (!this.database.locks.available(keyText(key), this, 'exclusive'))
            await this.lock(key, 'exclusive', {});
        await this.checkBound(latest);
        this.validate();
        this.database.apply(this.writes.values(), this.spans);
      }
      await this.database.operate({ kind: 'committed', keys });
    } finally {
      this.database.locks.release(this);
    }
  }

  /** As stores do it: of the newest value, and not where somebody has the key locked. */
  async commitComputed(key: Uint8Array, program: Uint8Array): Promise<boolean> {
    this.checkOpen();
    const { database } = this;
    if (!database.evaluates) return false;
    const latest = this.bound?.timestamp;
    await database.operate({ kind: 'commit', keys: [key] });
    if (!database.locks.available(keyText(key), this, 'exclusive')) return false;
    await this.checkBound(latest);
    const { value: before } = database.read(key);
    const computed = before && programs.compute(program, key, before);
    if (computed === undefined) return false;
    this.ended = true;
    const value = computed.kind === 'put' ? computed.value : undefined;
    database.apply([{ key, value, mustBeAbsent: false }], []);
    database.evaluated.writes++;
    await database.operate({ kind: 'committed', keys: [key] });
    return true;
  }

  rollback(): void {
    this.ended = true;
    this.database.locks.release(this);
  }

  /** @returns false: another transaction has it, and `wait` is `skip` */
  private async lock(key: Uint8Array, mode: LockMode, options: ReadOptions): Promise<boolean> {
    const { locks } = this.database;
    const text = keyText(key);
    if (locks.available(text, this, mode)) {
      locks.take(text, this, mode);
      return true;
    }
    if (options.wait === 'skip') return false;
    if (options.wait === 'nowait')
      throw new DbError('LOCK_NOT_AVAILABLE', 'the key is locked', { key });
    const signals: AbortSignal[] = options.signal === undefined ? [] : [options.signal];
    if (options.lockTimeoutMs !== undefined)
      signals.push(AbortSignal.timeout(options.lockTimeoutMs));
    const signal = AbortSignal.any(signals);
    try {
      await locks.wait(text, this, mode, signal);
    } catch (error) {
      if (error instanceof DbError) throw error;
      throw options.signal?.aborted === true
        ? new DbError('CANCELLED', 'the wait was cancelled')
        : new DbError('LOCK_NOT_AVAILABLE', 'the key is locked', { key });
    }
    return true;
  }

  private readSnapshot(key: Uint8Array): Uint8Array | undefined {
    this.snapshot ??= this.database.version;
    const found = this.database.read(key, this.snapshot);
    this.note(key, found.version);
    const own = this.ownWrite(key);
    return own === undefined ? found.value : own.value;
  }

  private readLocked(
    key: Uint8Array,
    { unchanged = false, beside = false }: ReadOptions,
  ): Uint8Array | undefined {
    const found = this.database.read(key);
    if (this.snapshot !== undefined && found.version > this.snapshot && !beside) {
      if (unchanged) throw changed(key);
      if (this.isolation !== 'read committed') {
        if (this.isolation === 'repeatable read' || !this.holdsNow()) throw changed(key);
        this.snapshot = this.database.version;
      }
    }
    this.snapshot ??= this.database.version;
    this.note(key, found.version);
    const own = this.ownWrite(key);
    return own === undefined ? found.value : own.value;
  }

  /** Throws CONFLICT, KEY_EXISTS. */
  private validate(): void {
    for (const [text, { key }] of this.writes) {
      const read = this.reads.get(text);
      if (read !== undefined && this.database.read(key).version !== read.version)
        throw changed(key);
    }
    if (this.isolation === 'serializable' && !this.holdsNow())
      throw new DbError('CONFLICT', 'what was read has changed');
    for (const { key, mustBeAbsent } of this.writes.values())
      if (mustBeAbsent && !this.isClaimed(key) && this.database.read(key).value !== undefined)
        throw new DbError('KEY_EXISTS', 'the key is there already', { key });
  }

  /** Whether everything that was read would be read the same now. */
  private holdsNow(): boolean {
    const { database, snapshot = 0 } = this;
    for (const { key, version } of this.reads.values())
      if (database.read(key).version !== version) return false;
    return !this.scanned.some((span) => database.changedSince(span, snapshot));
  }

  /** Of what was read, only what was then written counts. */
  private forgetReads(): void {
    for (const text of this.reads.keys()) if (!this.writes.has(text)) this.reads.delete(text);
    this.scanned = [];
    this.snapshot = undefined;
  }

  private note(key: Uint8Array, version: number): void {
    if (this.readOnly || this.isClaimed(key)) return;
    const text = keyText(key);
    if (!this.reads.has(text)) this.reads.set(text, { key, version });
  }

  private noteScan(span: Span, pairs: readonly KvPair[]): void {
    if (!this.hasClaimed(span)) this.scanned.push(span);
    for (const { key } of pairs) this.note(key, this.database.read(key, this.snapshot).version);
  }

  /** This transaction's own word about a key; undefined = it has none. */
  private ownWrite(key: Uint8Array): { readonly value: Uint8Array | undefined } | undefined {
    const own = this.writes.get(keyText(key));
    if (own !== undefined) return own;
    return this.spans.some((span) => spanContains(span, key)) ? { value: undefined } : undefined;
  }

  /** The span as of the snapshot with this transaction's own writes in it, in scan order. */
  private merged(
    span: Span,
    snapshot: number,
    with_: {
      readonly own: ReadonlyMap<string, Write>;
      readonly holes: readonly Span[];
      readonly reverse: boolean;
    },
  ): KvPair[] {
    const { own, holes, reverse } = with_;
    const plain = own.size === 0 && holes.length === 0;
    // One more than a batch tells whether there is another; own deletes may hide any number.
    const limit = plain ? this.batchPairs + 1 : newest;
    const stored = this.database.range(span, snapshot, limit, reverse);
    if (plain) return stored;
    const kept = stored.filter(
      ({ key }) => !own.has(keyText(key)) && !holes.some((hole) => spanContains(hole, key)),
    );
    for (const { key, value } of own.values())
      if (value !== undefined && spanContains(span, key)) kept.push({ key, value });
    const sign = reverse ? -1 : 1;
    return kept.sort((a, b) => sign * compareBytes(a.key, b.key));
  }

  private buffer(key: Uint8Array, value: Uint8Array | undefined, mustBeAbsent: boolean): void {
    this.checkOpen();
    if (this.readOnly) throw new DbError('INVALID_ARGUMENT', 'the transaction is read-only');
    if (key.length > keyBytesMax) throw new DbError('TOO_LARGE', `key has ${key.length} bytes`);
    if (value !== undefined && value.length > valueBytesMax)
      throw new DbError('TOO_LARGE', `value has ${value.length} bytes`);
    const text = keyText(key);
    const before = this.writes.get(text);
    this.flushed.delete(text);
    this.writes.set(text, { key, value, mustBeAbsent: before?.mustBeAbsent ?? mustBeAbsent });
  }

  private async checkBound(latest: number | undefined = this.bound?.timestamp): Promise<void> {
    const now = this.database.now();
    if (latest === undefined || now <= latest || (await this.bound?.reach?.(now))) return;
    throw new DbError('CONFLICT', 'the time of the transaction is over');
  }

  private checkOpen(): void {
    if (this.ended) throw new DbError('CLOSED', 'the transaction has ended');
  }
}

function changed(key: Uint8Array): DbError {
  return new DbError('CONFLICT', 'a key changed after it was read', { key });
}

/** The part of a span that a scan has been through when `left` remains. */
function seen(whole: Span, left: Span, reverse: boolean): Span {
  return reverse
    ? { startKey: left.endKey, endKey: whole.endKey }
    : { startKey: whole.startKey, endKey: left.startKey };
}

function spansMeet(a: Span, b: Span): boolean {
  return compareBytes(a.startKey, b.endKey) < 0 && compareBytes(b.startKey, a.endKey) < 0;
}
