/**
 * Finishes what coordinators that died have left behind: asks the stores for it now and then while this process runs
 * transactions, never while it is idle. Whoever meets such an intent settles it at once; this is for those that nobody
 * meets, whose records would otherwise stay for ever.
 */
import { type Clock, DbError, type Logger, type Prng, type Timer } from '@flotilla/base';
import type { TransactionRouter } from '@flotilla/router';

export interface JanitorOptions {
  readonly router: Pick<TransactionRouter, 'finishAbandoned'>;
  readonly clock: Clock;
  /** For jitter: processes that were started together do not ask together. */
  readonly prng: Prng;
  readonly logger: Logger;
  /** Longest time between two rounds while there are transactions. Unit: ms. */
  readonly everyMs: number;
}

export class Janitor {
  private readonly options: JanitorOptions;
  private timer: Timer | undefined;
  private running = false;
  private closed = false;

  constructor(options: JanitorOptions) {
    this.options = options;
  }

  /** A transaction begins. */
  onTransaction(): void {
    if (this.timer !== undefined || this.running || this.closed) return;
    const { clock, prng, everyMs } = this.options;
    this.timer = clock.setTimer((0.5 + prng.nextFloat() / 2) * everyMs, () => {
      this.timer = undefined;
      void this.round();
    });
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private async round(): Promise<void> {
    const { router, logger } = this.options;
    this.running = true;
    try {
      const finished = await router.finishAbandoned();
      if (finished > 0) logger.info({ transactions: finished }, 'abandoned_transactions_finished');
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      // Somebody else's round, or the next one here, finds it again.
      logger.debug({ err: error }, 'abandoned_transactions_left');
    } finally {
      this.running = false;
    }
  }
}
