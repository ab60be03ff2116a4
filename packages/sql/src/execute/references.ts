/**
 * Both ends of a foreign key: the row that a reference leads to, the rows that refer to one, and the errors where they do
 * not match. For those who enforce foreign keys at the end of a statement, of a transaction, or for rows that are there.
 */
import {
  columnOffset,
  type ForeignKeyDescriptor,
  type TableDescriptor,
} from '../catalog/descriptor.ts';
import type { KvTransaction } from '../kv-transaction.ts';
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { TableStore } from '../storage/table-store.ts';
import { keyText } from './constraint-errors.ts';
import type { Row } from './evaluate.ts';
import { lockOptions, type Run } from './run.ts';
import { rulesOf } from './table-rules.ts';

export interface FoundRow {
  readonly key: Uint8Array;
  readonly row: Row;
}

/** Values as they are compared across integer widths. */
export function valuesKey(values: readonly Datum[]): string {
  return values
    .map((value) => `${typeof value === 'string' ? 's' : ''}${String(value)}`)
    .join('\0');
}

/** Of a row, in the order of these columns. */
export function valuesAt(row: Row, offsets: readonly number[]): Datum[] {
  return offsets.map((offset) => row[offset] ?? null);
}

/** What a foreign key refers with, and what it refers to, as offsets. */
export function ownOffsets(table: TableDescriptor, foreignKey: ForeignKeyDescriptor): number[] {
  return foreignKey.columns.map((number) => columnOffset(table, number));
}

export function targetOffsets(target: TableDescriptor, foreignKey: ForeignKeyDescriptor): number[] {
  return foreignKey.targetColumns.map((number) => columnOffset(target, number));
}

/** Rows of a table that have these values, none of them NULL, as the run's transaction sees them. */
export async function* referringRows(
  run: Run,
  store: TableStore,
  offsets: readonly number[],
  values: readonly Datum[],
  transaction: KvTransaction = run.transaction,
): AsyncGenerator<FoundRow> {
  const wanted = valuesKey(values);
  for await (const found of candidates(run, transaction, { store, offsets, values }))
    if (valuesKey(valuesAt(found.row, offsets)) === wanted) yield found;
}

/**
 * As `referringRows`, with those that were committed after the run's snapshot. To be called under locks on what they would
 * refer to: then there will be no others. Where commit checks all that was read there is no need to look.
 * @param isKnown rows by key that are not to be given again. Throws DbError CONFLICT where the transaction may not see one.
 */
export async function* laterReferringRows(
  run: Run,
  store: TableStore,
  offsets: readonly number[],
  values: readonly Datum[],
  isKnown: (key: Uint8Array) => boolean,
): AsyncGenerator<FoundRow> {
  if (run.newest === undefined) return;
  const wanted = valuesKey(values);
  const all = store.table.columns.map(() => true);
  const keys: Uint8Array[] = [];
  for await (const { key } of referringRows(run, store, offsets, values, run.newest()))
    if (!isKnown(key)) keys.push(key);
  for (let at = 0; at < keys.length; at += batchRows) {
    const chunk = keys.slice(at, at + batchRows);
    // The transaction's own word about them counts: it may have deleted them.
    const now = await run.pace.unlessCancelled(
      run.transaction.getMany(chunk, lockOptions(run, 'exclusive')),
    );
    for (const [i, key] of chunk.entries()) {
      const value = now[i];
      if (value === undefined) continue;
      const row = store.decodeRow(key, value, all);
      if (valuesKey(valuesAt(row, offsets)) === wanted) yield { key, row };
    }
  }
}

/** By an index that begins with the columns, else all rows. */
async function* candidates(
  { pace, usable }: Run,
  transaction: KvTransaction,
  asked: {
    readonly store: TableStore;
    readonly offsets: readonly number[];
    readonly values: readonly Datum[];
  },
): AsyncGenerator<FoundRow> {
  const { store, offsets, values } = asked;
  const { table } = store;
  const all = table.columns.map(() => true);
  const byColumn = new Map(offsets.map((offset, i) => [offset, values[i] ?? null]));
  const rules = rulesOf(table).indexes.find(({ store: { index } }) => {
    if (index.predicate !== undefined || usable?.(table, index.number) === false) return false;
    const first = index.columns.slice(0, offsets.length);
    return (
      first.length === offsets.length &&
      first.every(
        (one) =>
          one.attributeNumber !== 0 && byColumn.has(columnOffset(table, one.attributeNumber)),
      )
    );
  });
  if (rules !== undefined) {
    const ordered = rules.store.index.columns
      .slice(0, offsets.length)
      .map((one) => byColumn.get(columnOffset(table, one.attributeNumber)) ?? null);
    for await (const batch of transaction.scan(rules.store.spanOf(ordered))) {
      pace.check();
      const keys = batch.map(({ value }) => store.keyOf(value));
      const rows = await transaction.getMany(keys);
      for (const [i, key] of keys.entries()) {
        const value = rows[i];
        if (value !== undefined) yield { key, row: store.decodeRow(key, value, all) };
      }
    }
    return;
  }
  for await (const batch of transaction.scan(store.rowsSpan())) {
    pace.check();
    for (const { key, value } of batch) yield { key, row: store.decodeRow(key, value, all) };
    if (pace.due()) await pace.rest();
  }
}

