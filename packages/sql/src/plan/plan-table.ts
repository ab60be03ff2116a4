/** Tables: their stores, scans along an access path, and the order in which storage gives rows. */
import type { Expression } from '../bind/expression.ts';
import { mapChildren } from '../bind/expression-tree.ts';
import type { SortKey, TableSource } from '../bind/relation.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { TableStore } from '../storage/table-store.ts';
import {
  type AccessPath,
  columnOf,
  isOn,
  isPointAccess,
  type KeyPart,
  type KeyValues,
  primaryParts,
} from './access-path.ts';
import type { Compiler } from './compile.ts';
import type { ReadableIndex } from './index-path.ts';
import type { CompiledBound, CompiledValues, TableScan } from './plan.ts';

interface Prepared {
  readonly store: TableStore;
  readonly parts: readonly KeyPart[];
}

const prepared = new WeakMap<TableDescriptor, Prepared>();

function preparedOf(table: TableDescriptor): Prepared {
  let made = prepared.get(table);
  if (made === undefined) {
    const store = new TableStore(table);
    const parts = primaryParts(store.keyColumns, (offset) => table.columns[offset]?.name ?? '');
    made = { store, parts };
    prepared.set(table, made);
  }
  return made;
}

/** Keys and codecs of a table, made once for its descriptor. */
export function storeOf(table: TableDescriptor): TableStore {
  return preparedOf(table).store;
}

/** The columns of a table's primary key; none where it has none. */
export function primaryPartsOf(table: TableDescriptor): readonly KeyPart[] {
  return preparedOf(table).parts;
}

/** An order that is asked for. */
export interface AskedOrder {
  readonly keys: readonly SortKey[];
  /** What the keys' offsets count. */
  readonly outputs: readonly Expression[];
  /** NULLs may be wherever they are. */
  readonly nullsAnywhere?: boolean;
}

/** A way to read a table. */
export interface TablePath {
  readonly access: AccessPath;
  /** Undefined: rows are read by their own keys. */
  readonly index: ReadableIndex | undefined;
}

export function compileScan(
  compiler: Compiler,
  source: Pick<TableSource, 'table' | 'withRowId'>,
  path: TablePath,
  options: { readonly needed: readonly boolean[]; readonly reverse: boolean },
): TableScan {
  const { store, parts } = preparedOf(source.table);
  const { access, index } = path;
  const { needed, reverse } = options;
  const bound = (one: AccessPath['lower']): CompiledBound | undefined =>
    one === undefined
      ? undefined
      : { evaluate: compiler.evaluator(one.value), inclusive: one.inclusive };
  if (index !== undefined) compiler.noteIndex(source.table, index.store.index);
  return {
    store,
    parts: index?.parts ?? parts,
    access: plannedAccess(compiler, access),
    points: index === undefined && isPointAccess(access, parts.length),
    index: index && {
      store: index.store,
      single: isUniqueAccess(access, index),
      covering: needed.every((one, i) => !one || index.holds[i] === true),
      holds: index.holds,
    },
    equals: access.equals.map((one): CompiledValues => {
      if (one.kind === 'null') return one;
      if (one.kind === 'array') return { kind: 'array', array: compiler.evaluator(one.array) };
      return { kind: 'values', values: one.values.map((value) => compiler.evaluator(value)) };
    }),
    lower: bound(access.lower),
    upper: bound(access.upper),
    pattern: compiler.maybe(access.pattern),
    needed,
    reverse,
    withRowId: source.withRowId,
  };
}

function plannedAccess(compiler: Compiler, access: AccessPath): AccessPath {
  const bound = (one: AccessPath['lower']) =>
    one === undefined ? undefined : { ...one, value: compiler.planned(one.value) };
  return {
    ...access,
    equals: access.equals.map((one): KeyValues => {
      if (one.kind === 'values')
        return { ...one, values: one.values.map((value) => compiler.planned(value)) };
      return one.kind === 'array' ? { ...one, array: compiler.planned(one.array) } : one;
    }),
    lower: bound(access.lower),
    upper: bound(access.upper),
  };
}

/** Whether the values of an index's columns name one entry at most: NULLs are no values of a unique key. */
export function isUniqueAccess({ equals }: AccessPath, { store }: ReadableIndex): boolean {
  return (
    store.index.unique &&
    equals.length === store.index.columns.length &&
    equals.every((one) => one.kind !== 'null')
  );
}

/**
 * Whether a key gives rows in the wanted order, forwards or backwards.
 * @param offset of the table's first column in the row that the outputs are over
 * @param whole after all parts no two rows are equal
 */
export function keyOrder(
  wanted: AskedOrder,
  key: { readonly parts: readonly KeyPart[]; readonly whole: boolean },
  access: AccessPath,
  offset: number,
): 'forward' | 'reverse' | undefined {
  const { keys, outputs } = wanted;
  const { parts, whole } = key;
  if (keys.length === 0 || parts.length === 0) return undefined;
  const fixed = parts.filter((_part, i) => isFixed(access, i));
  let position = 0;
  let reverse: boolean | undefined;
  for (const sort of keys) {
    const output = outputs[sort.output];
    if (output === undefined) return undefined;
    const operand = over(output, offset);
    if (operand === undefined) return undefined;
    while (isFixed(access, position)) position++;
    const part = parts[position];
    if (part === undefined && whole) break; // nothing after it matters
    if (fixed.some((one) => isOn(operand, one))) continue;
    if (part === undefined || !isOn(operand, part)) return undefined;
    const backwards = sort.descending !== part.descending;
    const mayBeNull = part.nullable && !refusesNull(access, position);
    const isPlaced = mayBeNull && wanted.nullsAnywhere !== true;
    if (isPlaced && (sort.nullsFirst !== part.nullsFirst) !== backwards) return undefined;
    if (reverse !== undefined && reverse !== backwards) return undefined;
    reverse = backwards;
    position++;
  }
  return reverse === true ? 'reverse' : 'forward';
}

/** Whether the access leaves this column of the key one value. */
export function isFixed({ equals }: AccessPath, position: number): boolean {
  const one = equals[position];
  return one?.kind === 'null' || (one?.kind === 'values' && one.values.length === 1);
}

/** Whether the access leaves out rows where this column of the key is NULL. */
export function refusesNull(access: AccessPath, position: number): boolean {
  if (position < access.equals.length) return access.equals[position]?.kind !== 'null';
  const { equals, lower, upper, pattern, notNull } = access;
  return (
    position === equals.length &&
    (lower !== undefined || upper !== undefined || pattern !== undefined || notNull)
  );
}

/** An output as an expression over the table's own row. */
function over(output: Expression, offset: number): Expression | undefined {
  const column = columnOf(output);
  if (column !== undefined && output.kind === 'column')
    return column < offset ? undefined : { ...output, index: output.index - offset };
  if (offset === 0) return output;
  const moved = (one: Expression): Expression =>
    one.kind === 'column' ? { ...one, index: one.index - offset } : mapChildren(one, moved);
  return moved(output);
}
