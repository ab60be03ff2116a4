/**
 * Joins whose right side is looked up: for each batch of left rows the distinct keys that they name are read together, by the
 * primary key, by the beginning of it, or by an index. Reads nothing that no left row asks for.
 */
import { prefixSpan, toHex } from '@flotilla/base';
import type { KvPair } from '../kv-transaction.ts';
import { batchRows, lookupRows, spansAhead } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { coveredRows, entriesOf } from './index-rows.ts';
import { holdsFor, type JoinShape, joined } from './join.ts';
import { type Batches, forEachRow, type NodeText, type Operator } from './operator.ts';
import type { PushedRows } from './push/pushed-rows.ts';
import { readAhead } from './read-spans.ts';
import { RowFetcher } from './row-fetcher.ts';
import { type Run, rowBytes } from './run.ts';

export interface LookupOptions {
  /** The table, how its rows are read, and by which key. Its access says nothing. */
  readonly scan: TableScan;
  /** Over the left row: values of the first columns of the key. */
  readonly keys: readonly Evaluator[];
  /** They name one row at most. */
  readonly single: boolean;
  /** Over the table's own row. */
  readonly filter: Evaluator | undefined;
  /** What stores make of rows that are fetched by their keys, and what is left to ask of these. */
  readonly pushed: { readonly rows: PushedRows; readonly rest: Evaluator | undefined } | undefined;
}

/** What one key leads to. */
interface Wanted {
  readonly key: Uint8Array;
  readonly rows: Row[];
}

