/**
 * Spans that one transaction alone knows of, because what names them becomes known by its commit: the storage of a table
 * that it creates or truncates. What it writes there may leave for the stores before the commit, as committed versions that
 * nobody reads, so that a load of any size needs a bounded buffer.
 *
 * What the stores hold of the spans is, at some timestamp, what the transaction has written: its own reads are made at that
 * timestamp, and a savepoint remembers which one it was. After a rollback to it, reads are made at that one again, and before
 * more is written the spans are brought back to what they were then. Locks and checks at commit are not needed: there is
 * nobody else. Used by range-transaction.ts.
 */
import { compareBytes, DbError, type Span, spanContains } from '@flotilla/base';
import type { KvRow, Router } from '@flotilla/router';
import { OwnReads, type SnapshotSource } from './own-reads.ts';
import { ReadSet } from './read-set.ts';
import { readerParts, SnapshotReader, type SnapshotReaderParts } from './snapshot-reader.ts';
import { type OwnWrite, subtractSpan } from './write-buffer.ts';
import { isUnknown, writeDirectly } from './write-directly.ts';
import { type Layer, WriteLayers } from './write-layers.ts';

export interface ClaimedSpansParts extends Omit<SnapshotReaderParts, 'reads'> {
  readonly stores: Pick<Router, 'write'>;
  /** The transaction's. */
  readonly id: Uint8Array;
}

/** What the stores hold that counts: everything up to the timestamp. */
interface Stored {
  /** 0: nothing. */
  readonly timestamp: number;
  /** Counts what was written. */
  readonly writes: number;
}

export type ClaimedMark = Layer<Stored> | undefined;

const nothing: Stored = { timestamp: 0, writes: 0 };

export class ClaimedSpans {
  private readonly parts: ClaimedSpansParts;
  private readonly own = new WriteLayers<Stored>();
  private spans: readonly Span[] = [];
  private stored = nothing;
  private writes = 0;
  /** The stores hold more than what counts. */
  private isStale = false;
  private reader: SnapshotSource | undefined;
  private isFlushing = false;
  /** Something may yet arrive at the stores that does not count: nothing can be made of the spans any more. */
  private broken: DbError | undefined;

  constructor(parts: ClaimedSpansParts) {
    this.parts = parts;
  }

  get isEmpty(): boolean {
    return this.spans.length === 0;
  }

  /** What waits here. Unit: bytes. */
  get bytes(): number {
    return this.own.bytes;
  }

  /** Whether anything was ever written out: then all of it has to be, before the commit. */
  get hasLeft(): boolean {
    return this.writes > 0 || this.isStale;
  }

  claim(span: Span): void {
    const { top } = this.own;
    top.claims = [...top.claims, span];
    this.spans = this.own.claims;
  }

  holds(key: Uint8Array): boolean {
    return this.spans.some((span) => spanContains(span, key));
  }

  holdsSpan({ startKey, endKey }: Span): boolean {
    return this.spans.some(
      (claimed) =>
        compareBytes(claimed.startKey, startKey) <= 0 && compareBytes(endKey, claimed.endKey) <= 0,
    );
  }

  /** In key order. */
  cut(span: Span): { readonly span: Span; readonly isClaimed: boolean }[] {
    let others: readonly Span[] = [span];
    for (const claimed of this.spans)
      others = others.flatMap((other) => subtractSpan(other, claimed));
    let own: readonly Span[] = [span];
    for (const other of others) own = own.flatMap((one) => subtractSpan(one, other));
    return [
      ...others.map((one) => ({ span: one, isClaimed: false })),
      ...own.map((one) => ({ span: one, isClaimed: true })),
    ].sort((a, b) => compareBytes(a.span.startKey, b.span.startKey));
  }

  meets({ startKey, endKey }: Span): boolean {
    return this.spans.some(
      (claimed) =>
        compareBytes(claimed.startKey, endKey) < 0 && compareBytes(startKey, claimed.endKey) < 0,
    );
  }

  /** @returns undefined: before anything was claimed */
  mark(): ClaimedMark {
    if (this.isEmpty) return undefined;
    const { stored } = this;
    if (stored.writes > 0 && !this.isStale) {
      // The same at a later time: old versions are not kept for ever.
      this.stored = { timestamp: this.parts.router.now(), writes: stored.writes };
      this.reader = undefined;
    }
    return this.own.push();
  }

  undoTo(mark: ClaimedMark): void {
    if (mark === undefined) {
      this.own.clear();
      this.stored = nothing;
      this.isStale = false;
      this.broken = undefined;
    } else {
      if (!this.own.undoTo(mark)) throw new DbError('INVALID_ARGUMENT', 'the savepoint is gone');
      // Without a base nothing has left that was written since.
      const { base } = mark;
      if (base !== undefined && base.writes !== this.writes) {
        this.stored = base;
        this.isStale = true;
      }
    }
    this.reader = undefined;
    this.spans = this.own.claims;
  }

  /** Nobody goes back to the mark or a later one. */
  release(mark: ClaimedMark): void {
    this.own.mergeFrom(mark);
  }

  /** Nobody goes back to this one. */
  forget(mark: ClaimedMark): void {
    if (mark !== undefined) this.own.merge(mark);
  }

  growthOf(key: Uint8Array, value: Uint8Array | undefined): number {
    return this.own.growthOf(key, value);
  }

  /** This transaction's own word about a key, as far as it waits here. */
  lookup(key: Uint8Array): { readonly value: Uint8Array | undefined } | undefined {
    return this.own.lookup(key);
  }

