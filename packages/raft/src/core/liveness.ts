/**
 * What store-level heartbeats do to one group. Two stores tell each other once per interval, for all groups together,
 * what a heartbeat and its answer would have said per group; the driver (`driver/liveness/`) brings it here when it
 * matters. A covered follower is only spoken to while there is something to say. Rules L1, L2 and L6 hold unchanged: the
 * send time counts, the promise counts from receipt, and a leader that is not told of a quorum steps down.
 */
import { assert, type ReplicaId, type Term } from '@flotilla/base';
import { quorumHeardUntilMs, renewLease } from './lease.ts';
import type { Progress } from './progress.ts';
import type { Coverage, PeerHeard } from './raft-core.ts';
import type { LeaderRole, RaftState } from './state.ts';

/** The follower's side: a heartbeat of `leader` in `term` arrived at `heardAtMs`. False if it is not followed so. */
export function leaderHeard(
  state: RaftState,
  leader: ReplicaId,
  term: Term,
  heardAtMs: number,
): boolean {
  const { role, timings } = state;
  if (role.kind !== 'follower' || role.leader !== leader || state.currentTerm !== term)
    return false;
  state.promisedUntilMs = Math.max(state.promisedUntilMs, heardAtMs + timings.electionTimeoutMs);
  state.electionDueMs = Math.max(state.electionDueMs, heardAtMs + state.electionTimeoutMs);
  return true;
}

/** The leader's side: `peer` promised its silence at or after `sentAtMs`. Of another term it means nothing. */
export function peerHeard(state: RaftState, heard: PeerHeard): void {
  const leader = state.role;
  if (leader.kind !== 'leader' || heard.term !== state.currentTerm) return;
  const peer = leader.progress.get(heard.peer);
  if (peer === undefined || peer.isSelf) return;
  assert(heard.sentAtMs <= heard.heardAtMs, 'an answer comes after its question');
  if (heard.heardAtMs > peer.lastHeardMs) peer.lastHeardMs = heard.heardAtMs;
  if (heard.sentAtMs <= peer.ackedSentAtMs) return;
  peer.ackedSentAtMs = heard.sentAtMs;
  renewLease(state, leader);
}

/** Who speaks for `peer` from now on. What its store answered last must have been told by `peerHeard` before. */
export function setCoverage(
  state: RaftState,
  replicaId: ReplicaId,
  coverage: Coverage,
  now: number,
): void {
  const leader = state.role;
  if (leader.kind !== 'leader') return;
  const peer = leader.progress.get(replicaId);
  if (peer === undefined || peer.isSelf || peer.coverage === coverage) return;
  const before = peer.coverage;
  peer.coverage = coverage;
  leader.checkQuorumDueMs = quorumHeardUntilMs(state, leader);
  if (coverage === 'silent') return;
  if (before === 'silent') leader.sendWanted = true;
  // A follower that is not spoken for any more, or was silent, hears at once from the group itself.
  if (before !== 'none' && !isSpokenFor(state, leader, peer))
    leader.heartbeatDueMs = Math.min(leader.heartbeatDueMs, now);
}

/** True if a heartbeat of the group would tell `peer` nothing, or would not reach it. */
export function isSpokenFor(state: RaftState, leader: LeaderRole, peer: Progress): boolean {
  switch (peer.coverage) {
    case 'none':
      return false;
    case 'silent':
      return true;
    case 'covered':
      return (
        peer.matchIndex === state.log.lastIndex &&
        peer.commitIndex >= state.commitIndex &&
        peer.sentReplicatedIndex >= state.replicatedIndex &&
        (leader.reads.pending.length === 0 || peer.ackedReadSequence >= leader.reads.sentSequence)
      );
  }
}

/** Gives the group a heartbeat timer while it has something to say, and takes it away when it has not. */
export function armHeartbeat(state: RaftState, leader: LeaderRole, now: number): void {
  if (!needsHeartbeat(state, leader)) leader.heartbeatDueMs = Infinity;
  else if (leader.heartbeatDueMs === Infinity)
    leader.heartbeatDueMs = nextBeatMs(state, leader, now);
}

/**
 * When to beat after `now`. Where stores speak for all followers, a heartbeat only says what is committed, after the last
 * write of a while: the groups of a store that were written to within an interval say so in the same turn, in one frame
 * per store, instead of each in a frame of its own. Half an interval to one and a half from now.
 */
export function nextBeatMs(state: RaftState, leader: LeaderRole, now: number): number {
  const { heartbeatIntervalMs } = state.timings;
  for (const peer of leader.peers) if (peer.coverage === 'none') return now + heartbeatIntervalMs;
  return Math.ceil((now + heartbeatIntervalMs / 2) / heartbeatIntervalMs) * heartbeatIntervalMs;
}

function needsHeartbeat(state: RaftState, leader: LeaderRole): boolean {
  if (leader.transfer !== undefined || leader.reelectionDueMs !== Infinity) return true;
  for (const peer of leader.peers) if (!isSpokenFor(state, leader, peer)) return true;
  return false;
}
