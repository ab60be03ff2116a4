/**
 * FOR UPDATE and its kin: locks the rows that come up, as many as are asked for and no more. A row that was changed after
 * the snapshot in which it was found is a CONFLICT, and the runner starts the statement over in a new one.
 */
import { DbError } from '@flotilla/base';
import {
  type LockedValue,
  type LockMode,
  type LockWait,
  lockedByOther,
} from '../kv-transaction.ts';
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import type { Row } from './evaluate.ts';
import type { Batches, NodeText, Operator } from './operator.ts';
import { lockOptions, type Run } from './run.ts';

export interface RowLock {
  readonly store: TableStore;
  /** Offsets into the row: of the key's columns, or of the hidden row id. */
  readonly columns: readonly number[];
  readonly mode: LockMode;
  readonly wait: LockWait;
}

export class LockRowsOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text = (): NodeText => ({ head: 'LockRows', details: [] });
  private readonly input: Operator;
  private readonly locks: readonly RowLock[];

  constructor(input: Operator, locks: readonly RowLock[]) {
    this.input = input;
    this.inputs = [input];
    this.locks = locks;
  }

  async *open(run: Run, enough?: number): Batches {
    let left = enough ?? Number.POSITIVE_INFINITY;
    if (left <= 0) return;
    const skips = this.locks.some(({ wait }) => wait === 'skip');
    for await (const batch of this.input.open(run, skips ? undefined : enough)) {
      for (let at = 0; at < batch.length; ) {
        const rows = batch.slice(at, at + Math.min(left, batchRows));
        at += rows.length;
        const kept = await this.lock(run, rows);
        left -= kept.length;
        if (kept.length > 0) yield kept;
        if (left <= 0) return;
      }
    }
  }

  /** @returns the rows that are locked now */
  private async lock(run: Run, rows: readonly Row[]): Promise<Row[]> {
    let kept = [...rows];
    for (const one of this.locks) {
      const keys = kept.map((row) => rowKey(one, row));
      const values = await run.pace.unlessCancelled(lockKeys(run, one, keys, true));
      if (one.wait === 'skip') kept = kept.filter((_row, i) => values[i] !== lockedByOther);
    }
    return kept;
  }
}

/** @param unchanged the run has read the keys in its snapshot before. Throws 55P03, CONFLICT, DEADLOCK. */
export async function lockKeys(
  run: Run,
  one: RowLock,
  keys: readonly Uint8Array[],
  unchanged = false,
): Promise<readonly LockedValue[]> {
  const options = { ...lockOptions(run, one.mode, unchanged), wait: one.wait };
  try {
    return await run.transaction.getMany(keys, options);
  } catch (error) {
    if (error instanceof DbError && error.code === 'LOCK_NOT_AVAILABLE' && one.wait === 'nowait')
      throw new SqlError(
        '55P03',
        `could not obtain lock on row in relation "${one.store.table.name}"`,
        { cause: error },
      );
    throw error;
  }
}

function rowKey({ store, columns }: RowLock, row: Row): Uint8Array {
  if (store.keyColumns.length === 0) return store.hiddenKey(BigInt(row[columns[0] ?? 0] as bigint));
  const own: Datum[] = [];
  store.keyColumns.forEach(({ index }, i) => {
    own[index] = row[columns[i] ?? 0] ?? null;
  });
  return store.rowKey(own);
}
