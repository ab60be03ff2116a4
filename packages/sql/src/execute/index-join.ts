/**
 * A scan by a secondary index whose entries do not hold all that is needed: keys of rows from the entries, filtered where these
 * lie, then the rows, evaluated where those lie. While rows of some keys are fetched, the next entries are read, with
 * several batches under way. Where few rows are likely to be enough, it begins with few and asks for nothing before it is wanted.
 */
import { keySuccessor, type Span } from '@flotilla/base';
import type { KvPair } from '../kv-transaction.ts';
import { batchRows, fetchAhead, fetchBytes, fetchKeys } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { keySpans } from './key-spans.ts';
import { evaluateOnce } from './operator.ts';
import { pipelined } from './pipeline.ts';
import { evaluateHere } from './push/evaluate-here.ts';
import { programOfRun } from './push/planned-program.ts';
import { evaluatedKeys, type PushedRows } from './push/pushed-rows.ts';
import { openPushed, type PushedProgram } from './push/pushed-scan.ts';
import type { ProgramResult } from './push/result.ts';
import { pairsOf } from './read-spans.ts';
import { type FetchedRows, RowFetcher } from './row-fetcher.ts';
import { type Run, rowBytes } from './run.ts';

export interface IndexJoin {
  readonly scan: TableScan;
  /** Of entries: which rows are wanted, as far as an entry says. Undefined: entries are read as they are. */
  readonly entries: PushedProgram | undefined;
  /** Undefined: rows are read as they are. */
  readonly rows: PushedRows | undefined;
}

export interface IndexJoinRun {
  /** Rows that are surely enough, where that is known before any filter. */
  readonly limit?: number | undefined;
  /** Rows that may well be enough. */
  readonly expected?: number | undefined;
  readonly filterOfKeys?: Uint8Array | undefined;
}

export interface JoinedBatch extends FetchedRows {
  /** Of the rows that were looked for. */
  readonly keys: readonly Uint8Array[];
}

/** Rows in the order of the index. */
export async function* openIndexJoin(
  join: IndexJoin,
  run: Run,
  options: IndexJoinRun = {},
): AsyncGenerator<JoinedBatch, void, undefined> {
  const fetcher = new RowFetcher(join.scan, run, join.rows, options.filterOfKeys);
  const batches = new BatchSizes(options.limit ?? options.expected);
  yield* fetched(join, run, options, batches, async (keys) => {
    const found = await fetcher.fetch(keys);
    const bytes = bytesOf(found.rows) + keys.reduce((sum, key) => sum + 32 + key.length, 0);
    batches.note(keys.length, bytes);
    return { batch: { ...found, keys }, bytes };
  });
}

/**
 * Groups of the rows, in parts. Undefined: this run cannot have them.
 * @param groups over rows of the scan's table
 */
export async function openIndexGroups(
  join: IndexJoin,
  groups: PushedRows,
  run: Run,
): Promise<AsyncIterable<ProgramResult> | undefined> {
  const program = await programOfRun(groups, run);
  if (program === undefined) return undefined;
  // Whatever rows hold, groups are what comes back.
  const batches = new BatchSizes(undefined, fetchKeys.most);
  const parts = fetched(join, run, {}, batches, async (keys) => {
    const batch: ProgramResult[] = [];
    for await (const one of evaluatedKeys(groups, run, keys, program)) batch.push(one);
    return { batch, bytes: batch.reduce((sum, { rows }) => sum + bytesOf(rows), 0) };
  });
  return flat(parts);
}

/** What is made of batches of keys, in order. What waits is counted in the run's memory. */
async function* fetched<Batch>(
  join: IndexJoin,
  run: Run,
  options: IndexJoinRun,
  batches: BatchSizes,
  fetch: (keys: readonly Uint8Array[]) => Promise<Held<Batch>>,
): AsyncGenerator<Batch, void, undefined> {
  let held = 0;
  let ended = false;
  const work = async (keys: readonly Uint8Array[]): Promise<Held<Batch>> => {
    const one = await fetch(keys);
    if (ended) return one;
    held += one.bytes;
    run.memory.add(one.bytes);
    return one;
  };
  try {
    const keys = batches.cut(rowKeys(join, run, options));
    for await (const one of pipelined(keys, work, (taken) => batches.ahead(taken))) {
      run.pace.check();
      if (run.pace.due()) await run.pace.rest();
      yield one.batch;
      held -= one.bytes;
      run.memory.release(one.bytes);
    }
  } finally {
    ended = true;
    run.memory.release(held);
  }
}

interface Held<Batch> {
  readonly batch: Batch;
  readonly bytes: number;
}

function bytesOf(rows: readonly (readonly Datum[])[]): number {
  return rows.reduce((sum, row) => sum + rowBytes(row), 0);
}

