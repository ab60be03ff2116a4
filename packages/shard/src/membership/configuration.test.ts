import { toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import type { Configuration } from '@flotilla/raft';
import { describe, expect, it } from 'vitest';
import {
  provesRemoved,
  type RangeDescriptor,
  type ReplicaPlace,
  ReplicaRole,
} from '../range-descriptor.ts';
import { configurationOf, descriptorAfter } from './configuration.ts';

function place(id: number, role?: ReplicaRole): ReplicaPlace {
  const replica = { replicaId: toReplicaId(id), storeId: toStoreId(id + 10) };
  return role ? { ...replica, role } : replica;
}

const founded: RangeDescriptor = {
  rangeId: toRangeId(1),
  startKey: Buffer.from('a'),
  endKey: Buffer.from('b'),
  generation: 4,
  replicas: [1, 2, 3].map((id) => place(id)),
  nextReplicaId: toReplicaId(4),
};

function configuration(
  voters: number[],
  votersOutgoing: number[],
  learners: number[],
): Configuration {
  return {
    voters: voters.map(toReplicaId),
    votersOutgoing: votersOutgoing.map(toReplicaId),
    learners: learners.map(toReplicaId),
    storeOf: new Map(
      [...new Set([...voters, ...votersOutgoing, ...learners])].map((id) => [
        toReplicaId(id),
        toStoreId(id + 10),
      ]),
    ),
  };
}

describe('a replica moves', () => {
  const { LEARNER, VOTER_INCOMING, VOTER_OUTGOING, LEARNER_OUTGOING } = ReplicaRole;
  const steps: [string, Configuration, ReplicaPlace[]][] = [
    [
      'a learner',
      configuration([1, 2, 3], [], [4]),
      [place(1), place(2), place(3), place(4, LEARNER)],
    ],
    [
      'joint',
      configuration([2, 3, 4], [1, 2, 3], []),
      [place(1, VOTER_OUTGOING), place(2), place(3), place(4, VOTER_INCOMING)],
    ],
    [
      'left',
      configuration([2, 3, 4], [], [1]),
      [place(1, LEARNER_OUTGOING), place(2), place(3), place(4)],
    ],
    ['removed', configuration([2, 3, 4], [], []), [place(2), place(3), place(4)]],
  ];

  it('and every step reads the same in both forms', () => {
    let descriptor = founded;
    for (const [name, next, replicas] of steps) {
      const before = descriptor;
      descriptor = descriptorAfter(before, next);
      expect(descriptor.replicas, name).toEqual(replicas);
      expect(descriptor.generation, name).toBe(before.generation + 1);
      const { storeOf, ...members } = configurationOf(descriptor);
      const { storeOf: expected, ...wanted } = next;
      expect(members, name).toEqual(wanted);
      expect([...storeOf].sort(), name).toEqual([...expected].sort());
    }
    // The id of a learner that is gone is used up all the same.
    expect(descriptor.nextReplicaId).toBe(5);
    expect(provesRemoved(descriptor, 1, 11)).toBe(true);
    expect(provesRemoved(descriptor, 4, 14)).toBe(false);
    // Given out on another store; and not given out yet.
    expect(provesRemoved(descriptor, 4, 11)).toBe(true);
    expect(provesRemoved(descriptor, 5, 11)).toBe(false);
  });

  it('and a learner that never was a voter is not on its way out', () => {
    const learner = descriptorAfter(founded, configuration([1, 2, 3], [], [4]));
    const again = descriptorAfter(learner, configuration([1, 2, 3], [], [4, 5]));
    expect(again.replicas.slice(3)).toEqual([place(4, LEARNER), place(5, LEARNER)]);
  });
});
