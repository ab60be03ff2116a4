/**
 * statement_timeout as a signal, for one statement after the other: to make a signal and to arm a timer costs several times
 * what a short statement does. The timer is armed once for many statements: when it fires, it looks how long the one that
 * runs has left. Used by Deadlines alone, which says when statements begin and end.
 */
import type { Clock, Timer } from '@flotilla/base';
import { SqlError } from '../sql-error.ts';

export class TimedSignal {
  /** The caller's, which this one follows. */
  readonly outer: AbortSignal | undefined;
  readonly signal: AbortSignal;
  /** Statements so far. */
  uses = 0;
  private readonly clock: Clock;
  private readonly controller = new AbortController();
  /** Of the statement that runs; undefined: none does. By `nowMs`, as `timerAt`. */
  private deadline: number | undefined = undefined;
  private timer: Timer | undefined = undefined;
  private timerAt = 0;

  constructor(clock: Clock, outer: AbortSignal | undefined) {
    const { signal } = this.controller;
    this.clock = clock;
    this.outer = outer;
    this.signal = outer === undefined ? signal : AbortSignal.any([outer, signal]);
  }

  /** A statement begins, which may take so long. */
  begin(ms: number): void {
    const now = this.clock.nowMs();
    this.uses++;
    this.deadline = now + ms;
    if (this.timer === undefined || this.timerAt > this.deadline) this.arm(now, ms);
  }

  /** It has ended. */
  end(): void {
    this.deadline = undefined;
  }

  /** No statement comes any more. */
  close(): void {
    this.deadline = undefined;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private arm(now: number, ms: number): void {
    this.timer?.cancel();
    this.timerAt = now + ms;
    this.timer = this.clock.setTimer(ms, () => this.look());
  }

  private look(): void {
    this.timer = undefined;
    if (this.deadline === undefined) return;
    const now = this.clock.nowMs();
    if (now < this.deadline) this.arm(now, this.deadline - now);
    else
      this.controller.abort(new SqlError('57014', 'canceling statement due to statement timeout'));
  }
}
