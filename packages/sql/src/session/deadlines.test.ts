/** statement_timeout: every statement has all of its time and no more, however statements follow each other. */
import { ManualClock } from '@flotilla/base/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { Deadlines } from './deadlines.ts';

let clock: ManualClock;
let settings: { statementTimeoutMs: number };
let ended: number;
let deadlines: Deadlines;

beforeEach(() => {
  clock = new ManualClock();
  settings = { statementTimeoutMs: 100 };
  ended = 0;
  const session = { settings, shared: { clock }, statementEnded: () => void ended++ };
  deadlines = new Deadlines(session, { begin: () => undefined, end: () => undefined });
});

const begin = (outer?: AbortSignal) => {
  const { signal, end } = deadlines.begin(outer, 'select 1');
  return { signal: signal as AbortSignal, end };
};

describe('statement_timeout', () => {
  it('is the time of each statement, not of all of them', () => {
    for (let i = 0; i < 10; i++) {
      const { signal, end } = begin();
      clock.advance(99);
      expect(signal.aborted).toBe(false);
      end();
    }
    const { signal } = begin();
    clock.advance(99);
    expect(signal.aborted).toBe(false);
    clock.advance(1);
    expect(signal.reason).toMatchObject({ code: '57014' });
  });

  it('does not stop a statement for the time of one before it', () => {
    const first = begin();
    clock.advance(60);
    first.end();
    const { signal } = begin();
    clock.advance(40); // the end of the first one's time
    expect(signal.aborted).toBe(false);
    clock.advance(59);
    expect(signal.aborted).toBe(false);
    clock.advance(1);
    expect(signal.aborted).toBe(true);
  });

  it('holds at once when it becomes shorter', () => {
    begin().end();
    settings.statementTimeoutMs = 10;
    const { signal } = begin();
    clock.advance(10);
    expect(signal.aborted).toBe(true);
  });

  it('is each one of those that run beside each other', () => {
    const outside = begin();
    clock.advance(50);
    const inside = begin();
    clock.advance(50);
    expect([outside.signal.aborted, inside.signal.aborted]).toEqual([true, false]);
    clock.advance(50);
    expect(inside.signal.aborted).toBe(true);
  });

  it('leaves alone whoever comes after a statement that says twice that it has ended', () => {
    const first = begin();
    first.end();
    const second = begin();
    first.end();
    const third = begin();
    expect(third.signal).not.toBe(second.signal);
    second.end();
    clock.advance(100);
    expect(third.signal.aborted).toBe(true);
    expect(ended).toBe(3);
  });

  it('is had anew after one that was stopped', () => {
    const first = begin();
    clock.advance(100);
    first.end();
    const { signal } = begin();
    expect(signal.aborted).toBe(false);
    clock.advance(100);
    expect(signal.aborted).toBe(true);
  });

  it('follows the signal of the caller, whichever it is', () => {
    const controllers = [new AbortController(), new AbortController()];
    for (const controller of controllers) {
      const { signal, end } = begin(controller.signal);
      expect(signal.aborted).toBe(false);
      controller.abort(new Error('enough'));
      expect(signal.reason).toMatchObject({ message: 'enough' });
      end();
    }
  });

  it('shares a signal among statements, but not for ever', () => {
    const signals = new Set<AbortSignal>();
    for (let i = 0; i < 1_000; i++) {
      const { signal, end } = begin();
      signals.add(signal);
      end();
    }
    expect(signals.size).toBe(4);
  });

  it('leaves no timer behind a session', () => {
    const before = begin();
    before.end();
    const running = begin();
    deadlines.close();
    running.end();
    expect(clock.nextTimerAt()).toBeUndefined();
  });

  it('is none where the setting says so', () => {
    settings.statementTimeoutMs = 0;
    const { signal } = new AbortController();
    expect(begin(signal).signal).toBe(signal);
    expect(clock.nextTimerAt()).toBeUndefined();
  });
});
