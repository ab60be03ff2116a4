/** Set-returning functions over each row of an input: their rows side by side, the shorter ones padded with NULLs. */
import type { SetRow, SetSignature } from '../functions/set-returning.ts';
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type Batches, forEachRow, type NodeText, type Operator } from './operator.ts';
import type { Run } from './run.ts';

export interface PlannedSet {
  readonly signature: SetSignature;
  readonly arguments: readonly Evaluator[];
  /** Of the arguments. */
  readonly types: readonly SqlType[];
  /** Its columns. */
  readonly width: number;
}

interface ProjectSetPlan {
  readonly sets: readonly PlannedSet[];
  readonly ordinality: boolean;
  /** Of the physical row. */
  readonly inputWidth: number;
}

export class ProjectSetOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly input: Operator;
  private readonly plan: ProjectSetPlan;

  constructor(input: Operator, plan: ProjectSetPlan, text: () => NodeText) {
    this.input = input;
    this.inputs = [input];
    this.plan = plan;
    this.text = text;
  }

  async *open(run: Run, enough?: number): Batches {
    const { sets } = this.plan;
    const most = enough === undefined ? batchRows : Math.max(1, Math.min(batchRows, enough));
    let rows: Row[] = [];
    for await (const batch of this.input.open(run)) {
      const values: Datum[][][] = [];
      await forEachRow(run, batch, (row, i) => {
        values[i] = sets.map((set) =>
          set.arguments.map((evaluate) => evaluate(row, run.evaluation)),
        );
      });
      for (let i = 0; i < batch.length; i++) {
        for (const row of this.expand(run, batch[i] ?? [], values[i] ?? [])) {
          rows.push(row);
          if (rows.length < most) continue;
          run.pace.check();
          if (run.pace.due()) await run.pace.rest();
          yield rows;
          rows = [];
        }
      }
    }
    if (rows.length > 0) yield rows;
  }

  private *expand(run: Run, row: Row, values: readonly Datum[][]): Iterable<Row> {
    const { sets, ordinality, inputWidth } = this.plan;
    const iterators = sets.map((set, i) => rowsOf(set, values[i] ?? [], run));
    for (let ordinal = 1n; ; ordinal++) {
      const output = row.slice(0, inputWidth);
      let live = false;
      for (let i = 0; i < iterators.length; i++) {
        const next = iterators[i]?.next();
        const width = sets[i]?.width ?? 0;
        if (next?.done === false) live = true;
        for (let at = 0; at < width; at++)
          output.push(next?.done === false ? (next.value[at] ?? null) : null);
      }
      if (!live) return;
      if (ordinality) output.push(ordinal);
      yield output;
    }
  }
}

function rowsOf(set: PlannedSet, values: readonly Datum[], run: Run): Iterator<SetRow> {
  if (set.signature.strict && values.includes(null)) return [][Symbol.iterator]();
  return set.signature.rows(values, run.evaluation, set.types)[Symbol.iterator]();
}
