/**
 * Arithmetic of majorities, for simple and joint configurations. Pure leaves: no state, no messages. Learners never
 * count. Thesis §3.6, §4.3.
 */
import { assert, type ReplicaId } from '@flotilla/base';
import type { Configuration } from '../messages.ts';

/** `pending`: neither side can be sure yet. */
export type VoteResult = 'won' | 'lost' | 'pending';

/** The number of voters that makes a majority of `count`. @param count at least 1 */
export function majorityOf(count: number): number {
  assert(count >= 1, 'a majority is of at least one voter', { count });
  return (count >> 1) + 1;
}

/**
 * The greatest number that a majority has reached: with match indexes, what is committed by counting; with send times,
 * the base of the lease; with read sequences, the newest confirmed round.
 * @param members one per voter, any order; an empty set (no joint consensus) is satisfied by anything: Infinity
 * Cost O(n²) on n <= 7 without leaving the stack's cache lines.
 */
export function quorumValue<Member>(
  members: readonly Member[],
  measure: (member: Member) => number,
): number {
  const count = members.length;
  if (count === 0) return Infinity;
  const descending: number[] = [];
  for (const member of members) {
    const value = measure(member);
    let at = descending.length;
    descending.push(value);
    for (; at > 0; at--) {
      const above = descending[at - 1] as number;
      if (above >= value) break;
      descending[at] = above;
    }
    descending[at] = value;
  }
  return descending[majorityOf(count) - 1] as number;
}

/** What every majority of a joint configuration has reached: the least over its voter sets. */
export function jointQuorumValue<Member>(
  voterSets: readonly (readonly Member[])[],
  measure: (member: Member) => number,
): number {
  let least = Infinity;
  for (const voters of voterSets) least = Math.min(least, quorumValue(voters, measure));
  return least;
}

function voteResultOf(
  voters: readonly ReplicaId[],
  votes: ReadonlyMap<ReplicaId, boolean>,
): VoteResult {
  if (voters.length === 0) return 'won';
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  const majority = majorityOf(voters.length);
  if (granted >= majority) return 'won';
  return voters.length - refused < majority ? 'lost' : 'pending';
}

/** Votes of replicas that are not voters are not looked at (consensus bug 15: acks from non-voters). */
export function voteResult(
  configuration: Configuration,
  votes: ReadonlyMap<ReplicaId, boolean>,
): VoteResult {
  const incoming = voteResultOf(configuration.voters, votes);
  const outgoing = voteResultOf(configuration.votersOutgoing, votes);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

export function isVoter(configuration: Configuration, replica: ReplicaId): boolean {
  return configuration.voters.includes(replica) || configuration.votersOutgoing.includes(replica);
}

/** Voters of both sets and learners, each once, sorted by id. */
export function membersOf(configuration: Configuration): readonly ReplicaId[] {
  const { voters, votersOutgoing, learners } = configuration;
  return [...new Set([...voters, ...votersOutgoing, ...learners])].sort((a, b) => a - b);
}

/** True if `self` alone is every quorum: it need not ask anyone. */
export function isSoleVoter(configuration: Configuration, self: ReplicaId): boolean {
  const { voters, votersOutgoing } = configuration;
  return (
    voters.length === 1 &&
    voters[0] === self &&
    (votersOutgoing.length === 0 || (votersOutgoing.length === 1 && votersOutgoing[0] === self))
  );
}

/** Why the configuration is not well formed, or undefined if it is. */
export function findConfigurationFault(configuration: Configuration): string | undefined {
  const { voters, votersOutgoing, learners, storeOf } = configuration;
  if (voters.length === 0) return 'a configuration has a voter';
  for (const set of [voters, votersOutgoing, learners])
    for (let i = 1; i < set.length; i++)
      if ((set[i - 1] as number) >= (set[i] as number)) return 'members are sorted and distinct';
  for (const learner of learners)
    if (isVoter(configuration, learner)) return 'a learner is not a voter';
  const members = membersOf(configuration);
  if (!members.every((member) => storeOf.has(member))) return 'every member lives somewhere';
  return storeOf.size === members.length ? undefined : 'only members live somewhere';
}

/** Throws InvariantViolation unless the configuration is well formed. */
export function assertConfiguration(configuration: Configuration): void {
  const fault = findConfigurationFault(configuration);
  assert(fault === undefined, fault ?? '', { configuration });
}
