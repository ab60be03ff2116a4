/** Stores that refuse what they are sent, for ever: what others could take gets there all the same. */
import type { RangeId, StoreId } from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decide } from './decide.ts';
import { learnerStores, type PlacementAction, type RangePicture, voterStores } from './picture.ts';
import { after, picture, range, store, withLearner } from './placement.test-kit.ts';
import { Setbacks } from './setbacks.ts';

/** Unit: ms. Between two rounds; before the leaseholder gives up, and takes back a learner that nobody promotes. */
const roundMs = 1000;
const strayMs = 60_000;
const roundsMax = 4000;

interface World {
  readonly stores: ReturnType<typeof store>[];
  readonly ranges: readonly RangePicture[];
  /** Leaseholders cannot send to it, though it lives. */
  readonly refuses: (to: StoreId) => boolean;
}

function run(
  { stores, refuses, ...world }: World,
  isOver: (at: readonly RangePicture[]) => boolean,
) {
  let { ranges } = world;
  const setbacks = new Setbacks();
  const underWay = new Map<RangeId, { action: PlacementAction; endsMs: number }>();
  const straySince = new Map<RangeId, number>();
  for (let round = 0; round < roundsMax; round++) {
    const now = round * roundMs;
    ranges = ranges.map((before) => {
      const { rangeId } = before.descriptor;
      const { action, endsMs = 0 } = underWay.get(rangeId) ?? {};
      if (action === undefined) {
        const [stray] = learnerStores(before.descriptor);
        if (stray === undefined) straySince.delete(rangeId);
        else if (now - (straySince.get(rangeId) ?? now) >= strayMs) {
          straySince.delete(rangeId);
          return after(before, sweepOf(before, stray));
        } else straySince.set(rangeId, straySince.get(rangeId) ?? now);
        return before;
      }
      straySince.delete(rangeId);
      if (endsMs > now) return before;
      underWay.delete(rangeId);
      const refused = action.kind === 'change' ? action.add.filter(refuses) : [];
      if (refused.length === 0) {
        setbacks.clear(action);
        return after(before, action);
      }
      setbacks.note(action, now);
      return refused.reduce(withLearner, before);
    });
    if (isOver(ranges)) return { ranges, round };
    const given = picture(stores, ranges, {
      underWay: [...underWay.values()].map(({ action }) => action),
      setbacks: setbacks.at(now, (rangeId) => underWay.has(rangeId)).setbacks,
    });
    for (const action of decide(given).actions) {
      const refused = action.kind === 'change' && action.add.some(refuses);
      underWay.set(action.rangeId, { action, endsMs: now + (refused ? strayMs : roundMs) });
    }
  }
  return { ranges, round: roundsMax };
}

function sweepOf({ descriptor }: RangePicture, stray: StoreId): PlacementAction {
  const { rangeId, generation } = descriptor;
  return {
    ...{ kind: 'change', rangeId, generation, add: [], remove: [stray] },
    ...{ rule: 'half-done', reason: '' },
  };
}

const drawn = fc.record({
  stores: fc.integer({ min: 6, max: 9 }),
  refusing: fc.nat(),
  going: fc.nat(),
  how: fc.constantFrom('dead', 'decommission', 'five'),
  ranges: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
});

it('ends though a store that lives takes nothing in', () => {
  fc.assert(
    fc.property(drawn, ({ stores: count, refusing, going, how, ranges }) => {
      const refused = (refusing % count) + 1;
      const leaving = (going % count) + 1;
      fc.pre(refused !== leaving);
      const bad =
        how === 'dead' ? { health: 'dead' as const } : { decommissioning: how === 'decommission' };
      const stores = Array.from({ length: count }, (_, i) =>
        store(i + 1, i + 1 === leaving ? bad : {}),
      );
      const replicas = how === 'five' ? { replicas: 5 } : {};
      const given = ranges.map((at, i) => {
        const voters = [0, 1, 2].map((k) => ((at + k) % count) + 1);
        const leader = voters.find((id) => id !== leaving) ?? 1;
        return range(i + 1, voters, { leader, ...replicas });
      });
      const isDone = ({ descriptor, replicas: wanted = 3 }: RangePicture): boolean => {
        const voters = voterStores(descriptor);
        return voters.length === wanted && (how === 'five' || voters.every((id) => id !== leaving));
      };
      const { round } = run({ stores, ranges: given, refuses: (to) => to === refused }, (all) =>
        all.every(isDone),
      );
      expect(round).toBeLessThan(roundsMax);
    }),
    { numRuns: 150 },
  );
});

it('forgets what has not failed again, and says so', () => {
  const setbacks = new Setbacks();
  const { descriptor } = range(1, [1, 2, 3]);
  const [voter] = voterStores(descriptor);
  if (voter === undefined) throw new Error('a range has voters');
  const action = { ...sweepOf(range(1, [1, 2, 3]), voter), add: [voter], remove: [] };
  const at = (nowMs: number, isTried = false) => {
    const { setbacks: known, atRest, forgot } = setbacks.at(nowMs, () => isTried);
    return { misses: known.get(descriptor.rangeId)?.misses.get(voter), atRest, forgot };
  };
  setbacks.note(action as PlacementAction, 0);
  expect(at(4999)).toEqual({ misses: 1, atRest: 1, forgot: false });
  expect(at(5000)).toEqual({ misses: 1, atRest: 0, forgot: false });
  setbacks.note(action as PlacementAction, 5000);
  expect(at(14_999)).toEqual({ misses: 2, atRest: 1, forgot: false });
  // What is cleared away helps nobody to what was missed.
  setbacks.clear({ ...action, add: [], remove: [voter] } as PlacementAction);
  expect(at(614_999)).toEqual({ misses: 2, atRest: 0, forgot: false });
  expect(at(700_000, true)).toEqual({ misses: 2, atRest: 0, forgot: false });
  expect(at(615_000)).toEqual({ misses: undefined, atRest: 0, forgot: true });
});
