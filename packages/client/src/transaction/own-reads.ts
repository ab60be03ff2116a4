/**
 * Reads of a snapshot with a transaction's own writes in them, which win. Knows neither where the snapshot comes from nor
 * what becomes of the writes. Used by the transactions alone.
 */
import { compareBytes, type Span, spanContains } from '@flotilla/base';
import type { KvRow, KvValue } from '@flotilla/router';
import type {
  EvaluatedKeys,
  EvaluatedPart,
  EvaluateOptions,
  KvPair,
  ScanOptions,
} from '@flotilla/sql/protocol';
import { inOrder } from './in-order.ts';
import { ScanMerge } from './scan-merge.ts';
import type { KeyPieces, Pieces, RowsOptions } from './snapshot-reader.ts';
import type { OwnWrite } from './write-buffer.ts';

/** Ranges whose rows are evaluated at once, and what may wait of each before its last answer, which may be half a MiB. */
const piecesAhead = 8;
const bytesAhead = 256 * 1024;

/** What a transaction has written and not committed. */
export interface OwnWrites {
  /** No key that is written with a value lies in one. */
  readonly deletedSpans: readonly Span[];
  lookup(key: Uint8Array): { readonly value: Uint8Array | undefined } | undefined;
  /** In key order, as they are now. */
  within(span: Span): readonly OwnWrite[];
  /** The span less the deleted spans, in key order. */
  remaining(span: Span): readonly Span[];
}

