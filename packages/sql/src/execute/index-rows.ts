/** Rows that are made of what the entries of a secondary index hold. */
import type { KvPair } from '../kv-transaction.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';

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

/** Of entries that hold all that is needed. */
export function coveredRows(
  scan: TableScan,
  entries: readonly KvPair[],
): { readonly keys: Uint8Array[]; readonly rows: Datum[][]; readonly missing: 0 } {
  const keys: Uint8Array[] = [];
  const rows: Datum[][] = [];
  for (const entry of entries) {
    const key = scan.store.keyOf(entry.value);
    keys.push(key);
    rows.push(coveredRow(scan, entry, key));
  }
  return { keys, rows, missing: 0 };
}

function coveredRow(
  { store, index, parts, withRowId }: TableScan,
  entry: KvPair,
  key: Uint8Array,
): Datum[] {
  const row = new Array<Datum>(store.table.columns.length).fill(null);
  if (store.keyColumns.length > 0) store.decodeKeyInto(row, key);
  const values = index?.store.valuesOf(entry.key) ?? [];
  values.forEach((value, i) => {
    const column = parts[i]?.column ?? -1;
    if (column >= 0) row[column] = value;
  });
  if (withRowId) row.push(store.hiddenRowId(key));
  return row;
}
