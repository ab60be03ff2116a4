/**
 * A KvDatabase in memory: an ordered map with the versions of every key, snapshots, locks and conflict detection as the
 * contract states them, and a hook through which tests delay and fail operations. Every commit happens at one instant.
 */
import {
  type Clock,
  compareBytes,
  DbError,
  HybridLogicalClock,
  keyBytesMax,
  keySuccessor,
  type Span,
  SystemClock,
  spanContains,
  valueBytesMax,
} from '@flotilla/base';
import { createStorePrograms } from '../execute/push/evaluate-program.ts';
import {
  type BeginOptions,
  type EvaluatedKeys,
  type EvaluatedPart,
  type EvaluateOptions,
  type IsolationLevel,
  type KvDatabase,
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
import { type LockOwner, MemoryLocks } from './memory-locks.ts';

export type KvOperation =
  | { readonly kind: 'get'; readonly keys: readonly Uint8Array[] }
  | { readonly kind: 'scan'; readonly span: Span }
  | { readonly kind: 'commit'; readonly keys: readonly Uint8Array[] }
  | { readonly kind: 'flush'; readonly keys: readonly Uint8Array[] }
  /** After the writes were made: throwing here leaves them in place. */
  | { readonly kind: 'committed'; readonly keys: readonly Uint8Array[] };

interface Version {
  readonly version: number;
  /** Undefined: deleted. */
  readonly value: Uint8Array | undefined;
}

interface Entry {
  readonly key: Uint8Array;
  /** Oldest first; never empty. */
  versions: Version[];
}

interface Write {
  readonly key: Uint8Array;
  /** Undefined: delete. */
  readonly value: Uint8Array | undefined;
  readonly mustBeAbsent: boolean;
}

const programs = createStorePrograms();
/** Rows of one answer of a program: few, so that answers have to be put together. */
const evaluatedRows = 100;
/** Keys of one answer of a program over keys. */
const evaluatedKeys = 5;
/** Pairs that a scan hands out at once. */
const defaultBatchPairs = 1_000;
/** Versions of one key that are kept. A snapshot that needs an older one meets a CONFLICT. */
const versionsMax = 200;
const newest = Number.MAX_SAFE_INTEGER;

export class MemoryKvDatabase implements KvDatabase {
  /** Runs before (or after, see `committed`) every operation; may throw or wait. */
  onOperation: ((operation: KvOperation) => Promise<void> | void) | undefined;
  /** Operations so far, by kind. A getMany counts once. */
  readonly counts: { get: number; scan: number; commit: number; flush: number } = {
    ...{ get: 0, scan: 0, commit: 0, flush: 0 },
  };
  /** False: programs are not run here. */
  evaluates = true;
  /** Answers of programs, those of them over rows of keys, and rows that they have written. */
  readonly evaluated: { parts: number; ofKeys: number; writes: number } = {
    ...{ parts: 0, ofKeys: 0, writes: 0 },
  };
  readonly locks: MemoryLocks = new MemoryLocks();
  private readonly batchPairs: number;
  private readonly entries: Entry[] = [];
  private readonly index = new Map<string, Entry>();
  private transactions = 0;
  private lastVersion = 0;
  private readonly hlc: HybridLogicalClock;

  constructor(options: { readonly batchPairs?: number; readonly clock?: Clock } = {}) {
    this.batchPairs = options.batchPairs ?? defaultBatchPairs;
    this.hlc = new HybridLogicalClock(options.clock ?? new SystemClock(), { maxOffsetMs: 500 });
  }

  /** Every operation is as of the moment at which it is made. */
  now(): number {
    return this.hlc.now();
  }

  begin(options: BeginOptions = {}): KvTransaction {
    if (options.asOf !== undefined)
      throw new DbError('NOT_SUPPORTED', 'reads of the past are not supported yet');
    return new MemoryTransaction(this, ++this.transactions, this.batchPairs, options);
  }

  discard(span: Span): Promise<void> {
    const transaction = this.begin();
    transaction.deleteSpan(span);
    return transaction.commit();
  }

  /** Of the last commit. */
  get version(): number {
    return this.lastVersion;
  }

  /** Number of keys. */
  get size(): number {
    return this.dump().length;
  }

  /** All pairs in key order. */
  dump(): KvPair[] {
    return this.entries.flatMap((entry) => pairOf(entry, newest) ?? []);
  }

  async operate(operation: KvOperation): Promise<void> {
    if (operation.kind !== 'committed') this.counts[operation.kind]++;
    if (this.onOperation !== undefined) await this.onOperation(operation);
  }

  /** The key's version as of a snapshot; version 0 where there was none. Throws CONFLICT: it is too old. */
  read(key: Uint8Array, snapshot: number = newest): Version {
    const entry = this.index.get(keyText(key));
    return (entry && versionAt(entry, snapshot)) ?? { version: 0, value: undefined };
  }

  /** The first pairs of the span, or the last if `reverse`, as of a snapshot, in scan order. */
  range(span: Span, snapshot: number, limit: number, reverse: boolean): KvPair[] {
    const start = this.lowerBound(span.startKey);
    const end = this.lowerBound(span.endKey);
    const pairs: KvPair[] = [];
    for (let i = 0; i < end - start && pairs.length < limit; i++) {
      const entry = this.entries[reverse ? end - 1 - i : start + i];
      const pair = entry && pairOf(entry, snapshot);
      if (pair !== undefined) pairs.push(pair);
    }
    return pairs;
  }

  /** Whether anything in the span has changed since the snapshot. */
  changedSince(span: Span, snapshot: number): boolean {
    const end = this.lowerBound(span.endKey);
    for (let i = this.lowerBound(span.startKey); i < end; i++)
      if ((this.entries[i]?.versions.at(-1)?.version ?? 0) > snapshot) return true;
    return false;
  }

  /** Makes writes at one instant. They have been checked. */
  apply(writes: Iterable<Write>, spans: readonly Span[]): void {
    this.lastVersion++;
    for (const span of spans)
      for (const { key } of this.range(span, newest, newest, false)) this.set(key, undefined);
    for (const { key, value } of writes) this.set(key, value);
  }

  private set(key: Uint8Array, value: Uint8Array | undefined): void {
    const version = { version: this.lastVersion, value };
    const text = keyText(key);
    const existing = this.index.get(text);
    if (existing !== undefined) {
      existing.versions.push(version);
      if (existing.versions.length > versionsMax) existing.versions.splice(0, versionsMax / 2);
      return;
    }
    const entry = { key, versions: [version] };
    const last = this.entries[this.entries.length - 1];
    if (last === undefined || compareBytes(last.key, key) < 0) this.entries.push(entry);
    else this.entries.splice(this.lowerBound(key), 0, entry);
    this.index.set(text, entry);
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

function spansMeet(a: Span, b: Span): boolean {
  return compareBytes(a.startKey, b.endKey) < 0 && compareBytes(b.startKey, a.endKey) < 0;
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function versionAt(entry: Entry, snapshot: number): Version | undefined {
  const found = entry.versions.findLast(({ version }) => version <= snapshot);
  if (found === undefined && entry.versions.length >= versionsMax / 2)
    throw new DbError('CONFLICT', 'the snapshot is too old', { key: entry.key });
  return found;
}

function pairOf(entry: Entry, snapshot: number): KvPair | undefined {
  const value = versionAt(entry, snapshot)?.value;
  return value === undefined ? undefined : { key: entry.key, value };
}

/** What `savepoint` remembers. */
interface Buffered {
  readonly writes: ReadonlyMap<string, Write>;
  readonly spans: readonly Span[];
  readonly claimed: readonly Span[];
}

class MemoryTransaction implements KvTransaction, LockOwner {
  bound: TimeBound | undefined = undefined;
  readonly number: number;
  private readonly database: MemoryKvDatabase;
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

  constructor(
    database: MemoryKvDatabase,
    number: number,
    batchPairs: number,
    options: BeginOptions,
  ) {
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
    return this.database.evaluates ? this.evaluated(spans, program, options) : undefined;
  }

  private async *evaluated(
    spans: readonly Span[],
    program: Uint8Array,
    options: EvaluateOptions,
  ): AsyncGenerator<EvaluatedPart> {
    const written = (span: Span): boolean =>
      [...this.writes.values()].some(({ key }) => spanContains(span, key)) ||
      this.spans.some((hole) => spansMeet(span, hole));
    const { evaluated } = this.database;
    const begun = spans.map((span) => ({ isOwn: written(span), scan: this.scan(span, options) }));
    for (const { isOwn, scan } of begun)
      for await (const pairs of scan)
        for (let at = 0; at < pairs.length; ) {
          const running = isOwn ? undefined : programs.start(program);
          let next = at;
          while (running !== undefined && next < pairs.length) {
            const pair = pairs[next++];
            if (pair === undefined || !running.take(pair.key, pair.value, next - at - 1)) break;
            if (next - at >= evaluatedRows) break;
          }
          const result = running?.finish();
          if (result === undefined) next = pairs.length;
          else evaluated.parts++;
          const part = pairs.slice(at, next);
          at = next;
          yield {
            result,
            pairs: result === undefined ? part : [],
            rowsRead: part.length,
            from: { rangeId: 1, storeId: 1 },
            next: nextOf(part, options.reverse === true),
          };
        }
  }

  /** As two ranges do it, which have every other key in no order that the caller knows. */
  evaluateKeys(
    keys: readonly Uint8Array[],
    program: Uint8Array,
  ): AsyncIterable<EvaluatedKeys> | undefined {
    return this.database.evaluates ? this.evaluatedKeys(keys, program) : undefined;
  }

  private async *evaluatedKeys(
    keys: readonly Uint8Array[],
    program: Uint8Array,
  ): AsyncGenerator<EvaluatedKeys> {
    const values = await this.getMany(keys);
    const { evaluated } = this.database;
    const isOwn = (key: Uint8Array): boolean =>
      this.writes.has(keyText(key)) || this.spans.some((hole) => spanContains(hole, key));
    const places: [number[], number[], number[]] = [[], [], []];
    keys.forEach((key, i) => {
      places[isOwn(key) ? 0 : 1 + ((key.at(-1) ?? 0) % 2)]?.push(i);
    });
    for (const [range, positions] of places.entries())
      for (let at = 0; at < positions.length; ) {
        const running = range === 0 ? undefined : programs.start(program);
        const from = at;
        let rowsRead = 0;
        while (at < positions.length && at - from < evaluatedKeys) {
          const position = positions[at] ?? 0;
          const [key, value] = [keys[position], values[position]];
          const place = at++ - from;
          if (key === undefined || value === undefined) continue;
          rowsRead++;
          if (running?.take(key, value, place) === false) break;
        }
        const result = running?.finish();
        if (result !== undefined) {
          evaluated.parts++;
          evaluated.ofKeys++;
        }
        const some = positions.slice(from, at);
        yield {
          positions: some,
          result,
          values: result === undefined ? some.map((position) => values[position]) : [],
          rowsRead: range === 0 ? 0 : rowsRead,
          from: range === 0 ? undefined : { rangeId: range, storeId: range },
        };
      }
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

function nextOf(part: readonly KvPair[], reverse: boolean): Uint8Array | undefined {
  const key = part[part.length - 1]?.key;
  return key === undefined || reverse ? key : keySuccessor(key);
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
