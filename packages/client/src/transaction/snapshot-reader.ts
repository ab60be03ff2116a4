/**
 * The reads of one transaction from its snapshot. The first read chooses the snapshot; a value that may be older than the
 * transaction moves it to a later one, if everything read so far is the same there. A read stays with the snapshot that it
 * began with: one that nobody waits for any more neither chooses nor moves the snapshot of the next statement. Knows nothing
 * of writes.
 */
import { type Clock, DbError, probe, type Span } from '@flotilla/base';
import {
  type EvaluatedKeys as KeysEvaluated,
  type KvRow,
  type KvValue,
  type LockOptions,
  type SnapshotRows,
  type SnapshotValues,
  type TransactionContext,
  TransactionRefused,
  type TransactionRouter,
} from '@flotilla/router';
import type { EvaluatedKeys, EvaluatedPart } from '@flotilla/sql/protocol';
import type { LockKeeper } from './lock-keeper.ts';
import type { ReadSet } from './read-set.ts';
import { keptAfterMs, type SnapshotKeeper } from './snapshot-keeper.ts';

export interface SnapshotReaderParts {
  readonly router: TransactionRouter;
  readonly keeper: LockKeeper;
  readonly reads: ReadSet;
  readonly clock: Clock;
  readonly snapshots: SnapshotKeeper;
}

export interface RowsOptions {
  readonly limit: number;
  readonly reverse: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Pieces of spans, in key order, and how they are read: of the snapshot that was there when they were asked for. */
/** Keys in key order, and how many of them lie in each range, as far as is known. */
export interface KeyPieces {
  readonly counts: readonly number[];
  /** What a program makes of the rows of keys of one piece, or the values themselves where stores do not know it. */
  evaluate(keys: readonly Uint8Array[], program: Uint8Array): AsyncIterable<EvaluatedPiece>;
}

/** Of the next `done` keys. */
export interface EvaluatedPiece extends Pick<EvaluatedKeys, 'result' | 'rowsRead' | 'from'> {
  readonly done: number;
  readonly values: readonly (KvValue | undefined)[];
}

export interface Pieces {
  readonly pieces: readonly Span[];
  rows(piece: Span, options: RowsOptions): AsyncIterable<readonly KvRow[]>;
  /** What a program makes of a piece's rows, or the rows themselves where stores do not know it. */
  evaluate(piece: Span, program: Uint8Array, reverse: boolean): AsyncIterable<EvaluatedPart>;
}

/**
 * The parts that a reader takes of all that its owner has. Written out, as are others where every statement comes by: of an
 * object that is spread and then added to, V8 makes a shape of its own each time, and whoever reads it has to look it up.
 */
export function readerParts(
  { router, keeper, clock, snapshots }: Omit<SnapshotReaderParts, 'reads'>,
  reads: ReadSet,
): SnapshotReaderParts {
  return { router, keeper, reads, clock, snapshots };
}

/** Times that one read may move the snapshot before it gives up. */
const movesMax = 20;

interface Snapshot {
  readonly context: TransactionContext;
  /** When it was first asked for. Unit: ms. */
  readonly sinceMs: number;
  /** The read that chooses it is under way: others wait for what it finds. */
  choosing: Promise<unknown> | undefined;
  /** Reads did not hold at the timestamp that it was moved to: only another snapshot helps. */
  broken: boolean;
}

export class SnapshotReader {
  private readonly parts: SnapshotReaderParts;
  private snapshot: Snapshot;

  constructor(parts: SnapshotReaderParts, context: TransactionContext) {
    this.parts = parts;
    this.snapshot = this.begin(context);
  }

  get isBroken(): boolean {
    return this.snapshot.broken;
  }

  /** The transaction as stores are told of it by what reads now. */
  get context(): TransactionContext {
    return this.snapshot.context;
  }

  /** The next read chooses another snapshot. */
  reset(uncertaintyLimit: number): void {
    const { id, startedAt, stores } = this.snapshot.context;
    this.snapshot = this.begin({
      id,
      startedAt,
      readTimestamp: 0,
      uncertaintyLimit,
      // What a store's clock said before does not bound what was committed before this snapshot.
      observed: new Map(),
      stores,
    });
  }

