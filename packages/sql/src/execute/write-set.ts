/**
 * What a statement writes, kept till all of it has been computed: every part of a statement, data-modifying queries in WITH
 * included, sees the table as it was before the statement.
 */
import { toHex } from '@flotilla/base';
import type { Deferral } from '../deferred/deferral.ts';
import type { CheckNote } from '../deferred/pending-checks.ts';
import type { KvTransaction } from '../kv-transaction.ts';
import { statementWriteBytes } from '../limits.ts';
import type { TableStore } from '../storage/table-store.ts';
import { followForeignKeys, hasForeignKeys } from './foreign-keys.ts';
import { RowWriter } from './row-writer.ts';
import { MemoryAccount, type Run } from './run.ts';

type Write =
  | { readonly kind: 'put' | 'insert'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array };

/** Hands out ids for rows of tables without a primary key. */
export interface RowIds {
  next(): bigint;
}

export class WriteSet {
  readonly rowIds: RowIds;
  readonly memory: MemoryAccount = new MemoryAccount(statementWriteBytes);
  /** One for each table that is written to. */
  readonly writers: RowWriter[] = [];
  private writes: Write[] = [];
  private readonly lookedAt = new Set<string>();
  private notes: CheckNote[] = [];

  constructor(rowIds: RowIds) {
    this.rowIds = rowIds;
  }

  /** The way into a table, one for the statement. */
  writer(store: TableStore, run: Run): RowWriter {
    const existing = this.existingWriter(store.table.id);
    if (existing !== undefined) return existing;
    const snapshot = run.evaluation.catalog?.names.snapshot;
    const notes = snapshot !== undefined && hasForeignKeys(store.table, snapshot);
    const writer = new RowWriter(store, this, run, notes);
    this.writers.push(writer);
    return writer;
  }

  existingWriter(tableId: number): RowWriter | undefined {
    return this.writers.find((writer) => writer.store.table.id === tableId);
  }

  /** All rows have been computed: follows foreign keys and settles keys. Throws 23503 and what rows that follow throw. */
  async complete(run: Run): Promise<void> {
    await followForeignKeys(run, this);
    for (const writer of this.writers) writer.finish();
  }

  get stores(): TableStore[] {
    return this.writers.map((writer) => writer.store);
  }

  /** Something is to be checked later. Throws 53200. */
  putOff(note: CheckNote): void {
    this.memory.add(128);
    this.notes.push(note);
  }

  /** ON CONFLICT looks at this key: one that is there in spite of that came meanwhile. */
  noteLookedAt(key: Uint8Array): void {
    this.lookedAt.add(toHex(key));
  }

  wasLookedAt(key: Uint8Array): boolean {
    return this.lookedAt.has(toHex(key));
  }

  get size(): number {
    return this.writes.length;
  }

  /** The key must be absent at commit. Throws 53200. */
  insert(key: Uint8Array, value: Uint8Array): void {
    this.memory.add(key.length + value.length + 64);
    this.writes.push({ kind: 'insert', key, value });
  }

  /** Throws 53200. */
  put(key: Uint8Array, value: Uint8Array): void {
    this.memory.add(key.length + value.length + 64);
    this.writes.push({ kind: 'put', key, value });
  }

  /** Throws 53200. */
  delete(key: Uint8Array): void {
    this.memory.add(key.length + 64);
    this.writes.push({ kind: 'delete', key });
  }

  /** Keys among those of `which` that must have no row before this statement. */
  mustBeAbsent(which: (key: Uint8Array) => boolean): Uint8Array[] {
    const deleted = new Set<string>();
    const keys: Uint8Array[] = [];
    for (const { kind, key } of this.writes) {
      if (kind === 'delete') deleted.add(toHex(key));
      else if (
        kind === 'insert' &&
        !this.wasLookedAt(key) &&
        which(key) &&
        !(deleted.size > 0 && deleted.has(toHex(key)))
      )
        keys.push(key);
    }
    return keys;
  }

  /** Forgets what `apply` has handed on. */
  clear(): void {
    this.writes = [];
    this.notes = [];
    this.memory.releaseAll();
  }

  /**
   * Hands everything to the transaction, in order, and what is deferred to its checks. Throws DbError KEY_EXISTS, TOO_LARGE,
   * SqlError 53200.
   */
  apply(transaction: KvTransaction, deferral: Deferral | undefined): void {
    const { notes } = this;
    if (notes.length > 0 && deferral === undefined)
      throw new RangeError('what is put off belongs to a transaction');
    const isEntry = ({ kind }: CheckNote) => kind === 'come' || kind === 'gone';
    // Foreign keys first, as their checks come first in PostgreSQL.
    for (const note of notes) if (!isEntry(note)) deferral?.checks.note(note);
    for (const note of notes) if (isEntry(note)) deferral?.checks.note(note);
    for (const write of this.writes) {
      if (write.kind === 'insert') transaction.insert(write.key, write.value);
      else if (write.kind === 'put') transaction.put(write.key, write.value);
      else transaction.delete(write.key);
    }
  }
}
