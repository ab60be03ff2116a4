/** Who is alive, by what is seen of them and nothing else. */
import { expect, it } from 'vitest';
import { Sightings } from './sightings.ts';

const limits = { suspectAfterMs: 15, deadAfterMs: 100 };

it('believes a row that was written just now, and waits for the others', () => {
  const sightings = new Sightings(limits);
  const health = (storeId: number, version: number, ageMs: number, nowMs: number): string =>
    sightings.look(storeId, { version, ageMs }, nowMs).health;
  expect(health(1, 7, 3, 0)).toBe('live');
  expect(health(2, 7, 1000, 0)).toBe('suspect');
  // A clock that is wrong the other way round proves nothing either.
  expect(health(3, 7, -1000, 0)).toBe('suspect');
  expect(health(2, 8, 1000, 5)).toBe('live');
});

it('calls a store dead after the whole time of silence, whatever wall clocks say', () => {
  const sightings = new Sightings(limits);
  const health = (version: number, nowMs: number): string =>
    sightings.look(1, { version, ageMs: 0 }, nowMs).health;
  expect([health(1, 0), health(1, 15), health(1, 16), health(1, 100)]).toEqual([
    ...['live', 'live', 'suspect', 'suspect'],
  ]);
  expect(health(1, 101)).toBe('dead');
  expect(health(2, 102)).toBe('live');
});