async function* flat<Item>(source: AsyncIterable<readonly Item[]>): AsyncGenerator<Item> {
  for await (const items of source) yield* items;
}

/** Keys of rows, in the order of the index. */
async function* rowKeys(
  { scan, entries }: IndexJoin,
  run: Run,
  { limit, expected }: IndexJoinRun,
): AsyncGenerator<readonly Uint8Array[]> {
  const few = limit ?? expected;
  let spans: readonly Span[] = await evaluateOnce(run, () => keySpans(scan, run.evaluation));
  const [only] = spans;
  if (few !== undefined && only !== undefined && spans.length === 1) {
    let left = limit ?? firstEntries(few);
    let last: KvPair | undefined;
    for await (const pairs of pairsOf(spans, scan, run, left)) {
      left -= pairs.length;
      last = pairs.at(-1);
      yield* keysOfPairs(scan, entries, run, pairs);
    }
    if (left > 0 || limit !== undefined || last === undefined) return;
    spans = [restOf(only, last.key, scan.reverse)];
  }
  const pushed =
    entries &&
    (await openPushed(entries, run, { spans, limit: undefined, inTurn: few !== undefined }));
  if (pushed !== undefined) yield* keysOfResults(scan, pushed);
  else yield* keysAsTheyAre(scan, run, spans, limit);
}

async function* keysAsTheyAre(
  scan: TableScan,
  run: Run,
  spans: readonly Span[],
  limit: number | undefined,
): AsyncGenerator<readonly Uint8Array[]> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  for await (const pairs of pairsOf(spans, scan, run, limit)) {
    const wanted = pairs.length <= left ? pairs : pairs.slice(0, left);
    yield wanted.map(({ value }) => scan.store.keyOf(value));
    left -= wanted.length;
    if (left <= 0) return;
  }
}

/** Of a few entries, which are here. */
async function* keysOfPairs(
  scan: TableScan,
  entries: PushedProgram | undefined,
  run: Run,
  pairs: readonly KvPair[],
): AsyncGenerator<readonly Uint8Array[]> {
  const program = entries && (await programOfRun(entries, run));
  if (entries === undefined || program === undefined) {
    yield pairs.map(({ value }) => scan.store.keyOf(value));
    return;
  }
  const given = pairs.map(({ key, value }, position) => ({ key, value, position }));
  yield* keysOfResults(scan, evaluateHere(entries.result, run, program, given));
}

async function* keysOfResults(
  { store }: TableScan,
  results: AsyncIterable<ProgramResult>,
): AsyncGenerator<readonly Uint8Array[]> {
  for await (const { rows, error } of results) {
    if (rows.length > 0) yield rows.map(([value]) => store.keyOf(value as Uint8Array));
    if (error !== undefined) throw error;
  }
}

/** Entries that are read before it is known how many of their rows are wanted. */
function firstEntries(few: number): number {
  return Math.max(64, Math.min(batchRows, 4 * few));
}

function restOf(span: Span, last: Uint8Array, reverse: boolean): Span {
  return reverse ? { ...span, endKey: last } : { ...span, startKey: keySuccessor(last) };
}

/**
 * How many keys are looked up at once. Where few rows may do: as many, then twice as many, and so on. Otherwise a first batch
 * says how large rows are; then as many as are worth a message to each of some ranges, unless they are large.
 */
class BatchSizes {
  private readonly few: number | undefined;
  private size: number;
  private most: number = fetchKeys.most;

  constructor(few: number | undefined, first: number = fetchKeys.first) {
    this.few = few;
    this.size = few === undefined ? first : Math.max(1, Math.min(few, first));
  }

  /** Batches under way before the next is taken. */
  ahead(taken: number): number {
    if (this.few !== undefined) return taken < 3 ? 1 : fetchAhead;
    return taken === 0 && this.size < fetchKeys.most ? 1 : fetchAhead;
  }

  /** Rows of so many keys held so much. */
  note(keys: number, bytes: number): void {
    const fitting = Math.floor((fetchBytes * keys) / Math.max(1, bytes));
    this.most = Math.max(1, Math.min(fetchKeys.most, fitting));
  }

  /** Batches of that size, and a last one. */
  async *cut(source: AsyncIterable<readonly Uint8Array[]>): AsyncGenerator<readonly Uint8Array[]> {
    let waiting: readonly Uint8Array[] = [];
    for await (const keys of source) {
      waiting = waiting.length === 0 ? keys : [...waiting, ...keys];
      for (let size = this.next; waiting.length >= size; size = this.next) {
        yield waiting.slice(0, size);
        waiting = waiting.slice(size);
        this.size = this.few === undefined ? fetchKeys.most : 2 * this.size;
      }
    }
    if (waiting.length > 0) yield waiting;
  }

  private get next(): number {
    return Math.min(this.size, this.most);
  }
}
