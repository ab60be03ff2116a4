/**
 * Linearizable reads without a lease (thesis §6.4). One counter per leader term numbers rounds; every append carries
 * the newest; a round is confirmed when a quorum has echoed it or a newer one. A read joins a round that no message
 * has carried yet, so an echo of it proves that the leader still led *after* the read arrived. Rounds and contexts are
 * never used twice, so duplicated, delayed or reordered echoes prove nothing they should not.
 */
import { probe, type ReplicaId, toLogIndex } from '@flotilla/base';
import type { ReadIndexRequest, ReadIndexResponse } from '../messages.ts';
import type { Progress } from './progress.ts';
import { isSoleVoter, jointQuorumValue } from './quorum.ts';
import type { ReadIndexResult } from './raft-core.ts';
import {
  type FollowerRole,
  type LeaderRole,
  leaderOf,
  type PendingRead,
  type RaftState,
  type RoleState,
} from './state.ts';

const ackedReadSequence = (progress: Progress): number => progress.ackedReadSequence;

export function readIndex(state: RaftState, now: number): ReadIndexResult {
  const leader = state.role;
  if (leader.kind === 'follower' && leader.leader !== undefined)
    return askLeader(state, leader, leader.leader, now);
  if (leader.kind !== 'leader') return { ok: false, reason: 'notLeader', leader: leaderOf(state) };
  if (leader.reads.pending.length >= state.limits.pendingReadsMax)
    return { ok: false, reason: 'tooManyPending', leader: state.self };
  const context = ++state.lastContext;
  addRead(state, leader, { context, askedBy: undefined });
  return { ok: true, context };
}

/** A follower asks. Anyone but a leader with room says no at once: the follower asks elsewhere. */
export function handleReadIndexRequest(state: RaftState, message: ReadIndexRequest): void {
  const leader = state.role;
  if (leader.kind === 'leader' && leader.reads.pending.length < state.limits.pendingReadsMax) {
    addRead(state, leader, { context: message.context, askedBy: message.from });
    return;
  }
  answer(state, { context: message.context, askedBy: message.from }, undefined);
}

/**
 * A follower asks its leader. The request may leave before anything is durable here: the leader of this term knows that
 * the term exists.
 */
function askLeader(
  state: RaftState,
  follower: FollowerRole,
  leader: ReplicaId,
  now: number,
): ReadIndexResult {
  if (follower.asked.length >= state.limits.pendingReadsMax)
    return { ok: false, reason: 'tooManyPending', leader };
  const context = ++state.lastContext;
  follower.asked.push({ context, dueMs: now + state.timings.electionTimeoutMs });
  state.outbox.messages.push({
    kind: 'readIndexRequest',
    rangeId: state.rangeId,
    from: state.self,
    to: leader,
    term: state.currentTerm,
    context,
  });
  return { ok: true, context };
}

/** The leader has answered. Contexts are unique, so an answer that comes late or twice finds nobody waiting. */
export function handleReadIndexResponse(state: RaftState, message: ReadIndexResponse): void {
  const { role } = state;
  if (role.kind !== 'follower' || role.leader !== message.from) return;
  if (message.term !== state.currentTerm) return;
  const at = role.asked.findIndex((read) => read.context === message.context);
  if (at < 0) return;
  role.asked.splice(at, 1);
  if (message.success) probe('followerRead');
  state.outbox.reads.push(
    message.success
      ? { context: message.context, ok: true, index: message.readIndex }
      : { context: message.context, ok: false, leader: role.leader },
  );
}

/** Reads whose answer has not come within E have failed. */
export function expireAskedReads(state: RaftState, follower: FollowerRole, now: number): void {
  let expired = 0;
  for (const read of follower.asked) {
    if (read.dueMs > now) break;
    state.outbox.reads.push({ context: read.context, ok: false, leader: follower.leader });
    expired++;
  }
  if (expired > 0) follower.asked.splice(0, expired);
}

/** The number that a message leaving now carries. Closes the round that reads were joining. */
export function sequenceToSend(leader: LeaderRole): number {
  const { reads } = leader;
  const newest = reads.pending[reads.pending.length - 1];
  if (newest !== undefined && newest.sequence > reads.sentSequence)
    reads.sentSequence = newest.sequence;
  return reads.sentSequence;
}

