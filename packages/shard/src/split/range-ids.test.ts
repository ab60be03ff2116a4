/** Ids of new ranges, as they come from the range that counts them. */
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { RangeIds } from './range-ids.ts';

it('are given out once, though a grant is doubled and comes late', async () => {
  let asked = 0;
  const ids = new RangeIds({
    clock: new ManualClock(),
    ask: () => {
      asked++;
    },
  });
  const taken: (number | undefined)[] = [];
  const take = (): void => {
    void ids.take().then((id) => taken.push(id));
  };
  take();
  ids.onGrant(100, 2);
  take();
  await Promise.resolve();
  take();
  // None is left: a copy of the frame, which the network may deliver at any time, brings no new ones.
  ids.onGrant(100, 2);
  ids.onGrant(102, 2);
  await new Promise(setImmediate);
  expect(new Set(taken)).toEqual(new Set([100, 101, 102]));
  expect(asked).toBeGreaterThan(0);
  // Two stores ask at once, and the answers overtake each other.
  take();
  ids.onGrant(120, 2);
  for (let i = 0; i < 3; i++) take();
  ids.onGrant(110, 2);
  ids.onGrant(130, 2);
  await new Promise(setImmediate);
  expect(new Set(taken).size).toBe(7);
});
