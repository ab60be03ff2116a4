import { ManualClock } from '@flotilla/base/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TimedSet } from './timed-set.ts';

it('wakes every entry once, not early, at most a scan late, and only if it is still there', () => {
  const entries = fc.array(
    fc.record({ at: fc.nat(500), change: fc.option(fc.nat(500)), removed: fc.boolean() }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(entries, (plan) => {
      const clock = new ManualClock();
      const woken = new Map<number, number>();
      const set = new TimedSet<{ id: number; wakeAtMs: number; timedAt: number }>(
        clock,
        ({ id }) => {
          expect(woken.has(id)).toBe(false);
          woken.set(id, clock.nowMs());
        },
      );
      plan.forEach(({ at, change, removed }, id) => {
        const entry = { id, wakeAtMs: 0, timedAt: -1 };
        set.set(entry, at);
        if (change !== null) set.set(entry, change);
        if (removed) set.remove(entry);
      });
      clock.advance(600);
      plan.forEach(({ at, change, removed }, id) => {
        const due = change ?? at;
        if (removed) expect(woken.has(id)).toBe(false);
        else {
          expect(woken.get(id)).toBeGreaterThanOrEqual(due);
          expect(woken.get(id)).toBeLessThanOrEqual(due + 2);
        }
      });
      expect(set.size).toBe(0);
      expect(clock.nextTimerAt()).toBeUndefined();
    }),
  );
});

it('runs one timer, however many entries', () => {
  const clock = new ManualClock();
  let timers = 0;
  const counting = Object.assign(Object.create(clock), {
    setTimer: (ms: number, callback: () => void) => {
      timers++;
      return clock.setTimer(ms, callback);
    },
  });
  const set = new TimedSet(counting, () => {});
  for (let i = 0; i < 1000; i++) set.set({ wakeAtMs: 0, timedAt: -1 }, 300 + i);
  expect(timers).toBe(1);
});
