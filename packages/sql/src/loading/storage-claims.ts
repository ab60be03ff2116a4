/**
 * The new storage of one transaction: of tables that it creates, truncates or writes anew, and of indexes that it builds.
 * Nobody else knows of it, so what the transaction writes there leaves memory when it has become much. Before that a row says
 * so, which the commit deletes: where there is no commit, whoever finds the row has the storage deleted. The transaction holds
 * the row's lock, by which others see that it lives.
 */
import { DbError, type Span, toHex } from '@flotilla/base';
import type { CatalogEditor } from '../catalog/editor.ts';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { storageSpan } from '../storage/table-store.ts';
import { decodeLoading, encodeLoading, isInUse, loadingKey } from './loading-rows.ts';

export interface StorageClaimsOptions {
  readonly database: KvDatabase;
  /** What a transaction may keep in memory of it. Unit: bytes. */
  readonly flushBytes: number;
  /** Deletes what was written to the spans, and their rows. Never throws. */
  readonly reclaim: (spans: readonly Span[]) => void;
}

export class StorageClaims {
  private readonly options: StorageClaimsOptions;
  private readonly spans: Span[] = [];
  /** Those with rows, by start key in hex; also those whose claim was rolled back. */
  private readonly noted = new Map<string, Span>();
  /** Of `noted`, those whose rows the commit deletes. */
  private kept: readonly Span[] = [];

  constructor(options: StorageClaimsOptions) {
    this.options = options;
  }

  claim(transaction: KvTransaction, span: Span): void {
    if (transaction.hasClaimed(span)) return;
    transaction.claim(span);
    this.spans.push(span);
  }

  /** Whether anything has left memory. */
  get hasFlushed(): boolean {
    return this.noted.size > 0;
  }

  /** What was written leaves memory if it is much. Throws DbError. */
  async relieve(transaction: KvTransaction, signal: AbortSignal | undefined): Promise<void> {
    if (transaction.claimedBytes >= this.options.flushBytes) await this.flush(transaction, signal);
  }

  /** All that was written leaves memory, if some has. Throws DbError: KEY_EXISTS where a key was written twice. */
  async finish(transaction: KvTransaction, signal: AbortSignal | undefined): Promise<void> {
    if (this.hasFlushed && transaction.claimedBytes > 0) await this.flush(transaction, signal);
  }

  /** All that was written leaves memory, little as it may be. Throws DbError as `finish`. */
  async flush(transaction: KvTransaction, signal: AbortSignal | undefined): Promise<void> {
    const live = this.spans.filter((span) => transaction.hasClaimed(span));
    await this.note(live);
    const lock = { lock: 'exclusive', beside: true } as const;
    const keys = live.map(loadingKey);
    const rows = await transaction.getMany(keys, signal === undefined ? lock : { ...lock, signal });
    // Whoever took the transaction for dead has been deleting what it wrote.
    const isTaken = (key: Uint8Array, i: number): boolean => {
      const row = rows[i];
      return row === undefined || decodeLoading(key, row).reclaimedAtMs !== undefined;
    };
    if (keys.some(isTaken))
      throw new DbError(
        'CONFLICT',
        'the transaction was taken for dead, and what it wrote deleted',
      );
    await transaction.flush(signal);
  }

  /** The transaction is about to commit the editor's changes. Throws DbError. */
  async settle(
    transaction: KvTransaction,
    editor: CatalogEditor,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (!this.hasFlushed) return;
    await this.flush(transaction, signal);
    const filledAt = this.options.database.now();
    const noted = [...this.noted.values()];
    const isNoted = ({ startKey }: Span): boolean => this.noted.has(toHex(startKey));
    for (const table of editor.snapshot.tables())
      if (isNoted(storageSpan(table.storageId))) editor.put({ ...table, filledAt });
    this.kept = noted.filter(
      (span) => transaction.hasClaimed(span) && isInUse(editor.snapshot, span),
    );
    for (const span of this.kept) transaction.delete(loadingKey(span));
  }

  /** The transaction has committed: what it wrote and does not use goes. */
  committed(): void {
    const kept = new Set(this.kept);
    this.giveUp([...this.noted.values()].filter((span) => !kept.has(span)));
  }

  /** The transaction has not committed, and will not. */
  rolledBack(): void {
    this.giveUp([...this.noted.values()]);
  }

  private giveUp(spans: readonly Span[]): void {
    this.noted.clear();
    if (spans.length > 0) this.options.reclaim(spans);
  }

  private async note(spans: readonly Span[]): Promise<void> {
    const fresh = spans.filter(({ startKey }) => !this.noted.has(toHex(startKey)));
    if (fresh.length === 0) return;
    const transaction = this.options.database.begin();
    for (const span of fresh) {
      transaction.put(loadingKey(span), encodeLoading({ span, reclaimedAtMs: undefined }));
      // Also where it is not known whether it was written.
      this.noted.set(toHex(span.startKey), span);
    }
    try {
      await transaction.commit();
    } catch (error) {
      if (!(error instanceof DbError) || error.outcome !== 'unknown') throw error;
      throw new DbError('UNAVAILABLE', 'it is not known whether a load was announced', {
        cause: error,
      });
    }
  }
}
