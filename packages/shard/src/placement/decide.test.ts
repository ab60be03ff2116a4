/** What placement decides, case by case. */
import { toRangeId, toStoreId } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { decide } from './decide.ts';
import type { PlacementAction, PlacementPicture, RangePicture } from './picture.ts';
import { brief, picture, range, store } from './placement.test-kit.ts';

const three = [store(1), store(2), store(3)];
const mebibyte = 1024 * 1024;

function decided(given: PlacementPicture): string[] {
  return decide(given).actions.map(brief);
}

interface Case {
  readonly name: string;
  readonly given: PlacementPicture;
  readonly expected: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: 'leaves an even cluster alone',
    given: picture(three, [range(1, [1, 2, 3]), range(2, [2, 3, 1]), range(3, [3, 1, 2])]),
    expected: [],
  },
  {
    name: 'replaces a replica on a dead store, and takes its lease rows for what they are',
    given: picture(
      [store(1), store(2), store(3, { health: 'dead' }), store(4)],
      [range(1, [1, 2, 3]), range(2, [2, 1, 3])],
    ),
    expected: ['r1 +4 -3 repair', 'r2 +4 -3 repair'],
  },
  {
    name: 'waits for a store that is silent but not dead',
    given: picture(
      [store(1), store(2), store(3, { health: 'suspect' }), store(4)],
      [range(1, [1, 2, 3]), range(2, [2, 1, 3])],
    ),
    expected: [],
  },
  {
    name: 'does not wait for a decommissioned store that is silent',
    given: picture(
      [store(1), store(2), store(3, { health: 'suspect', decommissioning: true }), store(4)],
      [range(1, [1, 2, 3])],
    ),
    expected: ['r1 +4 -3 repair'],
  },
  {
    name: 'does nothing to a range without a majority',
    given: picture(
      [store(1), store(2, { health: 'dead' }), store(3, { health: 'dead' }), store(4)],
      [range(1, [1, 2, 3])],
    ),
    expected: [],
  },
  {
    name: 'keeps a dead replica where nobody can take its place',
    given: picture([store(1), store(2), store(3, { health: 'dead' })], [range(1, [1, 2, 3])]),
    expected: [],
  },
  {
    name: 'takes another machine for a repair where there is one',
    given: picture(
      [
        ...[store(1), store(2), store(3, { health: 'dead' })],
        ...[store(4, { machine: 'm1' }), store(5)],
      ],
      [range(1, [1, 2, 3])],
    ),
    expected: ['r1 +5 -3 repair'],
  },
  {
    name: 'repairs on a machine twice rather than not at all',
    given: picture(
      [store(1), store(2), store(3, { health: 'dead' }), store(4, { machine: 'm1' })],
      [range(1, [1, 2, 3])],
    ),
    expected: ['r1 +4 -3 repair'],
  },
  {
    name: 'takes back a learner that nobody needs',
    given: picture([...three, store(4)], [range(1, [1, 2, 3], { learners: [4] })]),
    expected: ['r1 -4 half-done'],
  },
  {
    name: 'makes use of a learner where a voter is to go',
    given: picture(
      [...[store(1), store(2), store(3, { decommissioning: true })], ...[store(4), store(5)]],
      [range(1, [1, 2, 3], { learners: [5] })],
    ),
    expected: ['r1 +5 -3 half-done'],
  },
  {
    name: 'leaves joint configurations to consensus',
    given: picture(
      [store(1), store(2), store(3), store(4, { health: 'dead' }), store(5)],
      [range(1, [1, 2, 4], { joint: true })],
    ),
    expected: [],
  },
  {
    name: 'moves replicas off a store that is decommissioned',
    given: picture(
      [store(1, { decommissioning: true }), store(2), store(3), store(4)],
      [range(1, [2, 1, 3]), range(2, [1, 2, 3])],
    ),
    expected: ['r1 +4 -1 decommission', 'r2 +4 -1 decommission'],
  },
  {
    name: 'takes no living replica away that the majority of the others needs',
    given: picture(
      [store(1), store(2, { health: 'suspect' }), store(3, { decommissioning: true })],
      [range(1, [1, 2, 3], { replicas: 1 })],
    ),
    expected: ['r1 -2 replication'],
  },
  {
    name: 'takes at least the lease where nobody can take the replica',
    given: picture(
      [store(1, { decommissioning: true }), store(2), store(3)],
      [range(1, [1, 2, 3])],
    ),
    expected: ['r1 lease 1>2 drain'],
  },
  {
    name: 'drains leases, not replicas',
    given: picture(
      [store(1, { draining: true }), store(2), store(3)],
      [range(1, [1, 2, 3]), range(2, [1, 2, 3]), range(3, [2, 1, 3])],
    ),
    expected: ['r1 lease 1>3 drain', 'r2 lease 1>2 drain'],
  },
  {
    name: 'gives nothing to a store that drains',
    given: picture(
      [store(1), store(2), store(3, { health: 'dead' }), store(4, { draining: true })],
      [range(1, [1, 2, 3])],
    ),
    expected: [],
  },
  {
    name: 'separates two replicas of one machine',
    given: picture(
      [store(1), store(2, { machine: 'm1' }), store(3), store(4)],
      [range(1, [1, 2, 3]), range(2, [3, 4, 1])],
    ),
    expected: ['r1 +4 -1 spread'],
  },
  {
    name: 'separates zones, but never at the price of a machine',
    given: picture(
      [
        ...[store(1, { zone: 'a' }), store(2, { zone: 'a' }), store(3, { zone: 'b' })],
        store(4, { zone: 'c' }),
      ],
      [range(1, [1, 2, 3]), range(2, [4, 3, 1])],
    ),
    expected: ['r1 +4 -1 spread'],
  },
  {
    name: 'gives a lonely range two more replicas at once',
    given: picture(three, [range(1, [1])]),
    expected: ['r1 +2 +3 replication'],
  },
  {
    name: 'does not make two of one',
    given: picture([store(1), store(2)], [range(1, [1])]),
    expected: [],
  },
  {
    name: 'makes three of two',
    given: picture(three, [range(1, [1, 2])]),
    expected: ['r1 +3 replication'],
  },
  {
    name: 'takes away what is too much, not the leaseholder',
    given: picture([...three, store(4)], [range(1, [4, 1, 2, 3])]),
    expected: ['r1 -1 replication'],
  },
  {
    name: 'fills a store that has just joined, a few at a time, without its hand-overs first',
    given: picture(
      [...three, store(4)],
      Array.from({ length: 8 }, (_, i) =>
        range(i + 1, [(i % 3) + 1, ((i + 1) % 3) + 1, ((i + 2) % 3) + 1]),
      ),
    ),
    expected: ['r2 +4 -1 balance-count', 'r1 +4 -2 balance-count'],
  },
  {
    name: 'does not put two replicas on one machine for the sake of balance',
    given: picture(
      [...three, store(4, { machine: 'm3' })],
      [range(1, [1, 2, 3]), range(2, [2, 1, 3]), range(3, [3, 1, 2])],
    ),
    expected: ['r1 +4 -3 balance-count'],
  },
  {
    name: 'exchanges a big range for a small one',
    given: picture(
      [...three, store(4), store(5), store(6)],
      [
        ...[
          range(1, [1, 2, 3], { bytes: 900 * mebibyte }),
          range(2, [1, 2, 3], { bytes: 800 * mebibyte, leader: 3 }),
        ],
        ...[
          range(3, [4, 5, 6], { bytes: mebibyte }),
          range(4, [4, 5, 6], { bytes: mebibyte, leader: 5 }),
        ],
      ],
    ),
    expected: ['r1 +6 -1 balance-bytes', 'r3 +1 -6 balance-bytes'],
  },
  {
    name: 'takes a big range off a disk that is filling, and gives it none in exchange',
    given: picture(
      [store(1, { disk: 'filling' }), store(2), store(3), store(4), store(5), store(6)],
      [
        range(1, [1, 2, 3], { bytes: 900 * mebibyte }),
        range(2, [1, 2, 3], { bytes: 850 * mebibyte, leader: 3 }),
        ...[range(3, [4, 5, 6], { bytes: mebibyte }), range(4, [4, 5, 6], { leader: 5 })],
      ],
    ),
    expected: ['r2 +6 -1 balance-bytes'],
  },
  {
    name: 'evens out leases',
    given: picture(three, [range(1, [1, 2, 3]), range(2, [1, 2, 3]), range(3, [1, 2, 3])]),
    expected: ['r1 lease 1>2 balance-leases', 'r2 lease 1>3 balance-leases'],
  },
  {
    name: 'evens out requests by an exchange of leases where these are even',
    given: picture(
      [store(1), store(2), store(3)],
      [
        ...[range(1, [1, 2, 3], { requests: 4000 }), range(2, [1, 2, 3], { requests: 3000 })],
        ...[range(3, [2, 1, 3], { requests: 3500 }), range(4, [2, 1, 3], { requests: 200 })],
        ...[range(5, [3, 1, 2], { requests: 100 }), range(6, [3, 1, 2], { requests: 300 })],
      ],
    ),
    expected: ['r1 lease 1>3 balance-load', 'r6 lease 3>1 balance-load'],
  },
  {
    name: 'hands one lease over where the busiest has one more',
    given: picture(three, [
      range(1, [1, 2, 3], { requests: 900 }),
      range(2, [1, 2, 3], { requests: 800 }),
      range(3, [2, 1, 3], { requests: 700 }),
      range(4, [3, 1, 2], { requests: 10 }),
    ]),
    expected: ['r2 lease 1>3 balance-load'],
  },
  {
    name: 'leaves a difference of requests that is not worth it, and one range that is asked for all',
    given: picture(three, [
      range(1, [1, 2, 3], { requests: 400 }),
      range(2, [2, 1, 3], { requests: 0 }),
      range(3, [3, 1, 2], { requests: 0 }),
    ]),
    expected: [],
  },
  {
    name: 'takes the largest range off a full disk, to one with room, and evens out nothing onto full or filling ones',
    given: picture(
      [store(1), store(2), store(3, { disk: 'full' }), store(4, { disk: 'filling' }), store(5)],
      [
        range(1, [1, 2, 3], { bytes: 10 * mebibyte }),
        range(2, [2, 1, 3], { bytes: 30 * mebibyte }),
        range(3, [1, 2, 3], { bytes: 20 * mebibyte }),
      ],
    ),
    expected: ['r2 +5 -3 full-disk', 'r3 +5 -1 balance-count'],
  },
  {
    name: 'leaves a full disk as it is where the range would come closer together',
    given: picture(
      [
        store(1, { machine: 'a' }),
        store(2, { machine: 'b' }),
        store(3, { machine: 'c', disk: 'full' }),
        store(4, { machine: 'a' }),
      ],
      [range(1, [1, 2, 3], { bytes: 10 * mebibyte })],
    ),
    expected: [],
  },
  {
    name: 'lets the store lead whose own gateway asks, and keeps it from what evens out leases and requests',
    given: picture(three, [
      range(1, [2, 1, 3], { requests: 3000, asker: 1 }),
      range(2, [1, 2, 3], { requests: 4000, asker: 1 }),
      range(3, [1, 2, 3], { requests: 100, asker: 1 }),
    ]),
    expected: ['r1 lease 2>1 lease-follows'],
  },
  {
    name: 'evens out other leases for those that follow',
    given: picture(three, [
      range(1, [1, 2, 3], { requests: 3000, asker: 1 }),
      range(2, [1, 2, 3], { requests: 4000, asker: 1 }),
      ...[range(3, [1, 2, 3]), range(4, [2, 1, 3]), range(5, [3, 1, 2])],
    ]),
    expected: ['r3 lease 1>2 balance-leases'],
  },
  {
    name: 'lets no lease follow what is asked seldom, to a store without a replica or that goes, or out of its zone',
    given: picture(
      [
        ...[store(1, { zone: 'a' }), store(2, { zone: 'b' }), store(3, { zone: 'c' })],
        store(4, { zone: 'c', draining: true }),
      ],
      [
        range(1, [1, 2, 3], { requests: 99, asker: 2 }),
        range(2, [2, 1, 3], { requests: 400, asker: 4 }),
        range(3, [3, 1, 2], { requests: 400, asker: 1, leasePreference: 'c' }),
        range(4, [1, 2, 4], { requests: 400, asker: 4 }),
      ],
    ),
    expected: [],
  },
  {
    name: 'lets the zone lead that should, and keeps it from what evens out leases',
    given: picture(
      [store(1, { zone: 'a' }), store(2, { zone: 'b' }), store(3, { zone: 'c' })],
      [1, 2, 3, 4].map((id) =>
        range(id, id === 1 ? [1, 2, 3] : [2, 1, 3], { leasePreference: 'b' }),
      ),
    ),
    expected: ['r1 lease 1>2 lease-preference'],
  },
  {
    name: 'gives a range as many replicas as are wanted of it, and no more',
    given: picture(
      [...three, store(4), store(5)],
      [range(1, [1, 2, 3], { replicas: 5 }), range(2, [1, 2, 3, 4, 5])],
    ),
    expected: ['r1 +4 +5 replication', 'r2 -2 replication'],
  },
  {
    name: 'lets a lease rest where somebody has put it',
    given: picture(three, [range(1, [1, 2, 3]), range(2, [1, 2, 3]), range(3, [3, 1, 2])], {
      leasesAtRest: new Set([toRangeId(1)]),
    }),
    expected: ['r2 lease 1>2 balance-leases'],
  },
];

