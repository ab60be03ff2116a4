/** Tables: their stores, scans along an access path, and the order in which storage gives rows. */
import type { Expression } from '../bind/expression.ts';
import type { TableSource } from '../bind/relation.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { type KeyColumn, TableStore } from '../storage/table-store.ts';
import { type AccessPath, isPointAccess } from './access-path.ts';
import type { Compiler } from './compile.ts';
import type { CompiledBound, TableScan } from './plan.ts';

const stores = new WeakMap<TableDescriptor, TableStore>();

/** Keys and codecs of a table, made once for its descriptor. */
export function storeOf(table: TableDescriptor): TableStore {
  let store = stores.get(table);
  if (store === undefined) {
    store = new TableStore(table);
    stores.set(table, store);
  }
  return store;
}

export function compileScan(
  compiler: Compiler,
  source: Pick<TableSource, 'table' | 'withRowId'>,
  access: AccessPath,
  options: { readonly needed: readonly boolean[]; readonly reverse: boolean },
): TableScan {
  const store = storeOf(source.table);
  const bound = (one: AccessPath['lower']): CompiledBound | undefined =>
    one === undefined
      ? undefined
      : { evaluate: compiler.evaluator(one.value), inclusive: one.inclusive };
  return {
    store,
    access: plannedAccess(compiler, access),
    points: isPointAccess(access, store.keyColumns),
    equals: access.equals.map((values) => values.map((value) => compiler.evaluator(value))),
    lower: bound(access.lower),
    upper: bound(access.upper),
    needed: options.needed,
    reverse: options.reverse,
    withRowId: source.withRowId,
  };
}

function plannedAccess(compiler: Compiler, access: AccessPath): AccessPath {
  const bound = (one: AccessPath['lower']) =>
    one === undefined ? undefined : { ...one, value: compiler.planned(one.value) };
  return {
    equals: access.equals.map((values) => values.map((value) => compiler.planned(value))),
    lower: bound(access.lower),
    upper: bound(access.upper),
  };
}

/**
 * Whether rows come from storage in the wanted order, forwards or backwards. Key columns are never NULL.
 * @param offset of the table's first column in the row that the outputs are over
 */
export function storageOrder(
  wanted: {
    readonly keys: readonly { readonly output: number; readonly descending: boolean }[];
    readonly outputs: readonly Expression[];
  },
  keyColumns: readonly KeyColumn[],
  access: AccessPath,
  offset: number,
): 'forward' | 'reverse' | undefined {
  const { keys, outputs } = wanted;
  if (keys.length === 0 || keyColumns.length === 0) return undefined;
  const fixed = new Set<number>();
  access.equals.forEach((values, i) => {
    const column = keyColumns[i];
    if (values.length === 1 && column !== undefined) fixed.add(column.index);
  });
  let position = 0;
  let descending: boolean | undefined;
  for (const key of keys) {
    if (position >= keyColumns.length) break; // the whole key is unique: nothing after it matters
    const output = outputs[key.output];
    if (output === undefined || output.kind !== 'column') return undefined;
    const index = output.index - offset;
    if (fixed.has(index)) continue;
    while (fixed.has(keyColumns[position]?.index ?? -1)) position++;
    if (position >= keyColumns.length) break;
    if (keyColumns[position]?.index !== index) return undefined;
    if (descending !== undefined && descending !== key.descending) return undefined;
    descending = key.descending;
    position++;
  }
  return descending === true ? 'reverse' : 'forward';
}
