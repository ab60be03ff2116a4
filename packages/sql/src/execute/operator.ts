/**
 * Physical operators: a plan is a tree of them. An operator belongs to no run and holds no state between two; `open`
 * starts it for one run and hands up batches of rows. Rules that every operator keeps: rows are never changed once handed
 * up; what is held is counted in the run's memory; work between two awaits stays within the turn's budget; an expression
 * may ask for a subquery that has not run yet (see subplan.ts), so a row is evaluated before anything is changed by it.
 */
import { batchRows } from '../limits.ts';
import type { Row } from './evaluate.ts';
import { type Run, rowBytes } from './run.ts';
import type { Holding } from './spill/spilling.ts';
import { resume } from './subplan.ts';

export type Batches = AsyncGenerator<Row[], void, undefined>;

/** One node of EXPLAIN: a head and the lines under it. */
export interface NodeText {
  readonly head: string;
  readonly details: readonly string[];
}

export interface Operator {
  /** Inputs, as EXPLAIN lists them. */
  readonly inputs: readonly Operator[];
  /** Made when EXPLAIN asks. Undefined: EXPLAIN shows the input in its place. */
  readonly text: (() => NodeText) | undefined;
  /**
   * @param enough the consumer surely stops after that many rows
   * @param keys a filter of what a join looks for: the consumer has no use for rows that it leaves out, nor harm from them
   * @param expected the consumer may well stop after about that many rows: not much more should be under way
   */
  open(run: Run, enough?: number, keys?: Uint8Array, expected?: number): Batches;
}

/** Lets others run when the turn's budget is spent. Throws 57014. */
export function breathe(run: Run): Promise<void> | undefined {
  return run.pace.due() ? run.pace.rest() : undefined;
}

/** Calls `step` for each row; one that waits for a subquery is called again for the same row. */
export async function forEachRow(
  run: Run,
  rows: readonly Row[],
  step: (row: Row, index: number) => void,
): Promise<void> {
  const sequences = run.evaluation.catalog?.sequences;
  const work = run.evaluation.catalog?.backend.work;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    if (row === undefined) continue;
    try {
      sequences?.begin();
      work?.begin();
      step(row, i);
    } catch (error) {
      sequences?.rewind();
      work?.rewind();
      await resume(error, run);
      i--;
      continue;
    }
    if ((i & 63) === 63 && run.pace.due()) await run.pace.rest();
  }
}

/** The value of an expression that stands beside no row. */
export async function evaluateOnce<T>(run: Run, evaluate: () => T): Promise<T> {
  const sequences = run.evaluation.catalog?.sequences;
  const work = run.evaluation.catalog?.backend.work;
  for (;;) {
    try {
      sequences?.begin();
      work?.begin();
      return evaluate();
    } catch (error) {
      sequences?.rewind();
      work?.rewind();
      await resume(error, run);
    }
  }
}

/** All rows. @param holding counts them, and lets them go: an operator may run again and again in one statement */
export async function collect(run: Run, batches: Batches, holding: Holding): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const batch of batches) {
    for (const row of batch) {
      holding.add(rowBytes(row));
      rows.push(row);
    }
    if (run.pace.due()) await run.pace.rest();
  }
  return rows;
}

export async function* inBatches(run: Run, rows: readonly Row[]): Batches {
  for (let at = 0; at < rows.length; at += batchRows) {
    if (run.pace.due()) await run.pace.rest();
    yield rows.slice(at, at + batchRows);
  }
}
