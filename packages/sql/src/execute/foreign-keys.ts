/**
 * Foreign keys at the end of a statement, when all of its row changes are known. First what follows from them: rows that
 * cascade, become NULL or take their default, until nothing more follows. Then what must hold: each reference leads to a
 * row, and no row that is gone is still referred to. Rows that are referred to are locked, so that they stay until commit.
 */
import {
  columnOffset,
  type ForeignKeyDescriptor,
  type TableDescriptor,
} from '../catalog/descriptor.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { KvTransaction } from '../kv-transaction.ts';
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { TableStore } from '../storage/table-store.ts';
import { storedText } from '../types/stored-text.ts';
import { parseText } from '../types/text-codec.ts';
import { keyText } from './constraint-errors.ts';
import type { Row } from './evaluate.ts';
import type { RowWriter } from './row-writer.ts';
import type { Run } from './run.ts';
import { rulesOf } from './table-rules.ts';
import type { WriteSet } from './write-set.ts';

/** Whether rows of this table are anybody's concern but its own. */
export function hasForeignKeys(table: TableDescriptor, snapshot: CatalogSnapshot): boolean {
  return table.foreignKeys.length > 0 || snapshot.referencing(table.id).length > 0;
}

/** Throws 23503, 23502, 23514, 23505. */
export async function followForeignKeys(run: Run, writes: WriteSet): Promise<void> {
  if (!writes.writers.some((writer) => writer.changes.length > 0)) return;
  await new Enforcement(run, writes).run();
}

/** Values as they are compared across integer widths. */
function valuesKey(values: readonly Datum[]): string {
  return values
    .map((value) => `${typeof value === 'string' ? 's' : ''}${String(value)}`)
    .join('\0');
}

interface Demand {
  readonly writer: RowWriter;
  readonly foreignKey: ForeignKeyDescriptor;
  readonly row: Row;
}

interface Loss {
  readonly parent: TableDescriptor;
  readonly child: TableDescriptor;
  readonly foreignKey: ForeignKeyDescriptor;
  readonly row: Row;
}

class Enforcement {
  private readonly statement: Run;
  private readonly writes: WriteSet;
  private readonly snapshot: CatalogSnapshot;
  private readonly seen = new Map<RowWriter, number>();
  private readonly demands: Demand[] = [];
  private readonly losses: Loss[] = [];
  private readonly keySets = new Map<string, Set<string>>();

  constructor(run: Run, writes: WriteSet) {
    const { catalog } = run.evaluation;
    if (catalog === undefined) throw new RangeError('a statement that writes sees the catalog');
    this.statement = run;
    this.writes = writes;
    this.snapshot = catalog.names.snapshot;
  }

  async run(): Promise<void> {
    for (let grown = true; grown; ) {
      grown = false;
      for (const writer of [...this.writes.writers]) {
        const from = this.seen.get(writer) ?? 0;
        if (from >= writer.changes.length) continue;
        grown = true;
        const fresh = writer.changes.slice(from);
        this.seen.set(writer, writer.changes.length);
        await this.follow(writer, fresh);
      }
    }
    for (const loss of this.losses) await this.refuseLoss(loss);
    await this.refuseDemands();
  }

  private async follow(writer: RowWriter, changes: readonly RowWriter['changes'][number][]) {
    const { table } = writer.store;
    for (const foreignKey of table.foreignKeys) {
      const offsets = foreignKey.columns.map((number) => columnOffset(table, number));
      for (const { before, after } of changes)
        if (after !== undefined && (before === undefined || differs(before, after, offsets)))
          this.demands.push({ writer, foreignKey, row: after });
    }
    for (const { table: child, foreignKey } of this.snapshot.referencing(table.id)) {
      const offsets = foreignKey.targetColumns.map((number) => columnOffset(table, number));
      for (const { before, after } of changes) {
        if (before === undefined || (after !== undefined && !differs(before, after, offsets)))
          continue;
        if (offsets.some((offset) => before[offset] === null)) continue;
        const action = after === undefined ? foreignKey.onDelete : foreignKey.onUpdate;
        if (action === 'no action' || action === 'restrict')
          this.losses.push({ parent: table, child, foreignKey, row: before });
        else {
          if (action === 'set default')
            this.losses.push({ parent: table, child, foreignKey, row: before });
          await this.act(child, foreignKey, action, { before, after, offsets });
        }
      }
      if (this.statement.pace.due()) await this.statement.pace.rest();
    }
  }

  private async act(
    child: TableDescriptor,
    foreignKey: ForeignKeyDescriptor,
    action: 'cascade' | 'set null' | 'set default',
    parent: {
      readonly before: Row;
      readonly after: Row | undefined;
      readonly offsets: readonly number[];
    },
  ): Promise<void> {
    const own = foreignKey.columns.map((number) => columnOffset(child, number));
    const values = parent.offsets.map((offset) => parent.before[offset] ?? null);
    for (const { key, row, writer } of await this.children(child, own, values)) {
      if (action === 'cascade' && parent.after === undefined) {
        writer.delete(key, row);
        continue;
      }
      const changed = [...row];
      own.forEach((offset, i) => {
        if (action === 'cascade') changed[offset] = parent.after?.[parent.offsets[i] ?? 0] ?? null;
        else changed[offset] = action === 'set null' ? null : defaultOf(child, offset);
      });
      writer.complete(changed);
      writer.update(key, row, changed, true);
      if (action === 'set default') this.demands.push({ writer, foreignKey, row: changed });
    }
  }

