/** Who is alive, by what is seen of them and nothing else. */
import { expect, it } from 'vitest';
import { Sightings } from './sightings.ts';

const limits = { reportEveryMs: 5, deadAfterMs: 100 };

it('believes a row that was written just now, and waits for the others', () => {
  const sightings = new Sightings(limits);
  const health = (storeId: number, version: number, ageMs: number, nowMs: number): string =>
    sightings.look(storeId, { version, ageMs, everyMs: 0 }, nowMs).health;
  expect(health(1, 7, 3, 0)).toBe('live');
  expect(health(2, 7, 1000, 0)).toBe('suspect');
  // A clock that is wrong the other way round proves nothing either.
  expect(health(3, 7, -1000, 0)).toBe('suspect');
  expect(health(2, 8, 1000, 5)).toBe('live');
});

it('calls a store dead after the whole time of silence, whatever wall clocks say', () => {
  const sightings = new Sightings(limits);
  const health = (version: number, nowMs: number): string =>
    sightings.look(1, { version, ageMs: 0, everyMs: 0 }, nowMs).health;
  expect([health(1, 0), health(1, 15), health(1, 16), health(1, 100)]).toEqual([
    ...['live', 'live', 'suspect', 'suspect'],
  ]);
  expect(health(1, 101)).toBe('dead');
  expect(health(2, 102)).toBe('live');
});

it('waits for a store that reports seldom as long as it takes, and not for ever', () => {
  const health = (sightings: Sightings, everyMs: number, nowMs: number): string =>
    sightings.look(1, { version: 1, ageMs: 0, everyMs }, nowMs).health;
  const seldom = new Sightings(limits);
  expect([0, 120, 121, 160, 161].map((nowMs) => health(seldom, 40, nowMs))).toEqual([
    ...['live', 'live', 'suspect', 'suspect', 'dead'],
  ]);
  const never = new Sightings(limits);
  for (let nowMs = 0; nowMs <= 240_000; nowMs += 10_000) health(never, 1e12, nowMs);
  expect(health(never, 1e12, 240_001)).toBe('dead');
  // Settings that contradict each other: it is never dead before it is suspect.
  const hasty = new Sightings({ reportEveryMs: 50, deadAfterMs: 100 });
  expect([0, 150, 151, 200, 201].map((nowMs) => health(hasty, 0, nowMs))).toEqual([
    ...['live', 'live', 'suspect', 'suspect', 'dead'],
  ]);
});

it('counts no silence in which it did not look itself', () => {
  const sightings = new Sightings({ reportEveryMs: 5000, deadAfterMs: 300_000 });
  const look = (storeId: number, version: number, nowMs: number) =>
    sightings.look(storeId, { version, ageMs: 0, everyMs: 0 }, nowMs);
  for (const storeId of [1, 2]) look(storeId, 1, 0);
  // All processes stood still, as virtual machines do. The first of them writes its row already.
  expect(look(1, 2, 600_000).health).toBe('live');
  expect(look(2, 1, 600_000)).toEqual({ health: 'suspect', silentMs: 15_000 });
  for (let nowMs = 610_000; nowMs <= 880_000; nowMs += 10_000)
    expect(look(2, 1, nowMs).health).toBe('suspect');
  look(2, 1, 885_000);
  expect(look(2, 1, 885_001).health).toBe('dead');
  expect(look(2, 2, 886_000)).toEqual({ health: 'live', silentMs: 0 });
});
