/** Operators over one input: filter, projection, distinct rows, sort, limit; and set operations over two. */
import { batchRows } from '../limits.ts';
import type { SortColumn } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { SqlType } from '../types/type.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type HashKey, hashKeyOf } from './hash-key.ts';
import {
  type Batches,
  evaluateOnce,
  forEachRow,
  inBatches,
  type NodeText,
  type Operator,
} from './operator.ts';
import { type Run, rowBytes } from './run.ts';
import { type RowComparator, rowComparator, sortRows } from './sort.ts';
import { filterRows } from './sources.ts';

/** Beyond this many, LIMIT sorts everything. */
const topRowsMax = 10_000;

abstract class Unary {
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

  async *open(run: Run): Batches {
    for await (const batch of this.input.open(run)) {
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

  async *open(run: Run, enough?: number): Batches {
    const { outputs } = this;
    const { length } = outputs;
    for await (const batch of this.input.open(run, enough)) {
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

  async *open(run: Run, enough?: number): Batches {
    const { columns } = this;
    for await (const batch of this.input.open(run, enough))
      yield batch.map((row) => columns.map((column) => row[column] ?? null));
  }
}

/** Rows that are not distinct from an earlier one are left out; of certain columns only, for DISTINCT ON. */
export class DistinctOperator extends Unary implements Operator {
  readonly text: () => NodeText;
  private readonly key: (row: Row) => HashKey;
  private readonly on: readonly number[] | undefined;

  constructor(
    input: Operator,
    options: { readonly types: readonly SqlType[]; readonly on: readonly number[] | undefined },
    text: () => NodeText,
  ) {
    super(input);
    const { types, on } = options;
    this.on = on;
    this.key = hashKeyOf(on === undefined ? types : on.flatMap((column) => types[column] ?? []));
    this.text = text;
  }

  async *open(run: Run): Batches {
    const seen = new Set<HashKey>();
    const { on } = this;
    for await (const batch of this.input.open(run)) {
      const rows: Row[] = [];
      for (const row of batch) {
        const key = this.key(on === undefined ? row : on.map((column) => row[column] ?? null));
        if (seen.has(key)) continue;
        run.memory.add(64 + (typeof key === 'string' ? key.length * 2 : 16));
        seen.add(key);
        rows.push(row);
      }
      if (run.pace.due()) await run.pace.rest();
      if (rows.length > 0) yield rows;
    }
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
    const { compare } = this;
    const keep = enough !== undefined && enough <= topRowsMax ? enough : undefined;
    let held: Row[] = [];
    let bytes = 0;
    for await (const batch of this.input.open(run)) {
      run.pace.check();
      for (const row of batch) {
        const size = rowBytes(row);
        bytes += size;
        run.memory.add(size);
        held.push(row);
      }
      if (run.pace.due()) await run.pace.rest();
      if (keep === undefined || held.length < keep * 2 + batchRows) continue;
      held = await sortRows(held, compare, run.pace);
      for (const row of held.splice(keep)) {
        const size = rowBytes(row);
        bytes -= size;
        run.memory.release(size);
      }
    }
    held = await sortRows(held, compare, run.pace);
    try {
      yield* inBatches(run, held);
    } finally {
      run.memory.release(bytes);
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

/** INTERSECT and EXCEPT [ALL]: how often each row came on the right decides how often it leaves on the left. */
export class SetOperationOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly operation: 'intersect' | 'except';
  private readonly all: boolean;
  private readonly key: (row: Row) => HashKey;

  constructor(
    inputs: readonly [Operator, Operator],
    operation: 'intersect' | 'except',
    all: boolean,
    types: readonly SqlType[],
  ) {
    this.inputs = inputs;
    this.operation = operation;
    this.all = all;
    this.key = hashKeyOf(types);
    const word = operation === 'intersect' ? 'Intersect' : 'Except';
    this.text = () => ({ head: `HashSetOp ${word}${all ? ' All' : ''}`, details: [] });
  }

  async *open(run: Run): Batches {
    const [left, right] = this.inputs;
    if (left === undefined || right === undefined) return;
    const counts = new Map<HashKey, number>();
    for await (const batch of right.open(run)) {
      for (const row of batch) {
        const key = this.key(row);
        const known = counts.get(key);
        if (known === undefined) run.memory.addRows([row]);
        counts.set(key, (known ?? 0) + 1);
      }
      if (run.pace.due()) await run.pace.rest();
    }
    for await (const batch of left.open(run)) {
      const rows = batch.filter((row) => this.takes(row, counts, run));
      if (run.pace.due()) await run.pace.rest();
      if (rows.length > 0) yield rows;
    }
  }

  private takes(row: Row, counts: Map<HashKey, number>, run: Run): boolean {
    const key = this.key(row);
    const known = counts.get(key);
    const left = known ?? 0;
    if (this.all) {
      if (left > 0) counts.set(key, left - 1);
      return this.operation === 'intersect' ? left > 0 : left === 0;
    }
    // Without ALL a row leaves once: after that it is as if it had been taken away, or had come on the right.
    if (this.operation === 'intersect') {
      if (left > 0) counts.set(key, 0);
      return left > 0;
    }
    if (known !== undefined) return false;
    run.memory.addRows([row]);
    counts.set(key, 1);
    return true;
  }
}
