/**
 * Ids for objects and for the places where they keep their rows. An id is given out once, whatever becomes of the
 * transaction that asked for it: what an abandoned change has left under its prefix is never taken for something else.
 */
import { DbError } from '@flotilla/base';
import type { KvDatabase } from '../kv-transaction.ts';
import { conflictRunsMax, idsPerBlock } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import {
  decodeCounter,
  encodeCounter,
  firstDescriptorId,
  lastDescriptorId,
  nextDescriptorIdKey,
} from './keys.ts';

export class CatalogIds {
  private readonly database: KvDatabase;
  private next = 0;
  private end = 0;
  private taking: Promise<void> | undefined;

  constructor(database: KvDatabase) {
    this.database = database;
  }

  /** Throws 54000, DbError. */
  async take(): Promise<number> {
    while (this.next >= this.end) {
      this.taking ??= this.takeBlock().finally(() => {
        this.taking = undefined;
      });
      await this.taking;
    }
    return this.next++;
  }

  private async takeBlock(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const transaction = this.database.begin();
      const stored = decodeCounter(await transaction.get(nextDescriptorIdKey));
      const first = Math.max(stored, firstDescriptorId);
      const end = first + idsPerBlock;
      if (end > lastDescriptorId) throw new SqlError('54000', 'no object ids are left');
      transaction.put(nextDescriptorIdKey, encodeCounter(end));
      try {
        await transaction.commit();
      } catch (error) {
        const conflict = error instanceof DbError && error.code === 'CONFLICT';
        if (!conflict || attempt >= conflictRunsMax) throw error;
        continue;
      }
      this.next = first;
      this.end = end;
      return;
    }
  }
}