/** True if a round should be sent to everyone now: reads wait for one that is not out, and none is under way. */
export function roundWanted(leader: LeaderRole): boolean {
  const { reads } = leader;
  const newest = reads.pending[reads.pending.length - 1];
  return (
    newest !== undefined &&
    newest.sequence > reads.forcedSequence &&
    reads.confirmedSequence >= reads.forcedSequence
  );
}

/** A member echoed a newer round, or other members count now. */
export function confirmRounds(state: RaftState, leader: LeaderRole): void {
  const { reads } = leader;
  const echoed = jointQuorumValue(leader.voterSets, ackedReadSequence);
  // A change of configuration may lower what a quorum has echoed; what was confirmed stays so. No more than was sent.
  const confirmed = Math.min(echoed, reads.sentSequence);
  if (confirmed <= reads.confirmedSequence) return;
  reads.confirmedSequence = confirmed;
  if (roundWanted(leader)) leader.sendWanted = true;
  releaseReads(state, leader);
}

/** Answers the reads whose round is confirmed, once the term has committed an entry of its own (§6.4 step 1). */
export function releaseReads(state: RaftState, leader: LeaderRole): void {
  if (state.commitIndex < leader.termStartIndex) return;
  const { reads } = leader;
  let released = 0;
  for (const read of reads.pending) {
    if (read.sequence > reads.confirmedSequence) break;
    // Everything that earlier leaders acknowledged lies below the own no-op.
    const index = Math.max(read.index, leader.termStartIndex);
    answer(state, read, index);
    if (read.askedBy !== undefined) wantCommitIndex(leader, read.askedBy, index);
    released++;
  }
  if (released === reads.pending.length) reads.pending = [];
  else if (released > 0) reads.pending.splice(0, released);
}

/** The asker can only serve once it knows that the index is committed: it must not have to wait for a heartbeat. */
function wantCommitIndex(leader: LeaderRole, askedBy: ReplicaId, index: number): void {
  const peer = leader.progress.get(askedBy);
  if (peer === undefined || peer.wantedCommitIndex >= index) return;
  peer.wantedCommitIndex = index;
  leader.commitIndexWanted = true;
  leader.sendWanted = true;
}

/** A role has ended: every read that waited in it hears it now. The caller has already set the new role. */
export function failReads(state: RaftState, before: RoleState): void {
  if (before.kind === 'leader') {
    const { pending } = before.reads;
    before.reads.pending = [];
    if (pending.length > 0) probe('readIndexAcrossLeaderChange');
    for (const read of pending) answer(state, read, undefined);
  } else if (before.kind === 'follower' && before.asked.length > 0) {
    probe('readIndexAcrossLeaderChange');
    for (const read of before.asked)
      state.outbox.reads.push({ context: read.context, ok: false, leader: leaderOf(state) });
    before.asked = [];
  }
}

function addRead(
  state: RaftState,
  leader: LeaderRole,
  who: { readonly context: number; readonly askedBy: ReplicaId | undefined },
): void {
  const { reads } = leader;
  const committedOwnTerm = state.commitIndex >= leader.termStartIndex;
  const read: PendingRead = {
    context: who.context,
    askedBy: who.askedBy,
    sequence: reads.sentSequence + 1,
    index: committedOwnTerm ? state.commitIndex : 0,
  };
  reads.pending.push(read);
  if (isSoleVoter(state.configuration, state.self)) {
    reads.sentSequence = read.sequence; // nobody else can lead: there is nobody to ask
    confirmRounds(state, leader);
  } else if (roundWanted(leader)) leader.sendWanted = true;
}

function answer(
  state: RaftState,
  read: { readonly context: number; readonly askedBy: ReplicaId | undefined },
  index: number | undefined,
): void {
  const success = index !== undefined;
  if (read.askedBy === undefined) {
    state.outbox.reads.push(
      success
        ? { context: read.context, ok: true, index: toLogIndex(index) }
        : { context: read.context, ok: false, leader: leaderOf(state) },
    );
    return;
  }
  // A refusal may carry a term that is not durable yet; a confirmation is a leader's, whose term is.
  const queue = success ? state.outbox.messages : state.outbox.messagesAfterPersist;
  queue.push({
    kind: 'readIndexResponse',
    rangeId: state.rangeId,
    from: state.self,
    to: read.askedBy,
    term: state.currentTerm,
    context: read.context,
    readIndex: toLogIndex(index ?? 0),
    success,
  });
}
