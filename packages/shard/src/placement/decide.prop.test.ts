/**
 * Placement over random clusters, with everything it decides carried out: it never harms a range, comes to an end, and
 * leaves what it promises.
 */
import { toStoreId } from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isVoter } from '../range-descriptor.ts';
import { decide } from './decide.ts';
import { pacesOf } from './paces.ts';
import {
  type PlacementAction,
  type PlacementPaces,
  type PlacementPicture,
  type RangePicture,
  type StorePicture,
  voterStores,
} from './picture.ts';
import { after, picture, range, store } from './placement.test-kit.ts';
import { bestExchange } from './uneven.ts';

/** More than any of these clusters needs. */
const roundsMax = 200;

interface Setting {
  readonly paces?: PlacementPaces;
  readonly stores: readonly StorePicture[];
  readonly ranges: readonly RangePicture[];
}

const setting: fc.Arbitrary<Setting> = fc
  .record({
    machines: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 3, maxLength: 8 }),
    zones: fc.integer({ min: 1, max: 3 }),
    trouble: fc.constantFrom('none', 'dead', 'decommission', 'drain'),
    troubled: fc.nat(),
    paces: fc.constantFrom(pacesOf(2), pacesOf(1, 2), { ...pacesOf(2), receivingSmallMax: 2 }),
    ranges: fc.array(
      fc.record({
        at: fc.nat(),
        step: fc.nat(),
        bytes: fc.nat({ max: 1 << 28 }),
        learner: fc.nat(30),
        requests: fc.nat({ max: 5000 }),
        preference: fc.nat(12),
        asker: fc.nat(12),
      }),
      { minLength: 1, maxLength: 30 },
    ),
  })
  .map(({ machines, zones, trouble, troubled, ranges, paces }) => {
    const count = machines.length;
    const bad = (troubled % count) + 1;
    const stores = machines.map((machine, i) =>
      store(i + 1, {
        machine: `m${machine}`,
        zone: zones === 1 ? '' : `z${machine % zones}`,
        ...(i + 1 !== bad || trouble === 'none'
          ? {}
          : trouble === 'dead'
            ? { health: 'dead' as const }
            : { [trouble === 'drain' ? 'draining' : 'decommissioning']: true }),
      }),
    );
    return {
      ...{ stores, paces },
      ranges: ranges.map(({ at, step, bytes, learner, requests, preference, asker: drawn }, i) => {
        const all = Array.from({ length: count }, (_, k) => ((at + k) % count) + 1);
        const rotated = [...all.slice(step % count), ...all.slice(0, step % count)];
        const learners = learner === 0 && count > 3 ? rotated.slice(3, 4) : [];
        const wish = preference < 3 ? { leasePreference: `z${preference}` } : {};
        const asker = drawn >= 1 && drawn <= count ? drawn : undefined;
        return range(i + 1, rotated.slice(0, 3), { bytes, learners, requests, asker, ...wish });
      }),
    };
  });

function machinesOf({ stores }: Setting, at: RangePicture): number {
  return new Set(
    voterStores(at.descriptor).map((id) => stores.find(({ storeId }) => storeId === id)?.machine),
  ).size;
}

/** Whose leader died was elected another. */
function elect(given: Setting): Setting {
  const isLive = (id: number): boolean =>
    given.stores.some(({ storeId, health }) => storeId === id && health === 'live');
  const ranges = given.ranges.map((each) => ({
    ...each,
    leaseholder: voterStores(each.descriptor).find(isLive),
  }));
  return { ...given, ranges };
}

/** No store is sent more than it bears, nor gives or takes more leases at once. */
function expectPaces({ stores, ranges, paces }: PlacementPicture, actions: PlacementAction[]) {
  const sizes = new Map(ranges.map(({ descriptor, bytes }) => [descriptor.rangeId, bytes]));
  for (const { storeId } of stores) {
    const coming = actions.filter((each) => each.kind === 'change' && each.add.includes(storeId));
    const bytes = coming.reduce((sum, { rangeId }) => sum + (sizes.get(rangeId) ?? 0), 0);
    if (coming.length > paces.receivingMax) {
      expect(coming.length).toBeLessThanOrEqual(paces.receivingSmallMax);
      expect(bytes).toBeLessThanOrEqual(paces.receivingBytesMax);
    }
    const leases = actions.filter(
      (each) => each.kind === 'transfer' && [each.from, each.to].includes(storeId),
    );
    expect(leases.length).toBeLessThanOrEqual(paces.transfersMax);
  }
}

