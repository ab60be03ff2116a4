/**
 * Deletes what lies in dropped storage, behind everybody's back: whoever drops a table of any size waits for the change of the
 * catalog alone. The rows of `dropped-rows.ts` are the list of what is left to do. The process that made a change begins at
 * once; what it does not finish, because it died or could not reach the ranges, another one does, or it itself later. Whoever
 * works on a span holds its row's lock, so that others pass it by.
 */
import { type Clock, DbError, type Logger, type Prng, type Timer, toHex } from '@flotilla/base';
import type { Catalog } from '../catalog/catalog.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { type KvDatabase, lockedByOther } from '../kv-transaction.ts';
import { droppedCloseMs, droppedSweepMs } from '../limits.ts';
import { isInUse } from '../loading/loading-rows.ts';
import { type DroppedRow, decodeDropped, droppedKey, droppedSpan } from './dropped-rows.ts';

export interface DroppedStorageOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
}

export class DroppedStorage {
  private readonly options: DroppedStorageOptions;
  private readonly stop = new AbortController();
  private working: Promise<void> | undefined;
  /** Something was dropped since the list was read. */
  private again = false;
  private timer: Timer | undefined;
  private closed = false;

  constructor(options: DroppedStorageOptions) {
    this.options = options;
  }

  /** Something was dropped: it goes now, in the background. Never throws. */
  wake(): void {
    if (this.closed) return;
    this.again = true;
    this.working ??= this.work().finally(() => {
      this.working = undefined;
    });
  }

  /** Looks for what others have left, now and then. */
  watch(): void {
    const { clock, prng } = this.options;
    if (this.closed) return;
    this.timer = clock.setTimer(droppedSweepMs * (0.75 + prng.nextFloat() / 2), () => {
      this.wake();
      void this.working?.then(() => this.watch());
    });
  }

  /** Everything that is listed, for people: what was dropped first comes first. Throws DbError. */
  async list(): Promise<DroppedRow[]> {
    const reader = this.options.database.begin({ readOnly: true });
    const rows: DroppedRow[] = [];
    for await (const pairs of reader.scan(droppedSpan))
      for (const { key, value } of pairs) rows.push(decodeDropped(key, value));
    return rows.sort((a, b) => a.droppedAtMs - b.droppedAtMs);
  }

  /** Resolves when what it had begun is done, or could not be done soon: somebody else will. */
  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    const { working } = this;
    if (working === undefined) return;
    // A command that is under way may take as long as its range is without a leaseholder: nobody waits for that.
    await new Promise<void>((resolve, reject) => {
      const timer = this.options.clock.setTimer(droppedCloseMs, () => {
        this.stop.abort();
        resolve();
      });
      working.finally(() => timer.cancel()).then(resolve, reject);
    });
  }

  private async work(): Promise<void> {
    while (this.again && !this.stop.signal.aborted) {
      this.again = false;
      try {
        const rows = await this.list();
        if (rows.length === 0) continue;
        // Read after the rows: whatever dropped them is in it.
        const catalog = await this.options.catalog.loadNewest();
        for (const row of rows) if (!this.stop.signal.aborted) await this.clear(row, catalog);
      } catch (error) {
        this.note(error, {});
      }
    }
  }

  /** Never throws but what is a mistake of ours. */
  private async clear(row: DroppedRow, catalog: CatalogSnapshot): Promise<void> {
    const { database, logger } = this.options;
    const { span, name } = row;
    const facts = { name, startKey: toHex(span.startKey) };
    // Never so, but for an error of ours: then nothing is deleted.
    if (isInUse(catalog, span)) {
      logger.error(facts, 'dropped_storage_is_in_use');
      return;
    }
    const transaction = database.begin();
    try {
      const key = droppedKey(span);
      const [found] = await transaction.getMany([key], { lock: 'exclusive', wait: 'skip' });
      if (found === undefined || found === lockedByOther) return;
      await database.discard(span, this.stop.signal);
      transaction.delete(key);
      await transaction.commit();
      logger.info(facts, 'dropped_storage_cleared');
    } catch (error) {
      this.note(error, facts);
    } finally {
      transaction.rollback();
    }
  }

  /** The row stays, and so it is tried again. */
  private note(error: unknown, facts: Readonly<Record<string, unknown>>): void {
    if (!(error instanceof DbError)) throw error;
    const { code, message } = error;
    // It lost its lock, and another one was quicker: the row is gone, or will be.
    if (!this.stop.signal.aborted && code !== 'CONFLICT')
      this.options.logger.warn({ ...facts, code, error: message }, 'dropped_storage_not_cleared');
  }
}
