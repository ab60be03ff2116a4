/** What placement decides about ranges for which something has failed. */
import { type RangeId, toRangeId, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { decide } from './decide.ts';
import type { PlacementPicture, PlacementRule, Setback } from './picture.ts';
import { brief, picture, range, store } from './placement.test-kit.ts';

const three = [store(1), store(2), store(3)];

function decided(given: PlacementPicture): string[] {
  return decide(given).actions.map(brief);
}

/** Of the first range. */
function setback(
  rule: PlacementRule,
  misses: Readonly<Record<number, number>>,
  isAtRest: boolean,
): ReadonlyMap<RangeId, Setback> {
  const counts = Object.entries(misses).map(([id, n]) => [toStoreId(Number(id)), n] as const);
  return new Map([[toRangeId(1), { rule, isAtRest, misses: new Map(counts) }]]);
}

it('leaves a range alone whose last action failed', () => {
  const stores = [store(1), store(2), store(3, { health: 'dead' }), store(4)];
  const ranges = [range(1, [1, 2, 3]), range(2, [2, 1, 3])];
  const setbacks = setback('repair', {}, true);
  expect(decided(picture(stores, ranges, { setbacks }))).toEqual(['r2 +4 -3 repair']);
});

it('does not let a repair wait because something less urgent failed', () => {
  const stores = [store(1), store(2), store(3, { health: 'dead' }), store(4)];
  const ranges = [range(1, [1, 2, 3])];
  for (const rule of ['half-done', 'balance-count', 'lease-follows'] as const) {
    const setbacks = setback(rule, {}, true);
    expect(decided(picture(stores, ranges, { setbacks }))).toEqual(['r1 +4 -3 repair']);
  }
});

it('evens out nothing of a range whose last action failed', () => {
  const setbacks = setback('balance-load', {}, true);
  const stores = [...three, store(4, { disk: 'full' }), store(5)];
  const ranges = [range(1, [4, 2, 3], { bytes: 2 ** 20 }), range(2, [4, 2, 3])];
  expect(decided(picture(stores, ranges, { setbacks }))).toEqual(['r2 +1 -2 balance-count']);
});

it('goes to another store than the one that did not get it, and comes back to it', () => {
  const stores = [store(1, { decommissioning: true }), ...[2, 3, 4, 5].map((id) => store(id))];
  const after = (misses: Record<number, number>, learners: readonly number[] = []) => {
    const setbacks = setback('decommission', misses, false);
    return decided(picture(stores, [range(1, [2, 1, 3], { learners })], { setbacks }));
  };
  expect(after({})).toEqual(['r1 +4 -1 decommission']);
  expect(after({ 4: 1 })).toEqual(['r1 +5 -1 decommission']);
  expect(after({ 4: 1, 5: 1 })).toEqual(['r1 +4 -1 decommission']);
  expect(after({ 4: 2, 5: 1 })).toEqual(['r1 +5 -1 decommission']);
  // What was begun there is not begun again, unless nobody else is there.
  expect(after({ 4: 1 }, [4])).toEqual(['r1 -4 half-done']);
  expect(after({ 4: 1, 5: 1 }, [4])).toEqual(['r1 +4 -1 half-done']);
});

it('hands a lease over to another voter than the one that did not come to lead', () => {
  const zones = [store(1, { draining: true }), store(2, { zone: 'a' }), store(3, { zone: 'a' })];
  const draining = [range(1, [1, 2, 3], { leasePreference: 'a' })];
  const setbacks = setback('drain', { 2: 1 }, false);
  expect(decided(picture(zones, draining))).toEqual(['r1 lease 1>2 drain']);
  expect(decided(picture(zones, draining, { setbacks }))).toEqual(['r1 lease 1>3 drain']);
  const well = [store(1), ...zones.slice(1)];
  expect(decided(picture(well, draining))).toEqual(['r1 lease 1>2 lease-preference']);
  expect(decided(picture(well, draining, { setbacks }))).toEqual(['r1 lease 1>3 lease-preference']);
});
