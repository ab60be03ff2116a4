/** Long work leaves others their turns. */
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { decide, decideInSlices } from './decide.ts';
import { picture, range, store } from './placement.test-kit.ts';
import { forEachInTurns, itemsPerTurn, runInTurns } from './slices.ts';

/** Runs turns until the promise has settled. @returns how many it took */
async function turnsOf(clock: ManualClock, promise: Promise<unknown>): Promise<number> {
  let settled = false;
  void promise.finally(() => {
    settled = true;
  });
  for (let turns = 0; ; turns++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (settled) return turns;
    clock.runTurn();
  }
}

it('looks at every item once, a part of them per turn', async () => {
  const clock = new ManualClock();
  const items = Array.from({ length: 3 * itemsPerTurn }, (_, i) => i);
  const seen: number[] = [];
  expect(
    await turnsOf(
      clock,
      forEachInTurns(clock, items, (item) => seen.push(item)),
    ),
  ).toBe(2);
  expect(seen).toEqual(items);
});

it('decides about thousands of ranges in many turns, and the same', async () => {
  const clock = new ManualClock();
  const ranges = Array.from({ length: 4000 }, (_, i) =>
    range(
      i + 1,
      [0, 1, 2].map((k) => ((i + k) % 3) + 1),
    ),
  );
  const given = picture(
    [1, 2, 3, 4].map((id) => store(id)),
    ranges,
  );
  const inTurns = runInTurns(clock, decideInSlices(given));
  expect(await turnsOf(clock, inTurns)).toBeGreaterThan(4000 / 512);
  expect(await inTurns).toEqual(decide(given));
});