describe('decide', () => {
  it.each(cases)('$name', ({ given, expected }) => {
    expect(decided(given)).toEqual(expected);
  });

  it('counts what is under way as done, and leaves its range alone', () => {
    const action: PlacementAction = {
      ...{ kind: 'change', rangeId: toRangeId(1), add: [toStoreId(4)], remove: [toStoreId(1)] },
      ...{ generation: 1, rule: 'balance-count', reason: '' },
    };
    const stores = [...three, store(4)];
    const ranges = [range(1, [3, 1, 2]), range(2, [2, 1, 3])];
    const alone = decided(picture(stores, ranges));
    expect(alone).toEqual(['r1 +4 -1 balance-count']);
    expect(decided(picture(stores, ranges, { underWay: [action] }))).toEqual([]);
  });

  it('makes use of a learner for a repair that nobody else can do', () => {
    const stores = [store(1), store(2), store(3, { health: 'dead' }), store(4)];
    const given = picture(stores, [range(1, [1, 2, 3], { learners: [4] })]);
    expect(decided(given)).toEqual(['r1 +4 -3 repair']);
    expect(decide(given).stuck).toEqual([]);
  });

  it('makes no voter of a learner on a full disk', () => {
    const full = store(4, { disk: 'full' });
    const dead = [store(1), store(2), store(3, { health: 'dead' }), full];
    const learners = [4];
    expect(decided(picture(dead, [range(1, [1, 2, 3], { learners })]))).toEqual([
      'r1 -4 half-done',
    ]);
    const leaving = [store(1), store(2), store(3, { decommissioning: true }), full];
    expect(decided(picture(leaving, [range(1, [1, 2, 3], { learners })]))).toEqual([
      'r1 -4 half-done',
    ]);
  });

  it('exchanges nothing for a range that nobody has measured', () => {
    const unmeasured = (each: RangePicture): RangePicture => ({ ...each, unmeasured: true });
    const six = [1, 2, 3, 4, 5, 6].map((id) => store(id));
    const big = [1, 2].map((id) =>
      range(id, [1, 2, 3], { bytes: 900 * mebibyte, leader: id === 1 ? 1 : 3 }),
    );
    const small = [3, 4].map((id) => range(id, [4, 5, 6], { leader: id === 3 ? 4 : 5 }));
    expect(decided(picture(six, [...big, ...small]))).toHaveLength(2);
    expect(decided(picture(six, [...big, ...small.map(unmeasured)]))).toEqual([]);

    const asked = [range(1, [1, 2, 3], { requests: 4000 }), range(2, [2, 1, 3])];
    const rest = [range(3, [3, 1, 2]), range(4, [1, 2, 3], { requests: 3000 })];
    const others = [range(5, [2, 1, 3]), range(6, [3, 1, 2])];
    expect(decided(picture(three, [...asked, ...rest, ...others]))).toHaveLength(2);
    const [hot, ...calm] = [...asked, ...rest, ...others];
    const known = calm.map((each) => (each.leaseholder === 1 ? each : unmeasured(each)));
    expect(decided(picture(three, [...(hot ? [hot] : []), ...known]))).toEqual([]);
  });

  it('repairs rather where the disk is not filling', () => {
    const stores = [store(1), store(2), store(3, { health: 'dead' })];
    const takers = [store(4, { disk: 'filling' }), store(5, { disk: 'roomy' })];
    const ranges = [range(1, [1, 2, 3]), range(2, [1, 2, 5])];
    expect(decided(picture([...stores, ...takers], ranges))[0]).toBe('r1 +5 -3 repair');
  });

  it('says that a disk is in the way of a repair', () => {
    const stores = [
      ...[store(1), store(2), store(3, { health: 'dead' }), store(4, { disk: 'full' })],
    ];
    const { actions, stuck } = decide(picture(stores, [range(1, [1, 2, 3])]));
    expect(actions).toEqual([]);
    expect(stuck[0]?.reason).toBe(
      's3 is lost and no store can take its place: the disk of s4 is full',
    );
  });

  it('says what cannot be helped', () => {
    const given = picture(
      [store(1), store(2), store(3, { health: 'dead' })],
      [range(1, [1, 2, 3])],
    );
    expect(decide(given).stuck).toEqual([
      { rangeId: 1, reason: 's3 is lost and no store can take its place' },
    ]);
  });

  it('sends a store no more than it takes in at once', () => {
    const given = picture(
      [store(1), store(2), store(3, { health: 'dead' }), store(4)],
      [1, 2, 3, 4].map((id) => range(id, [1, 2, 3])),
    );
    expect(decided(given).filter((text) => text.endsWith('repair'))).toHaveLength(2);
  });
});
