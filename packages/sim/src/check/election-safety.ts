/**
 * Election Safety: at most one leader can be elected in a given term (Raft Fig. 3, §5.2). It rests on this: a server votes
 * for at most one candidate per term, also across restarts, so term and vote are on disk before the vote leaves (§5.1,
 * thesis §3.8).
 */
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

export function checkElectionSafety(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  { state, core }: GroupInside,
): void {
  const { currentTerm, votedFor, persistence } = state;
  if (state.role.kind === 'leader') {
    const before = ledger.leaders.get(currentTerm);
    if (before === undefined) ledger.leaders.set(currentTerm, memory.name);
    else if (before !== memory.name)
      throw new SimFailure('twoLeaders', `t${currentTerm}: ${before} and ${memory.name}`);
  }
  const vote = memory.durableVote;
  if (vote !== undefined) {
    if (currentTerm < vote.term)
      throw new SimFailure(
        'voteForgotten',
        `${memory.name} is in t${currentTerm}; t${vote.term} was on its disk`,
      );
    if (currentTerm === vote.term && vote.votedFor !== undefined && votedFor !== vote.votedFor)
      throw new SimFailure(
        'voteForgotten',
        `${memory.name} voted for ${vote.votedFor} in t${vote.term}, and now for ${votedFor}`,
      );
  }
  // A replica without a state never votes, so it may forget the terms that it heard of.
  if (core.configuration === undefined) return;
  const onDisk =
    persistence.inFlightCount === 0 && !persistence.voteOrTermChanged(currentTerm, votedFor);
  if (onDisk && (vote?.term !== currentTerm || vote.votedFor !== votedFor))
    memory.durableVote = { term: currentTerm, votedFor };
}
