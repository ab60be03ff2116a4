/**
 * Window functions. Rows are sorted by partition and order, then each partition is gone through once for each function.
 * Frames of aggregates that only grow are accumulated; others are computed anew for each row. Sorting spills; a
 * partition is held in memory, and may be all there is.
 */

import type { WindowFunctionName } from '../functions/windows.ts';
import { batchRows } from '../limits.ts';
import type { SortColumn } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { type AggregatePlan, AggregateRunner } from './aggregate-runner.ts';
import type { Evaluator, Row } from './evaluate.ts';
import {
  type Batches,
  evaluateOnce,
  forEachRow,
  type NodeText,
  type Operator,
} from './operator.ts';
import { type Run, rowBytes } from './run.ts';
import { rowComparator } from './sort.ts';
import { SortedRows } from './spill/sorted-rows.ts';
import { type FramePlan, Frames, Partition } from './window-frames.ts';

export interface WindowFunctionPlan {
  readonly arguments: readonly Evaluator[];
  readonly frame: FramePlan;
  readonly function:
    | { readonly kind: 'window'; readonly name: WindowFunctionName }
    | { readonly kind: 'aggregate'; readonly aggregate: AggregatePlan };
}

/** Functions that share their partition and order. `output` of both counts behind the input's columns. */
export interface WindowGroupPlan {
  readonly keys: readonly Evaluator[];
  readonly partition: readonly SortColumn[];
  readonly order: readonly SortColumn[];
  readonly functions: readonly WindowFunctionPlan[];
}

export class WindowOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly input: Operator;
  private readonly plan: WindowGroupPlan;
  private readonly width: number;

  /** @param width columns of the input's row */
  constructor(input: Operator, plan: WindowGroupPlan, width: number, text: () => NodeText) {
    this.inputs = [input];
    this.input = input;
    this.plan = plan;
    this.width = width;
    this.text = text;
  }

  async *open(run: Run): Batches {
    const { partition, order } = this.plan;
    const keys = this.plan.keys;
    const both = [...partition, ...order];
    const sorted = new SortedRows(run, rowComparator(both));
    const samePartition = rowComparator(partition);
    let rows: Row[] = [];
    let bytes = 0;
    try {
      for await (const batch of this.input.open(run)) {
        const keyed: Row[] = [];
        await forEachRow(run, batch, (row) => {
          keyed.push([...row, ...keys.map((evaluate) => evaluate(row, run.evaluation))]);
        });
        await sorted.add(keyed);
      }
      for await (const batch of sorted.read())
        for (const row of batch) {
          const [first] = rows;
          if (first !== undefined && samePartition(first, row) !== 0) {
            yield* this.partitionRows(run, rows);
            run.memory.release(bytes);
            rows = [];
            bytes = 0;
          }
          const size = rowBytes(row);
          bytes += size;
          run.memory.add(size);
          rows.push(row);
        }
      if (rows.length > 0) yield* this.partitionRows(run, rows);
    } finally {
      run.memory.release(bytes);
      await sorted.close();
    }
  }

  private async *partitionRows(run: Run, rows: Row[]): Batches {
    const partition = new Partition(rows, this.plan.order);
    const results: Datum[][] = [];
    for (const one of this.plan.functions) results.push(await compute(run, partition, one));
    let out: Row[] = [];
    for (let i = 0; i < rows.length; i++) {
      const row = (rows[i] ?? []).slice(0, this.width);
      for (const values of results) row.push(values[i] ?? null);
      out.push(row);
      if (out.length < batchRows) continue;
      if (run.pace.due()) await run.pace.rest();
      yield out;
      out = [];
    }
    if (out.length > 0) yield out;
  }
}

