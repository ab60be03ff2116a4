/**
 * A KvDatabase in memory: an ordered map with the versions of every key, snapshots, locks and conflict detection as the
 * contract states them, and a hook through which tests delay and fail operations. Every commit happens at one instant.
 */
import { type Clock, DbError, type Span, SystemClock } from '@flotilla/base';
import type { BeginOptions, KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { MemoryStore } from './memory-store.ts';
import { MemoryTransaction } from './memory-transaction.ts';

/** Pairs that a scan hands out at once. */
const defaultBatchPairs = 1_000;

export class MemoryKvDatabase extends MemoryStore implements KvDatabase {
  private readonly batchPairs: number;
  private transactions = 0;

  constructor(options: { readonly batchPairs?: number; readonly clock?: Clock } = {}) {
    super(options.clock ?? new SystemClock());
    this.batchPairs = options.batchPairs ?? defaultBatchPairs;
  }

  begin(options: BeginOptions = {}): KvTransaction {
    if (options.asOf !== undefined)
      throw new DbError('NOT_SUPPORTED', 'reads of the past are not supported yet');
    return new MemoryTransaction(this, ++this.transactions, this.batchPairs, options);
  }

  discard(span: Span): Promise<void> {
    const transaction = this.begin();
    transaction.deleteSpan(span);
    return transaction.commit();
  }
}
