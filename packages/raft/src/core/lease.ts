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
export function renewLease(state: RaftState, leader: LeaderRole): void {
  leader.leaseStartMs = jointQuorumValue(leader.voterSets, ackedSentAtMs);
  updateLease(state);
}

/** Called wherever one of the things that `leaseEndMs` looks at has changed. */
export function updateLease(state: RaftState): void {
  const untilMs = leaseEndMs(state);
  if (untilMs === state.leaseUntilMs) return;
  state.leaseUntilMs = untilMs;
  state.onLease(untilMs);
}

/**
 * The end of the lease, exclusive; -Infinity if there is none. Infinity for a voter that is its own quorum: nobody else can
 * ever be elected.
 */
export function leaseEndMs({ role, lastApplied, timings }: RaftState): number {
  if (role.kind !== 'leader' || role.leaseForfeited) return -Infinity;
  if (lastApplied < role.termStartIndex) return -Infinity; // L4: own-term entry applied
  return role.leaseStartMs + timings.leaseDurationMs;
}

/** Milliseconds of lease left at `now`; 0 if none. The whole duration where it never ends. */
export function leaseRemainingMs({ leaseUntilMs, timings }: RaftState, now: number): number {
  return leaseUntilMs === Infinity ? timings.leaseDurationMs : Math.max(0, leaseUntilMs - now);
}
