/** Reads a table along its access path: points by `getMany`, spans by `scan`, rows decoded as far as they are needed. */
import { compareBytes, prefixEnd, type Span } from '@flotilla/base';
import type { EvalContext } from '../functions/signature.ts';
import type { ReadOptions } from '../kv-transaction.ts';
import { batchRows } from '../limits.ts';
import type { CompiledBound, TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
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
  else yield* scanSpans(scan, run, limit);
}

async function* scanPoints(
  scan: TableScan,
  run: Run,
  lock: ReadOptions | undefined,
): AsyncGenerator<ScannedBatch> {
  const keys = await evaluateOnce(run, () => pointKeys(scan, run));
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

async function* scanSpans(
  scan: TableScan,
  run: Run,
  limit: number | undefined,
): AsyncGenerator<ScannedBatch> {
  let left = limit;
  for (const span of await evaluateOnce(run, () => keySpans(scan, run))) {
    const pairs = run.transaction.scan(span, {
      reverse: scan.reverse,
      ...(left === undefined ? {} : { limit: left }),
      ...(run.pace.signal === undefined ? {} : { signal: run.pace.signal }),
    });
    for await (const batch of pairs) {
      for (let at = 0; at < batch.length; at += batchRows) {
        run.pace.check();
        if (run.pace.due()) await run.pace.rest();
        const part = batch.length <= batchRows ? batch : batch.slice(at, at + batchRows);
        const rows = part.map((pair) => decoded(scan, pair.key, pair.value));
        yield { keys: part.map((pair) => pair.key), rows, missing: 0 };
        if (left !== undefined) left -= part.length;
      }
      if (left !== undefined && left <= 0) return;
    }
  }
}

function decoded(scan: TableScan, key: Uint8Array, value: Uint8Array): Datum[] {
  const row = scan.store.decodeRow(key, value, scan.needed);
  if (scan.withRowId) row.push(scan.store.hiddenRowId(key));
  return row;
}

/** The keys of a point access, in key order or reverse, each once. A NULL equals nothing. */
function pointKeys(scan: TableScan, run: Run): Uint8Array[] {
  const keys = prefixes(scan, run).map((values) => scan.store.prefixKey(values));
  return distinctSorted(keys, scan.reverse);
}

/** The key where every key column has one value, as in a point lookup; undefined where one of them is NULL. */
export function pointKey(scan: TableScan, evaluation: EvalContext): Uint8Array | undefined {
  const values: Datum[] = [];
  for (const [evaluate] of scan.equals) {
    const value = evaluate?.([], evaluation) ?? null;
    if (value === null) return undefined;
    values.push(value);
  }
  return scan.store.prefixKey(values);
}

function distinctSorted(keys: Uint8Array[], reverse: boolean): Uint8Array[] {
  if (keys.length < 2) return keys;
  keys.sort(reverse ? (a, b) => compareBytes(b, a) : compareBytes);
  return keys.filter((key, i) => i === 0 || compareBytes(key, keys[i - 1] ?? key) !== 0);
}

/** Every combination of the values that the first key columns may have. */
function prefixes(scan: TableScan, run: Run): Datum[][] {
  let combinations: Datum[][] = [[]];
  for (const alternatives of scan.equals) {
    const values = alternatives
      .map((evaluate) => evaluate([], run.evaluation))
      .filter((value) => value !== null);
    combinations = combinations.flatMap((head) => values.map((value) => [...head, value]));
  }
  return combinations;
}

/** Disjoint spans in key order, or reverse. */
export function keySpans(scan: TableScan, run: Run): Span[] {
  const lower = boundValue(scan.lower, run);
  const upper = boundValue(scan.upper, run);
  if (lower === null || upper === null) return [];
  const spans: Span[] = [];
  for (const values of prefixes(scan, run)) {
    const prefix = scan.store.prefixKey(values);
    let startKey: Uint8Array | undefined = prefix;
    let endKey: Uint8Array | undefined = prefixEnd(prefix);
    if (lower !== undefined) {
      const key = scan.store.prefixKey([...values, lower]);
      startKey = scan.lower?.inclusive === true ? key : prefixEnd(key);
    }
    if (upper !== undefined) {
      const key = scan.store.prefixKey([...values, upper]);
      endKey = scan.upper?.inclusive === true ? prefixEnd(key) : key;
    }
    if (startKey === undefined || endKey === undefined) continue;
    if (compareBytes(startKey, endKey) < 0) spans.push({ startKey, endKey });
  }
  spans.sort((a, b) => compareBytes(a.startKey, b.startKey));
  const distinct = spans.filter(
    (span, i) =>
      i === 0 || compareBytes(span.startKey, spans[i - 1]?.startKey ?? span.startKey) !== 0,
  );
  return scan.reverse ? distinct.reverse() : distinct;
}

/** undefined = no bound; null = a bound that nothing meets. */
function boundValue(bound: CompiledBound | undefined, run: Run): Datum | undefined {
  return bound === undefined ? undefined : bound.evaluate([], run.evaluation);
}
