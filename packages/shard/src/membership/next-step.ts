/**
 * What to do next to bring a range to the members that somebody asked for, decided from where the range stands alone: so
 * whoever leads may begin in the middle, and asking twice does nothing twice. Pure.
 *
 *   add learners -> they get the state -> one joint change promotes and demotes -> remove those who were demoted
 */
import type { ReplicaId, StoreId } from '@flotilla/base';
import type { ConfigurationChange } from '@flotilla/raft';
import { isLearner, isVoter, type RangeDescriptor, replicaOnStore } from '../range-descriptor.ts';
import { isJoint } from './configuration.ts';

/** Stores that shall hold a voter, and stores that shall hold nothing. All others stay as they are. */
export interface MembershipGoal {
  readonly add: readonly StoreId[];
  readonly remove: readonly StoreId[];
}

export type MembershipStep =
  | { readonly kind: 'change'; readonly change: ConfigurationChange }
  /** Somebody who stays must lead first; one of these. */
  | { readonly kind: 'handOver'; readonly to: readonly ReplicaId[] }
  /** Consensus is leaving a joint configuration. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'done' }
  | { readonly kind: 'impossible'; readonly reason: string };

/** @param self the store that leads */
export function nextStep(
  descriptor: RangeDescriptor,
  goal: MembershipGoal,
  self: StoreId,
): MembershipStep {
  const { add, remove } = goal;
  const reason = findFault(descriptor, goal);
  if (reason !== undefined) return { kind: 'impossible', reason };
  if (isJoint(descriptor)) return { kind: 'wait' };
  for (const storeId of add)
    if (replicaOnStore(descriptor, storeId) === undefined)
      return {
        kind: 'change',
        change: { kind: 'addLearner', replicaId: descriptor.nextReplicaId, storeId },
      };
  const { replicas } = descriptor;
  const promote = replicas.filter((each) => isLearner(each) && add.includes(each.storeId));
  const demote = replicas.filter((each) => isVoter(each) && remove.includes(each.storeId));
  if (demote.some(({ storeId }) => storeId === self)) {
    const stay = replicas.filter((each) => isVoter(each) && !remove.includes(each.storeId));
    if (stay.length > 0) return { kind: 'handOver', to: stay.map(({ replicaId }) => replicaId) };
  }
  if (promote.length + demote.length > 0)
    return {
      kind: 'change',
      change: {
        kind: 'changeVoters',
        promote: promote.map(({ replicaId }) => replicaId),
        demote: demote.map(({ replicaId }) => replicaId),
      },
    };
  const gone = replicas.find((each) => isLearner(each) && remove.includes(each.storeId));
  if (gone === undefined) return { kind: 'done' };
  return { kind: 'change', change: { kind: 'removeLearner', replicaId: gone.replicaId } };
}

function findFault(descriptor: RangeDescriptor, goal: MembershipGoal): string | undefined {
  const { add, remove } = goal;
  if (new Set([...add, ...remove]).size < add.length + remove.length)
    return 'a store is named twice';
  const stay = descriptor.replicas.filter(
    (each) => isVoter(each) && !remove.includes(each.storeId),
  );
  return stay.length + add.length === 0 ? 'no voter would be left' : undefined;
}