/** Whether a reference needs a row. Throws 23503 where MATCH FULL forbids what it is. */
export function needsTarget(
  store: TableStore,
  foreignKey: ForeignKeyDescriptor,
  values: readonly Datum[],
): boolean {
  const nulls = values.filter((value) => value === null).length;
  if (nulls > 0 && nulls < values.length && foreignKey.matchFull)
    throw violation(
      store,
      foreignKey,
      'MATCH FULL does not allow mixing of null and nonnull key values.',
    );
  return nulls === 0;
}

/** Whether the row that a reference with these values leads to is there. Locks it against those who would take it away. */
export async function findTarget(
  transaction: KvTransaction,
  target: TableDescriptor,
  foreignKey: ForeignKeyDescriptor,
  values: readonly Datum[],
): Promise<boolean> {
  const store = new TableStore(target);
  const byNumber = new Map(
    foreignKey.targetColumns.map((number, i) => [number, values[i] ?? null]),
  );
  const primary = store.keyColumns.map(({ index }) => target.columns[index]?.attributeNumber ?? 0);
  const lock = { lock: 'share' } as const;
  if (primary.length === byNumber.size && primary.every((number) => byNumber.has(number))) {
    const key = store.prefixKey(primary.map((number) => byNumber.get(number) ?? null));
    return (await transaction.get(key, lock)) !== undefined;
  }
  const rules = rulesOf(target).indexes.find(({ store: { index } }) => {
    if (!index.unique || index.predicate !== undefined || index.deferrable !== undefined)
      return false;
    return (
      index.columns.length === byNumber.size &&
      index.columns.every((one) => byNumber.has(one.attributeNumber))
    );
  });
  if (rules === undefined) throw new RangeError('a foreign key refers to a unique key');
  const ordered = rules.store.index.columns.map((one) => byNumber.get(one.attributeNumber) ?? null);
  const entry = await transaction.get(rules.store.columnsKey(ordered), lock);
  if (entry === undefined) return false;
  return (await transaction.get(store.keyOf(entry), lock)) !== undefined;
}

/** 23503: a row refers to nothing. */
export function missingTarget(
  run: Run,
  store: TableStore,
  foreignKey: ForeignKeyDescriptor,
  reference: { readonly row: Row; readonly target: TableDescriptor },
): SqlError {
  const { row, target } = reference;
  const key = keyText(store, ownOffsets(store.table, foreignKey), row, run.evaluation);
  return violation(store, foreignKey, `Key ${key} is not present in table "${target.name}".`);
}

function violation(
  { table }: TableStore,
  foreignKey: ForeignKeyDescriptor,
  detail: string,
): SqlError {
  return new SqlError(
    '23503',
    `insert or update on table "${table.name}" violates foreign key constraint "${foreignKey.name}"`,
    { detail, schema: table.schema, table: table.name, constraint: foreignKey.name },
  );
}

/** 23503: a row that is gone is still referred to. @param row a row of `parent` with what it was referred to by */
export function stillReferenced(
  run: Run,
  ends: {
    readonly parent: TableDescriptor;
    readonly child: TableDescriptor;
    readonly foreignKey: ForeignKeyDescriptor;
  },
  row: Row,
): SqlError {
  const { parent, child, foreignKey } = ends;
  const offsets = targetOffsets(parent, foreignKey);
  const key = keyText(new TableStore(parent), offsets, row, run.evaluation);
  return new SqlError(
    '23503',
    `update or delete on table "${parent.name}" violates foreign key constraint "${foreignKey.name}" on table "${child.name}"`,
    {
      detail: `Key ${key} is still referenced from table "${child.name}".`,
      schema: child.schema,
      table: child.name,
      constraint: foreignKey.name,
    },
  );
}
