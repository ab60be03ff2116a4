/**
 * What every Clock must do: the machine's, the one that tests move by hand, a simulated host's. Cases, not tests: a test
 * file runs each on a clock of its own, whatever the test framework.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import type { Clock } from '../clock.ts';

/** A clock and the means to let its time go by. */
export interface ClockUnderTest {
  readonly clock: Clock;
  /** Resolves when at least `ms` of the clock's time have passed and what fell due has run. */
  pass(ms: number): Promise<void>;
}

export interface ClockCase {
  readonly title: string;
  run(subject: ClockUnderTest): Promise<void>;
}

/** How much earlier than asked a timer may come: timers are armed in whole milliseconds. Unit: ms. */
const roundingMs = 1;

export const clockCases: readonly ClockCase[] = [
  {
    title: 'monotonic time passes and never goes back',
    async run({ clock, pass }) {
      let last = clock.nowMs();
      const start = last;
      for (let i = 0; i < 20; i++) {
        await pass(1);
        const now = clock.nowMs();
        ok(now >= last, `${now} after ${last}`);
        last = now;
      }
      ok(last - start >= 20 - roundingMs);
    },
  },
  {
    title: 'wall time is whole milliseconds of our era and passes too',
    async run({ clock, pass }) {
      const before = clock.wallMs();
      ok(before > Date.UTC(2020, 0, 1), 'after 2020');
      ok(Number.isInteger(before));
      await pass(30);
      const passed = clock.wallMs() - before;
      ok(passed >= 25, `${passed} ms`);
    },
  },
  {
    title: 'a timer runs once, not before its time',
    async run({ clock, pass }) {
      const start = clock.nowMs();
      const ran: number[] = [];
      clock.setTimer(20, () => ran.push(clock.nowMs() - start));
      await pass(5);
      // A machine that is busy may be late by more than what was waited for, but never early.
      if (clock.nowMs() - start < 19) deepStrictEqual(ran, []);
      await pass(60);
      strictEqual(ran.length, 1);
      ok((ran[0] ?? 0) >= 20 - roundingMs, `after ${ran[0]} ms`);
    },
  },
  {
    title: 'a timer of no delay, or of less than a millisecond, takes one and does not run at once',
    async run({ clock, pass }) {
      let running = true;
      const ran: string[] = [];
      for (const delayMs of [0, 0.2])
        clock.setTimer(delayMs, () => ran.push(running ? 'at once' : 'later'));
      running = false;
      deepStrictEqual(ran, []);
      await pass(20);
      deepStrictEqual(ran, ['later', 'later']);
    },
  },
  {
    title: 'timers run in the order of their times',
    async run({ clock, pass }) {
      const ran: string[] = [];
      clock.setTimer(40, () => ran.push('late'));
      clock.setTimer(10, () => ran.push('early'));
      await pass(100);
      deepStrictEqual(ran, ['early', 'late']);
    },
  },
  {
    title: 'a cancelled timer does not run; cancelling twice, or late, is nothing',
    async run({ clock, pass }) {
      let ran = 0;
      const cancelled = clock.setTimer(10, () => ran++);
      const kept = clock.setTimer(10, () => ran++);
      cancelled.cancel();
      cancelled.cancel();
      await pass(60);
      strictEqual(ran, 1);
      kept.cancel();
    },
  },
  {
    title: 'a timer that another one cancels in time does not run',
    async run({ clock, pass }) {
      let ran = 0;
      const second = clock.setTimer(50, () => ran++);
      clock.setTimer(10, () => second.cancel());
      await pass(120);
      strictEqual(ran, 0);
    },
  },
  {
    title: 'timers may arm timers, from inside',
    async run({ clock, pass }) {
      let rounds = 0;
      const again = (): void => {
        if (++rounds < 5) clock.setTimer(1, again);
      };
      clock.setTimer(1, again);
      await pass(150);
      strictEqual(rounds, 5);
    },
  },
  {
    title:
      'the end of the turn comes after the code that asked for it, in the order of asking, once',
    async run({ clock, pass }) {
      const ran: number[] = [];
      clock.afterTurn(() => ran.push(1));
      clock.afterTurn(() => ran.push(2));
      deepStrictEqual(ran, []);
      await pass(20);
      deepStrictEqual(ran, [1, 2]);
      await pass(5);
      deepStrictEqual(ran, [1, 2]);
    },
  },
  {
    title: 'the end of a turn may ask for the end of the next one',
    async run({ clock, pass }) {
      const ran: string[] = [];
      clock.afterTurn(() => {
        ran.push('first');
        clock.afterTurn(() => ran.push('second'));
      });
      await pass(20);
      deepStrictEqual(ran, ['first', 'second']);
    },
  },
];