/** Everything decided happens, round by round. @returns the end, and how many rounds it took */
function run(from: Setting, check: (before: RangePicture, now: RangePicture) => void) {
  let { ranges } = from;
  for (let round = 0; round < roundsMax; round++) {
    const given: PlacementPicture = picture(from.stores, ranges, {
      ...(from.paces === undefined ? {} : { paces: from.paces }),
    });
    const actions = [...decide(given).actions];
    if (actions.length === 0) return { ranges, rounds: round };
    expectPaces(given, actions);
    expect(new Set(actions.map(({ rangeId }) => rangeId)).size).toBe(actions.length);
    ranges = ranges.map((before) => {
      const action = actions.find(({ rangeId }) => rangeId === before.descriptor.rangeId);
      if (action === undefined) return before;
      const now = after(before, action);
      check(before, now);
      return now;
    });
  }
  return { ranges, rounds: roundsMax };
}

it('harms no range on the way, and comes to an end', () => {
  fc.assert(
    fc.property(setting, (drawn) => {
      const given = elect(drawn);
      const isLive = (id: number): boolean =>
        given.stores.some(({ storeId, health }) => storeId === id && health === 'live');
      const { rounds } = run(given, (before, now) => {
        const voters = voterStores(now.descriptor);
        // Never fewer voters, never fewer living ones, never closer together.
        expect(voters.length).toBe(3);
        const living = (at: RangePicture): number =>
          voterStores(at.descriptor).filter(isLive).length;
        expect(living(now)).toBeGreaterThanOrEqual(living(before));
        const replaced = voterStores(before.descriptor).filter((id) => !voters.includes(id));
        const forced = replaced.some((id) => {
          const place = given.stores.find(({ storeId }) => storeId === id);
          return place?.health === 'dead' || place?.decommissioning;
        });
        if (!forced)
          expect(machinesOf(given, now)).toBeGreaterThanOrEqual(machinesOf(given, before));
        expect(now.leaseholder === undefined || voters.includes(now.leaseholder)).toBe(true);
      });
      expect(rounds).toBeLessThan(roundsMax);
    }),
    { numRuns: 120 },
  );
});

it('goes from any number of replicas to any other, and leads where it is wanted', () => {
  const zones = ['z0', 'z1', 'z2'];
  const stores = Array.from({ length: 7 }, (_, i) => store(i + 1, { zone: `z${i % 3}` }));
  const any = fc.record({
    at: fc.nat(6),
    has: fc.constantFrom(1, 3, 5),
    wanted: fc.constantFrom(1, 3, 5, 7),
    requests: fc.nat(5000),
    zone: fc.constantFrom(...zones),
  });
  fc.assert(
    fc.property(fc.array(any, { minLength: 1, maxLength: 12 }), (drawn) => {
      const ranges = drawn.map(({ at, has, wanted, requests, zone }, i) => {
        const voters = Array.from({ length: has }, (_, k) => ((at + k) % 7) + 1);
        return range(i + 1, voters, { requests, replicas: wanted, leasePreference: zone });
      });
      const end = run({ stores, ranges }, () => {});
      expect(end.rounds).toBeLessThan(roundsMax);
      for (const { descriptor, replicas, leasePreference, leaseholder } of end.ranges) {
        const voters = voterStores(descriptor);
        expect(voters.length).toBe(replicas);
        const zoneOf = (id: number): string => `z${(id - 1) % 3}`;
        if (voters.some((id) => zoneOf(id) === leasePreference))
          expect(zoneOf(leaseholder ?? 0)).toBe(leasePreference);
      }
    }),
    { numRuns: 100 },
  );
});

it('ends with leases where they are asked for', () => {
  const stores = Array.from({ length: 5 }, (_, i) => store(i + 1));
  const any = fc.record({
    at: fc.nat(4),
    requests: fc.integer({ min: 100, max: 5000 }),
    asker: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(any, { minLength: 1, maxLength: 30 }), (drawn) => {
      const ranges = drawn.map(({ at, requests, asker }, i) => {
        const voters = [0, 1, 2].map((k) => ((at + k) % 5) + 1);
        return range(i + 1, voters, { requests, asker });
      });
      const end = run({ stores, ranges }, () => {});
      expect(end.rounds).toBeLessThan(roundsMax);
      for (const { descriptor, leaseholder, asker } of end.ranges)
        if (asker !== undefined && voterStores(descriptor).includes(asker))
          expect(leaseholder).toBe(asker);
    }),
    { numRuns: 60 },
  );
});

