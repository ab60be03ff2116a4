/** What placement promises must be able to fail: hand-made pictures that break one promise each. */
import { expect, it } from 'vitest';
import { type FleetPicture, placementFault } from './placed.ts';

const draining = { draining: true, decommissioning: false };
const leaving = { draining: true, decommissioning: true };

function picture(
  of: Partial<FleetPicture> & { readonly labels?: readonly string[] },
): FleetPicture {
  const { labels = ['a', 'b', 'c', 'd'], ...rest } = of;
  return {
    places: labels.map((label, i) => ({ storeId: i + 1, label })),
    intents: new Map(),
    ranges: [{ rangeId: 7, stores: [1, 2, 3], leader: 1 }],
    replication: 3,
    ...rest,
  };
}

it('nothing is left on a store that is decommissioned, where others have room', () => {
  const intents = new Map([[2, leaving]]);
  expect(placementFault(picture({}))).toBeUndefined();
  expect(placementFault(picture({ intents }))).toBe('r7 is on s2, which is decommissioned');
  expect(placementFault(picture({ intents, labels: ['a', 'b', 'c'] }))).toBeUndefined();
});

it('a store that drains leads nothing that somebody else could', () => {
  expect(placementFault(picture({ intents: new Map([[1, draining]]) }))).toBe(
    'r7 is led by s1, which drains',
  );
  expect(placementFault(picture({ intents: new Map([[2, draining]]) }))).toBeUndefined();
  const intents = new Map([1, 2, 3].map((id) => [id, draining]));
  expect(placementFault(picture({ intents }))).toBeUndefined();
});

it('two replicas share a machine only where no other machine can take one', () => {
  const labels = ['a', 'b', 'a', 'c'];
  expect(placementFault(picture({ labels }))).toBe(
    'r7 is twice on a machine, on s1,2,3, and s4 is on another',
  );
  expect(placementFault(picture({ labels: ['a', 'b', 'a', 'b'] }))).toBeUndefined();
  expect(placementFault(picture({ labels, intents: new Map([[4, draining]]) }))).toBeUndefined();
});
