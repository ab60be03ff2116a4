/**
 * What a process does at the end of a turn of the event loop, in stages. Where one thing brings about the next (a command is
 * proposed, consensus looks at its group, a frame leaves) and each by itself waits for the end of the turn, a write lies for
 * as many turns, with whatever input comes meanwhile; and what leaves in one turn is several writes to the socket. Stages of
 * one turn follow each other at once. Holds callbacks and knows nothing of what they do.
 */
import type { Clock, Timer } from './clock.ts';

export class TurnEnd<Stage extends string> {
  private readonly clock: Clock;
  private readonly waiting: ReadonlyMap<Stage, (() => void)[]>;
  private readonly runAll = (): void => this.run();
  /** A run is to come, or going on: what is added meanwhile is seen by it. */
  private scheduled = false;

  /** @param stages in the order in which they run */
  constructor(clock: Clock, stages: readonly Stage[]) {
    this.clock = clock;
    this.waiting = new Map(stages.map((stage) => [stage, []]));
  }

  /**
   * The clock whose `afterTurn` is that stage. What a callback adds for a later stage runs at the end of the same turn;
   * what it adds for its own or an earlier one, at the end of the next, when input has been looked at in between.
   */
  clockOf(stage: Stage): Clock {
    const { clock } = this;
    return {
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs(),
      setTimer: (delayMs: number, callback: () => void): Timer => clock.setTimer(delayMs, callback),
      afterTurn: (callback) => {
        this.waiting.get(stage)?.push(callback);
        this.schedule();
      },
    };
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.clock.afterTurn(this.runAll);
  }

  private run(): void {
    try {
      // Only those that are there now. One that throws is a bug that must surface; the others are not lost with it.
      for (const callbacks of this.waiting.values())
        for (let due = callbacks.length; due > 0; due--) callbacks.shift()?.();
    } finally {
      this.scheduled = false;
      for (const callbacks of this.waiting.values()) if (callbacks.length > 0) this.schedule();
    }
  }
}
