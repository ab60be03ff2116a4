/**
 * Reads a table along its access path: points by `getMany`, spans by `scan`, rows decoded as far as they are needed. By a
 * secondary index: its entries, and the rows that they name, unless the entries hold all that is needed.
 */
import type { ReadOptions } from '../kv-transaction.ts';
import { batchRows } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { type IndexJoinRun, openIndexJoin } from './index-join.ts';
import { coveredRows, entriesOf } from './index-rows.ts';
import { keySpans, pointKeys } from './key-spans.ts';
import { evaluateOnce } from './operator.ts';
import { pairsOf } from './read-spans.ts';
import { RowFetcher } from './row-fetcher.ts';
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
  const fetcher = new RowFetcher(scan, run, undefined);
  const keys = await evaluateOnce(run, () => pointKeys(scan, run.evaluation));
  for (let at = 0; at < keys.length; at += batchRows) {
    run.pace.check();
    const chunk = keys.slice(at, at + batchRows);
    const values = await run.pace.unlessCancelled(run.transaction.getMany(chunk));
    const entries = entriesOf(chunk, values);
    if (scan.index?.covering === true) {
      yield { ...coveredRows(scan, entries), missing: chunk.length - entries.length };
      continue;
    }
    const wanted = entries.map(({ value }) => scan.store.keyOf(value));
    const { rows, positions } = await fetcher.fetch(wanted);
    const found = positions.flatMap((position) => wanted[position] ?? []);
    yield { keys: found, rows, missing: chunk.length - found.length };
  }
}

async function* scanSpans(
  scan: TableScan,
  run: Run,
  { limit, expected }: ScanTableOptions,
): AsyncGenerator<ScannedBatch> {
  if (scan.index?.covering === false) {
    yield* scanIndexJoin(scan, run, { limit, expected });
    return;
  }
  let left = limit;
  const spans = await evaluateOnce(run, () => keySpans(scan, run.evaluation));
  for await (const batch of pairsOf(spans, scan, run, limit)) {
    for (let at = 0; at < batch.length; ) {
      run.pace.check();
      if (run.pace.due()) await run.pace.rest();
      const size = left === undefined ? batchRows : Math.min(left, batchRows);
      const part = at === 0 && batch.length <= size ? batch : batch.slice(at, at + size);
      at += part.length;
      if (scan.index !== undefined) yield coveredRows(scan, part);
      else {
        const rows = part.map((pair) => decoded(scan, pair.key, pair.value));
        yield { keys: part.map((pair) => pair.key), rows, missing: 0 };
      }
      if (left !== undefined) left -= part.length;
      if (left !== undefined && left <= 0) return;
    }
  }
}

async function* scanIndexJoin(
  scan: TableScan,
  run: Run,
  options: IndexJoinRun,
): AsyncGenerator<ScannedBatch> {
  const join = { scan, entries: undefined, rows: undefined };
  for await (const { keys, rows, positions } of openIndexJoin(join, run, options)) {
    const found = positions.flatMap((position) => keys[position] ?? []);
    yield { keys: found, rows, missing: keys.length - found.length };
  }
}

function decoded(scan: TableScan, key: Uint8Array, value: Uint8Array): Datum[] {
  const row = scan.store.decodeRow(key, value, scan.needed);
  if (scan.withRowId) row.push(scan.store.hiddenRowId(key));
  return row;
}
