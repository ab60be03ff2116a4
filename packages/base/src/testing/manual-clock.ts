/** A clock that a test moves by hand. Timers run in order of their deadline, ties in order of arming. */
import { assert } from '../assert.ts';
import type { Clock, Timer } from '../clock.ts';

interface Armed {
  readonly at: number;
  readonly sequence: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  private now = 0;
  private wallOffset: number;
  private sequence = 0;
  private readonly armed = new Set<Armed>();
  private turn: (() => void)[] = [];

  constructor(wallMsAtStart: number = Date.UTC(2026, 0, 1)) {
    this.wallOffset = wallMsAtStart;
  }

  nowMs(): number {
    return this.now;
  }

  wallMs(): number {
    return Math.floor(this.wallOffset + this.now);
  }

  /** Steps the wall clock only, as an operator or NTP would. */
  stepWall(deltaMs: number): void {
    this.wallOffset += deltaMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const entry: Armed = {
      at: this.now + Math.max(1, delayMs),
      sequence: this.sequence++,
      callback,
    };
    this.armed.add(entry);
    return { cancel: () => void this.armed.delete(entry) };
  }

  afterTurn(callback: () => void): void {
    this.turn.push(callback);
  }

  /** Runs what was handed to `afterTurn`, including what those callbacks add, up to a bound. */
  runTurn(): void {
    for (let round = 0; this.turn.length > 0; round++) {
      assert(round < 10_000, 'turn callbacks come to rest');
      const due = this.turn;
      this.turn = [];
      for (const callback of due) callback();
    }
  }

  /** Deadline of the earliest armed timer, or undefined. */
  nextTimerAt(): number | undefined {
    let first: number | undefined;
    for (const entry of this.armed)
      first = first === undefined ? entry.at : Math.min(first, entry.at);
    return first;
  }

  /** Moves time on, running every timer that falls due on the way at its own deadline. */
  advance(deltaMs: number): void {
    assert(deltaMs >= 0, 'time does not go back', { deltaMs });
    const until = this.now + deltaMs;
    this.runTurn();
    for (;;) {
      let next: Armed | undefined;
      for (const entry of this.armed) {
        if (entry.at > until) continue;
        if (
          next === undefined ||
          entry.at < next.at ||
          (entry.at === next.at && entry.sequence < next.sequence)
        )
          next = entry;
      }
      if (next === undefined) break;
      this.armed.delete(next);
      this.now = Math.max(this.now, next.at);
      next.callback();
      this.runTurn();
    }
    this.now = until;
  }
}
