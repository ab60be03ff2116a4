/**
 * Where the transactions of a process come from: one coordinator for all of them, which keeps their locks alive and
 * finishes their commits in the background. `close` waits for what is under way, but not for long.
 */
import { type Clock, type Logger, type Prng, type Span, silentLogger } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import type { BeginOptions, KvDatabase, KvTransaction } from '@flotilla/sql';
import { deleteInChunks } from './delete-spans.ts';
import { LockKeeper } from './lock-keeper.ts';
import { RangeTransaction } from './range-transaction.ts';
import { ResolutionQueue } from './resolution-queue.ts';
import { SnapshotKeeper } from './snapshot-keeper.ts';

export interface TransactionDatabaseOptions {
  readonly router: Router;
  readonly clock: Clock;
  /** For ids of transactions. */
  readonly prng: Prng;
  readonly logger?: Logger;
  /** Deadline of a commit. Default: 10 s. Less than 30 s, which is what a recovery relies on. */
  readonly commitTimeoutMs?: number;
}

/** Unit: ms. */
const closeTimeoutMs = 2000;
const idBytes = 16;

export class TransactionDatabase implements KvDatabase {
  private readonly options: TransactionDatabaseOptions;
  private readonly keeper: LockKeeper;
  private readonly queue: ResolutionQueue;
  private readonly snapshots: SnapshotKeeper;

  constructor(options: TransactionDatabaseOptions) {
    const { router, clock, logger = silentLogger } = options;
    this.options = options;
    this.keeper = new LockKeeper(router.transactions, clock);
    this.queue = new ResolutionQueue(router.transactions, clock, logger);
    this.snapshots = new SnapshotKeeper({ router, clock, logger });
  }

  begin(options: BeginOptions = {}): KvTransaction {
    const { router, clock, commitTimeoutMs = 10_000 } = this.options;
    const { keeper, queue, snapshots } = this;
    return new RangeTransaction(
      {
        router: router.transactions,
        stores: router,
        clock,
        keeper,
        queue,
        snapshots,
        timeoutMs: commitTimeoutMs,
        id: this.newId(),
      },
      options,
    );
  }

  now(): number {
    return this.options.router.transactions.now();
  }

  get followerReadLagMs(): number {
    return this.options.router.transactions.followerReadLagMs;
  }

  discard(span: Span, signal?: AbortSignal): Promise<void> {
    return deleteInChunks(this.options.router, span, signal);
  }

  /** Resolves when no commit has anything left to do. */
  idle(): Promise<void> {
    return this.queue.idle();
  }

  async close(): Promise<void> {
    const { clock } = this.options;
    let cancel = (): void => {};
    const timeout = new Promise<void>((resolve) => {
      const timer = clock.setTimer(closeTimeoutMs, resolve);
      cancel = () => timer.cancel();
    });
    await Promise.race([this.queue.idle(), timeout]);
    cancel();
    this.keeper.close();
    this.snapshots.close();
  }

  private newId(): Uint8Array {
    const id = Buffer.allocUnsafe(idBytes);
    for (let at = 0; at < idBytes; at += 4) id.writeUInt32LE(this.options.prng.nextUint32(), at);
    return id;
  }
}