it('ends with machines apart where they can be, nothing on who goes, and replicas even', () => {
  fc.assert(
    fc.property(setting, (drawn) => {
      const given = elect(drawn);
      const { ranges } = run(given, () => {});
      const usable = given.stores.filter(
        ({ health, draining, decommissioning }) =>
          health === 'live' && !draining && !decommissioning,
      );
      const count = (id: number): number =>
        ranges.filter(({ descriptor }) => voterStores(descriptor).includes(toStoreId(id))).length;
      const machines = new Set(usable.map(({ machine }) => machine)).size;
      for (const each of ranges) {
        expect(each.descriptor.replicas.every(isVoter)).toBe(true);
        const here = voterStores(each.descriptor);
        if (here.every((id) => usable.some(({ storeId }) => storeId === id)))
          expect(machinesOf(given, each)).toBe(Math.min(3, machines));
      }
      if (usable.length >= 3)
        for (const { storeId, health, decommissioning, draining } of given.stores) {
          if (health === 'dead' || decommissioning) expect(count(storeId)).toBe(0);
          if (draining)
            expect(ranges.every(({ leaseholder }) => leaseholder !== storeId)).toBe(true);
        }
      // With a machine for each store nothing stands in the way of evenness.
      if (
        machines === usable.length &&
        given.stores.every(({ zone }) => zone === '') &&
        usable.length === given.stores.length
      ) {
        const counts = usable.map(({ storeId }) => count(storeId));
        const mean = counts.reduce((sum, n) => sum + n, 0) / counts.length;
        for (const n of counts) expect(Math.abs(n - mean)).toBeLessThan(Math.max(1, mean * 0.1));
      }
    }),
    { numRuns: 120 },
  );
});

it('puts nothing on a full disk, and on one that is filling only what has to go somewhere', () => {
  const disks = fc.array(fc.constantFrom('roomy', 'filling', 'full', undefined), {
    minLength: 8,
    maxLength: 8,
  });
  fc.assert(
    fc.property(setting, disks, (drawn, rooms) => {
      const stores = drawn.stores.map((each, i) => ({ ...each, disk: rooms[i] }));
      const given = elect({ ...drawn, stores });
      const harmless = given.stores.every(
        ({ health, decommissioning }) => health === 'live' && !decommissioning,
      );
      const healthy = given.ranges.every(
        (each) => machinesOf(given, each) === 3 && each.descriptor.replicas.every(isVoter),
      );
      const { rounds } = run(given, (before, now) => {
        for (const { storeId } of now.descriptor.replicas) {
          if (before.descriptor.replicas.some((each) => each.storeId === storeId)) continue;
          const { disk } = stores.find((each) => each.storeId === storeId) ?? {};
          expect(disk).not.toBe('full');
          if (harmless && healthy && given.stores.every(({ zone }) => zone === ''))
            expect(disk).not.toBe('filling');
        }
      });
      expect(rounds).toBeLessThan(roundsMax);
    }),
    { numRuns: 120 },
  );
});

it('exchanges the two whose difference is nearest to half of the gap', () => {
  const sizes = fc.array(fc.nat(50), { maxLength: 12 });
  fc.assert(
    fc.property(sizes, sizes, fc.integer({ min: 1, max: 60 }), (out, back, gap) => {
      const lefts = out.flatMap((big) =>
        back
          .map((small) => big - small)
          .filter((shift) => shift >= gap / 10 && shift <= (gap * 9) / 10)
          .map((shift) => Math.abs(gap - 2 * shift)),
      );
      const found = bestExchange(out, back, gap);
      expect(found?.left).toBe(lefts.length === 0 ? undefined : Math.min(...lefts));
      if (found === undefined) return;
      const shift = (out[found.big] ?? Number.NaN) - (back[found.small] ?? Number.NaN);
      expect(Math.abs(gap - 2 * shift)).toBe(found.left);
    }),
  );
});
