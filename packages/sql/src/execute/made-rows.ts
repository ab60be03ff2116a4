/** Rows that statements make: from values and defaults, and from rows that there are. */
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import type { TableStore } from '../storage/table-store.ts';
import type { Evaluator, Row } from './evaluate.ts';
import type { Run } from './run.ts';

/** Values for some columns of a table, and the defaults of the others. */
export interface RowMaker {
  readonly store: TableStore;
  readonly targets: readonly number[];
  /** For every column of the table; undefined = NULL. */
  readonly defaults: readonly (Evaluator | undefined)[];
}

export type CompiledAssignments = readonly {
  readonly column: number;
  readonly value: Evaluator | undefined;
}[];

export function assign(
  assignments: CompiledAssignments,
  row: Row,
  target: Row,
  context: EvalContext,
): Datum[] {
  const changed = [...target];
  for (const { column, value } of assignments) changed[column] = value?.(row, context) ?? null;
  return changed;
}

/** A row with the given values in the target columns and defaults elsewhere. */
export function makeRow(rows: RowMaker, run: Run, value: (i: number) => Datum): Datum[] {
  // A default that is not asked for is not computed: it may take a value of a sequence.
  const row = rows.defaults.map((evaluate, i) =>
    evaluate === undefined || rows.targets.includes(i) ? null : evaluate([], run.evaluation),
  );
  for (let i = 0; i < rows.targets.length; i++) row[rows.targets[i] ?? 0] = value(i);
  return row;
}

/** A value of VALUES, or the column's default where it says DEFAULT. */
export function assigned(
  rows: RowMaker,
  evaluate: Evaluator | undefined,
  i: number,
  context: EvalContext,
  row: Row = [],
): Datum {
  if (evaluate !== undefined) return evaluate(row, context);
  return rows.defaults[rows.targets[i] ?? 0]?.([], context) ?? null;
}
