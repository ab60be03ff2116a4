/**
 * Queries in expressions. Expressions are evaluated synchronously, queries are not: an expression that needs the result of
 * a query which has not run yet throws `PendingSubquery`; the operator that evaluates it runs the query, keeps the result
 * by the query's arguments, and evaluates the row again. So a query runs only where an expression comes to need it, and
 * once for all rows with the same arguments.
 */
import type { EvalContext } from '../functions/signature.ts';
import { subqueryResultsMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';
import { hashKeyOf } from './hash-key.ts';
import type { Operator } from './operator.ts';
import { PendingWork } from './pending.ts';
import { type Run, rowBytes, withArguments } from './run.ts';

/** What a query gave: its row, whether it has one, or all of them. */
export type SubqueryResult =
  | { readonly kind: 'row'; readonly row: Row | undefined }
  | { readonly kind: 'exists'; readonly exists: boolean }
  | { readonly kind: 'rows'; readonly rows: readonly Row[]; members: Members | undefined };

/** The rows by what they are compared by, for a test of equality. */
export interface Members {
  readonly keys: ReadonlySet<Datum>;
  readonly hasNull: boolean;
}

export interface SubplanOptions {
  readonly name: string;
  readonly operator: Operator;
  readonly form: 'scalar' | 'exists' | 'any' | 'all' | 'array';
  readonly argumentTypes: readonly SqlType[];
}

/** The plan of one query in an expression. */
export class Subplan {
  readonly name: string;
  readonly operator: Operator;
  readonly form: SubplanOptions['form'];
  readonly argumentKey: (row: Row) => Datum;

  constructor(options: SubplanOptions) {
    this.name = options.name;
    this.operator = options.operator;
    this.form = options.form;
    this.argumentKey = hashKeyOf(options.argumentTypes);
  }

  /** Throws PendingSubquery. */
  result(values: Row, context: EvalContext): SubqueryResult {
    const found = context.root.subqueries?.get(this, this.argumentKey(values));
    if (found === undefined) throw new PendingSubquery(this, values);
    return found;
  }

  /** Throws 21000 for several rows where there must be one. */
  async compute(values: Row, run: Run): Promise<void> {
    const inner: Run = { ...run, evaluation: withArguments(run.evaluation, values) };
    const result = await this.run(inner);
    const { root } = run.evaluation;
    root.subqueries ??= new SubqueryResults();
    root.subqueries.set(this, this.argumentKey(values), result, run);
  }

  private async run(run: Run): Promise<SubqueryResult> {
    if (this.form === 'exists') {
      for await (const batch of this.operator.open(run, 1))
        if (batch.length > 0) return { kind: 'exists', exists: true };
      return { kind: 'exists', exists: false };
    }
    const rows: Row[] = [];
    for await (const batch of this.operator.open(run, this.form === 'scalar' ? 2 : undefined)) {
      run.memory.addRows(batch);
      rows.push(...batch);
      if (this.form === 'scalar' && rows.length > 1)
        throw new SqlError(
          '21000',
          'more than one row returned by a subquery used as an expression',
        );
    }
    if (this.form === 'scalar') return { kind: 'row', row: rows[0] };
    return { kind: 'rows', rows, members: undefined };
  }
}

/** Thrown by an expression: run the query and evaluate again. */
export class PendingSubquery extends PendingWork {
  private readonly subplan: Subplan;
  private readonly values: Row;

  constructor(subplan: Subplan, values: Row) {
    super();
    this.subplan = subplan;
    this.values = values;
  }

  complete(run: Run): Promise<void> {
    return this.subplan.compute(this.values, run);
  }
}

/** Does the work that an evaluation waits for; any other error is thrown on. */
export async function resume(error: unknown, run: Run): Promise<void> {
  if (!(error instanceof PendingWork)) throw error;
  run.pace.check();
  await error.complete(run);
  if (run.pace.due()) await run.pace.rest();
}

interface Kept {
  readonly result: SubqueryResult;
  readonly bytes: number;
}

/** Results of one run of a statement. */
export class SubqueryResults {
  private readonly kept = new Map<Subplan, Map<Datum, Kept>>();

  get(subplan: Subplan, key: Datum): SubqueryResult | undefined {
    return this.kept.get(subplan)?.get(key)?.result;
  }

  set(subplan: Subplan, key: Datum, result: SubqueryResult, run: Run): void {
    let results = this.kept.get(subplan);
    if (results === undefined) {
      results = new Map();
      this.kept.set(subplan, results);
    }
    if (results.size >= subqueryResultsMax) {
      for (const { bytes } of results.values()) run.memory.release(bytes);
      results.clear();
    }
    const own = 64 + (typeof key === 'string' ? key.length * 2 : 0);
    run.memory.add(own);
    const rows =
      result.kind === 'rows' ? result.rows : result.kind === 'row' ? [result.row ?? []] : [];
    const bytes = own + rows.reduce((sum, row) => sum + rowBytes(row), 0);
    results.set(key, { result, bytes });
  }
}
