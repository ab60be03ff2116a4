/**
 * Handing leadership over (thesis §3.10): stop proposals, bring the target up to date, tell it to campaign at once.
 * The forced campaign bypasses the promise that leases rest on, so the lease is given up first and for the whole term
 * (rule L5), also when the transfer fails: a TimeoutNow that is still under way may elect the target at any moment.
 */
import { assert, probe, type ReplicaId } from '@flotilla/base';
import type { TimeoutNow } from '../messages.ts';
import { campaign } from './election.ts';
import { isHeard, updateLease } from './lease.ts';
import { isVoter } from './quorum.ts';
import type { TransferResult } from './raft-core.ts';
import type { LeaderRole, RaftState } from './state.ts';

export function transferLeadership(
  state: RaftState,
  target: ReplicaId,
  now: number,
): TransferResult {
  const leader = state.role;
  if (leader.kind !== 'leader') return { ok: false, reason: 'notLeader' };
  if (target === state.self) return { ok: false, reason: 'self' };
  // One that only the outgoing configuration has is about to lose its vote.
  if (!state.configuration.voters.includes(target)) return { ok: false, reason: 'notVoter' };
  if (leader.transfer !== undefined) return { ok: false, reason: 'inProgress' };
  const peer = leader.progress.get(target);
  assert(peer !== undefined, 'a voter is a member');
  if (peer.state === 'snapshot') return { ok: false, reason: 'notReady' };
  // The lease would be given up, and E without proposals spent, for one that is probably dead.
  if (!isHeard(state, peer, now)) return { ok: false, reason: 'notHeard' };
  leader.leaseForfeited = true;
  updateLease(state);
  leader.reelectionDueMs = Infinity;
  leader.transfer = {
    target,
    deadlineMs: now + state.timings.electionTimeoutMs,
    timeoutNowSent: false,
  };
  leader.sendWanted = true;
  return { ok: true };
}

/** Sends TimeoutNow once the target has everything; again at each heartbeat, because it may have been lost. */
export function maybeSendTimeoutNow(
  state: RaftState,
  leader: LeaderRole,
  heartbeat: boolean,
): void {
  const { transfer } = leader;
  if (transfer === undefined || (transfer.timeoutNowSent && !heartbeat)) return;
  const target = leader.progress.get(transfer.target);
  assert(target !== undefined, 'the target is a member');
  if (target.matchIndex !== state.log.lastIndex) return;
  transfer.timeoutNowSent = true;
  state.outbox.messages.push({
    kind: 'timeoutNow',
    rangeId: state.rangeId,
    from: state.self,
    to: transfer.target,
    term: state.currentTerm,
    lastLogIndex: state.log.lastIndex,
    handOver: 0,
  });
}

/** The target did not take over within E: serve again, without a lease. */
export function abortTransfer(state: RaftState, leader: LeaderRole, now: number): void {
  assert(leader.transfer !== undefined, 'a transfer is under way');
  probe('transferAborted');
  leader.transfer = undefined;
  leader.reelectionDueMs = now + state.timings.electionTimeoutMs;
}

/**
 * True when a leader whose transfer failed should be elected again, so that leases resume in a new term that a delayed
 * TimeoutNow cannot touch: at the first quiet heartbeat, or after E.
 */
export function reelectionWanted(state: RaftState, leader: LeaderRole, now: number): boolean {
  if (leader.reelectionDueMs === Infinity || leader.transfer !== undefined) return false;
  if (!isVoter(state.configuration, state.self)) return false; // it is about to step down
  return state.commitIndex === state.log.lastIndex || now >= leader.reelectionDueMs;
}

/** Campaigns at once, if it is still this term's follower with the very log that the leader saw (bug 4). */
export function handleTimeoutNow(state: RaftState, message: TimeoutNow, now: number): void {
  if (
    message.term !== state.currentTerm ||
    message.lastLogIndex !== state.log.lastIndex ||
    state.role.kind !== 'follower' ||
    state.role.leader !== message.from
  ) {
    probe('lateTimeoutNowIgnored');
    return;
  }
  if (!isVoter(state.configuration, state.self)) return;
  campaign(state, { leadershipTransfer: true }, now);
}
