/**
 * Leader leases, rules L1, L4 and L5: a quorum that echoed a send time promised, at or after that time, to elect nobody
 * else for E by its own clock; so for D < E after it nobody else leads. Reads no clock and decides nothing else. The
 * promise itself is kept in `election.ts`; disk and clock guards (L8) are the driver's.
 */

import type { Progress } from './progress.ts';
import { jointQuorumValue } from './quorum.ts';
import type { LeaderRole, RaftState } from './state.ts';

/** A covered member counts as heard: the driver says so as soon as it is not. */
const lastHeardMs = (progress: Progress): number =>
  progress.coverage === 'covered' ? Infinity : progress.lastHeardMs;
const ackedSentAtMs = (progress: Progress): number => progress.ackedSentAtMs;

/** Until when the leader may believe that a quorum hears it. */
export function quorumHeardUntilMs(state: RaftState, leader: LeaderRole): number {
  return jointQuorumValue(leader.voterSets, lastHeardMs) + state.timings.electionTimeoutMs;
}

/** True if `peer` was heard of within E, by its own answers or by its store's. */
export function isHeard(state: RaftState, peer: Progress, now: number): boolean {
  return now - lastHeardMs(peer) < state.timings.electionTimeoutMs && peer.coverage !== 'silent';
}

/** A member echoed a newer send time. L1: the send time counts, never the time of receipt; only voters'. */
export function renewLease(leader: LeaderRole): void {
  leader.leaseStartMs = jointQuorumValue(leader.voterSets, ackedSentAtMs);
}

/**
 * Milliseconds of lease left at `now`; 0 if none. The whole duration for a voter that is its own quorum: nobody else
 * can ever be elected.
 */
export function leaseRemainingMs(state: RaftState, now: number): number {
  const leader = state.role;
  if (leader.kind !== 'leader' || leader.leaseForfeited) return 0;
  if (state.lastApplied < leader.termStartIndex) return 0; // L4: own-term entry applied
  const { leaseDurationMs } = state.timings;
  if (leader.leaseStartMs === Infinity) return leaseDurationMs;
  return Math.max(0, leader.leaseStartMs + leaseDurationMs - now);
}
