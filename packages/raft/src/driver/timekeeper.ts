/**
 * The driver's sense of time: one timer for the earliest deadline of everything that has one. A timer that comes late
 * means that the loop was held up: heartbeats may be lying in the sockets, and they count before silence does (rule L7).
 */
import type { Timer } from '@flotilla/base';
import { type Deadlined, Deadlines } from './deadlines.ts';
import type { DriverShell } from './driver-options.ts';

export class Timekeeper<Item extends Deadlined> {
  private readonly shell: DriverShell;
  private readonly onLate: (lateMs: number) => void;
  private readonly deadlines = new Deadlines<Item>();
  private timer: Timer | undefined;
  private timerAt = Number.POSITIVE_INFINITY;
  private due = false;

  /** @param onLate hears by how much a timer was late, when that was more than half a heartbeat */
  constructor(shell: DriverShell, onLate: (lateMs: number) => void) {
    this.shell = shell;
    this.onLate = onLate;
  }

  /** Takes note of `item.deadline`. */
  update(item: Item): void {
    this.deadlines.update(item);
  }

  /** What is due, if it is time to look, at most `itemsMax`; the rest is there for the next turn. */
  takeDue(now: number, itemsMax: number): readonly Item[] {
    if (!this.due) return [];
    const items = this.deadlines.takeDue(now, itemsMax);
    this.due = items.length === itemsMax;
    if (this.due) this.shell.schedule();
    return items;
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
      if (lateMs <= options.timings.heartbeatIntervalMs / 2) {
        this.ring();
        return;
      }
      this.onLate(lateMs);
      clock.afterTurn(() => clock.afterTurn(() => this.ring()));
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
