/**
 * Transactions whose coordinators have spoken to this store lately: whose locks are kept, whose STAGING record is left
 * alone, and for whom they wait, as far as they said. One per store, in memory; losing it costs retries. One timer.
 */
import type { Clock, Timer } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { transactionIdBytes } from '../state/storage-keys.ts';
import { bytesOfName, nameOf } from '../state/transaction-rows.ts';

type WaitEdge = flotilla.kv.WaitEdge.$Properties;
type LockHolder = flotilla.kv.LockHolder.$Properties;
type LiveTransaction = flotilla.kv.LiveTransaction.$Properties;

export type LockMode = 'share' | 'exclusive';

/** Where a transaction may hold locks. */
export interface LockOwnerTable {
  releaseAll(transaction: string): void;
}

interface Live {
  readonly coordinator: string;
  readonly startedAt: number;
  heardMs: number;
  edges: readonly WaitEdge[];
  readonly tables: Set<LockOwnerTable>;
}

export interface LiveTransactionsOptions {
  readonly clock: Clock;
  /** Who is not heard of for longer loses its locks. */
  readonly ttlMs: number;
  /** Transactions that are renewed without holding a lock, and edges of each, that are remembered. */
  readonly transactionsMax: number;
  readonly edgesMax: number;
  readonly onFatal: (error: unknown) => void;
}

export class LiveTransactions {
  private readonly options: LiveTransactionsOptions;
  private readonly byName = new Map<string, Live>();
  private timer: Timer | undefined;

  constructor(options: LiveTransactionsOptions) {
    this.options = options;
  }

  /** It holds a lock in `table`, whose own bound is that of these. */
  enter(
    transaction: string,
    who: { readonly coordinator: string; readonly startedAt: number },
    table: LockOwnerTable,
  ): void {
    this.heard(transaction, who).tables.add(table);
  }

  /** A lock of one that is known is in `table` too. @returns whether it is known */
  join(transaction: string, table: LockOwnerTable): boolean {
    const live = this.byName.get(transaction);
    live?.tables.add(table);
    return live !== undefined;
  }

  leave(transaction: string, table: LockOwnerTable): void {
    this.byName.get(transaction)?.tables.delete(table);
  }

  /** @returns ids of those that hold nothing here */
  renew(coordinator: string, transactions: readonly LiveTransaction[]): Uint8Array[] {
    const unknown: Uint8Array[] = [];
    for (const { id, startedAt, edges } of transactions) {
      if (id?.length !== transactionIdBytes) continue;
      const transaction = nameOf(id);
      if (!this.byName.has(transaction) && this.byName.size >= this.options.transactionsMax) {
        unknown.push(Buffer.from(id));
        continue;
      }
      const live = this.heard(transaction, { coordinator, startedAt: startedAt ?? 0 });
      live.edges = (edges ?? []).slice(0, this.options.edgesMax);
      if (live.tables.size === 0) unknown.push(Buffer.from(id));
    }
    return unknown;
  }

  /** It is over, wherever it holds locks on this store. */
  end(transaction: string): void {
    const live = this.byName.get(transaction);
    if (live === undefined) return;
    this.byName.delete(transaction);
    for (const table of [...live.tables]) table.releaseAll(transaction);
  }

  isAlive(transaction: string): boolean {
    const live = this.byName.get(transaction);
    return live !== undefined && this.options.clock.nowMs() - live.heardMs <= this.options.ttlMs;
  }

  /** All of them. */
  names(): Iterable<string> {
    return this.byName.keys();
  }

  /** As a client is told of it. */
  describe(transaction: string): LockHolder {
    const live = this.byName.get(transaction);
    return {
      transactionId: bytesOfName(transaction),
      coordinator: live?.coordinator ?? '',
      startedAt: live?.startedAt ?? 0,
    };
  }

  edgesOf(transaction: string): readonly WaitEdge[] {
    return this.byName.get(transaction)?.edges ?? [];
  }

  stop(): void {
    this.timer?.cancel();
  }

  private heard(
    transaction: string,
    who: { readonly coordinator: string; readonly startedAt: number },
  ): Live {
    const { clock } = this.options;
    let live = this.byName.get(transaction);
    if (live === undefined) {
      live = { ...who, heardMs: 0, edges: [], tables: new Set() };
      this.byName.set(transaction, live);
      this.arm();
    }
    live.heardMs = clock.nowMs();
    return live;
  }

  private arm(): void {
    const { clock, ttlMs, onFatal } = this.options;
    this.timer ??= clock.setTimer(ttlMs / 5, () => {
      this.timer = undefined;
      try {
        const before = clock.nowMs() - ttlMs;
        for (const [transaction, live] of [...this.byName])
          if (live.heardMs < before) this.end(transaction);
      } catch (error) {
        onFatal(error);
        return;
      }
      if (this.byName.size > 0) this.arm();
    });
  }
}
