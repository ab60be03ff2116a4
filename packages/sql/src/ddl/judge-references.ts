/**
 * Checks that the rows of a table refer to something, for foreign keys that a change adds. Rows come in batches; what several of
 * them refer to is looked up once, and what a batch needs is looked up together.
 */
import {
  columnOffset,
  type ForeignKeyDescriptor,
  type TableDescriptor,
} from '../catalog/descriptor.ts';
import { keyText } from '../execute/constraint-errors.ts';
import type { Row } from '../execute/evaluate.ts';
import { findTarget, valuesAt, valuesKey } from '../execute/references.ts';
import type { Run } from '../execute/run.ts';
import { batchRows, referencesKnownMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';

export class ReferenceJudge {
  private readonly run: Run;
  private readonly store: TableStore;
  private readonly foreignKey: ForeignKeyDescriptor;
  private readonly target: TableDescriptor;
  private readonly offsets: readonly number[];
  /** Values whose row has been found, and is locked. */
  private readonly found = new Set<string>();

  /** @param store of the rows as they will be */
  constructor(
    run: Run,
    store: TableStore,
    foreignKey: ForeignKeyDescriptor,
    target: TableDescriptor,
  ) {
    this.run = run;
    this.store = store;
    this.foreignKey = foreignKey;
    this.target = target;
    this.offsets = foreignKey.columns.map((number) => columnOffset(store.table, number));
  }

  /** Throws 23503, DbError. */
  async judge(rows: readonly Row[]): Promise<void> {
    const wanted = new Map<string, { readonly row: Row; readonly values: readonly Datum[] }>();
    for (const row of rows) {
      const values = valuesAt(row, this.offsets);
      if (values.includes(null)) continue;
      const name = valuesKey(values);
      if (!this.found.has(name) && !wanted.has(name)) wanted.set(name, { row, values });
    }
    const all = [...wanted];
    for (let at = 0; at < all.length; at += batchRows)
      await this.lookUp(all.slice(at, at + batchRows));
  }

  private async lookUp(
    wanted: readonly (readonly [
      string,
      { readonly row: Row; readonly values: readonly Datum[] },
    ])[],
  ): Promise<void> {
    const { run, target, foreignKey, found } = this;
    const answers = await run.pace.unlessCancelled(
      Promise.all(
        wanted.map(([, { values }]) => findTarget(run.transaction, target, foreignKey, values)),
      ),
    );
    for (const [i, [name, { row }]] of wanted.entries()) {
      if (answers[i] !== true) throw this.missing(row);
      if (found.size >= referencesKnownMax) found.clear();
      found.add(name);
    }
  }

  private missing(row: Row): SqlError {
    const { run, store, target, foreignKey, offsets } = this;
    const { table } = store;
    return new SqlError(
      '23503',
      `insert or update on table "${table.name}" violates foreign key constraint "${foreignKey.name}"`,
      {
        detail: `Key ${keyText(store, offsets, row, run.evaluation)} is not present in table "${target.name}".`,
        schema: table.schema,
        table: table.name,
        constraint: foreignKey.name,
      },
    );
  }
}
