/** A process's view of a clock: after `kill` none of its timers and callbacks run any more. */
import type { Clock, Timer } from '@flotilla/base';

export class MortalClock implements Clock {
  private readonly clock: Clock;
  private alive = true;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get isAlive(): boolean {
    return this.alive;
  }

  kill(): void {
    this.alive = false;
  }

  nowMs(): number {
    return this.clock.nowMs();
  }

  wallMs(): number {
    return this.clock.wallMs();
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.clock.setTimer(delayMs, () => {
      if (this.alive) callback();
    });
  }

  afterTurn(callback: () => void): void {
    this.clock.afterTurn(() => {
      if (this.alive) callback();
    });
  }
}
