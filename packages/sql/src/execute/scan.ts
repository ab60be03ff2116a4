/**
 * Reads a table along its access path: points by `getMany`, spans by `scan`, rows decoded as far as they are needed. By a
 * secondary index: its entries first, then, a batch at a time, the rows that they name, unless the entries hold all that is
 * needed.
 */
import type { Span } from '@flotilla/base';
import type { KvPair, ReadOptions } from '../kv-transaction.ts';
import { batchRows, spansAhead } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { entriesOf, rowsOfEntries } from './index-rows.ts';
import { keySpans, pointKeys } from './key-spans.ts';
import { evaluateOnce } from './operator.ts';
import type { Run } from './run.ts';

export interface ScannedBatch {
  readonly keys: readonly Uint8Array[];
  readonly rows: readonly Datum[][];
  /** Points that had no row. */
  readonly missing: number;
}

export interface ScanTableOptions {
  /** Rows that are surely enough, where that is known before the filter. */
  readonly limit?: number | undefined;
  /** Rows that may well be enough: what is fetched beside the scan begins with as many. */
  readonly expected?: number | undefined;
  /** Points only: they are locked as they are read. */
  readonly lock?: ReadOptions | undefined;
}

export async function* scanTable(
  scan: TableScan,
  run: Run,
  options: ScanTableOptions = {},
): AsyncGenerator<ScannedBatch, void, undefined> {
  const { limit, lock } = options;
  if (limit !== undefined && limit <= 0) return;
  if (scan.points) yield* scanPoints(scan, run, lock);
  else if (scan.index?.single === true) yield* scanEntryPoints(scan, run);
  else yield* scanSpans(scan, run, options);
}

async function* scanPoints(
  scan: TableScan,
  run: Run,
  lock: ReadOptions | undefined,
): AsyncGenerator<ScannedBatch> {
  const keys = await evaluateOnce(run, () => pointKeys(scan, run.evaluation));
  for (let at = 0; at < keys.length; at += batchRows) {
    run.pace.check();
    const chunk = keys.slice(at, at + batchRows);
    const values = await run.pace.unlessCancelled(run.transaction.getMany(chunk, lock));
    const found: Uint8Array[] = [];
    const rows: Datum[][] = [];
    chunk.forEach((key, i) => {
      const value = values[i];
      if (value === undefined) return;
      found.push(key);
      rows.push(decoded(scan, key, value));
    });
    yield { keys: found, rows, missing: chunk.length - found.length };
  }
}

/** Entries of a unique index by all of its columns. */
async function* scanEntryPoints(scan: TableScan, run: Run): AsyncGenerator<ScannedBatch> {
  const keys = await evaluateOnce(run, () => pointKeys(scan, run.evaluation));
  for (let at = 0; at < keys.length; at += batchRows) {
    run.pace.check();
    const chunk = keys.slice(at, at + batchRows);
    const values = await run.pace.unlessCancelled(run.transaction.getMany(chunk));
    const batch = await rowsOfEntries(scan, run, entriesOf(chunk, values));
    yield { ...batch, missing: batch.missing + values.filter((one) => one === undefined).length };
  }
}

async function* scanSpans(
  scan: TableScan,
  run: Run,
  { limit, expected }: ScanTableOptions,
): AsyncGenerator<ScannedBatch> {
  let left = limit;
  // Rows are fetched beside the entries: not more than the consumer is likely to take, at first.
  let most = scan.index === undefined ? batchRows : firstFetch(limit ?? expected);
  const spans = await evaluateOnce(run, () => keySpans(scan, run.evaluation));
  for await (const batch of pairsOf(spans, scan, run, limit)) {
    for (let at = 0; at < batch.length; ) {
      run.pace.check();
      if (run.pace.due()) await run.pace.rest();
      const size = left === undefined ? most : Math.min(left, most);
      const part = at === 0 && batch.length <= size ? batch : batch.slice(at, at + size);
      at += part.length;
      if (scan.index !== undefined) yield await rowsOfEntries(scan, run, part);
      else {
        const rows = part.map((pair) => decoded(scan, pair.key, pair.value));
        yield { keys: part.map((pair) => pair.key), rows, missing: 0 };
      }
      most = Math.min(batchRows, most * 2);
      if (left !== undefined) left -= part.length;
      if (left !== undefined && left <= 0) return;
    }
  }
}

function firstFetch(expected: number | undefined): number {
  return expected === undefined ? batchRows : Math.max(1, Math.min(batchRows, expected));
}

/** Pairs of one span after the other; the next ones are asked for while the first is read. */
async function* pairsOf(
  spans: readonly Span[],
  scan: TableScan,
  run: Run,
  limit: number | undefined,
): AsyncGenerator<readonly KvPair[]> {
  const options = {
    reverse: scan.reverse,
    ...(limit === undefined ? {} : { limit }),
    ...(run.pace.signal === undefined ? {} : { signal: run.pace.signal }),
  };
  const [only] = spans;
  if (only !== undefined && spans.length === 1) {
    yield* run.transaction.scan(only, options);
    return;
  }
  yield* readAhead(
    spans,
    (span) => run.transaction.scan(span, options),
    limit === undefined ? spansAhead : 1,
  );
}

/** What each source gives, in order, with the first results of the next sources under way. */
export async function* readAhead<Source, Result>(
  sources: readonly Source[],
  open: (source: Source) => AsyncIterable<Result>,
  ahead: number,
): AsyncGenerator<Result> {
  const opened: {
    readonly results: AsyncIterator<Result>;
    readonly first: Promise<IteratorResult<Result>>;
  }[] = [];
  let next = 0;
  try {
    for (;;) {
      for (; opened.length < ahead && next < sources.length; next++) {
        const results = open(sources[next] as Source)[Symbol.asyncIterator]();
        const first = results.next();
        first.catch(() => undefined); // reported where it is awaited
        opened.push({ results, first });
      }
      const [head] = opened;
      if (head === undefined) return;
      let result = await head.first;
      while (result.done !== true) {
        yield result.value;
        result = await head.results.next();
      }
      opened.shift();
    }
  } finally {
    for (const { results } of opened) results.return?.().then(undefined, () => undefined);
  }
}

function decoded(scan: TableScan, key: Uint8Array, value: Uint8Array): Datum[] {
  const row = scan.store.decodeRow(key, value, scan.needed);
  if (scan.withRowId) row.push(scan.store.hiddenRowId(key));
  return row;
}
