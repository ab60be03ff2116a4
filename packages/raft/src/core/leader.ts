/**
 * What a leader does on its own account: take proposals, beat, check that a quorum still hears it (L6), give up on
 * transfers. Answers of followers are handled in `replication.ts`. Raft Fig. 2 "Rules for Servers: Leaders", thesis §6.2.
 */
import { nextIndex, probe } from '@flotilla/base';
import { campaign } from './election.ts';
import { quorumHeardUntilMs } from './lease.ts';
import { nextBeatMs } from './liveness.ts';
import { maybeLeaveJoint } from './membership.ts';
import type { ProposeResult } from './raft-core.ts';
import { becomeFollower } from './roles.ts';
import { snapshotDeadline } from './snapshot.ts';
import { type LeaderRole, leaderOf, type RaftState } from './state.ts';
import { abortTransfer, reelectionWanted } from './transfer.ts';

export function propose(state: RaftState, data: Uint8Array): ProposeResult {
  const leader = state.role;
  if (leader.kind !== 'leader') return { ok: false, reason: 'notLeader', leader: leaderOf(state) };
  if (leader.transfer !== undefined)
    return { ok: false, reason: 'transferring', leader: state.self };
  const uncommitted = leader.uncommittedBytes + data.length;
  // One command that is larger than the limit may pass alone: it could never be proposed otherwise.
  if (leader.uncommittedBytes > 0 && uncommitted > state.limits.uncommittedBytesMax)
    return { ok: false, reason: 'tooManyUncommitted', leader: state.self };
  const index = nextIndex(state.log.lastIndex);
  const term = state.currentTerm;
  state.log.append({ index, term, kind: 'command', data });
  leader.uncommittedBytes = uncommitted;
  leader.sendWanted = true;
  return { ok: true, index, term };
}

/** When `tickLeader` has something to do next. */
export function leaderDeadline(leader: LeaderRole): number {
  const transferDueMs = leader.transfer?.deadlineMs ?? Infinity;
  return Math.min(
    leader.heartbeatDueMs,
    leader.checkQuorumDueMs,
    leader.snapshotDueMs,
    transferDueMs,
  );
}

export function tickLeader(state: RaftState, leader: LeaderRole, now: number): void {
  if (now >= leader.checkQuorumDueMs) {
    leader.checkQuorumDueMs = quorumHeardUntilMs(state, leader);
    if (now >= leader.checkQuorumDueMs) {
      probe('leaderSteppedDownNoQuorum');
      becomeFollower(state, state.currentTerm, undefined, now);
      return;
    }
  }
  if (now >= leader.snapshotDueMs) {
    leader.snapshotDueMs = snapshotDeadline(leader, now);
    leader.sendWanted = true;
  }
  if (leader.transfer !== undefined && now >= leader.transfer.deadlineMs) {
    abortTransfer(state, leader, now);
    maybeLeaveJoint(state, leader, now);
    beat(state, leader, now);
  } else if (now >= leader.heartbeatDueMs) {
    beat(state, leader, now);
    if (reelectionWanted(state, leader, now)) {
      probe('reelectedAfterTransfer');
      campaign(state, { leadershipTransfer: true }, now);
    }
  }
}

function beat(state: RaftState, leader: LeaderRole, now: number): void {
  leader.heartbeatDueMs = nextBeatMs(state, leader, now);
  leader.heartbeatWanted = true;
  leader.sendWanted = true;
}
