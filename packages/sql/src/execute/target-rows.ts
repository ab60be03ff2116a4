/** The rows that UPDATE, DELETE and MERGE are about, with their keys, locked where the transaction wants it. */
import { toHex } from '@flotilla/base';
import type { TableScan } from '../plan/plan.ts';
import type { TableStore } from '../storage/table-store.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { evaluateOnce, type Operator } from './operator.ts';
import { lockOptions, type Run } from './run.ts';
import { scanTable } from './scan.ts';
import type { NodeOptions } from './write-node.ts';

/** Where UPDATE, DELETE and MERGE find their rows. */
export type TargetRows =
  /** One table: keys come with the rows. */
  | { readonly kind: 'scan'; readonly scan: TableScan; readonly filter: Evaluator | undefined }
  /** Rows of all items of FROM, the written table's columns first. */
  | { readonly kind: 'query'; readonly store: TableStore; readonly operator: Operator };

export interface TargetRow {
  /** Undefined: MERGE found no row of the table. */
  readonly key: Uint8Array | undefined;
  /** The table's own row. */
  readonly own: Row;
  /** The row that expressions are over. */
  readonly row: Row;
}

export interface TargetedOptions extends NodeOptions {
  readonly target: TargetRows;
}

export function storeOfTarget(target: TargetRows): TableStore {
  return target.kind === 'scan' ? target.scan.store : target.store;
}

export async function* targetRows(
  target: TargetRows,
  run: Run,
  input: Operator | undefined,
): AsyncGenerator<readonly TargetRow[]> {
  if (target.kind === 'query') {
    yield* joinedRows(target.store, target.operator, run);
    return;
  }
  const { filter, scan } = target;
  // Rows that are named by their keys are read under their locks; others are locked once it is known which they are.
  const lock = run.lockRows && scan.points ? lockOptions(run, 'exclusive') : undefined;
  for await (const { keys, rows } of scanTable(scan, run, { lock })) {
    const found: TargetRow[] = [];
    for (let i = 0; i < rows.length; i++) {
      const [key, row] = [keys[i], rows[i]];
      if (key === undefined || row === undefined) continue;
      if (filter !== undefined) {
        const holds = await evaluateOnce(run, () => filter(row, run.evaluation));
        if (holds !== true) continue;
      }
      found.push({ key, own: row, row });
    }
    if (lock === undefined) await lockTargets(run, found);
    run.recorder?.add(input, found.length);
    if (found.length > 0) yield found;
    if (run.pace.due()) await run.pace.rest();
  }
}

/** Locks rows that qualify. Throws CONFLICT where one was changed after the snapshot in which it did. */
async function lockTargets(run: Run, rows: readonly TargetRow[]): Promise<void> {
  if (!run.lockRows) return;
  const keys = rows.flatMap(({ key }) => key ?? []);
  if (keys.length === 0) return;
  const locked = run.transaction.getMany(keys, lockOptions(run, 'exclusive', true));
  await run.pace.unlessCancelled(locked);
}

async function* joinedRows(
  store: TableStore,
  operator: Operator,
  run: Run,
): AsyncGenerator<readonly TargetRow[]> {
  const width = store.table.columns.length;
  const [firstKey] = store.keyColumns;
  for await (const batch of operator.open(run)) {
    const rows = batch.map((row): TargetRow => {
      const own = row.slice(0, width);
      const mark = firstKey === undefined ? row[width] : own[firstKey.index];
      if (mark === null || mark === undefined) return { key: undefined, own, row };
      const key =
        firstKey === undefined ? store.hiddenKey(BigInt(mark as bigint)) : store.rowKey(own);
      return { key, own, row };
    });
    await lockTargets(run, rows);
    yield rows;
    if (run.pace.due()) await run.pace.rest();
  }
}

/** A row that joins with several others is written once. */
export function isSeen(seen: Set<string> | undefined, key: Uint8Array): boolean {
  if (seen === undefined) return false;
  const hex = toHex(key);
  if (seen.has(hex)) return true;
  seen.add(hex);
  return false;
}
