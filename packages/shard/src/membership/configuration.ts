/**
 * Between the two forms of a range's members: consensus' configuration, and the descriptor that everybody else sees.
 * Pure, and deterministic: every replica derives the same descriptor from the same log.
 */
import { type ReplicaId, toReplicaId } from '@flotilla/base';
import type { Configuration } from '@flotilla/raft';
import {
  isLearner,
  isVoter,
  type RangeDescriptor,
  type ReplicaPlace,
  ReplicaRole,
} from '../range-descriptor.ts';

/** True while two majorities must agree. */
export function isJoint(descriptor: RangeDescriptor): boolean {
  return descriptor.replicas.some(
    ({ role }) => role === ReplicaRole.VOTER_INCOMING || role === ReplicaRole.VOTER_OUTGOING,
  );
}

export function configurationOf(descriptor: RangeDescriptor): Configuration {
  const ids = (which: (replica: ReplicaPlace) => boolean): ReplicaId[] =>
    descriptor.replicas.filter(which).map((replica) => replica.replicaId);
  return {
    voters: ids(isVoter),
    votersOutgoing: isJoint(descriptor)
      ? ids((replica) => !isLearner(replica) && replica.role !== ReplicaRole.VOTER_INCOMING)
      : [],
    learners: ids(isLearner),
    storeOf: new Map(descriptor.replicas.map((replica) => [replica.replicaId, replica.storeId])),
  };
}

/** The descriptor after the log said that these are the members. A voter that became a learner is on its way out. */
export function descriptorAfter(
  before: RangeDescriptor,
  configuration: Configuration,
): RangeDescriptor {
  const { voters, votersOutgoing, learners, storeOf } = configuration;
  const joint = votersOutgoing.length > 0;
  const demoted = new Set(
    before.replicas
      .filter(({ role = ReplicaRole.VOTER }) => role !== ReplicaRole.LEARNER)
      .map((replica) => replica.replicaId),
  );
  const roleOf = (replicaId: ReplicaId): ReplicaRole => {
    if (learners.includes(replicaId))
      return demoted.has(replicaId) ? ReplicaRole.LEARNER_OUTGOING : ReplicaRole.LEARNER;
    if (!voters.includes(replicaId)) return ReplicaRole.VOTER_OUTGOING;
    return joint && !votersOutgoing.includes(replicaId)
      ? ReplicaRole.VOTER_INCOMING
      : ReplicaRole.VOTER;
  };
  const replicas = [...storeOf]
    .sort(([one], [other]) => one - other)
    .map(([replicaId, storeId]): ReplicaPlace => {
      const role = roleOf(replicaId);
      return role === ReplicaRole.VOTER ? { replicaId, storeId } : { replicaId, storeId, role };
    });
  const greatest = replicas.at(-1)?.replicaId ?? 0;
  return {
    ...before,
    generation: before.generation + 1,
    replicas,
    nextReplicaId: toReplicaId(Math.max(before.nextReplicaId, greatest + 1)),
  };
}
