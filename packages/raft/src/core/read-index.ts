/**
 * Linearizable reads without a lease (thesis §6.4). One counter per leader term numbers rounds; every append carries
 * the newest; a round is confirmed when a quorum has echoed it or a newer one. A read joins a round that no message
 * has carried yet, so an echo of it proves that the leader still led *after* the read arrived. Rounds and contexts are
 * never used twice, so duplicated, delayed or reordered echoes prove nothing they should not.
 */
import { assert, probe, type ReplicaId, toLogIndex } from '@flotilla/base';
import type { ReadIndexRequest } from '../messages.ts';
import type { Progress } from './progress.ts';
import { isSoleVoter, jointQuorumValue } from './quorum.ts';
import type { ReadIndexResult } from './raft-core.ts';
import { type LeaderRole, leaderOf, type PendingRead, type RaftState } from './state.ts';

const ackedReadSequence = (progress: Progress): number => progress.ackedReadSequence;

export function readIndex(state: RaftState): ReadIndexResult {
  const leader = state.role;
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

/** A member echoed a newer round. */
export function confirmRounds(state: RaftState, leader: LeaderRole): void {
  const confirmed = jointQuorumValue(leader.voterSets, ackedReadSequence);
  assert(confirmed >= leader.reads.confirmedSequence, 'confirmed rounds do not fall');
  if (confirmed === leader.reads.confirmedSequence) return;
  leader.reads.confirmedSequence = confirmed;
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
    answer(state, read, Math.max(read.index, leader.termStartIndex));
    released++;
  }
  if (released === reads.pending.length) reads.pending = [];
  else if (released > 0) reads.pending.splice(0, released);
}

/** Leadership is lost: every read that waits hears it now. The caller has already set the new role. */
export function failReads(state: RaftState, leader: LeaderRole): void {
  const { pending } = leader.reads;
  leader.reads.pending = [];
  if (pending.length > 0) probe('readIndexAcrossLeaderChange');
  for (const read of pending) answer(state, read, undefined);
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
    reads.confirmedSequence = Infinity; // nobody else can lead
    releaseReads(state, leader);
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