/** What is below. */
export interface SnapshotSource {
  get(
    keys: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<readonly (KvValue | undefined)[]>;
  scan(span: Span, options: RowsOptions): AsyncIterable<readonly KvRow[]>;
  inPieces(spans: readonly Span[], signal: AbortSignal | undefined): Promise<Pieces>;
  keysInPieces(keys: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<KeyPieces>;
}

/** Called when something has been read: throws, or rejects, where it may not be used. Undefined: it may, at once. */
export type OnRead = () => Promise<void> | undefined;

export class OwnReads {
  private readonly writes: OwnWrites;
  private readonly source: SnapshotSource;
  private readonly onRead: OnRead;

  constructor(writes: OwnWrites, source: SnapshotSource, onRead: OnRead) {
    this.writes = writes;
    this.source = source;
    this.onRead = onRead;
  }

  async get(
    keys: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    const own = keys.map((key) => this.writes.lookup(key));
    const missing = keys.filter((_key, index) => own[index] === undefined);
    if (missing.length === 0) return own.map((entry) => entry?.value);
    const found = await this.source.get(missing, signal);
    const late = this.onRead();
    if (late !== undefined) await late;
    let next = 0;
    return own.map((entry) => (entry === undefined ? found[next++]?.value : entry.value));
  }

  /** Shows the transaction's own writes as they were when the scan began. */
  async *scan(span: Span, options: ScanOptions): AsyncGenerator<readonly KvPair[], void, void> {
    const reverse = options.reverse ?? false;
    const pieces = this.writes.remaining(span).map((piece) => ({
      piece,
      own: this.writes.within(piece),
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

  /** Ranges that the transaction has written to are read row by row, with its own writes as they were when this began. */
  async *evaluate(
    spans: readonly Span[],
    program: Uint8Array,
    options: EvaluateOptions,
  ): AsyncGenerator<EvaluatedPart, void, void> {
    const { reverse = false, ahead = piecesAhead, signal } = options;
    const own = spans.flatMap((span) => this.writes.within(span));
    const holes = this.writes.deletedSpans;
    const left = spans.flatMap((span) => this.writes.remaining(span));
    if (left.length === 0) return;
    const reading = await this.source.inPieces(left, signal);
    const { pieces } = reading;
    const open = (piece: Span): AsyncIterable<EvaluatedPart> => {
      const written = own.filter(({ key }) => spanContains(piece, key));
      return written.length === 0 && holes.length === 0
        ? reading.evaluate(piece, program, reverse)
        : this.rowsOf(reading, piece, written, options);
    };
    const ordered = reverse ? [...pieces].reverse() : pieces;
    const limits = { sources: ahead, weight: bytesAhead, weigh: weightOf };
    for await (const part of inOrder(ordered, open, limits)) {
      const late = this.onRead();
      if (late !== undefined) await late;
      yield part;
    }
    const late = this.onRead();
    if (late !== undefined) await late;
  }

  /** Keys that the transaction has written come first, with their own values; the others by range. */
  async *evaluateKeys(
    keys: readonly Uint8Array[],
    program: Uint8Array,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<EvaluatedKeys, void, void> {
    const positions: number[] = [];
    const values: (Uint8Array | undefined)[] = [];
    const missing: number[] = [];
    for (let i = 0; i < keys.length; i++) {
      const own = this.writes.lookup(keys[i] ?? noBytes);
      if (own === undefined) missing.push(i);
      else {
        positions.push(i);
        values.push(own.value);
      }
    }
    if (positions.length > 0)
      yield { positions, result: undefined, values, rowsRead: 0, from: undefined };
    if (missing.length === 0) return;
    missing.sort((a, b) => compareBytes(keys[a] ?? noBytes, keys[b] ?? noBytes));
    const keyAt = (position: number): Uint8Array => keys[position] ?? noBytes;
    const reading = await this.source.keysInPieces(missing.map(keyAt), signal);
    const pieces: (readonly number[])[] = [];
    let from = 0;
    for (const count of reading.counts) {
      pieces.push(missing.slice(from, from + count));
      from += count;
    }
    const open = async function* (piece: readonly number[]): AsyncGenerator<EvaluatedKeys> {
      let at = 0;
      for await (const part of reading.evaluate(piece.map(keyAt), program)) {
        const { done, result, rowsRead, from: where } = part;
        const some = piece.slice(at, at + done);
        at += done;
        const found = part.values.map((one) => one?.value);
        yield { positions: some, result, values: found, rowsRead, from: where };
      }
    };
    const limits = { sources: piecesAhead, weight: bytesAhead, weigh: weightOfKeys };
    for await (const part of inOrder(pieces, open, limits)) {
      const late = this.onRead();
      if (late !== undefined) await late;
      yield part;
    }
  }

  private async *rowsOf(
    reading: Pieces,
    piece: Span,
    own: readonly OwnWrite[],
    { reverse = false, signal }: EvaluateOptions,
  ): AsyncIterable<EvaluatedPart> {
    const limit = Number.POSITIVE_INFINITY;
    const rows = reading.rows(piece, { limit, reverse, signal });
    for await (const pairs of this.withOwn(rows, own, { limit, reverse }))
      yield {
        ...{ result: undefined, pairs, rowsRead: pairs.length },
        ...{ from: undefined, next: undefined },
      };
  }

  private async *scanPiece(
    piece: Span,
    own: readonly OwnWrite[],
    options: ScanOptions & { readonly limit: number },
  ): AsyncIterable<readonly KvPair[]> {
    const reverse = options.reverse ?? false;
    // Rows below that the transaction has deleted do not count towards the caller's limit.
    const hidden = own.reduce((count, write) => count + (write.value === undefined ? 1 : 0), 0);
    const { limit, signal } = options;
    const rows = this.source.scan(piece, { reverse, limit: limit + hidden, signal });
    yield* this.withOwn(rows, own, { limit, reverse });
  }

  private async *withOwn(
    rows: AsyncIterable<readonly KvPair[]>,
    own: readonly OwnWrite[],
    { limit, reverse }: { readonly limit: number; readonly reverse: boolean },
  ): AsyncIterable<readonly KvPair[]> {
    const merge = new ScanMerge(own, reverse);
    let left = limit;
    for await (const batch of rows) {
      const late = this.onRead();
      if (late !== undefined) await late;
      const merged = merge.next(batch);
      const pairs = merged.length > left ? merged.slice(0, left) : merged;
      left -= pairs.length;
      if (pairs.length > 0) yield pairs;
      if (left <= 0) return;
    }
    const late = this.onRead();
    if (late !== undefined) await late;
    const rest = merge.rest();
    if (rest.length > 0) yield rest.length > left ? rest.slice(0, left) : rest;
  }
}

const noBytes = new Uint8Array(0);

/** What a part holds. Unit: bytes, about. */
function weightOf({ result, pairs }: EvaluatedPart): number {
  const own = 256 + (result?.length ?? 0);
  return pairs.reduce((sum, { key, value }) => sum + key.length + value.length, own);
}

function weightOfKeys({ positions, result, values }: EvaluatedKeys): number {
  const own = 256 + 8 * positions.length + (result?.length ?? 0);
  return values.reduce((sum, value) => sum + (value?.length ?? 0), own);
}
