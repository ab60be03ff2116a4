/**
 * The driver's sense of time: one timer for the earliest deadline of everything that has one. A timer that comes late
 * means that the loop was held up: heartbeats may be lying in the sockets, and they count before silence does (rule L7).
 */
import type { Timer } from '@flotilla/base';
import { type Deadlined, Deadlines } from './deadlines.ts';
import type { DriverShell } from './driver-options.ts';

export class Timekeeper<Item extends Deadlined> {
  private readonly shell: DriverShell;
  private readonly deadlines = new Deadlines<Item>();
  private timer: Timer | undefined;
  private timerAt = Number.POSITIVE_INFINITY;
  private due = false;

  constructor(shell: DriverShell) {
    this.shell = shell;
  }

  /** Takes note of `item.deadline`. */
  update(item: Item): void {
    this.deadlines.update(item);
  }

  /** What is due, if it is time to look; otherwise nothing. */
  takeDue(now: number): readonly Item[] {
    if (!this.due) return [];
    this.due = false;
    return this.deadlines.takeDue(now);
  }

  /** Makes sure that a turn comes at the next deadline. */
  arm(): void {
    const at = this.deadlines.next();
    if (at >= this.timerAt || at === Number.POSITIVE_INFINITY) return;
    const { clock, options } = this.shell;
    this.timer?.cancel();
    this.timerAt = at;
    this.timer = clock.setTimer(Math.max(0, at - clock.nowMs()), () => {
      const lateMs = clock.nowMs() - this.timerAt;
      this.timer = undefined;
      this.timerAt = Number.POSITIVE_INFINITY;
      if (lateMs <= options.timings.heartbeatIntervalMs / 2) this.ring();
      else clock.afterTurn(() => clock.afterTurn(() => this.ring()));
    });
  }

  stop(): void {
    this.timer?.cancel();
  }

  private ring(): void {
    this.due = true;
    this.shell.schedule();
  }
}
