/**
 * What the loads of a process share: it gives each transaction its claims, and deletes what transactions have written that
 * never committed, of its own at once and of any process that died when it finds their rows. A transaction is taken for dead
 * when the lock of its row was free twice; its commit then fails, since the row is not what it was.
 */
import {
  type Clock,
  DbError,
  type Logger,
  type Prng,
  type Span,
  type Timer,
  toHex,
} from '@flotilla/base';
import type { Catalog } from '../catalog/catalog.ts';
import { type KvDatabase, lockedByOther } from '../kv-transaction.ts';
import { loadSweep, pourBytes } from '../limits.ts';
import { decodeLoading, encodeLoading, isInUse, loadingKey, loadingSpan } from './loading-rows.ts';
import { StorageClaims } from './storage-claims.ts';

export interface LoadingOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  /** What a transaction may keep in memory of new storage. Unit: bytes. */
  readonly flushBytes: number;
}

export class Loading {
  private readonly options: LoadingOptions;
  private readonly work = new Set<Promise<void>>();
  /** Rows whose locks were free when they were looked at last, by key in hex. */
  private free: ReadonlySet<string> = new Set();
  private timer: Timer | undefined;
  private closed = false;

  constructor(options: LoadingOptions) {
    this.options = options;
  }

  /** What a statement keeps of what it adds to new storage. Unit: bytes, estimated. */
  get pourBytes(): number {
    return Math.min(pourBytes, this.options.flushBytes);
  }

  begin(): StorageClaims {
    const { database, flushBytes } = this.options;
    const reclaim = (spans: readonly Span[]): void => this.reclaimOwn(spans);
    return new StorageClaims({ database, flushBytes, reclaim });
  }

  /** Looks for what processes have left that died, now and then. */
  watch(): void {
    const { clock, prng } = this.options;
    if (this.closed) return;
    const pauseMs = loadSweep.everyMs * (0.75 + prng.nextFloat() / 2);
    this.timer = clock.setTimer(pauseMs, () => {
      void this.sweep().then(() => this.watch());
    });
  }

  /** Resolves when what it had begun is done. */
  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    await Promise.all(this.work);
  }

  /** Never throws. */
  async sweep(): Promise<void> {
    const { database, logger } = this.options;
    const free = new Set<string>();
    try {
      const reader = database.begin({ readOnly: true });
      for await (const pairs of reader.scan(loadingSpan))
        for (const { key, value } of pairs) {
          const { span, reclaimedAtMs } = decodeLoading(key, value);
          if (reclaimedAtMs !== undefined) await this.finish(span, reclaimedAtMs);
          else if (await this.isFree(key)) {
            if (this.free.has(toHex(key))) await this.reclaim(span, false);
            else free.add(toHex(key));
          }
          if (this.closed) return;
        }
      reader.rollback();
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      logger.warn({ code: error.code, error: error.message }, 'loads_not_swept');
    }
    this.free = free;
  }

  private reclaimOwn(spans: readonly Span[]): void {
    const { logger } = this.options;
    const work: Promise<void> = Promise.all(spans.map((span) => this.reclaim(span, true)))
      .then(() => {})
      .catch((error: unknown) => {
        // Whoever sweeps finds the row.
        logger.warn({ error: String(error) }, 'load_not_reclaimed');
      })
      .finally(() => this.work.delete(work));
    this.work.add(work);
  }

  private async isFree(key: Uint8Array): Promise<boolean> {
    const transaction = this.options.database.begin();
    try {
      const [value] = await transaction.getMany([key], { lock: 'exclusive', wait: 'skip' });
      return value !== lockedByOther;
    } finally {
      transaction.rollback();
    }
  }

  /**
   * Deletes what was written to the span. From the row's change on the transaction cannot commit; that it did not before is
   * what the catalog says after that.
   * @param ended the transaction is known to send nothing more. Throws DbError.
   */
  private async reclaim(span: Span, ended: boolean): Promise<void> {
    const { database, clock, logger } = this.options;
    if (!(await this.mark(span, clock.wallMs()))) return;
    if (await this.isUsed(span)) return;
    logger.info({ startKey: toHex(span.startKey) }, 'load_reclaimed');
    await database.discard(span);
    // A process that only stood still may write once more before it notices.
    if (ended) await this.forget(span);
  }

  /** @returns false: there is no row, and so nothing to reclaim */
  private async mark(span: Span, reclaimedAtMs: number): Promise<boolean> {
    const transaction = this.options.database.begin();
    try {
      const key = loadingKey(span);
      if ((await transaction.get(key, { lock: 'exclusive' })) === undefined) return false;
      transaction.put(key, encodeLoading({ span, reclaimedAtMs }));
      await transaction.commit();
      return true;
    } finally {
      transaction.rollback();
    }
  }

  private async finish(span: Span, reclaimedAtMs: number): Promise<void> {
    const { database, clock } = this.options;
    if (clock.wallMs() - reclaimedAtMs < loadSweep.lateMs || (await this.isUsed(span))) return;
    await database.discard(span);
    await this.forget(span);
  }

  /** Never so, but for an error of ours: then nothing is deleted. */
  private async isUsed(span: Span): Promise<boolean> {
    const { catalog, logger } = this.options;
    if (!isInUse(await catalog.loadNewest(), span)) return false;
    logger.error({ startKey: toHex(span.startKey) }, 'load_to_reclaim_is_in_use');
    return true;
  }

  private async forget(span: Span): Promise<void> {
    const transaction = this.options.database.begin();
    transaction.delete(loadingKey(span));
    await transaction.commit();
  }
}
