/**
 * A leader's records of the members of a configuration, arranged as the rules need them. Built when a term of leadership
 * begins and at every change of the configuration. Pure.
 */
import type { ReplicaId } from '@flotilla/base';
import type { Configuration } from '../messages.ts';
import type { Progress } from './progress.ts';
import { membersOf } from './quorum.ts';

export interface MemberRecords {
  /** Of all members, the leader included if it is one. Sorted by id. */
  readonly progress: ReadonlyMap<ReplicaId, Progress>;
  /** The same records without the leader's own. */
  readonly peers: readonly Progress[];
  /** The same records, one array per voter set (two in joint consensus). Learners are in none. */
  readonly voterSets: readonly (readonly Progress[])[];
}

/** @param recordOf keeps or makes the record of a member */
export function memberRecords(
  configuration: Configuration,
  recordOf: (replica: ReplicaId) => Progress,
): MemberRecords {
  const progress = new Map<ReplicaId, Progress>();
  for (const member of membersOf(configuration)) progress.set(member, recordOf(member));
  const recordsOf = (replicas: readonly ReplicaId[]): readonly Progress[] =>
    replicas.map((replica) => progress.get(replica)).filter((record) => record !== undefined);
  const { voters, votersOutgoing } = configuration;
  return {
    progress,
    peers: [...progress.values()].filter((record) => !record.isSelf),
    voterSets:
      votersOutgoing.length === 0
        ? [recordsOf(voters)]
        : [recordsOf(voters), recordsOf(votersOutgoing)],
  };
}
