import { toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { type RangeDescriptor, ReplicaRole } from '../range-descriptor.ts';
import { configurationOf, descriptorAfter } from './configuration.ts';
import { type MembershipGoal, nextStep } from './next-step.ts';

const founded: RangeDescriptor = {
  rangeId: toRangeId(1),
  startKey: Buffer.from('a'),
  endKey: Buffer.from('b'),
  generation: 1,
  replicas: [1, 2, 3].map((id) => ({ replicaId: toReplicaId(id), storeId: toStoreId(id) })),
  nextReplicaId: toReplicaId(4),
};

function goal(add: number[], remove: number[]): MembershipGoal {
  return { add: add.map(toStoreId), remove: remove.map(toStoreId) };
}

/** What consensus makes of a change, for changes that it would accept. */
function after(
  descriptor: RangeDescriptor,
  wanted: MembershipGoal,
  leader: number,
): RangeDescriptor {
  const step = nextStep(descriptor, wanted, toStoreId(leader));
  const { voters, votersOutgoing, learners, storeOf } = configurationOf(descriptor);
  if (step.kind === 'wait') {
    const left = votersOutgoing.filter((id) => !voters.includes(id));
    return descriptorAfter(descriptor, {
      voters,
      votersOutgoing: [],
      learners: [...learners, ...left].sort((a, b) => a - b),
      storeOf,
    });
  }
  if (step.kind !== 'change') throw new Error(`nothing to change: ${step.kind}`);
  const { change } = step;
  switch (change.kind) {
    case 'addLearner':
      return descriptorAfter(descriptor, {
        voters,
        votersOutgoing: [],
        learners: [...learners, change.replicaId],
        storeOf: new Map([...storeOf, [change.replicaId, change.storeId]]),
      });
    case 'removeLearner':
      return descriptorAfter(descriptor, {
        voters,
        votersOutgoing: [],
        learners: learners.filter((id) => id !== change.replicaId),
        storeOf: new Map([...storeOf].filter(([id]) => id !== change.replicaId)),
      });
    case 'changeVoters':
      return descriptorAfter(descriptor, {
        voters: [...voters, ...change.promote]
          .filter((id) => !change.demote.includes(id))
          .sort((a, b) => a - b),
        votersOutgoing: voters,
        learners: learners.filter((id) => !change.promote.includes(id)),
        storeOf,
      });
  }
}

it.each([
  ['a replica moves', goal([4], [1]), 2, [2, 3, 4]],
  ['two move', goal([4, 5], [1, 3]), 2, [2, 4, 5]],
  ['one more', goal([4], []), 1, [1, 2, 3, 4]],
  ['one less', goal([], [3]), 1, [1, 2]],
  ['all move: nobody who leads can stay', goal([4], [1, 2, 3]), 1, [4]],
  ['nothing to do', goal([2], [9]), 1, [1, 2, 3]],
] as const)('%s', (_name, wanted, leader, stores) => {
  let descriptor = founded;
  let steps = 0;
  while (nextStep(descriptor, wanted, toStoreId(leader)).kind !== 'done') {
    descriptor = after(descriptor, wanted, leader);
    // Never below a majority of the old members in one step: the joint configuration has both.
    expect(++steps).toBeLessThan(12);
  }
  expect(descriptor.replicas.map(({ storeId }) => storeId).sort()).toEqual([...stores]);
  expect(descriptor.replicas.every(({ role }) => role === undefined)).toBe(true);
});

it('asks somebody who stays to lead first', () => {
  const replaced = nextStep(after(founded, goal([4], [1]), 1), goal([4], [1]), toStoreId(1));
  expect(replaced).toEqual({ kind: 'handOver', to: [2, 3] });
});

it('refuses what leaves nobody or contradicts itself', () => {
  expect(nextStep(founded, goal([], [1, 2, 3]), toStoreId(1)).kind).toBe('impossible');
  expect(nextStep(founded, goal([1], [1]), toStoreId(1)).kind).toBe('impossible');
});

it('promotes again who was demoted and not yet removed', () => {
  let descriptor = founded;
  for (let i = 0; i < 3; i++) descriptor = after(descriptor, goal([4], [1]), 2);
  expect(descriptor.replicas[0]?.role).toBe(ReplicaRole.LEARNER_OUTGOING);
  expect(nextStep(descriptor, goal([1], [4]), toStoreId(2))).toEqual({
    kind: 'change',
    change: { kind: 'changeVoters', promote: [1], demote: [4] },
  });
});
