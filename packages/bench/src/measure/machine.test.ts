import { expect, it } from 'vitest';
import { othersShare, processorTimes, processorTimesOf, stolenShare } from './machine.ts';

const before = processorTimesOf('cpu  1000 0 500 8000 100 0 50 350 0 0\ncpu0 1 2 3\n');
const after = processorTimesOf('cpu  1600 100 700 8300 200 0 50 650 0 0\n');

it('reads what processors did, and what was stolen of them', () => {
  expect(before).toEqual({ busySeconds: 15.5, idleSeconds: 81, stolenSeconds: 3.5 });
  // 9 s of computing, 3 s of waiting for the hypervisor.
  expect(stolenShare(before, after)).toBeCloseTo(0.25);
  expect(stolenShare(before, before)).toBe(0);
});

it('tells the time of others from our own', () => {
  // 16 s in all: 9 computed, 4 idle, 3 stolen; 5 of the 9 were ours.
  expect(othersShare(before, after, 5)).toBeCloseTo(0.25);
  expect(othersShare(before, after, 10)).toBe(0);
});

it('reads this machine, and refuses another kind', () => {
  expect(processorTimes().busySeconds).toBeGreaterThan(0);
  expect(() => processorTimesOf('intr 5')).toThrow(/begins with/);
  expect(() => processorTimesOf('cpu  1 2')).toThrow(/begins with/);
});