async function compute(run: Run, partition: Partition, plan: WindowFunctionPlan): Promise<Datum[]> {
  if (plan.function.kind === 'aggregate')
    return computeAggregate(run, partition, plan, plan.function.aggregate);
  const { name } = plan.function;
  const { rows } = partition;
  const total = rows.length;
  const values: Datum[] = [];
  const byFrame = name === 'first_value' || name === 'last_value' || name === 'nth_value';
  const frames = byFrame ? await Frames.of(run, partition, plan.frame) : undefined;
  const ntile = name === 'ntile' ? await buckets(run, partition, plan) : undefined;
  await forEachRow(run, rows, (row, i) => {
    const argument = (k: number, of: Row = row) => plan.arguments[k]?.(of, run.evaluation) ?? null;
    switch (name) {
      case 'row_number':
        values[i] = BigInt(i + 1);
        break;
      case 'rank':
        values[i] = BigInt((partition.peerStart[i] ?? 0) + 1);
        break;
      case 'dense_rank':
        values[i] = BigInt((partition.group[i] ?? 0) + 1);
        break;
      case 'percent_rank':
        values[i] = total <= 1 ? 0 : (partition.peerStart[i] ?? 0) / (total - 1);
        break;
      case 'cume_dist':
        values[i] = (partition.peerEnd[i] ?? 0) / total;
        break;
      case 'ntile':
        values[i] = ntile?.[i] ?? null;
        break;
      case 'lag':
      case 'lead': {
        const by = plan.arguments.length > 1 ? argument(1) : 1;
        const other =
          by === null ? undefined : rows[name === 'lag' ? i - Number(by) : i + Number(by)];
        values[i] = by === null ? null : other === undefined ? argument(2) : argument(0, other);
        break;
      }
      default:
        values[i] = frameValue(name, frames, i, rows, argument);
    }
  });
  return values;
}

function frameValue(
  name: WindowFunctionName,
  frames: Frames | undefined,
  i: number,
  rows: readonly Row[],
  argument: (k: number, of?: Row) => Datum,
): Datum {
  const members = frames?.members(i);
  if (members === undefined) return null;
  let place: number | undefined;
  if (name === 'first_value') place = members.at(0);
  else if (name === 'last_value') place = members.at(members.size - 1);
  else {
    const nth = argument(1);
    if (nth === null) return null;
    if (Number(nth) <= 0)
      throw new SqlError('22016', 'argument of nth_value must be greater than zero');
    place = members.at(Number(nth) - 1);
  }
  const row = place === undefined ? undefined : rows[place];
  return row === undefined ? null : argument(0, row);
}

/** Throws 22014. */
async function buckets(
  run: Run,
  { rows }: Partition,
  plan: WindowFunctionPlan,
): Promise<Datum[] | undefined> {
  const [first = []] = rows;
  const wanted = await evaluateOnce(run, () => plan.arguments[0]?.(first, run.evaluation) ?? null);
  if (wanted === null) return undefined;
  const count = Number(wanted);
  if (count <= 0) throw new SqlError('22014', 'argument of ntile must be greater than zero');
  const small = Math.floor(rows.length / count);
  const larger = rows.length % count;
  const border = larger * (small + 1);
  return rows.map((_row, i) =>
    i < border ? Math.floor(i / (small + 1)) + 1 : larger + Math.floor((i - border) / small) + 1,
  );
}

async function computeAggregate(
  run: Run,
  partition: Partition,
  plan: WindowFunctionPlan,
  aggregate: AggregatePlan,
): Promise<Datum[]> {
  const runner = new AggregateRunner(aggregate);
  const { rows } = partition;
  const inputs: (Row | undefined)[] = [];
  await forEachRow(run, rows, (row, i) => {
    inputs[i] = runner.input(row, run.evaluation);
  });
  const frames = await Frames.of(run, partition, plan.frame);
  const values: Datum[] = [];
  let state = runner.start();
  let from = 0;
  let to = 0;
  for (let i = 0; i < rows.length; i++) {
    const { start, end } = frames.bounds(i);
    if (plan.frame.exclude === 'nothing') {
      if (i > 0 && start === from && end === to) {
        values[i] = values[i - 1] ?? null;
        continue;
      }
      // A frame that begins where the last one did and reaches further only adds to it.
      if (start !== from || end < to) {
        state = runner.start();
        from = start;
        to = start;
      }
      for (; to < end; to++) {
        runner.take(state, inputs[to], run.memory, run.evaluation);
        if ((to & 255) === 255 && run.pace.due()) await run.pace.rest();
      }
      values[i] = state.accumulator.result();
    } else {
      const members = frames.members(i);
      const own = runner.start();
      for (let k = 0; k < members.size; k++) {
        const place = members.at(k);
        if (place !== undefined) runner.take(own, inputs[place], run.memory, run.evaluation);
      }
      values[i] = own.accumulator.result();
    }
    if ((i & 63) === 63 && run.pace.due()) await run.pace.rest();
  }
  return values;
}
