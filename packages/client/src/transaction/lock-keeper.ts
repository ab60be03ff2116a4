/**
 * Keeps the locks and records of this process's transactions alive at the stores: one message per store and second for
 * all of them, which also says who waits for whom. Decides when a wait has become a deadlock. Knows nothing of reads,
 * writes or commits.
 */
import { type Clock, DbError, type Timer, toHex } from '@flotilla/base';
import type {
  LiveTransaction,
  TransactionContext,
  TransactionRouter,
  WaitNotice,
} from '@flotilla/router';
import { victimOf, type Waiter, WaitGraph } from './wait-graph.ts';

/** Locks that were not renewed for 4 s go. Unit: ms. */
const renewEveryMs = 1000;
/** The first renewal of a transaction that has come to a store: most are over by then. Unit: ms. */
const firstRenewalMs = 400;
/** A wait shorter than this is not looked at. Unit: ms. */
const patienceMs = 500;
/** The youngest of a cycle gives way; if it does not, whoever sees the cycle for so long. Unit: ms. */
const lastPatienceMs = 3000;
/** Locks of transactions that have ended are let go together. Unit: ms. */
const lingerMs = 2;

/** The wait of one request. */
export interface Wait {
  /** @returns the error that ends the wait */
  onNotice(notice: WaitNotice): Error | undefined;
  end(): void;
}

export class LockKeeper {
  private readonly router: TransactionRouter;
  private readonly clock: Clock;
  private readonly graph = new WaitGraph();
  private readonly live = new Map<string, TransactionContext>();
  private readonly releases = new Map<number, Uint8Array[]>();
  private renewal: Timer | undefined;
  private linger: Timer | undefined;
  private closed = false;

  constructor(router: TransactionRouter, clock: Clock) {
    this.router = router;
    this.clock = clock;
  }

  /** The transaction is about to lock, or to promise. Idempotent. */
  enter(context: TransactionContext): void {
    this.live.set(toHex(context.id), context);
    this.renewal ??= this.clock.setTimer(firstRenewalMs, () => this.renew());
  }

  /** The transaction has ended. @param locked it may hold locks, which are let go */
  leave(context: TransactionContext, locked: boolean): void {
    const id = toHex(context.id);
    if (!this.live.delete(id)) return;
    this.graph.clear(id);
    if (!locked || this.closed) return;
    for (const storeId of context.stores) {
      const ids = this.releases.get(storeId);
      if (ids === undefined) this.releases.set(storeId, [context.id]);
      else ids.push(context.id);
    }
    if (this.releases.size > 0)
      this.linger ??= this.clock.setTimer(lingerMs, () => this.releaseNow());
  }

  /** @param limitMs the longest wait for one lock; undefined = none */
  wait(context: TransactionContext, limitMs: number | undefined): Wait {
    const waiter: Waiter = { id: toHex(context.id), startedAt: context.startedAt };
    const { clock, graph } = this;
    let since: number | undefined;
    let key = '';
    let cycleSince: number | undefined;
    return {
      onNotice: (notice) => {
        const now = clock.nowMs();
        const noticeKey = toHex(notice.key);
        if (since === undefined || key !== noticeKey) since = now;
        key = noticeKey;
        graph.set(waiter, notice.holders, notice.edges);
        const waited = now - since;
        if (limitMs !== undefined && waited >= limitMs)
          return new DbError('LOCK_NOT_AVAILABLE', 'the lock was not free in time', {
            key: notice.key,
          });
        if (waited < patienceMs) return undefined;
        const cycle = graph.cycleThrough(waiter);
        if (cycle === undefined) {
          cycleSince = undefined;
          return undefined;
        }
        // What was told may be old: it must be so twice.
        if (cycleSince === undefined) {
          cycleSince = now;
          return undefined;
        }
        const mine = victimOf(cycle)?.id === waiter.id;
        if (!mine && now - cycleSince < lastPatienceMs) return undefined;
        return new DbError('DEADLOCK', 'transactions wait for each other', { key: notice.key });
      },
      end: () => graph.clear(waiter.id),
    };
  }

  close(): void {
    this.releaseNow();
    this.closed = true;
    this.renewal?.cancel();
    this.renewal = undefined;
  }

  private renew(): void {
    this.renewal = undefined;
    if (this.closed || this.live.size === 0) return;
    const byStore = new Map<number, LiveTransaction[]>();
    for (const [name, { id, startedAt, stores }] of this.live) {
      const edges = this.graph.edgesOf(name);
      for (const storeId of stores) {
        const live = byStore.get(storeId) ?? [];
        live.push({ id, startedAt, edges });
        byStore.set(storeId, live);
      }
    }
    for (const [storeId, live] of byStore) void this.router.keepLocks(storeId, live);
    this.renewal = this.clock.setTimer(renewEveryMs, () => this.renew());
  }

  private releaseNow(): void {
    this.linger?.cancel();
    this.linger = undefined;
    if (this.closed) return;
    for (const [storeId, ids] of this.releases) this.router.releaseLocks(storeId, ids);
    this.releases.clear();
  }
}
