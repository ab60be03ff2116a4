/**
 * How many long programs run at once: few, so that reads of single keys get their turns; the others wait in order, and not for
 * long, because a router takes silence for a lost message. Knows nothing of programs.
 */
import type { Clock, Timer } from '@flotilla/base';

export interface ProgramSlotsOptions {
  readonly runningMax: number;
  readonly waitingMax: number;
  /** Unit: ms. */
  readonly waitMs: number;
}

interface Waiter {
  readonly grant: (granted: boolean) => void;
  readonly timer: Timer;
}

export class ProgramSlots {
  private readonly clock: Clock;
  private readonly options: ProgramSlotsOptions;
  private readonly waiters = new Set<Waiter>();
  private running = 0;

  constructor(clock: Clock, options: ProgramSlotsOptions) {
    this.clock = clock;
    this.options = options;
  }

  /** @returns whether there is room now, or was before the wait was over; then `leave` must follow */
  enter(): Promise<boolean> {
    const { runningMax, waitingMax, waitMs } = this.options;
    if (this.running < runningMax) {
      this.running++;
      return Promise.resolve(true);
    }
    if (this.waiters.size >= waitingMax) return Promise.resolve(false);
    return new Promise((grant) => {
      const timer = this.clock.setTimer(waitMs, () => {
        this.waiters.delete(waiter);
        grant(false);
      });
      const waiter: Waiter = { grant, timer };
      this.waiters.add(waiter);
    });
  }

  leave(): void {
    const [next] = this.waiters;
    if (next === undefined) {
      this.running--;
      return;
    }
    // The place goes over to whoever has waited for longest.
    this.waiters.delete(next);
    next.timer.cancel();
    next.grant(true);
  }
}
