/**
 * How long it takes to even out many ranges, in a model of what carries it out: rounds that rest as the allocator does, and
 * stores that receive so many snapshots at once. Time is counted, not waited for.
 */
import type { RangeId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { defaultStoreLimits } from '../limits.ts';
import { decide } from './decide.ts';
import { pacesOf } from './paces.ts';
import type { PlacementAction, RangePicture, StorePicture } from './picture.ts';
import { after, picture, range, store } from './placement.test-kit.ts';

const many = 10_000;
/** Work of a round over so many ranges, and the rest after it. Unit: ms. */
const roundMs = 1000;
/** Of one move: entries of the log, and polls between them; its snapshot, in which it holds a place. Unit: ms. */
const stepsMs = 400;
const snapshotMs = 100;
const handOverMs = 50;

const { snapshotsReceivingMax, smallSnapshotsMax } = defaultStoreLimits;

/** @returns how long it takes until nothing is to be done, and what is then */
function run(
  stores: readonly StorePicture[],
  from: readonly RangePicture[],
): { seconds: number; ranges: readonly RangePicture[]; actions: number } {
  let ranges = from;
  const places = new Map<number, number[]>();
  const underWay = new Map<RangeId, { action: PlacementAction; endsMs: number }>();
  const paces = pacesOf(snapshotsReceivingMax);
  let actions = 0;
  for (let now = 0; now < 24 * 3_600_000; now += roundMs) {
    ranges = ranges.map((before) => {
      const { rangeId } = before.descriptor;
      const entry = underWay.get(rangeId);
      if (entry === undefined || entry.endsMs > now) return before;
      underWay.delete(rangeId);
      return after(before, entry.action);
    });
    const given = [...underWay.values()].map(({ action }) => action);
    const decision = decide(picture(stores, ranges, { paces, underWay: given }));
    if (decision.actions.length + underWay.size === 0)
      return { seconds: now / 1000, ranges, actions };
    for (const action of decision.actions) {
      let endsMs = now + handOverMs;
      if (action.kind === 'change')
        for (const storeId of action.add) {
          const free =
            places.get(storeId) ??
            Array.from({ length: snapshotsReceivingMax + smallSnapshotsMax }, () => 0);
          const at = free.indexOf(Math.min(...free));
          endsMs = Math.max(now, free[at] ?? 0) + snapshotMs;
          free[at] = endsMs;
          places.set(storeId, free);
          endsMs += stepsMs;
        }
      underWay.set(action.rangeId, { action, endsMs });
      actions++;
    }
  }
  throw new Error('it does not come to an end');
}

function rangesOn(stores: number, bytes: number, count = many): RangePicture[] {
  return Array.from({ length: count }, (_, i) =>
    range(
      i + 1,
      [0, 1, 2].map((k) => ((i + k) % stores) + 1),
      { bytes },
    ),
  );
}

function replicasOf(ranges: readonly RangePicture[], storeId: number): number {
  return ranges.filter(({ descriptor }) =>
    descriptor.replicas.some((replica) => replica.storeId === storeId),
  ).length;
}

it('fills a store that joins ten thousand small ranges within minutes', () => {
  const stores = [1, 2, 3, 4].map((id) => store(id));
  const { seconds, ranges } = run(stores, rangesOn(3, 100_000));
  for (const { storeId } of stores)
    expect(Math.abs(replicasOf(ranges, storeId) - 7500)).toBeLessThan(0.06 * 7500);
  expect(seconds).toBeLessThan(5 * 60);
}, 300_000);

it('drains thousands of leases within a minute', () => {
  const stores = [1, 2, 3].map((id) => store(id, { draining: id === 1 }));
  const { seconds, ranges } = run(stores, rangesOn(3, 100_000));
  expect(ranges.filter(({ leaseholder }) => leaseholder === 1)).toEqual([]);
  expect(seconds).toBeLessThan(60);
}, 300_000);

it('moves no more bytes at once than before where ranges are large, and at least two ranges', () => {
  const stores = [1, 2, 3, 4].map((id) => store(id));
  const paces = pacesOf(snapshotsReceivingMax);
  const movesOf = (bytes: number, unmeasured = false): number => {
    const ranges = rangesOn(3, bytes, 300).map((each) => ({ ...each, unmeasured }));
    const { actions } = decide(picture(stores, ranges, { paces }));
    return actions.filter(({ kind }) => kind === 'change').length;
  };
  expect(movesOf(512 * 1024 * 1024)).toBe(2);
  expect(movesOf(10 * 1024 * 1024)).toBe(6);
  expect(movesOf(0)).toBe(32);
  // Nobody has said how much they hold.
  expect(movesOf(0, true)).toBe(2);
});