  /** Rows of a table that refer to these values, as they are after what the statement has done so far. */
  private async children(
    child: TableDescriptor,
    offsets: readonly number[],
    values: readonly Datum[],
  ): Promise<{ readonly key: Uint8Array; readonly row: Row; readonly writer: RowWriter }[]> {
    const store = new TableStore(child);
    const writer = this.writes.writer(store, this.statement);
    const wanted = valuesKey(values);
    const refers = (row: Row) => valuesKey(offsets.map((offset) => row[offset] ?? null)) === wanted;
    const found: { key: Uint8Array; row: Row; writer: RowWriter }[] = [];
    for await (const { key, row } of this.candidates(store, offsets, values))
      if (!writer.isTouched(key) && refers(row)) found.push({ key, row, writer });
    for (const { key, row } of writer.rowsNow()) if (refers(row)) found.push({ key, row, writer });
    return found;
  }

  /** By an index that begins with the columns, else all rows. */
  private async *candidates(
    store: TableStore,
    offsets: readonly number[],
    values: readonly Datum[],
  ): AsyncGenerator<{ readonly key: Uint8Array; readonly row: Row }> {
    const { transaction, pace, usable } = this.statement;
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

  /** Throws 23503. */
  private async refuseLoss({ parent, child, foreignKey, row }: Loss): Promise<void> {
    const offsets = foreignKey.targetColumns.map((number) => columnOffset(parent, number));
    const values = offsets.map((offset) => row[offset] ?? null);
    // Another row may have taken the key in the same statement.
    if (this.keys(parent, offsets, 'now').has(valuesKey(values))) return;
    const own = foreignKey.columns.map((number) => columnOffset(child, number));
    const [first] = await this.children(child, own, values);
    if (first === undefined) return;
    throw new SqlError(
      '23503',
      `update or delete on table "${parent.name}" violates foreign key constraint "${foreignKey.name}" on table "${child.name}"`,
      {
        detail: `Key ${keyText(new TableStore(parent), offsets, row, this.statement.evaluation)} is still referenced from table "${child.name}".`,
        schema: child.schema,
        table: child.name,
        constraint: foreignKey.name,
      },
    );
  }

  /** Values of these columns in the rows that the statement has left, or in those that it found. */
  private keys(table: TableDescriptor, offsets: readonly number[], side: 'now' | 'before') {
    const name = `${table.id}/${side}/${offsets.join()}`;
    let keys = this.keySets.get(name);
    if (keys === undefined) {
      keys = new Set();
      const writer = this.writes.existingWriter(table.id);
      const rows =
        side === 'now'
          ? [...(writer?.rowsNow() ?? [])].map(({ row }) => row)
          : (writer?.changes ?? []).flatMap(({ before }) => (before === undefined ? [] : [before]));
      for (const row of rows) keys.add(valuesKey(offsets.map((offset) => row[offset] ?? null)));
      this.keySets.set(name, keys);
    }
    return keys;
  }

  /** Each reference once, many at a time. Throws 23503. */
  private async refuseDemands(): Promise<void> {
    const open = new Map<string, Demand>();
    for (const demand of this.demands) {
      if (!demand.writer.isCurrent(demand.row)) continue;
      const { foreignKey, writer, row } = demand;
      const offsets = foreignKey.columns.map((number) => columnOffset(writer.store.table, number));
      const values = offsets.map((offset) => row[offset] ?? null);
      open.set(`${foreignKey.oid}/${valuesKey(values)}`, demand);
    }
    const demands = [...open.values()];
    for (let at = 0; at < demands.length; at += batchRows) {
      this.statement.pace.check();
      const part = demands.slice(at, at + batchRows);
      const errors = await Promise.all(part.map((demand) => this.unmet(demand)));
      const first = errors.find((error) => error !== undefined);
      if (first !== undefined) throw first;
      if (this.statement.pace.due()) await this.statement.pace.rest();
    }
  }

  private async unmet({ writer, foreignKey, row }: Demand): Promise<SqlError | undefined> {
    const { store } = writer;
    const { table } = store;
    const offsets = foreignKey.columns.map((number) => columnOffset(table, number));
    const values = offsets.map((offset) => row[offset] ?? null);
    const nulls = values.filter((value) => value === null).length;
    if (nulls > 0) {
      if (!foreignKey.matchFull || nulls === values.length) return undefined;
      const detail = 'MATCH FULL does not allow mixing of null and nonnull key values.';
      return this.missing(store, foreignKey, detail);
    }
    const target = this.snapshot.table(foreignKey.target);
    if (target === undefined) throw new RangeError('a foreign key refers to a table');
    const there = foreignKey.targetColumns.map((number) => columnOffset(target, number));
    const wanted = valuesKey(values);
    if (this.keys(target, there, 'now').has(wanted)) return undefined;
    const { transaction, evaluation } = this.statement;
    if (
      !this.keys(target, there, 'before').has(wanted) &&
      (await findTarget(transaction, target, foreignKey, values))
    )
      return undefined;
    return this.missing(
      store,
      foreignKey,
      `Key ${keyText(store, offsets, row, evaluation)} is not present in table "${target.name}".`,
    );
  }

  private missing(store: TableStore, foreignKey: ForeignKeyDescriptor, detail: string): SqlError {
    const { table } = store;
    return new SqlError(
      '23503',
      `insert or update on table "${table.name}" violates foreign key constraint "${foreignKey.name}"`,
      { detail, schema: table.schema, table: table.name, constraint: foreignKey.name },
    );
  }
}

function differs(before: Row, after: Row, offsets: readonly number[]): boolean {
  return offsets.some((offset) => before[offset] !== after[offset]);
}

function defaultOf(table: TableDescriptor, offset: number): Datum {
  const column = table.columns[offset];
  if (column?.default?.kind !== 'constant' || column.default.text === null) return null;
  return parseText(column.type, column.default.text, storedText);
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
    if (!index.unique || index.predicate !== undefined) return false;
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
