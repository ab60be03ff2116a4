/** INSERT, UPDATE and DELETE: read what must be read, buffer every write in the transaction, count and return rows. */
import { compareBytes, DbError, toHex } from '@flotilla/base';
import type { EvalContext } from '../functions/signature.ts';
import { statementWriteBytes } from '../limits.ts';
import type { DeletePlan, InsertPlan, ReturningPlan, UpdatePlan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { formatText } from '../types/text-codec.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { MemoryAccount, type Run, rowBytes } from './run.ts';
import { scanTable } from './scan.ts';
import { runSelect, type ScanFacts } from './select.ts';

export interface Written {
  readonly count: number;
  readonly returned: readonly Row[];
}

/** Hands out ids for rows of tables without a primary key. */
export interface RowIds {
  next(): bigint;
}

class Returned {
  readonly rows: Row[] = [];
  private readonly plan: ReturningPlan | undefined;
  private readonly memory: MemoryAccount;

  constructor(plan: ReturningPlan | undefined, memory: MemoryAccount) {
    this.plan = plan;
    this.memory = memory;
  }

  add(row: Row, context: EvalContext): void {
    if (this.plan === undefined) return;
    const output = this.plan.outputs.map((evaluate) => evaluate(row, context));
    this.memory.add(rowBytes(output));
    this.rows.push(output);
  }
}

export async function runInsert(
  plan: InsertPlan,
  run: Run,
  facts: ScanFacts,
  rowIds: RowIds,
): Promise<Written> {
  const memory = new MemoryAccount(statementWriteBytes);
  const returned = new Returned(plan.returning, memory);
  const { store } = plan;
  let count = 0;
  const insert = (row: Datum[]): void => {
    checkNotNull(store, row, run.evaluation);
    const key = store.keyColumns.length > 0 ? store.rowKey(row) : store.hiddenKey(rowIds.next());
    const value = store.codec.encode(row);
    memory.add(key.length + value.length + 64);
    run.transaction.insert(key, value);
    returned.add(row, run.evaluation);
    count++;
  };
  if (plan.source.kind === 'values') {
    for (const values of plan.source.rows) {
      insert(fill(plan, run.evaluation, (i) => assigned(plan, values[i], i, run.evaluation)));
      if ((count & 127) === 0 && run.pace.due()) await run.pace.rest();
    }
    return { count, returned: returned.rows };
  }
  // Read to the end first: a scan sees the transaction's own writes.
  const sources: Row[] = [];
  for await (const batch of runSelect(plan.source.select, run, facts)) {
    for (const values of batch) {
      memory.add(rowBytes(values));
      sources.push(values);
    }
  }
  for (const values of sources) {
    insert(fill(plan, run.evaluation, (i) => values[i] ?? null));
    if ((count & 127) === 0 && run.pace.due()) await run.pace.rest();
  }
  return { count, returned: returned.rows };
}

/** A row with the given values in the target columns and defaults elsewhere. */
function fill(plan: InsertPlan, context: EvalContext, value: (i: number) => Datum): Datum[] {
  const row = plan.defaults.map((evaluate) => evaluate?.([], context) ?? null);
  for (let i = 0; i < plan.targets.length; i++) row[plan.targets[i] ?? 0] = value(i);
  return row;
}

/** A value of VALUES, or the column's default where it says DEFAULT. */
function assigned(
  plan: InsertPlan,
  evaluate: Evaluator | undefined,
  i: number,
  context: EvalContext,
): Datum {
  if (evaluate !== undefined) return evaluate([], context);
  return plan.defaults[plan.targets[i] ?? 0]?.([], context) ?? null;
}

/** Throws 23502. */
function checkNotNull(store: TableStore, row: readonly Datum[], context: EvalContext): void {
  const { table } = store;
  for (let i = 0; i < table.columns.length; i++) {
    const column = table.columns[i];
    if (column === undefined || !column.notNull || row[i] !== null) continue;
    throw new SqlError(
      '23502',
      `null value in column "${column.name}" of relation "${table.name}" violates not-null constraint`,
      {
        detail: `Failing row contains (${row.map((value, j) => shownValue(store, value, j, context)).join(', ')}).`,
        schema: table.schema,
        table: table.name,
        column: column.name,
      },
    );
  }
}

/** As PostgreSQL shows values in details: cut to 64 bytes. */
function shownValue(store: TableStore, value: Datum, i: number, context: EvalContext): string {
  const type = store.table.columns[i]?.type;
  if (value === null || type === undefined) return 'null';
  const text = formatText(type, value, context);
  if (Buffer.byteLength(text) <= 64) return text;
  let cut = '';
  for (const character of text) {
    if (Buffer.byteLength(cut + character) > 64) break;
    cut += character;
  }
  return `${cut}...`;
}

export async function runUpdate(
  plan: UpdatePlan,
  run: Run,
  facts: ScanFacts,
  rowIds: RowIds,
): Promise<Written> {
  const memory = new MemoryAccount(statementWriteBytes);
  const returned = new Returned(plan.returning, memory);
  const { store } = plan.scan;
  const changes: { readonly oldKey: Uint8Array; readonly row: Datum[] }[] = [];
  for await (const { key, row } of matching(plan, run, facts)) {
    const changed = [...row];
    for (const { column, value } of plan.assignments)
      changed[column] = value?.(row, run.evaluation) ?? null;
    checkNotNull(store, changed, run.evaluation);
    memory.add(key.length + rowBytes(changed) + 64);
    changes.push({ oldKey: key, row: changed });
    returned.add(changed, run.evaluation);
  }
  if (plan.changesKey) moveRows(plan, run, changes, rowIds);
  else {
    for (const { oldKey, row } of changes) {
      run.transaction.put(oldKey, store.codec.encode(row));
      if (run.pace.due()) await run.pace.rest();
    }
  }
  return { count: changes.length, returned: returned.rows };
}

/**
 * Keys change: old ones go, new ones come. A new key that is one of the old ones is free, because its row moves too, and
 * its read is validated at commit; every other new key must be absent. Two rows with one new key throw 23505.
 */
function moveRows(
  plan: UpdatePlan,
  run: Run,
  changes: readonly { readonly oldKey: Uint8Array; readonly row: Datum[] }[],
  rowIds: RowIds,
): void {
  const { store } = plan.scan;
  const left = new Map<string, Uint8Array>();
  for (const { oldKey } of changes) left.set(toHex(oldKey), oldKey);
  const free = new Set(left.keys());
  const taken = new Set<string>();
  for (const { row } of changes) {
    const key = store.keyColumns.length > 0 ? store.rowKey(row) : store.hiddenKey(rowIds.next());
    const hex = toHex(key);
    if (taken.has(hex)) throw duplicateKey(store, key, run.evaluation);
    taken.add(hex);
    left.delete(hex);
    if (free.has(hex)) run.transaction.put(key, store.codec.encode(row));
    else run.transaction.insert(key, store.codec.encode(row));
  }
  for (const oldKey of left.values()) run.transaction.delete(oldKey);
}

export async function runDelete(plan: DeletePlan, run: Run, facts: ScanFacts): Promise<Written> {
  const memory = new MemoryAccount(statementWriteBytes);
  const returned = new Returned(plan.returning, memory);
  const keys: Uint8Array[] = [];
  for await (const { key, row } of matching(plan, run, facts)) {
    memory.add(key.length + 64);
    keys.push(key);
    returned.add(row, run.evaluation);
  }
  for (const key of keys) run.transaction.delete(key);
  return { count: keys.length, returned: returned.rows };
}

interface MatchedRow {
  readonly key: Uint8Array;
  readonly row: Datum[];
}

async function* matching(
  plan: UpdatePlan | DeletePlan,
  run: Run,
  facts: ScanFacts,
): AsyncGenerator<MatchedRow> {
  const { filter, scan } = plan;
  if (!scan.points) facts.mayHaveMissed = true;
  for await (const { keys, rows, missing } of scanTable(scan, run)) {
    if (missing > 0) facts.mayHaveMissed = true;
    for (let i = 0; i < rows.length; i++) {
      const [key, row] = [keys[i], rows[i]];
      if (key === undefined || row === undefined) continue;
      if (filter === undefined || filter(row, run.evaluation) === true) yield { key, row };
    }
    if (run.pace.due()) await run.pace.rest();
  }
}

/** 23505 with the key's columns in the detail, as PostgreSQL words it. */
export function duplicateKey(store: TableStore, key: Uint8Array, context: EvalContext): SqlError {
  const { table, keyColumns } = store;
  const constraint = table.primaryKey?.constraint ?? '';
  const row = new Array<Datum>(table.columns.length).fill(null);
  store.decodeKeyInto(row, key);
  const names = keyColumns.map(({ index }) => quoteIdentifier(table.columns[index]?.name ?? ''));
  const values = keyColumns.map(({ index, type }) => formatText(type, row[index] ?? null, context));
  return new SqlError('23505', `duplicate key value violates unique constraint "${constraint}"`, {
    detail: `Key (${names.join(', ')})=(${values.join(', ')}) already exists.`,
    schema: table.schema,
    table: table.name,
    constraint,
  });
}

/** The store's own rows only: other keys of the transaction are not the user's business. */
export function isRowKey(store: TableStore, key: Uint8Array): boolean {
  const { indexPrefix } = store;
  return (
    store.keyColumns.length > 0 &&
    key.length > indexPrefix.length &&
    compareBytes(key.subarray(0, indexPrefix.length), indexPrefix) === 0
  );
}

export function isKeyExists(error: unknown): error is DbError {
  return error instanceof DbError && error.code === 'KEY_EXISTS';
}
