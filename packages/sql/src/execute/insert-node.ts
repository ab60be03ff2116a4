/** INSERT, with ON CONFLICT. */
import { compareBytes, DbError, toHex } from '@flotilla/base';
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { conflictingRows } from './conflicts.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { assign, assigned, type CompiledAssignments, makeRow, type RowMaker } from './made-rows.ts';
import { evaluateOnce, type Operator } from './operator.ts';
import type { Run } from './run.ts';
import { type NodeOptions, Returned, WritingNode, type Written, writesOf } from './write-node.ts';

export type CompiledConflict =
  | { readonly kind: 'nothing'; readonly on: readonly number[] | undefined }
  | {
      readonly kind: 'update';
      readonly on: readonly number[];
      readonly assignments: CompiledAssignments;
      readonly where: Evaluator | undefined;
    };

export interface InsertOptions extends NodeOptions {
  readonly rows: RowMaker;
  readonly source:
    | { readonly kind: 'values'; readonly rows: readonly (readonly (Evaluator | undefined)[])[] }
    | { readonly kind: 'query'; readonly operator: Operator };
  readonly conflict: CompiledConflict | undefined;
}

/**
 * System column xmax in RETURNING, behind the row: by it applications tell rows that were inserted from those that were updated.
 * In PostgreSQL the second is the id of the transaction that has locked the row; here only that it is not 0 means something.
 */
const xmaxOfNew = 0;
const xmaxOfOld = 1;

export class InsertNode extends WritingNode<InsertOptions> {
  get store(): TableStore {
    return this.options.rows.store;
  }

  /** Whether it only adds rows, and keeps none of them. */
  get onlyAdds(): boolean {
    const { conflict, returning, ctes } = this.options;
    return conflict === undefined && returning === undefined && ctes.length === 0;
  }

  constructor(options: InsertOptions) {
    super(options, options.source.kind === 'query' ? [options.source.operator] : []);
  }

  protected async write(run: Run): Promise<Written> {
    const { store } = this.options.rows;
    const { conflict } = this.options;
    const returned = new Returned(this.returning, run);
    if (conflict !== undefined) return this.writeBeside(run, conflict, returned);
    const writer = writesOf(run).writer(store, run);
    let count = 0;
    for await (const batch of this.proposed(run)) {
      for (const row of batch) {
        writer.complete(row);
        writer.insert(row);
        if (this.returning !== undefined) await returned.add([...row, xmaxOfNew]);
        count++;
      }
      await run.pour?.();
      if (run.pace.due()) await run.pace.rest();
    }
    return { count, returned: returned.rows };
  }

  /** ON CONFLICT. Throws 21000 where one row would be updated twice. */
  private async writeBeside(
    run: Run,
    conflict: CompiledConflict,
    returned: Returned,
  ): Promise<Written> {
    const { store } = this.options.rows;
    const writer = writesOf(run).writer(store, run);
    const taken = new Set<string>();
    const all = store.table.columns.map(() => true);
    let count = 0;
    for await (const batch of this.proposed(run)) {
      for (const row of batch) writer.complete(row);
      const found = await conflictingRows(run, writer, batch, conflict.on);
      for (const key of found.keys.flat()) writesOf(run).noteLookedAt(key);
      for (const [i, row] of batch.entries()) {
        const own = found.keys[i] ?? [];
        const twice = own.some((key) => taken.has(toHex(key)));
        const there = found.rows[i];
        if (there === undefined && !twice) {
          writer.insert(row);
          for (const key of own) taken.add(toHex(key));
          await returned.add([...row, xmaxOfNew]);
          count++;
          continue;
        }
        if (conflict.kind === 'nothing') continue;
        if (twice || there === undefined || taken.has(toHex(there.key)))
          throw new SqlError(
            '21000',
            'ON CONFLICT DO UPDATE command cannot affect row a second time',
            {
              hint: 'Ensure that no rows proposed for insertion within the same command have duplicate constrained values.',
            },
          );
        const existing = store.decodeRow(there.key, there.value, all);
        const both = [...existing, ...row];
        const changed = await updated(run, conflict, both, existing);
        if (changed === undefined) continue;
        writer.complete(changed);
        for (const key of [...own, there.key]) taken.add(toHex(key));
        const newKey = store.keyColumns.length > 0 ? store.rowKey(changed) : there.key;
        writer.update(there.key, existing, changed, compareBytes(newKey, there.key) !== 0);
        await returned.add([...changed, xmaxOfOld]);
        count++;
      }
      if (run.pace.due()) await run.pace.rest();
    }
    return { count, returned: returned.rows };
  }

  private async *proposed(run: Run): AsyncGenerator<Datum[][]> {
    const { source, rows } = this.options;
    if (source.kind === 'query') {
      for await (const batch of source.operator.open(run)) {
        const made: Datum[][] = [];
        for (const values of batch)
          made.push(await evaluateOnce(run, () => makeRow(rows, run, (i) => values[i] ?? null)));
        yield made;
      }
      return;
    }
    let batch: Datum[][] = [];
    for (const values of source.rows) {
      const row = await evaluateOnce(run, () =>
        makeRow(rows, run, (i) => assigned(rows, values[i], i, run.evaluation)),
      );
      batch.push(row);
      if (batch.length < batchRows) continue;
      yield batch;
      batch = [];
    }
    yield batch;
  }
}

/** The row after DO UPDATE; undefined where its WHERE does not hold. */
function updated(
  run: Run,
  conflict: Extract<CompiledConflict, { kind: 'update' }>,
  both: Row,
  existing: Row,
): Promise<Datum[] | undefined> {
  return evaluateOnce(run, () => {
    const { where, assignments } = conflict;
    if (where !== undefined && where(both, run.evaluation) !== true) return undefined;
    return assign(assignments, both, existing, run.evaluation);
  });
}

export function isKeyExists(error: unknown): error is DbError {
  return error instanceof DbError && error.code === 'KEY_EXISTS';
}
