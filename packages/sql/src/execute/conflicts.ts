/** Unique keys that are taken: looked up for ON CONFLICT, and told apart when the store refuses one at commit. */
import { compareBytes } from '@flotilla/base';
import type { EvalContext } from '../functions/signature.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { duplicateEntry, duplicateKey } from './constraint-errors.ts';
import type { Row } from './evaluate.ts';
import type { RowWriter } from './row-writer.ts';
import { lockOptions, type Run } from './run.ts';
import { rulesOf } from './table-rules.ts';

export interface ConflictingRows {
  /** For each proposed row its unique keys. */
  readonly keys: readonly (readonly Uint8Array[])[];
  /** For each proposed row the one that is there. */
  readonly rows: readonly ({ readonly key: Uint8Array; readonly value: Uint8Array } | undefined)[];
}

/** @param on oids of the indexes to look at; undefined = all unique ones. Throws 55000. */
export async function conflictingRows(
  run: Run,
  writer: RowWriter,
  batch: readonly Row[],
  on: readonly number[] | undefined,
): Promise<ConflictingRows> {
  const { store } = writer;
  const wanted = (oid: number) => on === undefined || on.includes(oid);
  const primary = store.table.primaryKey;
  const indexes = rulesOf(store.table).indexes.filter(
    ({ store: { index } }) => index.unique && wanted(index.oid),
  );
  const deferrable = indexes.find(({ store: { index } }) => index.deferrable !== undefined);
  if (deferrable !== undefined && batch.length > 0)
    throw notAnArbiter(store, deferrable.store.index.name);
  const own = batch.map((row) => {
    const keys: { key: Uint8Array; isRow: boolean }[] = [];
    if (primary !== undefined && wanted(primary.indexOid))
      keys.push({ key: store.rowKey(row), isRow: true });
    for (const rules of indexes) {
      const entry = rules.entry(row, new Uint8Array(0), run.evaluation);
      if (entry?.unique === true) keys.push({ key: entry.key, isRow: false });
    }
    return keys;
  });
  const flat = own.flat();
  const lock = run.lockRows ? lockOptions(run, 'exclusive') : undefined;
  const values = await run.pace.unlessCancelled(
    run.transaction.getMany(
      flat.map(({ key }) => key),
      lock,
    ),
  );
  let at = 0;
  const rowKeys = own.map((keys) => {
    let found: Uint8Array | undefined;
    for (const { key, isRow } of keys) {
      const value = values[at++];
      if (value !== undefined) found ??= isRow ? key : store.keyOf(value);
    }
    return found;
  });
  const there = rowKeys.flatMap((key) => key ?? []);
  const rowValues = await run.pace.unlessCancelled(run.transaction.getMany(there, lock));
  at = 0;
  const rows = rowKeys.map((key) => {
    if (key === undefined) return undefined;
    const value = rowValues[at++];
    return value === undefined ? undefined : { key, value };
  });
  return { keys: own.map((keys) => keys.map(({ key }) => key)), rows };
}

/** What the index has is not the last word before its constraint is checked. */
function notAnArbiter({ table }: TableStore, constraint: string): SqlError {
  return new SqlError(
    '55000',
    'ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters',
    { schema: table.schema, table: table.name, constraint },
  );
}

/** Whether a key is one of the table's unique keys: other keys of the transaction are not the user's business. */
export function isUniqueKey(store: TableStore, key: Uint8Array): boolean {
  if (store.keyColumns.length > 0 && hasPrefix(key, store.indexPrefix)) return true;
  return rulesOf(store.table).indexes.some(
    (rules) => rules.store.index.unique && hasPrefix(key, rules.store.prefix),
  );
}

/** The violation that a key which is there already means. */
export function duplicateOf(store: TableStore, key: Uint8Array, context: EvalContext): SqlError {
  const rules = rulesOf(store.table).indexes.find((one) => hasPrefix(key, one.store.prefix));
  if (rules === undefined) return duplicateKey(store, key, context);
  return duplicateEntry(store, rules.store.index, rules.store.valuesOf(key), context);
}

function hasPrefix(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length > prefix.length && compareBytes(key.subarray(0, prefix.length), prefix) === 0;
}
