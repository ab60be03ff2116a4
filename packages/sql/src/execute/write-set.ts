/**
 * What a statement writes, kept till all of it has been computed: every part of a statement, data-modifying queries in WITH
 * included, sees the table as it was before the statement.
 */
import { toHex } from '@flotilla/base';
import type { KvTransaction } from '../kv-transaction.ts';
import { statementWriteBytes } from '../limits.ts';
import { MemoryAccount } from './run.ts';

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
  private readonly writes: Write[] = [];

  constructor(rowIds: RowIds) {
    this.rowIds = rowIds;
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
      else if (kind === 'insert' && which(key) && !(deleted.size > 0 && deleted.has(toHex(key))))
        keys.push(key);
    }
    return keys;
  }

  /** Hands everything to the transaction, in order. Throws DbError KEY_EXISTS, TOO_LARGE. */
  apply(transaction: KvTransaction): void {
    for (const write of this.writes) {
      if (write.kind === 'insert') transaction.insert(write.key, write.value);
      else if (write.kind === 'put') transaction.put(write.key, write.value);
      else transaction.delete(write.key);
    }
  }
}
