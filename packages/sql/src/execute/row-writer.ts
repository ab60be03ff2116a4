/**
 * The way of every row into a table: generated columns, NOT NULL and CHECK, the row's key, its entries in indexes, and a note
 * of what foreign keys must look at. One for each table that a statement writes to. Rows of a table without secondary
 * indexes go to the write set at once; what may move between keys is settled by `finish`, when all of it is known. Entries
 * of a unique index whose constraint is deferred are noted to be made when that is checked.
 */
import { compareBytes, toHex } from '@flotilla/base';
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import type { IndexEntry } from '../storage/index-store.ts';
import type { TableStore } from '../storage/table-store.ts';
import { checkNotNull, checkViolation, duplicateEntry, duplicateKey } from './constraint-errors.ts';
import type { Row } from './evaluate.ts';
import type { Run } from './run.ts';
import { type IndexRules, rowKeyOf, rulesOf, type TableRules } from './table-rules.ts';
import type { WriteSet } from './write-set.ts';

/** A row that came, went or changed, for foreign keys. */
export interface RowChange {
  readonly before: Row | undefined;
  readonly after: Row | undefined;
  /** Its keys then. */
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
}

/** Keys of one key space that a statement takes and leaves. */
class KeyMoves {
  private readonly taken = new Map<
    string,
    { readonly key: Uint8Array; readonly value: Uint8Array; readonly mustBeAbsent: boolean }
  >();
  private readonly left = new Map<string, Uint8Array>();

  /** False: taken already. */
  take(key: Uint8Array, value: Uint8Array, mustBeAbsent: boolean): boolean {
    const hex = toHex(key);
    if (this.taken.has(hex)) return false;
    this.taken.set(hex, { key, value, mustBeAbsent });
    return true;
  }

  /** @param own who leaves it has come in this statement: what it took is not taken, and nobody was there before */
  leave(key: Uint8Array, own: boolean): void {
    const hex = toHex(key);
    if (!own || !this.taken.delete(hex)) this.left.set(hex, key);
  }

  /** A key that is left and taken is free: whoever left it has read it, and that is checked at commit. */
  settle(writes: WriteSet): void {
    for (const [hex, { key, value, mustBeAbsent }] of this.taken) {
      if (this.left.delete(hex) || !mustBeAbsent) writes.put(key, value);
      else writes.insert(key, value);
    }
    for (const key of this.left.values()) writes.delete(key);
    this.taken.clear();
    this.left.clear();
  }
}

/** What becomes of the entries of one index. */
interface Entries {
  readonly index: IndexRules;
  readonly moves: KeyMoves;
  /** Those that have to be unique are noted. */
  readonly isDeferred: boolean;
}

export class RowWriter {
  readonly store: TableStore;
  /** Kept only where foreign keys ask for it. */
  readonly changes: RowChange[] = [];
  private readonly rules: TableRules;
  private readonly writes: WriteSet;
  private readonly context: EvalContext;
  private readonly notes: boolean;
  private rows: KeyMoves | undefined;
  /** Rows by key as they are now, undefined = gone. Kept as `changes` are. */
  private readonly now = new Map<
    string,
    { readonly key: Uint8Array; readonly row: Row | undefined }
  >();
  private readonly current = new Set<Row>();
  private readonly entries: readonly Entries[];

  /** @param notes whether foreign keys go from or to the table */
  constructor(store: TableStore, writes: WriteSet, run: Run, notes: boolean) {
    this.store = store;
    this.writes = writes;
    this.context = run.evaluation.root;
    this.notes = notes;
    this.rules = rulesOf(store.table);
    this.entries = this.rules.indexes.map((index) => ({
      index,
      moves: new KeyMoves(),
      isDeferred: run.deferral?.isIndexDeferred(index.store.index) === true,
    }));
  }

  /** Fills in generated columns, then judges the row. Throws 23502, 23514. */
  complete(row: Datum[]): void {
    const { rules, context, store } = this;
    for (const { offset, evaluate } of rules.generated) row[offset] = evaluate(row, context);
    checkNotNull(store, row, context);
    for (const check of rules.checks)
      if (check.evaluate(row, context) === false) throw checkViolation(store, check, row, context);
  }

  /** @param row complete. Throws 23505, 53200. */
  insert(row: Row): void {
    const { store, writes } = this;
    const key =
      store.keyColumns.length > 0 ? store.rowKey(row) : store.hiddenKey(writes.rowIds.next());
    this.note(undefined, undefined, key, row);
    if (this.rows === undefined) writes.insert(key, store.codec.encode(row));
    else this.takeRow(key, row);
    this.addEntries(key, row);
  }

