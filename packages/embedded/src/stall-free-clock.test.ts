import { type Clock, SystemClock, type Timer } from '@flotilla/base';
import { clockCases } from '@flotilla/base/testing';
import { describe, expect, it } from 'vitest';
import { StallFreeClock } from './stall-free-clock.ts';

/** A machine whose time the test moves; timers fire only when the process gets a turn. */
class Machine implements Clock {
  now = 0;
  private timers: { readonly dueMs: number; readonly callback: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }

  wallMs(): number {
    return this.now;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { dueMs: this.now + delayMs, callback };
    this.timers.push(timer);
    return {
      cancel: () => {
        this.timers = this.timers.filter((each) => each !== timer);
      },
    };
  }

  afterTurn(callback: () => void): void {
    callback();
  }

  /** Time passes while the process runs. */
  run(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const [next] = this.timers
        .filter(({ dueMs }) => dueMs <= until)
        .sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.now = Math.max(this.now, next.dueMs);
      this.timers = this.timers.filter((each) => each !== next);
      next.callback();
    }
    this.now = until;
  }

  /** Time passes while it does not. */
  stall(ms: number): void {
    this.now += ms;
  }
}

describe('a clock that stands still with its process', () => {
  it('goes like the machine’s as long as the process runs, idle or not', () => {
    const machine = new Machine();
    const clock = new StallFreeClock(machine);
    machine.run(100_000);
    expect(clock.nowMs()).toBe(100_000);
    machine.stall(500);
    expect(clock.nowMs()).toBe(100_500);
    clock.close();
  });

  it('does not count a stall, whoever asks first afterwards', () => {
    const machine = new Machine();
    const clock = new StallFreeClock(machine);
    machine.run(1000);
    machine.stall(60_000);
    const after = clock.nowMs();
    expect(after).toBeLessThan(1400);
    machine.run(5000);
    expect(clock.nowMs()).toBe(after + 5000);
    machine.stall(60_000);
    machine.run(0); // the beat itself finds it
    expect(clock.nowMs()).toBeLessThan(after + 5400);
    clock.close();
  });

  it('never goes back, whenever in a stall somebody asks', () => {
    const machine = new Machine();
    const clock = new StallFreeClock(machine);
    machine.run(1000);
    let before = clock.nowMs();
    for (let asked = 0; asked < 50; asked++) {
      machine.stall(290);
      const now = clock.nowMs();
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
    const told = before;
    machine.run(5000);
    // Of the stall at most the first second was told as time.
    expect(clock.nowMs()).toBeGreaterThan(told + 3000);
    expect(clock.nowMs()).toBeLessThanOrEqual(told + 5000);
    clock.close();
  });

  it('fires timers when their time has passed, not while it stood still', () => {
    const machine = new Machine();
    const clock = new StallFreeClock(machine);
    const fired: string[] = [];
    clock.setTimer(10_000, () => fired.push('deadline'));
    const cancelled = clock.setTimer(10_000, () => fired.push('cancelled'));
    machine.run(1000);
    machine.stall(60_000);
    machine.run(8000);
    expect(fired).toEqual([]);
    cancelled.cancel();
    machine.run(1100);
    expect(fired).toEqual(['deadline']);
    clock.close();
  });

  it('goes on without a beat once it is closed', () => {
    const machine = new Machine();
    const clock = new StallFreeClock(machine);
    clock.close();
    machine.run(100_000);
    expect(clock.nowMs()).toBe(100_000);
  });
});

describe('over the machine’s clock', () => {
  it.each(clockCases)('$title', async ({ run }) => {
    const clock = new StallFreeClock(new SystemClock());
    await run({
      clock,
      async pass(ms) {
        const until = clock.nowMs() + ms;
        // What is due has run when timers that were armed after it have.
        do await new Promise((resolve) => setTimeout(resolve, ms));
        while (clock.nowMs() < until);
        await new Promise((resolve) => setImmediate(resolve));
      },
    });
    clock.close();
  });
});
