/**
 * A transaction over any number of ranges: reads come from a snapshot and are remembered, writes stay here until
 * `commit`, which makes all of them at one instant or none. See `snapshot-reader.ts` for reads, `locked-reads.ts` for those that
 * lock, `commit-work.ts` for what is checked in the end, `commit.ts` for the protocol.
 */
import {
  compareBytes,
  DbError,
  keyBytesMax,
  type Span,
  timestampFromWallMs,
  timestampSpan,
  valueBytesMax,
} from '@flotilla/base';
import type { Router, TransactionContext } from '@flotilla/router';
import {
  type BeginOptions,
  type EvaluatedKeys,
  type EvaluatedPart,
  type EvaluateOptions,
  type IsolationLevel,
  type KvPair,
  type KvTransaction,
  type LockedValue,
  lockedByOther,
  type ReadOptions,
  type Savepoint,
  type ScanOptions,
  type TimeBound,
  TransactionTooLarge,
} from '@flotilla/sql/protocol';
import { type ClaimedMark, ClaimedSpans } from './claimed-spans.ts';
import { Commit, type CommitParts } from './commit.ts';
import { mutationsOf, type WorkParts, workOf } from './commit-work.ts';
import { LockedReads } from './locked-reads.ts';
import { OwnReads } from './own-reads.ts';
import { ReadSet } from './read-set.ts';
import type { SnapshotKeeper } from './snapshot-keeper.ts';
import { readerParts, SnapshotReader } from './snapshot-reader.ts';
import { WriteBuffer } from './write-buffer.ts';

/** Largest sum of one transaction's writes. Unit: bytes. Leaves room in a message (16 MiB) for the replaced values. */
export const transactionBytesMax: number = 64 * 1024 * 1024;
/** How far clocks of stores may be apart. Unit: ms. */
export const uncertaintyMs: number = 250;

export interface TransactionParts extends CommitParts {
  readonly stores: Pick<Router, 'write'>;
  readonly snapshots: SnapshotKeeper;
  readonly id: Uint8Array;
}

/** What `savepoint` remembers: a moment of the buffer, and of what is claimed. */
interface Mark {
  readonly buffer: number;
  readonly claimed: ClaimedMark;
}

export class RangeTransaction implements KvTransaction {
  bound: TimeBound | undefined = undefined;
  private readonly parts: TransactionParts;
  private readonly readOnly: boolean;
  private readonly isolation: IsolationLevel;
  /** It reads at a time that the caller has chosen. */
  private readonly isPast: boolean;
  private readonly buffer = new WriteBuffer();
  private readonly reads = new ReadSet();
  private readonly reader: SnapshotReader;
  /** Made when it is first needed, as the next: most transactions read a key or two, and that is all. */
  private own: OwnReads | undefined = undefined;
  /** Undefined: nothing has been claimed. */
  private claimed: ClaimedSpans | undefined = undefined;
  /** When the statement began that began last. */
  private statement: Mark | undefined;
  /** An earlier statement has read something. */
  private hasRead = false;
  /** Undefined: nothing has been locked. */
  private locks: LockedReads | undefined = undefined;
  private finished = false;

  constructor(parts: TransactionParts, options: BeginOptions) {
    if (options.asOf !== undefined && options.readOnly !== true)
      throw new DbError('INVALID_ARGUMENT', 'the past can only be read');
    this.parts = parts;
    this.readOnly = options.readOnly ?? false;
    this.isolation = options.isolation ?? 'serializable';
    this.isPast = options.asOf !== undefined;
    const past = options.asOf === undefined ? 0 : timestampFromWallMs(options.asOf);
    const now = parts.router.now();
    const context: TransactionContext = {
      id: parts.id,
      startedAt: now,
      readTimestamp: past,
      uncertaintyLimit: past === 0 ? now + timestampSpan(uncertaintyMs) : past,
      observed: new Map(),
      stores: new Set(),
    };
    this.reader = new SnapshotReader(readerParts(parts, this.reads), context);
  }

  private get ownReads(): OwnReads {
    this.own ??= new OwnReads(this.buffer, this.reader, () =>
      this.checkBound(this.context.readTimestamp),
    );
    return this.own;
  }

  private get context(): TransactionContext {
    return this.reader.context;
  }

  get restartable(): boolean {
    return this.isolation === 'read committed' || !this.hasRead;
  }