  write(key: Uint8Array, value: Uint8Array | undefined, mustBeAbsent: boolean): void {
    if (this.isFlushing) throw new DbError('INVALID_ARGUMENT', 'writes are on their way out');
    this.own.write(key, value, mustBeAbsent);
  }

  /** What waits here, one write for each key. */
  waiting(): Iterable<OwnWrite> {
    return this.own.values();
  }

  /** Reads as of now, whatever is written out later. */
  get reads(): OwnReads {
    if (this.broken !== undefined) throw this.broken;
    this.reader ??= this.stored.writes === 0 ? nothingThere : this.readerAt(this.stored.timestamp);
    return new OwnReads(this.own, this.reader, () => undefined);
  }

  /**
   * Writes out what waits. After an error it still waits, and can be tried again or rolled back to a savepoint.
   * @throws DbError: KEY_EXISTS, CANCELLED, UNAVAILABLE, TIMEOUT, SNAPSHOT_TOO_OLD; none of the transaction's outcome
   */
  async flush(signal: AbortSignal | undefined): Promise<void> {
    if (this.broken !== undefined) throw this.broken;
    if (this.isFlushing) throw new DbError('INVALID_ARGUMENT', 'writes are on their way out');
    this.isFlushing = true;
    try {
      if (this.isStale) await this.restore(signal);
      for (const layer of this.own.all) {
        layer.base ??= this.stored;
        if (layer.writes.isEmpty) continue;
        await this.send(sorted(layer), signal);
        layer.writes.clear();
      }
    } catch (error) {
      if (!isUnknown(error)) throw error;
      // Nobody reads it. But what may yet arrive must not be taken for a part of what is written later.
      this.broken = new DbError('UNAVAILABLE', 'it is not known what a store has written', {
        cause: error,
      });
      throw this.broken;
    } finally {
      this.isFlushing = false;
    }
  }

  private async send(
    writes: Iterable<OwnWrite> | AsyncIterable<OwnWrite>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { router, stores } = this.parts;
    this.isStale = true;
    this.writes++;
    await writeDirectly(stores, writes, { after: this.stored.timestamp, signal });
    this.isStale = false;
    this.reader = undefined;
    this.stored = { timestamp: router.now(), writes: this.writes };
  }

  /** Brings the spans back to what counts. */
  private async restore(signal: AbortSignal | undefined): Promise<void> {
    await this.send(this.differences(), signal);
  }

  private async *differences(): AsyncGenerator<OwnWrite, void, void> {
    const { stored } = this;
    const now = this.readerAt(this.parts.router.now());
    const before = stored.writes === 0 ? nothingThere : this.readerAt(stored.timestamp);
    for (const span of this.spans) {
      const whole = { limit: Number.POSITIVE_INFINITY, reverse: false };
      const wanted = new Rows(before.scan(span, whole));
      const found = new Rows(now.scan(span, whole));
      let [want, have] = [await wanted.next(), await found.next()];
      while (want !== undefined || have !== undefined) {
        const order =
          want === undefined ? 1 : have === undefined ? -1 : compareBytes(want.key, have.key);
        if (order > 0 && have !== undefined)
          yield { key: have.key, value: undefined, mustBeAbsent: false };
        else if (want !== undefined && (order < 0 || !isSame(want, have)))
          yield { key: want.key, value: want.value, mustBeAbsent: false };
        if (order <= 0) want = await wanted.next();
        if (order >= 0) have = await found.next();
      }
    }
  }

  private readerAt(timestamp: number): SnapshotReader {
    const { id } = this.parts;
    // Another name than the transaction's: the snapshot is another.
    const context = {
      id: Uint8Array.from(id, (byte) => byte ^ 0xff),
      startedAt: timestamp,
      readTimestamp: timestamp,
      uncertaintyLimit: timestamp,
      observed: new Map<number, number>(),
      stores: new Set<number>(),
    };
    return new SnapshotReader(readerParts(this.parts, new ReadSet()), context);
  }
}

function sorted({ writes }: Layer<Stored>): OwnWrite[] {
  return [...writes.values()].sort((a, b) => compareBytes(a.key, b.key));
}

function isSame(one: KvRow, other: KvRow | undefined): boolean {
  return other !== undefined && compareBytes(one.value, other.value) === 0;
}

/** Rows of batches, one by one. */
class Rows {
  private readonly batches: AsyncIterator<readonly KvRow[]>;
  private batch: readonly KvRow[] = [];
  private at = 0;

  constructor(batches: AsyncIterable<readonly KvRow[]>) {
    this.batches = batches[Symbol.asyncIterator]();
  }

  async next(): Promise<KvRow | undefined> {
    while (this.at >= this.batch.length) {
      const { done, value } = await this.batches.next();
      if (done === true) return undefined;
      [this.batch, this.at] = [value, 0];
    }
    return this.batch[this.at++];
  }
}

async function* none(): AsyncGenerator<never, void, void> {}

/** Storage that nothing was written to. */
const nothingThere: SnapshotSource = {
  get: (keys) => Promise.resolve(keys.map(() => undefined)),
  scan: none,
  inPieces: (spans) =>
    Promise.resolve({ pieces: spans, rows: () => none(), evaluate: () => none() }),
  keysInPieces: (keys) =>
    Promise.resolve({
      counts: [keys.length],
      evaluate: async function* (piece) {
        const values = piece.map(() => undefined);
        yield { done: piece.length, result: undefined, values, rowsRead: 0, from: undefined };
      },
    }),
};