export class LookupJoinOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly left: Operator;
  private readonly shape: JoinShape;
  private readonly options: LookupOptions;

  constructor(left: Operator, shape: JoinShape, options: LookupOptions, text: () => NodeText) {
    this.inputs = [left];
    this.left = left;
    this.shape = shape;
    this.options = options;
    this.text = text;
  }

  async *open(
    run: Run,
    enough?: number,
    _keys?: Uint8Array,
    expected: number | undefined = enough,
  ): Batches {
    const { type } = this.shape;
    const { single } = this.options;
    const hint = (type === 'left' || type === 'semi') && enough !== undefined ? enough : undefined;
    // Of keys that lead to many rows fewer are looked up at once.
    const most = single ? batchRows : lookupRows;
    const { scan, pushed } = this.options;
    const fetcher = new RowFetcher(scan, run, pushed?.rows);
    for await (const batch of this.left.open(run, hint, undefined, expected))
      for (let at = 0; at < batch.length; at += most)
        yield* this.join(run, fetcher, batch.length <= most ? batch : batch.slice(at, at + most));
  }

  private async *join(run: Run, fetcher: RowFetcher, lefts: readonly Row[]): Batches {
    const { scan, keys } = this.options;
    const wanted = new Map<string, Wanted>();
    const own: (Wanted | undefined)[] = [];
    await forEachRow(run, lefts, (left, i) => {
      const values = keys.map((evaluate) => evaluate(left, run.evaluation));
      if (values.includes(null)) return;
      const key = keyAt(scan, values);
      const text = toHex(key);
      let one = wanted.get(text);
      if (one === undefined) {
        one = { key, rows: [] };
        wanted.set(text, one);
      }
      own[i] = one;
    });
    run.pace.check();
    const bytes = await this.look(run, fetcher, [...wanted.values()]);
    try {
      yield* this.combine(run, lefts, own);
    } finally {
      run.memory.release(bytes);
    }
  }

  private async *combine(
    run: Run,
    lefts: readonly Row[],
    own: readonly (Wanted | undefined)[],
  ): Batches {
    const { shape } = this;
    const { type, condition } = shape;
    const isSemi = type === 'semi' || type === 'anti';
    let out: Row[] = [];
    for (let i = 0; i < lefts.length; i++) {
      const left = lefts[i];
      let found = false;
      for (const right of own[i]?.rows ?? []) {
        const row = joined(shape, left, right);
        const verdict = holdsFor(run, condition, row);
        if (!(verdict instanceof Promise ? await verdict : verdict)) continue;
        found = true;
        if (isSemi) break;
        out.push(row);
        if (out.length < batchRows) continue;
        if (run.pace.due()) await run.pace.rest();
        yield out;
        out = [];
      }
      if (isSemi) {
        if (found === (type === 'semi'))
          out.push(shape.left.map((column) => left?.[column] ?? null));
      } else if (!found && type === 'left') out.push(joined(shape, left, undefined));
    }
    if (run.pace.due()) await run.pace.rest();
    if (out.length > 0) yield out;
  }

  /** Fills in the rows. @returns what they hold, counted in the run's memory */
  private async look(run: Run, fetcher: RowFetcher, wanted: readonly Wanted[]): Promise<number> {
    if (wanted.length === 0) return 0;
    const { single } = this.options;
    return single ? this.lookSingly(run, fetcher, wanted) : this.lookBySpans(run, fetcher, wanted);
  }

  private async lookSingly(
    run: Run,
    fetcher: RowFetcher,
    wanted: readonly Wanted[],
  ): Promise<number> {
    const keys = wanted.map(({ key }) => key);
    if (this.options.scan.index === undefined) return this.fetch(run, fetcher, keys, wanted);
    const values = await run.pace.unlessCancelled(run.transaction.getMany(keys));
    const there = wanted.filter((_one, i) => values[i] !== undefined);
    return this.ofEntries(run, fetcher, entriesOf(keys, values), there);
  }

  private async lookBySpans(
    run: Run,
    fetcher: RowFetcher,
    wanted: readonly Wanted[],
  ): Promise<number> {
    const { scan } = this.options;
    const { signal } = run.pace;
    const open = async function* (
      one: Wanted,
    ): AsyncGenerator<readonly [Wanted, readonly KvPair[]]> {
      const pairs = run.transaction.scan(
        prefixSpan(one.key),
        signal === undefined ? {} : { signal },
      );
      for await (const batch of pairs) yield [one, batch];
    };
    let bytes = 0;
    let pairs: KvPair[] = [];
    let owners: Wanted[] = [];
    const flush = async (): Promise<void> => {
      bytes +=
        scan.index === undefined
          ? await this.add(
              run,
              pairs.map(({ key, value }) => scan.store.decodeRow(key, value, scan.needed)),
              owners,
              this.options.filter,
            )
          : await this.ofEntries(run, fetcher, pairs, owners);
      pairs = [];
      owners = [];
    };
    for await (const [one, batch] of readAhead(wanted, open, spansAhead)) {
      run.pace.check();
      for (const pair of batch) {
        pairs.push(pair);
        owners.push(one);
      }
      if (pairs.length >= batchRows) await flush();
    }
    await flush();
    return bytes;
  }

  /** @param owners one for each entry */
  private ofEntries(
    run: Run,
    fetcher: RowFetcher,
    entries: readonly KvPair[],
    owners: readonly Wanted[],
  ): Promise<number> {
    const { scan, filter } = this.options;
    if (scan.index?.covering === true)
      return this.add(run, coveredRows(scan, entries).rows, owners, filter);
    const keys = entries.map(({ value }) => scan.store.keyOf(value));
    return this.fetch(run, fetcher, keys, owners);
  }

  /** @param owners one for each key */
  private async fetch(
    run: Run,
    fetcher: RowFetcher,
    keys: readonly Uint8Array[],
    owners: readonly Wanted[],
  ): Promise<number> {
    const { filter, pushed } = this.options;
    const { rows, positions, evaluated, error } = await fetcher.fetch(keys);
    if (error !== undefined) throw error;
    const found = positions.map((position) => owners[position]);
    return this.add(run, rows, found, evaluated ? pushed?.rest : filter);
  }

  /** @param owners one for each row */
  private async add(
    run: Run,
    rows: readonly Row[],
    owners: readonly (Wanted | undefined)[],
    filter: Evaluator | undefined,
  ): Promise<number> {
    let bytes = 0;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i];
      if (row === undefined) continue;
      const fits = holdsFor(run, filter, row);
      if (!(fits instanceof Promise ? await fits : fits)) continue;
      const size = rowBytes(row);
      run.memory.add(size);
      bytes += size;
      owners[i]?.rows.push(row);
    }
    return bytes;
  }
}

function keyAt({ store, index }: TableScan, values: readonly Datum[]): Uint8Array {
  return index === undefined ? store.prefixKey(values) : index.store.columnsKey(values);
}