  get(key: Uint8Array, options?: ReadOptions): Promise<Uint8Array | undefined> {
    const isPlain =
      this.buffer.isEmpty && this.claimed === undefined && options?.lock === undefined;
    return isPlain ? this.readOne(key, options?.signal) : this.getOne(key, options ?? {});
  }

  /** What has nothing of its own in the way needs no step in between: most keys are read so. */
  private async readOne(
    key: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    this.checkOpen();
    const [found] = await this.reader.get([key], signal);
    const late = this.checkBound(this.context.readTimestamp);
    if (late !== undefined) await late;
    return found?.value;
  }

  private async getOne(key: Uint8Array, options: ReadOptions): Promise<Uint8Array | undefined> {
    const [value] = await this.readMany([key], options);
    if (value === lockedByOther)
      throw new DbError('INVALID_ARGUMENT', 'locked keys are skipped by getMany alone');
    return value;
  }

  getMany(
    keys: readonly Uint8Array[],
    options: ReadOptions & { readonly wait: 'skip' },
  ): Promise<readonly LockedValue[]>;
  getMany(
    keys: readonly Uint8Array[],
    options?: ReadOptions & { readonly wait?: 'block' | 'nowait' },
  ): Promise<readonly (Uint8Array | undefined)[]>;
  getMany(keys: readonly Uint8Array[], options: ReadOptions = {}): Promise<readonly LockedValue[]> {
    return this.readMany(keys, options);
  }

  async *scan(span: Span, options: ScanOptions = {}): AsyncIterable<readonly KvPair[]> {
    this.checkOpen();
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    for (const { reads, spans } of this.parted([span], options.reverse === true))
      for (const piece of spans) {
        if (left <= 0) return;
        for await (const pairs of reads.scan(piece, { ...options, limit: left })) {
          left -= pairs.length;
          yield pairs;
        }
      }
  }

  async *evaluate(
    spans: readonly Span[],
    program: Uint8Array,
    options: EvaluateOptions = {},
  ): AsyncIterable<EvaluatedPart> {
    this.checkOpen();
    for (const { reads, spans: some } of this.parted(spans, options.reverse === true))
      yield* reads.evaluate(some, program, options);
  }

  async *evaluateKeys(
    keys: readonly Uint8Array[],
    program: Uint8Array,
    signal?: AbortSignal,
  ): AsyncIterable<EvaluatedKeys> {
    this.checkOpen();
    const { claimed, ownReads } = this;
    const places = keys.map((_key, i) => i);
    const isClaimed = (i: number): boolean => claimed?.holds(keys[i] ?? noBytes) === true;
    const parts =
      claimed === undefined || !places.some(isClaimed)
        ? [{ reads: ownReads, places }]
        : [
            { reads: claimed.reads, places: places.filter(isClaimed) },
            { reads: ownReads, places: places.filter((i) => !isClaimed(i)) },
          ];
    for (const { reads, places: some } of parts)
      for await (const part of reads.evaluateKeys(
        some.map((i) => keys[i] ?? noBytes),
        program,
        signal,
      ))
        yield { ...part, positions: part.positions.map((i) => some[i] ?? 0) };
  }

  /** What is claimed and what is not, in scan order: as it is now. */
  private parted(
    spans: readonly Span[],
    reverse: boolean,
  ): readonly { readonly reads: OwnReads; readonly spans: readonly Span[] }[] {
    const { claimed, ownReads } = this;
    if (claimed === undefined || !spans.some((span) => claimed.meets(span)))
      return [{ reads: ownReads, spans }];
    const { reads } = claimed;
    if (spans.every((span) => claimed.holdsSpan(span))) return [{ reads, spans }];
    const parts = spans.flatMap((span) => claimed.cut(span));
    if (reverse) parts.reverse();
    return parts.map(({ span, isClaimed }) => ({
      reads: isClaimed ? reads : ownReads,
      spans: [span],
    }));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.write(key, value, false);
  }

  insert(key: Uint8Array, value: Uint8Array): void {
    const own = this.ownWrite(key);
    if (own?.value !== undefined)
      throw new DbError('KEY_EXISTS', 'this transaction has written the key', { key });
    // A key that this transaction deletes will be absent by then: only an unknown one has to be checked.
    this.write(key, value, own === undefined);
  }

  delete(key: Uint8Array): void {
    this.write(key, undefined, false);
  }

