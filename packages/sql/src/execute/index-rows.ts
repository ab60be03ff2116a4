/** From entries of a secondary index to rows: fetched by their keys, or made of what the entries hold. */
import type { KvPair } from '../kv-transaction.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import type { Run } from './run.ts';
import type { ScannedBatch } from './scan.ts';

/** Of keys that were looked up, those that are there. */
export function entriesOf(
  keys: readonly Uint8Array[],
  values: readonly (Uint8Array | undefined)[],
): KvPair[] {
  return keys.flatMap((key, i) => {
    const value = values[i];
    return value === undefined ? [] : [{ key, value }];
  });
}

/** The rows that entries name, in their order. */
export async function rowsOfEntries(
  scan: TableScan,
  run: Run,
  entries: readonly KvPair[],
): Promise<ScannedBatch> {
  const { store, index } = scan;
  if (entries.length === 0) return { keys: [], rows: [], missing: 0 };
  const wanted = entries.map(({ value }) => store.keyOf(value));
  if (index?.covering === true)
    return { keys: wanted, rows: entries.map((entry) => coveredRow(scan, entry)), missing: 0 };
  const values = await run.pace.unlessCancelled(run.transaction.getMany(wanted));
  const keys: Uint8Array[] = [];
  const rows: Datum[][] = [];
  wanted.forEach((key, i) => {
    const value = values[i];
    if (value === undefined) return;
    keys.push(key);
    const row = store.decodeRow(key, value, scan.needed);
    if (scan.withRowId) row.push(store.hiddenRowId(key));
    rows.push(row);
  });
  // An entry and its row come and go together, except with the whole table.
  return { keys, rows, missing: wanted.length - keys.length };
}

function coveredRow({ store, index, parts, withRowId }: TableScan, entry: KvPair): Datum[] {
  const row = new Array<Datum>(store.table.columns.length).fill(null);
  const key = store.keyOf(entry.value);
  if (store.keyColumns.length > 0) store.decodeKeyInto(row, key);
  const values = index?.store.valuesOf(entry.key) ?? [];
  values.forEach((value, i) => {
    const column = parts[i]?.column ?? -1;
    if (column >= 0) row[column] = value;
  });
  if (withRowId) row.push(store.hiddenRowId(key));
  return row;
}
