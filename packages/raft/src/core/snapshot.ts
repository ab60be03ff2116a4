/**
 * Snapshots for members whose entries are compacted, or who have no state at all (Raft §7, thesis §5). The state itself
 * travels outside of consensus; here is who needs one, what becomes of it, and what it does to the receiver's log.
 */
import { probe, type ReplicaId, toLogIndex } from '@flotilla/base';
import type { SnapshotPoint } from '../messages.ts';
import { acknowledgeSnapshot } from './follower.ts';
import { isHeard } from './lease.ts';
import { isChangePending, refreshConfiguration } from './membership.ts';
import type { Progress } from './progress.ts';
import { findConfigurationFault } from './quorum.ts';
import type { SnapshotSendResult } from './raft-core.ts';
import { becomeFollower } from './roles.ts';
import type { LeaderRole, RaftState } from './state.ts';

/** A failed attempt is repeated after a heartbeat interval, then twice that, … up to E times this. */
const backoffElectionTimeouts = 4;

/** Asks for a snapshot for a member that is there, has none under way and no attempt that failed just now. */
export function maybeWantSnapshot(state: RaftState, peer: Progress, now: number): void {
  if (peer.snapshotOut || now < peer.snapshotDueMs) return;
  if (!isHeard(state, peer, now)) return; // it will be heard first
  if (isChangePending(state)) probe('snapshotDuringConfigurationChange');
  peer.snapshotOut = true;
  state.outbox.snapshotsWanted.push(peer.replicaId);
}

/** When `tickLeader` has to look for members whose attempt failed. */
export function snapshotDeadline(leader: LeaderRole, now: number): number {
  let dueMs = Infinity;
  for (const peer of leader.peers)
    if (peer.state === 'snapshot' && !peer.snapshotOut && peer.snapshotDueMs > now)
      dueMs = Math.min(dueMs, peer.snapshotDueMs);
  return dueMs;
}

/** An attempt has ended. What it brought is only a hint: the receiver's own answers say what matches. */
export function snapshotSent(
  state: RaftState,
  to: ReplicaId,
  result: SnapshotSendResult,
  now: number,
): void {
  const leader = state.role;
  if (leader.kind !== 'leader') return;
  const peer = leader.progress.get(to);
  if (peer === undefined || !peer.snapshotOut) return;
  peer.snapshotOut = false;
  if (peer.state !== 'snapshot') return;
  const { heartbeatIntervalMs, electionTimeoutMs } = state.timings;
  if (result.ok && result.index >= state.log.compactedIndex) {
    peer.snapshotBackoffMs = 0;
    peer.snapshotDueMs = now + heartbeatIntervalMs;
    peer.becomeProbe(Math.min(Math.max(result.index, peer.matchIndex), state.log.lastIndex) + 1);
  } else {
    const longest = electionTimeoutMs * backoffElectionTimeouts;
    peer.snapshotBackoffMs = Math.min(
      Math.max(heartbeatIntervalMs, peer.snapshotBackoffMs * 2),
      longest,
    );
    peer.snapshotDueMs = now + peer.snapshotBackoffMs;
    leader.snapshotDueMs = Math.min(leader.snapshotDueMs, peer.snapshotDueMs);
  }
  leader.sendWanted = true;
}

/** The receiver: takes over what a snapshot holds. False if it is of no use here. */
export function installSnapshot(state: RaftState, snapshot: SnapshotPoint, now: number): boolean {
  if (!isWelcome(state, snapshot)) {
    probe('snapshotRefusedStale');
    return false;
  }
  probe('snapshotInstalled');
  const { from, term, lastIncludedIndex, lastIncludedTerm, configuration } = snapshot;
  const follows =
    term === state.currentTerm && state.role.kind === 'follower' && state.role.leader === from;
  if (!follows) becomeFollower(state, term, from, now);
  const keptTail = state.log.installSnapshot(lastIncludedIndex, lastIncludedTerm);
  state.persistence.onSnapshotInstalled(lastIncludedIndex, keptTail);
  state.configurations.restart(lastIncludedIndex, configuration, keptTail);
  refreshConfiguration(state);
  state.commitIndex = lastIncludedIndex;
  state.handedOutIndex = lastIncludedIndex;
  state.outbox.snapshot = snapshot;
  // A replica that could not vote may be able to now.
  if (state.electionDueMs === Infinity) state.electionDueMs = now + state.electionTimeoutMs;
  acknowledgeSnapshot(state, from, toLogIndex(lastIncludedIndex));
  return true;
}

/** What comes from outside is judged, never asserted on. */
function isWelcome(state: RaftState, snapshot: SnapshotPoint): boolean {
  const { term, from, lastIncludedIndex, lastIncludedTerm } = snapshot;
  if (term < state.currentTerm || lastIncludedIndex <= state.commitIndex) return false;
  if (lastIncludedTerm > term || from === state.self) return false;
  if (state.persistence.pendingSnapshotIndex > 0) return false; // one at a time
  if (findConfigurationFault(snapshot.configuration) !== undefined) return false;
  if (term > state.currentTerm) return true;
  const { role } = state;
  if (role.kind === 'leader') return false; // its sender is no leader of this term
  return role.kind !== 'follower' || role.leader === undefined || role.leader === from;
}