  deleteSpan(span: Span): void {
    this.checkWritable();
    if (compareBytes(span.startKey, span.endKey) >= 0)
      throw new DbError('INVALID_ARGUMENT', 'a span begins before it ends');
    if (this.claimed?.meets(span) === true)
      throw new DbError('NOT_SUPPORTED', 'what is claimed is not deleted as a span');
    this.buffer.deleteSpan(span);
  }

  claim(span: Span): void {
    this.checkWritable();
    this.claimed ??= new ClaimedSpans(this.parts);
    this.claimed.claim(span);
  }

  hasClaimed(span: Span): boolean {
    return this.claimed?.holdsSpan(span) === true;
  }

  get claimedBytes(): number {
    return this.claimed?.bytes ?? 0;
  }

  async flush(signal?: AbortSignal): Promise<void> {
    this.checkWritable();
    await this.claimed?.flush(signal);
  }

  async readSince(timestamp: number): Promise<void> {
    this.checkOpen();
    const { readTimestamp } = this.context;
    if (readTimestamp === 0 || readTimestamp >= timestamp) return;
    if (this.isPast)
      throw new DbError('SNAPSHOT_TOO_OLD', 'what is read was not there yet at that time');
    await this.reader.moveTo(timestamp);
  }

  savepoint(): Savepoint {
    this.checkOpen();
    const mark: Mark = { buffer: this.buffer.mark(), claimed: this.claimed?.mark() };
    return { savepoint: mark };
  }

  rollbackTo(savepoint: Savepoint): void {
    this.checkOpen();
    this.undoTo(savepoint.savepoint as Mark);
  }

  release(savepoint: Savepoint): void {
    this.checkOpen();
    if (this.claimed?.isEmpty === false)
      this.claimed.release((savepoint.savepoint as Mark).claimed);
  }

  private undoTo(mark: Mark): void {
    this.buffer.undoTo(mark.buffer);
    if (this.claimed?.isEmpty === false) this.claimed.undoTo(mark.claimed);
  }

  beginStatement(): void {
    this.checkOpen();
    this.claimed?.forget(this.statement?.claimed);
    this.statement = { buffer: this.buffer.mark(), claimed: this.claimed?.mark() };
    if (this.isPast) return;
    if (this.isolation === 'read committed') this.newSnapshot();
    else this.hasRead = !this.reads.isEmpty;
  }

  restartStatement(): void {
    this.checkOpen();
    if (!this.restartable || this.statement === undefined)
      throw new DbError('INVALID_ARGUMENT', 'the statement cannot be run again by itself');
    this.undoTo(this.statement);
    if (!this.isPast) this.newSnapshot();
  }

  async commit(): Promise<void> {
    this.checkOpen();
    this.finished = true;
    const { parts, context } = this;
    const hasLocked = this.locks !== undefined;
    let held = hasLocked;
    try {
      if (this.reader.isBroken) throw new DbError('CONFLICT', 'what was read has changed');
      if (this.claimed?.hasLeft === true) await this.claimed.flush(undefined);
      for (const span of this.buffer.deletedSpans) await this.expand(span);
      const work = this.workParts();
      const mutations = mutationsOf(work);
      if (mutations.length > 0) {
        const end = await new Commit(parts, workOf(work, mutations)).run();
        // Those of a parallel commit are let go when its intents are resolved.
        held = held && end === 'locks-held';
        if (end === 'ends-later') held = false;
        else if (!held) parts.keeper.leave(context, false);
      } else if (hasLocked && this.isolation !== 'read committed') await this.reader.confirm();
    } finally {
      if (held) parts.keeper.leave(context, true);
    }
  }

  async commitComputed(key: Uint8Array, program: Uint8Array): Promise<boolean> {
    this.checkWritable();
    if (!this.buffer.isEmpty || !this.reads.isEmpty || this.locks !== undefined)
      throw new DbError('INVALID_ARGUMENT', 'what is computed is all that its transaction does');
    this.finished = true;
    const written = await new Commit(this.parts, workOf(this.workParts(), [])).compute({
      key,
      program,
    });
    this.finished = written;
    return written;
  }

  rollback(): void {
    if (this.finished) return;
    this.finished = true;
    this.buffer.clear();
    this.reads.clear();
    if (this.locks !== undefined) this.parts.keeper.leave(this.context, true);
  }

  /** A deleted span becomes deletions of the keys that the snapshot has there; that there are no others is a read. */
  private async expand(span: Span): Promise<void> {
    const options = { limit: Number.POSITIVE_INFINITY, reverse: false };
    for await (const rows of this.reader.scan(span, options))
      for (const { key } of rows) {
        this.checkRoom(this.buffer.growthOf(key, undefined));
        this.buffer.deleteOfSpan(key);
      }
  }

