/**
 * Who leads: campaigns, pre-votes and votes, and the promise behind leases: a replica that heard a leader, or that just
 * restarted, takes part in no election until E has passed (rules L2, L3), save one that a leader asked for.
 * Raft §5.2, §5.4.1, thesis §3.8, §4.2.3, §9.6.
 */
import { nextTerm, probe } from '@flotilla/base';
import type {
  PreVoteRequest,
  PreVoteResponse,
  RequestVoteRequest,
  RequestVoteResponse,
} from '../messages.ts';
import { quorumHeardUntilMs } from './lease.ts';
import { isSoleVoter, isVoter, voteResult } from './quorum.ts';
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  resetRetryTimer,
} from './roles.ts';
import { isInitialized, leaderOf, mayCampaign, type RaftState } from './state.ts';

/** True while a leader may rely on this replica's silence. A leader relies on itself while it has a quorum. */
export function isPromised(state: RaftState, now: number): boolean {
  if (state.role.kind === 'leader') return now < quorumHeardUntilMs(state, state.role);
  return now < state.promisedUntilMs;
}

/** A replica that is no leader has waited long enough. One decision per call. */
export function onElectionTimeout(state: RaftState, now: number): void {
  if (!mayCampaign(state)) {
    // It waits for whoever leads by now, and says no longer that it knows who.
    becomeFollower(state, state.currentTerm, undefined, now);
    state.electionDueMs = Infinity;
    return;
  }
  if (now < state.promisedUntilMs) {
    state.electionDueMs = state.promisedUntilMs;
    return;
  }
  if (isSoleVoter(state.configuration, state.self)) {
    campaign(state, { leadershipTransfer: false }, now);
    return;
  }
  becomePreCandidate(state, now);
  broadcastToVoters(state, (to) => ({
    kind: 'preVoteRequest',
    rangeId: state.rangeId,
    from: state.self,
    to,
    term: nextTerm(state.currentTerm),
    lastLogIndex: state.log.lastIndex,
    lastLogTerm: state.log.lastTerm,
  }));
}

/** Stands for election in the next term. */
export function campaign(
  state: RaftState,
  options: { readonly leadershipTransfer: boolean },
  now: number,
): void {
  becomeCandidate(state, options, now);
  broadcastToVoters(state, (to) => ({
    kind: 'requestVoteRequest',
    rangeId: state.rangeId,
    from: state.self,
    to,
    term: state.currentTerm,
    lastLogIndex: state.log.lastIndex,
    lastLogTerm: state.log.lastTerm,
    leadershipTransfer: options.leadershipTransfer,
  }));
}

/**
 * Stands for election in a group that has just begun, without asking first: nobody leads it yet who could be disturbed.
 * A replica that may have promised silence (L3) waits like any other.
 */
export function campaignAsFirst(state: RaftState, now: number): void {
  if (mayCampaign(state) && now >= state.promisedUntilMs)
    campaign(state, { leadershipTransfer: false }, now);
}

/** The candidate's own vote for the current term has become durable: now it counts (thesis §3.8). */
export function onOwnVoteDurable(state: RaftState, now: number): void {
  if (state.role.kind !== 'candidate') return;
  state.role.votes.set(state.self, true);
  concludeElection(state, now);
}

/**
 * The message's term is at most the current one: `core.ts` has seen to it, and to the promise. A replica without a state
 * has an empty log and votes like any other: after a split that it has not seen its group may need it for a majority. What
 * is committed lies on a majority of those that have a state, and one of these is in every majority that elects.
 */
export function handleRequestVoteRequest(
  state: RaftState,
  message: RequestVoteRequest,
  now: number,
): void {
  const voteGranted =
    message.term === state.currentTerm &&
    (state.votedFor === undefined || state.votedFor === message.from) &&
    leaderOf(state) === undefined &&
    state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm) &&
    (message.leadershipTransfer || !isPromised(state, now));
  if (voteGranted) {
    becomeFollower(state, state.currentTerm, undefined, now);
    state.votedFor = message.from;
    state.triesInVain = 0; // somebody else may win
    if (!isInitialized(state)) probe('votedWithoutState');
    else if (!isVoter(state.configuration, state.self)) probe('learnerVoted');
  } else if (!state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm)) {
    probe('voteRefusedByLog');
  }
  state.outbox.messagesAfterPersist.push({
    kind: 'requestVoteResponse',
    rangeId: state.rangeId,
    from: state.self,
    to: message.from,
    term: state.currentTerm,
    voteGranted,
  });
}

/** Changes nothing here. A refusal carries the own term, which frees a longer log in an older term (bug 12). */
export function handlePreVoteRequest(state: RaftState, message: PreVoteRequest, now: number): void {
  const electable =
    message.term > state.currentTerm &&
    state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  const voteGranted = electable && !isPromised(state, now);
  if (electable && !voteGranted) probe('preVoteRefusedByLease');
  state.outbox.messagesAfterPersist.push({
    kind: 'preVoteResponse',
    rangeId: state.rangeId,
    from: state.self,
    to: message.from,
    term: state.currentTerm,
    voteGranted,
  });
}

export function handleRequestVoteResponse(
  state: RaftState,
  message: RequestVoteResponse,
  now: number,
): void {
  if (state.role.kind !== 'candidate' || message.term !== state.currentTerm) return;
  if (!state.role.votes.has(message.from)) state.role.votes.set(message.from, message.voteGranted);
  concludeElection(state, now);
}

/** A voter in an older term than ours may grant too: it would follow us into the next. */
export function handlePreVoteResponse(
  state: RaftState,
  message: PreVoteResponse,
  now: number,
): void {
  if (state.role.kind !== 'preCandidate') return;
  state.role.votes.set(message.from, message.voteGranted);
  switch (voteResult(state.configuration, state.role.votes)) {
    case 'won':
      campaign(state, { leadershipTransfer: false }, now);
      return;
    case 'lost':
      becomeFollower(state, state.currentTerm, undefined, now);
      resetRetryTimer(state, now);
      return;
    case 'pending':
  }
}

function concludeElection(state: RaftState, now: number): void {
  if (state.role.kind !== 'candidate') return;
  switch (voteResult(state.configuration, state.role.votes)) {
    case 'won':
      becomeLeader(state, now);
      return;
    case 'lost':
      becomeFollower(state, state.currentTerm, undefined, now);
      resetRetryTimer(state, now);
      return;
    case 'pending':
  }
}

function broadcastToVoters<Message extends PreVoteRequest | RequestVoteRequest>(
  state: RaftState,
  build: (to: Message['to']) => Message,
): void {
  for (const member of state.members)
    if (member !== state.self && isVoter(state.configuration, member))
      state.outbox.messagesAfterPersist.push(build(member));
}
