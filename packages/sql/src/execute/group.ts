/** Hash aggregation. */

import type { EvalContext } from '../functions/signature.ts';
import { batchRows } from '../limits.ts';
import type { Row } from './evaluate.ts';
import { type GroupingPlan, GroupTable, type Overflow } from './group-table.ts';
import { type Batches, forEachRow, type NodeText, type Operator } from './operator.ts';
import type { Run } from './run.ts';
import { Partitions, partitionCount } from './spill/partitions.ts';
import { canSpill, Holding } from './spill/spilling.ts';

/** Rows of keys and of what accumulators know, of a part of the input. */
export interface PartialGroups {
  readonly rows: readonly Row[];
  /** Rows of the input that are in them. */
  readonly taken: number;
  readonly error: Error | undefined;
}

type OpenParts = (run: Run) => Promise<AsyncIterable<PartialGroups> | undefined>;

/** Takes a row of the input, or of partial groups, into a table. @param set the grouping set; undefined: all of them */
type Take = (
  table: GroupTable,
  row: Row,
  set: number | undefined,
  context: EvalContext,
  overflow: Overflow,
) => void;

const takeRow: Take = (table, row, set, context, overflow) =>
  table.add(row, set, context, overflow);

export class AggregateOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly input: Operator;
  private readonly plan: GroupingPlan;
  private readonly parts: OpenParts | undefined;

  /** @param parts groups of parts of the input, made elsewhere; undefined where a run cannot have them */
  constructor(input: Operator, plan: GroupingPlan, text: () => NodeText, parts?: OpenParts) {
    this.inputs = [input];
    this.input = input;
    this.plan = plan;
    this.text = text;
    this.parts = parts;
  }

  async *open(run: Run): Batches {
    const parts = await this.parts?.(run);
    if (parts === undefined) {
      yield* this.aggregate(run, this.input.open(run), 0, takeRow);
      return;
    }
    const widths = this.plan.aggregates.map(
      ({ signature, argumentTypes }) => signature.partial?.(argumentTypes).length ?? 0,
    );
    const merge: Take = (table, row, _set, _context, overflow) =>
      table.merge(row, widths, overflow);
    yield* this.aggregate(run, this.partialRows(run, parts), 0, merge);
  }

  /**
   * Groups that memory has room for are finished first; rows of the others are parted by key, and each part is aggregated by
   * itself. @param level 0: rows of the input; above: such rows, each with the number of its grouping set behind it
   */
  private async *aggregate(run: Run, rows: Batches, level: number, take: Take): Batches {
    const holding = new Holding(run.memory);
    const table = new GroupTable(this.plan, holding, level === 0);
    let parts: Partitions | undefined;
    const overflow: Overflow = {
      isFull: false,
      put: (key, row, set) => parts?.add(key, [...row, set]),
    };
    try {
      for await (const batch of rows) {
        run.pace.check();
        await forEachRow(run, batch, (row) => {
          if (level === 0) take(table, row, undefined, run.evaluation, overflow);
          else take(table, row.slice(0, -1), Number(row[row.length - 1]), run.evaluation, overflow);
        });
        if (run.pace.due()) await run.pace.rest();
        if (parts !== undefined) await parts.settle();
        else if (!table.fits && canSpill(run, holding.bytes)) {
          parts = new Partitions(run, level);
          overflow.isFull = true;
        }
      }
      yield* this.results(run, table);
      table.clear();
      holding.release();
      if (parts === undefined) return;
      for (let part = 0; part < partitionCount; part++)
        if (parts.rowsIn(part) > 0) yield* this.aggregate(run, parts.drain(part), level + 1, take);
    } finally {
      holding.release();
      await parts?.close();
    }
  }

  private async *results(run: Run, table: GroupTable): Batches {
    let batch: Row[] = [];
    for (const group of table.groups()) {
      batch.push(await table.row(group, run.pace, run.evaluation));
      if (batch.length < batchRows) continue;
      if (run.pace.due()) await run.pace.rest();
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  private async *partialRows(run: Run, parts: AsyncIterable<PartialGroups>): Batches {
    run.recorder?.add(this.input, 0);
    for await (const { rows, taken, error } of parts) {
      if (error !== undefined) throw error;
      run.recorder?.add(this.input, taken);
      for (let at = 0; at < rows.length; at += batchRows) yield rows.slice(at, at + batchRows);
    }
  }
}