  private async readMany(
    keys: readonly Uint8Array[],
    options: ReadOptions,
  ): Promise<readonly LockedValue[]> {
    this.checkOpen();
    const { claimed } = this;
    if (claimed === undefined) return this.readShared(keys, options);
    const isClaimed = keys.map((key) => claimed.holds(key));
    if (!isClaimed.includes(true)) return this.readShared(keys, options);
    // Nobody else can lock those, nor write them.
    const [own, shared] = await Promise.all([
      claimed.reads.get(
        keys.filter((_key, i) => isClaimed[i]),
        options.signal,
      ),
      this.readShared(
        keys.filter((_key, i) => !isClaimed[i]),
        options,
      ),
    ]);
    const next = { own: 0, shared: 0 };
    return isClaimed.map((one) => (one ? own[next.own++] : shared[next.shared++]));
  }

  private async readShared(
    keys: readonly Uint8Array[],
    options: ReadOptions,
  ): Promise<readonly LockedValue[]> {
    if (keys.length === 0) return [];
    return options.lock === undefined
      ? this.ownReads.get(keys, options.signal)
      : this.lockMany(keys, options.lock, options);
  }

  private lockMany(
    keys: readonly Uint8Array[],
    mode: 'share' | 'exclusive',
    options: ReadOptions,
  ): Promise<readonly LockedValue[]> {
    this.checkWritable();
    const { reader, reads, buffer: writes, isolation } = this;
    // Nothing in the answer is newer than what its frame has told this clock.
    const onRead = (): Promise<void> | undefined => this.checkBound(this.parts.router.now());
    this.locks ??= new LockedReads({ reader, reads, writes, isolation, onRead });
    return this.locks.lock(keys, mode, options);
  }

  /** Throws CONFLICT where what was read may not be used. Undefined: it may, at once. */
  private checkBound(readTimestamp: number): Promise<void> | undefined {
    const { bound } = this;
    if (bound === undefined || readTimestamp <= bound.timestamp) return undefined;
    return this.reachBound(bound, readTimestamp);
  }

  /** Whoever is at a moment after the bound was slow, or nobody relies on what it stands for any more. */
  private async reachBound(bound: TimeBound, readTimestamp: number): Promise<void> {
    if ((await bound.reach?.(readTimestamp)) !== true)
      throw new DbError('CONFLICT', 'the time in which the transaction may read is over');
  }

  private write(key: Uint8Array, value: Uint8Array | undefined, mustBeAbsent: boolean): void {
    this.checkWritable();
    if (key.length > keyBytesMax)
      throw new DbError('TOO_LARGE', `a key has at most ${keyBytesMax} bytes`, { key });
    if (value !== undefined && value.length > valueBytesMax)
      throw new DbError('TOO_LARGE', `a value has at most ${valueBytesMax} bytes`, { key });
    const { claimed } = this;
    const buffer = claimed?.holds(key) === true ? claimed : this.buffer;
    this.checkRoom(buffer.growthOf(key, value));
    buffer.write(key, value, mustBeAbsent);
  }

  /** Undefined: it has no word about the key, or has sent it to the stores. */
  private ownWrite(key: Uint8Array): { readonly value: Uint8Array | undefined } | undefined {
    const { claimed } = this;
    return claimed?.holds(key) === true ? claimed.lookup(key) : this.buffer.lookup(key);
  }

  /** What was read and is not written, and the snapshot, are forgotten. */
  private newSnapshot(): void {
    this.reads.forget((text) => this.buffer.writes(text));
    this.reader.reset(this.parts.router.now() + timestampSpan(uncertaintyMs));
  }

  private workParts(): WorkParts {
    const { context, isolation, buffer: writes, reads, locks, claimed, bound } = this;
    return { context, isolation, writes, reads, locks, claimed, bound };
  }

  private checkRoom(growth: number): void {
    const bytes = this.buffer.requestBytes + this.claimedBytes;
    if (bytes + growth > transactionBytesMax) throw new TransactionTooLarge(transactionBytesMax);
  }

  private checkOpen(): void {
    if (this.finished) throw new DbError('CLOSED', 'the transaction has ended');
  }

  private checkWritable(): void {
    this.checkOpen();
    if (this.readOnly) throw new DbError('INVALID_ARGUMENT', 'the transaction is read-only');
  }
}

const noBytes = new Uint8Array(0);