  /** @param row complete. @param moves whether the key may change. Throws 23505, 53200. */
  update(key: Uint8Array, before: Row, row: Row, moves: boolean): void {
    const { store, writes } = this;
    const newKey = moves && store.keyColumns.length > 0 ? store.rowKey(row) : key;
    const own = this.current.has(before);
    this.note(key, before, newKey, row);
    if (!moves) writes.put(key, store.codec.encode(row));
    else {
      this.rows ??= new KeyMoves();
      this.rows.leave(key, own);
      this.takeRow(newKey, row);
    }
    this.moveEntries({ key, row: before, own }, { key: newKey, row });
  }

  /** Throws 53200. */
  delete(key: Uint8Array, before: Row): void {
    const own = this.current.has(before);
    this.note(key, before, undefined, undefined);
    if (this.rows === undefined) this.writes.delete(key);
    else this.rows.leave(key, own);
    const rowKey = rowKeyOf(this.store, key);
    for (const entries of this.entries) {
      const entry = entries.index.entry(before, rowKey, this.context);
      if (entry !== undefined) this.leave(entries, entry, own);
    }
  }

  /** Whether the statement has written to this key. */
  isTouched(key: Uint8Array): boolean {
    return this.now.has(toHex(key));
  }

  /** The rows that the statement has left so far. */
  *rowsNow(): Iterable<{ readonly key: Uint8Array; readonly row: Row }> {
    for (const { key, row } of [...this.now.values()]) if (row !== undefined) yield { key, row };
  }

  /** Whether a row is still as the statement once made it. */
  isCurrent(row: Row): boolean {
    return this.current.has(row);
  }

  /** Hands what was held back to the write set. */
  finish(): void {
    this.rows?.settle(this.writes);
    for (const { moves } of this.entries) moves.settle(this.writes);
  }

  private note(
    oldKey: Uint8Array | undefined,
    before: Row | undefined,
    newKey: Uint8Array | undefined,
    after: Row | undefined,
  ): void {
    if (!this.notes) return;
    this.writes.memory.add(256);
    this.changes.push({ before, after, from: oldKey, to: newKey });
    if (before !== undefined) this.current.delete(before);
    if (after !== undefined) this.current.add(after);
    if (oldKey !== undefined) this.now.set(toHex(oldKey), { key: oldKey, row: undefined });
    if (newKey !== undefined) this.now.set(toHex(newKey), { key: newKey, row: after });
  }

  private takeRow(key: Uint8Array, row: Row): void {
    const value = this.store.codec.encode(row);
    this.writes.memory.add(key.length + value.length + 64);
    if (this.rows?.take(key, value, true) === false)
      throw duplicateKey(this.store, key, this.context);
  }

  private addEntries(key: Uint8Array, row: Row): void {
    const rowKey = rowKeyOf(this.store, key);
    for (const entries of this.entries) {
      const entry = entries.index.entry(row, rowKey, this.context);
      if (entry !== undefined) this.take(entries, entry, row);
    }
  }

  private moveEntries(
    before: { readonly key: Uint8Array; readonly row: Row; readonly own: boolean },
    { key, row }: { readonly key: Uint8Array; readonly row: Row },
  ): void {
    if (this.entries.length === 0) return;
    const [oldRowKey, newRowKey] = [rowKeyOf(this.store, before.key), rowKeyOf(this.store, key)];
    for (const entries of this.entries) {
      const { index } = entries;
      const old = index.entry(before.row, oldRowKey, this.context);
      const fresh = index.entry(row, newRowKey, this.context);
      if (
        old !== undefined &&
        fresh !== undefined &&
        compareBytes(old.key, fresh.key) === 0 &&
        compareBytes(old.value, fresh.value) === 0
      )
        continue;
      if (old !== undefined) this.leave(entries, old, before.own);
      if (fresh !== undefined) this.take(entries, fresh, row);
    }
  }

  /** Throws 23505, 53200. */
  private take({ index, moves, isDeferred }: Entries, entry: IndexEntry, row: Row): void {
    this.writes.memory.add(entry.key.length + entry.value.length + 64);
    if (isDeferred && entry.unique) this.putOff('come', index, entry);
    else if (!moves.take(entry.key, entry.value, entry.unique)) throw this.duplicate(index, row);
  }

  private leave({ index, moves, isDeferred }: Entries, entry: IndexEntry, own: boolean): void {
    if (isDeferred && entry.unique) this.putOff('gone', index, entry);
    else moves.leave(entry.key, own);
  }

  private putOff(kind: 'come' | 'gone', { store }: IndexRules, entry: IndexEntry): void {
    const { table } = this.store;
    const { constraintOid: constraint, deferrable, number: index } = store.index;
    if (deferrable === undefined) throw new RangeError('a deferred constraint is deferrable');
    const { id, storageId } = table;
    const { key, value: row } = entry;
    this.writes.putOff({ kind, constraint, deferrable, table: id, storageId, index, key, row });
  }

  private duplicate(index: IndexRules, row: Row) {
    const values = index.valuesOf(row, this.context);
    return duplicateEntry(this.store, index.store.index, values, this.context);
  }
}
