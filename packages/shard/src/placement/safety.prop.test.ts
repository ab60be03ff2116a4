/** Clusters in which everything is wrong at once: nothing that is decided is unsafe, and all of it comes to an end. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { maybeGiven } from './board.ts';
import { decide } from './decide.ts';
import type { PlacementAction, RangePicture, StorePicture } from './picture.ts';
import { voterStores } from './picture.ts';
import { after, picture, range, store } from './placement.test-kit.ts';

const roundsMax = 300;

const storeSpec = fc.record({
  machine: fc.integer({ min: 1, max: 7 }),
  health: fc.constantFrom('live', 'live', 'live', 'live', 'suspect', 'dead'),
  going: fc.constantFrom('no', 'no', 'no', 'no', 'drains', 'leaves'),
  disk: fc.constantFrom(undefined, 'roomy', 'roomy', 'filling', 'full'),
} as const);

const rangeSpec = fc.record({
  order: fc.array(fc.nat(), { minLength: 9, maxLength: 9 }),
  voters: fc.integer({ min: 1, max: 6 }),
  learners: fc.constantFrom(0, 0, 0, 1, 2),
  wanted: fc.constantFrom(undefined, 1, 3, 5, 7),
  zone: fc.constantFrom(undefined, undefined, 'z0', 'z1', 'z2', 'z9'),
  bytes: fc.nat({ max: 1 << 28 }),
  unmeasured: fc.boolean(),
  requests: fc.nat({ max: 5000 }),
  asker: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
});

const world = fc
  .record({
    specs: fc.array(storeSpec, { minLength: 1, maxLength: 9 }),
    zones: fc.integer({ min: 1, max: 3 }),
    drawn: fc.array(rangeSpec, { minLength: 1, maxLength: 15 }),
  })
  .map(({ specs, zones, drawn }) => {
    const stores = specs.map(({ machine, health, going, disk }, i) =>
      store(i + 1, {
        ...{ machine: `m${machine}`, zone: `z${machine % zones}`, health },
        ...{ draining: going === 'drains', decommissioning: going === 'leaves' },
        ...(disk === undefined ? {} : { disk }),
      }),
    );
    const isLive = (id: number): boolean => stores[id - 1]?.health === 'live';
    const ranges = drawn.map(
      ({ order, voters, learners, wanted, zone, unmeasured, ...rest }, i) => {
        const shuffled = stores
          .map(({ storeId }) => storeId)
          .sort((a, b) => (order[a - 1] ?? 0) - (order[b - 1] ?? 0) || a - b);
        const count = Math.min(voters, shuffled.length);
        const members = shuffled.slice(0, count);
        const leader = members.find(isLive);
        const made = range(i + 1, members, {
          ...{ learners: shuffled.slice(count, count + learners), ...rest },
          ...(leader === undefined ? {} : { leader }),
          ...(wanted === undefined ? {} : { replicas: wanted }),
          ...(zone === undefined ? {} : { leasePreference: zone }),
        });
        return { ...made, unmeasured };
      },
    );
    return { stores, ranges };
  });

/** What no action may do, whatever it is good for. */
function expectSafe(
  stores: readonly StorePicture[],
  before: RangePicture,
  action: PlacementAction,
) {
  const at = (id: number): StorePicture | undefined => stores.find(({ storeId }) => storeId === id);
  const living = (ids: readonly number[]): number =>
    ids.filter((id) => at(id)?.health === 'live').length;
  const voters = voterStores(before.descriptor);
  const given = action.kind === 'change' ? action.add : [action.to];
  for (const id of given) {
    const place = at(id);
    expect(place !== undefined && maybeGiven(place), `s${id} may be given`).toBe(true);
    if (action.kind === 'change') expect(place?.disk).not.toBe('full');
  }
  if (action.kind === 'transfer') {
    expect(voters).toContain(action.to);
    return;
  }
  expect(2 * living(voters), 'its majority lives').toBeGreaterThan(voters.length);
  const now = voterStores(after(before, action).descriptor);
  expect(2 * living(now), 'the majority of what becomes of it lives').toBeGreaterThan(now.length);
  expect(now.length).toBeGreaterThanOrEqual(Math.min(voters.length, before.replicas ?? 3));
  // A living voter goes only for another one, or where there are more than wanted.
  if (living(now) < living(voters)) expect(voters.length).toBeGreaterThan(before.replicas ?? 3);
}

it('decides nothing unsafe, and comes to an end', () => {
  fc.assert(
    fc.property(world, ({ stores, ranges: from }) => {
      let ranges: readonly RangePicture[] = from;
      let rounds = 0;
      for (; rounds < roundsMax; rounds++) {
        const { actions } = decide(picture(stores, ranges));
        if (actions.length === 0) break;
        const byId = new Map(actions.map((action) => [action.rangeId, action]));
        expect(byId.size).toBe(actions.length);
        ranges = ranges.map((before) => {
          const action = byId.get(before.descriptor.rangeId);
          if (action === undefined) return before;
          expectSafe(stores, before, action);
          return after(before, action);
        });
      }
      expect(rounds).toBeLessThan(roundsMax);
    }),
    { numRuns: 400 },
  );
});