  private begin(context: TransactionContext): Snapshot {
    const sinceMs = this.parts.clock.nowMs();
    return { context, sinceMs, choosing: undefined, broken: false };
  }

  /** Where the values of one range are too much for an answer, fewer are asked for at once. */
  async get(
    keys: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<readonly (KvValue | undefined)[]> {
    try {
      return await this.getAtOnce(keys, signal);
    } catch (error) {
      if (!isTooLarge(error) || keys.length < 2) throw error;
      const half = keys.length >> 1;
      const first = await this.get(keys.slice(0, half), signal);
      return [...first, ...(await this.get(keys.slice(half), signal))];
    }
  }

  private async getAtOnce(
    keys: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<readonly (KvValue | undefined)[]> {
    const { router, reads } = this.parts;
    const { snapshot } = this;
    const { context } = snapshot;
    const options = signal === undefined ? {} : { signal };
    const { values } = await this.read(
      snapshot,
      () => router.get(context, keys, options),
      (found) => {
        for (let i = 0; i < keys.length; i++) {
          const key = keys[i];
          const version = found.values[i]?.timestamp ?? 0;
          if (key !== undefined) reads.addPoint(key, version, found.readTimestamp);
        }
      },
    );
    return values;
  }

  async *scan(span: Span, options: RowsOptions): AsyncGenerator<readonly KvRow[], void, void> {
    yield* this.rowsOf(this.snapshot, span, options);
  }

  private async *rowsOf(
    snapshot: Snapshot,
    span: Span,
    options: RowsOptions,
  ): AsyncGenerator<readonly KvRow[], void, void> {
    const { router, reads } = this.parts;
    const { context } = snapshot;
    const { reverse, signal } = options;
    const readOptions = signal === undefined ? {} : { signal };
    let { startKey, endKey } = span;
    let left = options.limit;
    while (left > 0 && Buffer.compare(startKey, endKey) < 0) {
      const maxRows = Math.min(left, scanBatchRows);
      const asked = { startKey, endKey, maxRows, reverse };
      const batch = await this.read(
        snapshot,
        () => router.scan(context, asked, readOptions),
        ({ covered, readTimestamp }) => reads.addSpan(covered, readTimestamp),
      );
      if (reverse) endKey = batch.covered.startKey;
      else startKey = batch.covered.endKey;
      left -= batch.rows.length;
      if (batch.rows.length > 0) yield batch.rows;
    }
  }

  /** Spans by range, as far as is known. Several pieces are read at one snapshot from the start, whenever they are read. */
  async inPieces(spans: readonly Span[], signal: AbortSignal | undefined): Promise<Pieces> {
    const { router } = this.parts;
    const { snapshot } = this;
    const checks = spans.map((span) => ({ ...span, since: 0 }));
    const located = await router.locate([], checks, signal === undefined ? {} : { signal });
    const pieces = located.flatMap(({ readChecks }) =>
      readChecks.map(({ startKey, endKey = startKey }) => ({ startKey, endKey })),
    );
    if (pieces.length > 1) this.chooseFor(snapshot);
    return {
      pieces: pieces.sort((a, b) => Buffer.compare(a.startKey, b.startKey)),
      rows: (piece, options) => this.rowsOf(snapshot, piece, options),
      evaluate: (piece, program, reverse) =>
        this.evaluated(snapshot, piece, { program, reverse, signal }),
    };
  }

  /** As `inPieces`. @param keys in key order */
  async keysInPieces(
    keys: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<KeyPieces> {
    const { snapshot } = this;
    const options = signal === undefined ? {} : { signal };
    const located = await this.parts.router.locate(keys, [], options);
    if (located.length > 1) this.chooseFor(snapshot);
    return {
      counts: located.map((piece) => piece.keys.length),
      evaluate: (piece, program) => this.evaluatedKeys(snapshot, piece, program, signal),
    };
  }

  /** Several ranges are about to be read: none of them can choose for all. */
  private chooseFor({ context, choosing }: Snapshot): void {
    if (context.readTimestamp === 0 && choosing === undefined)
      context.readTimestamp = this.parts.router.now();
  }

  private async *evaluatedKeys(
    snapshot: Snapshot,
    keys: readonly Uint8Array[],
    asked: Uint8Array,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<EvaluatedPiece, void, void> {
    const { router, reads } = this.parts;
    const { context } = snapshot;
    const options = signal === undefined ? {} : { signal };
    let program: Uint8Array | undefined = asked;
    let left = keys;
    let most = getBatchKeys;
    const attempt = async (): Promise<KeysRead> => {
      if (program !== undefined) return router.evaluate(context, { keys: left, program }, options);
      const first = left.slice(0, most);
      const found = await router.get(context, first, options);
      return { ...found, done: first.length, evaluated: undefined, from: undefined };
    };
    while (left.length > 0) {
      const of = left;
      let batch: KeysRead;
      try {
        batch = await this.read(snapshot, attempt, ({ done, evaluated, values, readTimestamp }) => {
          for (let i = 0; i < done; i++) {
            const key = of[i];
            const version = evaluated === undefined ? (values[i]?.timestamp ?? 0) : undefined;
            if (key !== undefined) reads.addPoint(key, version, readTimestamp);
          }
        });
      } catch (error) {
        if (isTooLarge(error) && most > 1) most >>= 1;
        else if (!isProgramRefused(error) || program === undefined) throw error;
        program = undefined;
        continue;
      }
      const { done, evaluated, values, from } = batch;
      left = left.slice(done);
      yield evaluated === undefined
        ? { done, result: undefined, values, rowsRead: done, from }
        : { done, result: evaluated.result, values: [], rowsRead: evaluated.rowsRead, from };
    }
  }

  private async *evaluated(
    snapshot: Snapshot,
    span: Span,
    options: {
      readonly program: Uint8Array;
      readonly reverse: boolean;
      readonly signal: AbortSignal | undefined;
    },
  ): AsyncGenerator<EvaluatedPart, void, void> {
    const { router, reads } = this.parts;
    const { context } = snapshot;
    const { reverse, signal } = options;
    const readOptions = signal === undefined ? {} : { signal };
    let { startKey, endKey } = span;
    let program: Uint8Array | undefined = options.program;
    while (Buffer.compare(startKey, endKey) < 0) {
      const asked = { startKey, endKey, maxRows: scanBatchRows, reverse, program };
      let batch: SnapshotRows;
      try {
        batch = await this.read(
          snapshot,
          () => router.scan(context, asked, readOptions),
          ({ covered, readTimestamp }) => reads.addSpan(covered, readTimestamp),
        );
      } catch (error) {
        if (!isProgramRefused(error) || program === undefined) throw error;
        program = undefined;
        continue;
      }
      const { evaluated, rows, from } = batch;
      if (reverse) endKey = batch.covered.startKey;
      else startKey = batch.covered.endKey;
      const next = reverse ? endKey : startKey;
      yield evaluated === undefined
        ? { result: undefined, pairs: rows, rowsRead: rows.length, from, next }
        : { result: evaluated.result, pairs: [], rowsRead: evaluated.rowsRead, from, next };
    }
  }

  /** Locks, waiting as long as the caller will; the place in the queue is kept. */
  async lock(
    keys: readonly Uint8Array[],
    options: Omit<LockOptions, 'onWaiting'> & { readonly limitMs: number | undefined },
  ): Promise<SnapshotValues> {
    const { router, keeper } = this.parts;
    const { context } = this;
    keeper.enter(context);
    const wait = keeper.wait(context, options.limitMs);
    let waited = false;
    const { limitMs: _limit, ...lock } = options;
    try {
      for (;;) {
        waited = false;
        try {
          return await router.lock(context, keys, {
            ...lock,
            onWaiting: (notice) => {
              waited = true;
              return wait.onNotice(notice);
            },
          });
        } catch (error) {
          // The router's own deadline is not the user's: whoever was told to wait goes on waiting.
          if (!(waited && error instanceof DbError && error.code === 'TIMEOUT')) throw error;
        }
      }
    } finally {
      wait.end();
    }
  }

  /**
   * Moves the snapshot up to `to`.
   * @throws DbError CONFLICT: something that was read is not the same there
   */
  async moveTo(to: number): Promise<void> {
    const { router, reads } = this.parts;
    const { snapshot } = this;
    const { context } = snapshot;
    if (to <= context.readTimestamp) return;
    const checks = reads.checksUpTo(to);
    const { isComplete } = reads;
    // From here on, reads that are under way at the old snapshot do not count and are repeated.
    context.readTimestamp = to;
    if (!isComplete || !(await router.refresh(context, checks, to))) {
      snapshot.broken = true;
      throw new DbError('CONFLICT', 'what was read has changed');
    }
    probe('snapshotMoved');
    reads.advance(to);
  }

  /**
   * Shows that all that was read was so at one moment: a lock may have been lost, and its key written, before others were read.
   * @throws DbError CONFLICT: it was not
   */
  async confirm(): Promise<void> {
    const { router, reads } = this.parts;
    const { context } = this;
    const at = Math.max(context.readTimestamp, reads.newestLocked);
    const checks = reads.checksUpTo(at);
    if (checks.length === 0) return;
    const isKnown = reads.isComplete || at === context.readTimestamp;
    if (!isKnown || !(await router.refresh(context, checks, at)))
      throw new DbError('CONFLICT', 'what was read has changed');
  }

  /** @param note called in the turn in which the read counts: a move of the snapshot that begins then has to check it */
  private async read<Result extends { readonly readTimestamp: number }>(
    snapshot: Snapshot,
    attempt: () => Promise<Result>,
    note: (result: Result) => void,
  ): Promise<Result> {
    const { context } = snapshot;
    for (let moves = 0; ; ) {
      while (context.readTimestamp === 0 && snapshot.choosing !== undefined)
        await snapshot.choosing.then(ignore, ignore);
      if (snapshot.broken) throw new DbError('CONFLICT', 'what was read has changed');
      const reading = attempt();
      if (context.readTimestamp === 0) snapshot.choosing = reading;
      try {
        const result = await reading;
        if (snapshot.choosing === reading) snapshot.choosing = undefined;
        if (context.readTimestamp === 0) context.readTimestamp = result.readTimestamp;
        if (result.readTimestamp === context.readTimestamp) {
          if (snapshot === this.snapshot) this.count(result, note);
          return result;
        }
      } catch (error) {
        if (snapshot.choosing === reading) snapshot.choosing = undefined;
        if (!(error instanceof TransactionRefused) || error.reason !== 'uncertain') throw error;
        // What it has read is forgotten: nothing shows that it holds later.
        if (snapshot !== this.snapshot)
          throw new DbError('CONFLICT', 'the statement of this read is over');
        await this.moveTo(error.timestamp);
      }
      if (++moves > movesMax)
        throw new DbError('CONFLICT', 'values change faster than they are read');
    }
  }

  private count<Result>(result: Result, note: (result: Result) => void): void {
    const { clock, snapshots } = this.parts;
    const { context, sinceMs } = this.snapshot;
    note(result);
    if (clock.nowMs() - sinceMs >= keptAfterMs) snapshots.onRead(context.id, context.readTimestamp);
  }
}

function ignore(): void {}

/** What a read of some of the keys has found. */
interface KeysRead extends Pick<KeysEvaluated, 'done' | 'evaluated' | 'values' | 'readTimestamp'> {
  readonly from: KeysEvaluated['from'] | undefined;
}

function isTooLarge(error: unknown): boolean {
  return error instanceof DbError && error.code === 'TOO_LARGE';
}

function isProgramRefused(error: unknown): boolean {
  return error instanceof TransactionRefused && error.reason === 'program-refused';
}

/** Rows per request of a scan. */
const scanBatchRows = 1000;
/** Keys per request where rows are to be evaluated by whoever asks. */
const getBatchKeys = 256;
