/** Operators over one input: filter, projection, distinct rows, sort, limit; and set operations over two. */
import type { SortColumn } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { Evaluator, Row } from './evaluate.ts';
import {
  type Batches,
  evaluateOnce,
  forEachRow,
  type NodeText,
  type Operator,
} from './operator.ts';
import type { Run } from './run.ts';
import { type RowComparator, rowComparator } from './sort.ts';
import { filterRows } from './sources.ts';
import { SortedRows } from './spill/sorted-rows.ts';

/** Beyond this many, LIMIT sorts everything. */
const topRowsMax = 10_000;

export abstract class Unary {
  readonly inputs: readonly Operator[];
  protected readonly input: Operator;

  constructor(input: Operator) {
    this.input = input;
    this.inputs = [input];
  }
}

export class FilterOperator extends Unary implements Operator {
  readonly text: () => NodeText;
  private readonly condition: Evaluator;

  constructor(input: Operator, condition: Evaluator, text: () => NodeText) {
    super(input);
    this.condition = condition;
    this.text = text;
  }

  async *open(run: Run, _enough?: number, _keys?: Uint8Array, expected?: number): Batches {
    for await (const batch of this.input.open(run, undefined, undefined, expected)) {
      const rows = await filterRows(run, batch, this.condition);
      if (rows.length > 0) yield rows;
    }
  }
}

/** Computes the rows that leave. Not shown by EXPLAIN, as in PostgreSQL. */
export class ProjectOperator extends Unary implements Operator {
  readonly text = undefined;
  private readonly outputs: readonly Evaluator[];

  constructor(input: Operator, outputs: readonly Evaluator[]) {
    super(input);
    this.outputs = outputs;
  }

  async *open(run: Run, enough?: number, _keys?: Uint8Array, expected?: number): Batches {
    const { outputs } = this;
    const { length } = outputs;
    for await (const batch of this.input.open(run, enough, undefined, expected)) {
      const rows: Row[] = [];
      await forEachRow(run, batch, (row) => {
        const output = new Array<Datum>(length);
        for (let i = 0; i < length; i++) output[i] = outputs[i]?.(row, run.evaluation) ?? null;
        rows.push(output);
      });
      if (run.pace.due()) await run.pace.rest();
      if (rows.length > 0) yield rows;
    }
  }
}

/** Certain columns of each row, in a certain order. */
export class PickOperator extends Unary implements Operator {
  readonly text = undefined;
  private readonly columns: readonly number[];

  /** @param columns offsets into the input's row; -1: NULL */
  constructor(input: Operator, columns: readonly number[]) {
    super(input);
    this.columns = columns;
  }

  async *open(run: Run, enough?: number, _keys?: Uint8Array, expected?: number): Batches {
    const { columns } = this;
    for await (const batch of this.input.open(run, enough, undefined, expected))
      yield batch.map((row) => columns.map((column) => row[column] ?? null));
  }
}

/** Keeps the first rows only, where a limit says how many are enough. */
export class SortOperator extends Unary implements Operator {
  readonly text: () => NodeText;
  private readonly compare: RowComparator;

  constructor(input: Operator, keys: readonly SortColumn[], text: () => NodeText) {
    super(input);
    this.compare = rowComparator(keys);
    this.text = text;
  }

  async *open(run: Run, enough?: number): Batches {
    const keep = enough !== undefined && enough <= topRowsMax ? enough : undefined;
    const sorted = new SortedRows(run, this.compare, keep);
    try {
      for await (const batch of this.input.open(run)) {
        run.pace.check();
        await sorted.add(batch);
      }
      yield* sorted.read();
    } finally {
      await sorted.close();
    }
  }
}

/** One row of the first columns of the first rows of its inputs; NULL where one has no row. */
export class FirstRowsOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text = undefined;

  constructor(inputs: readonly Operator[]) {
    this.inputs = inputs;
  }

  async *open(run: Run): Batches {
    const values: Datum[] = [];
    for (const input of this.inputs) {
      let value: Datum = null;
      for await (const [row] of input.open(run, 1)) {
        value = row?.[0] ?? null;
        break;
      }
      values.push(value);
    }
    yield [values];
  }
}

export interface LimitOptions {
  readonly limit: Evaluator | undefined;
  readonly offset: Evaluator | undefined;
  /** The input is sorted by these: rows equal to the last one come too. */
  readonly ties: readonly SortColumn[] | undefined;
}

export class LimitOperator extends Unary implements Operator {
  readonly text = (): NodeText => ({ head: 'Limit', details: [] });
  private readonly options: LimitOptions;
  private readonly compare: RowComparator | undefined;

  constructor(input: Operator, options: LimitOptions) {
    super(input);
    this.options = options;
    this.compare = options.ties === undefined ? undefined : rowComparator(options.ties);
  }

  async *open(run: Run, enough?: number): Batches {
    const offset = (await count(this.options.offset, run, 'OFFSET')) ?? 0;
    const limit = await count(this.options.limit, run, 'LIMIT');
    const { compare } = this;
    if (limit === undefined && compare !== undefined)
      throw new SqlError('2201W', 'row count cannot be null in FETCH FIRST ... WITH TIES clause');
    if (limit === 0) return;
    const most = Math.min(limit ?? Number.POSITIVE_INFINITY, enough ?? Number.POSITIVE_INFINITY);
    const wanted = Number.isFinite(most) && compare === undefined ? most + offset : undefined;
    let skip = offset;
    let left = limit ?? Number.POSITIVE_INFINITY;
    let last: Row | undefined;
    for await (const batch of this.input.open(run, wanted)) {
      let part = batch;
      if (skip > 0) {
        part = batch.slice(skip);
        skip = Math.max(0, skip - batch.length);
      }
      let end = Math.min(part.length, left);
      if (compare !== undefined && left <= part.length) {
        last ??= part[left - 1];
        while (end < part.length && last !== undefined && compare(part[end] ?? [], last) === 0)
          end++;
      }
      const cut = end < part.length;
      left -= Math.min(left, part.length);
      if (end > 0) yield cut ? part.slice(0, end) : part;
      if (left <= 0 && (compare === undefined || cut)) return;
    }
  }
}

/** Throws 2201W, 2201X. NULL = none. */
async function count(
  evaluate: Evaluator | undefined,
  run: Run,
  clause: 'LIMIT' | 'OFFSET',
): Promise<number | undefined> {
  if (evaluate === undefined) return undefined;
  const value = await evaluateOnce(run, () => evaluate([], run.evaluation));
  if (value === null) return undefined;
  if (Number(value) < 0)
    throw new SqlError(clause === 'LIMIT' ? '2201W' : '2201X', `${clause} must not be negative`);
  return Number(value);
}

export class AppendOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text = (): NodeText => ({ head: 'Append', details: [] });

  constructor(inputs: readonly Operator[]) {
    this.inputs = inputs;
  }

  async *open(run: Run, enough?: number): Batches {
    for (const input of this.inputs) yield* input.open(run, enough);
  }
}
