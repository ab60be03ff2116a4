/**
 * The leader's log on its way to everyone: what to send to whom, and what the answers commit. Messages are made when a
 * Ready is taken, not when something is proposed: all that one turn brought leaves as few messages. Raft §5.3, §5.4.2,
 * thesis §10.2.1 (appends leave before the leader's own write).
 */
import { assert, type LogIndex, probe, toLogIndex } from '@flotilla/base';
import type { AppendEntriesResponse, LogEntry } from '../messages.ts';
import { renewLease } from './lease.ts';
import { isSpokenFor } from './liveness.ts';
import { onCommitAdvanced } from './membership.ts';
import type { Progress } from './progress.ts';
import { jointQuorumValue } from './quorum.ts';
import { confirmRounds, releaseReads, roundWanted, sequenceToSend } from './read-index.ts';
import { maybeWantSnapshot } from './snapshot.ts';
import { announcedCommitIndex, type LeaderRole, type RaftState } from './state.ts';

const noEntries: readonly LogEntry[] = [];
const matchIndex = (progress: Progress): number => progress.matchIndex;

/** Puts into the outbox what every peer may get now. */
export function sendAppends(state: RaftState, leader: LeaderRole, now: number): void {
  updateReplicatedIndex(state, leader);
  const heartbeat = leader.heartbeatWanted;
  const round = roundWanted(leader);
  const lastIndex = state.log.lastIndex;
  leader.commitIndexWanted = false;
  for (const peer of leader.peers) {
    if (peer.coverage === 'silent') continue;
    if (peer.state !== 'snapshot' && peer.nextIndex < state.log.firstIndex) peer.becomeSnapshot();
    if (peer.state === 'snapshot') maybeWantSnapshot(state, peer, now);
    let sent = false;
    while (peer.nextIndex <= lastIndex && peer.maySendEntries(state.limits)) {
      const entries = state.log.slice(peer.nextIndex, lastIndex + 1, state.limits.appendBytesMax);
      sendAppend(state, leader, { peer, entries, now });
      sent = true;
      if (peer.state === 'probe') break;
    }
    // Even with a full window: an empty append tells a follower what it misses, so that a loss cannot stall it.
    const roundMissing = round && peer.sentReadSequence < sequenceToSend(leader);
    const beat = heartbeat && !isSpokenFor(state, leader, peer) && !hasJustHeard(state, peer, now);
    const commitMissing =
      peer.sentCommitIndex < peer.wantedCommitIndex &&
      announcedCommitIndex(state) >= peer.wantedCommitIndex;
    if (!sent && (beat || roundMissing || commitMissing))
      sendAppend(state, leader, { peer, entries: noEntries, now });
    if (peer.sentCommitIndex < peer.wantedCommitIndex) leader.commitIndexWanted = true;
  }
  if (round) leader.reads.forcedSequence = sequenceToSend(leader);
  leader.heartbeatWanted = false;
  leader.sendWanted = false;
}

/**
 * An append that left lately says what a heartbeat would, and a loss of it shows at the next: nothing but words on the log
 * is due to a follower that its store speaks for.
 */
function hasJustHeard({ timings }: RaftState, peer: Progress, now: number): boolean {
  return (
    peer.coverage === 'covered' &&
    peer.state === 'replicate' &&
    now - peer.sentAtMs < timings.heartbeatIntervalMs / 2
  );
}

/** Every peer hears the commit index of now, once it is applied here. */
export function announceCommit(state: RaftState, leader: LeaderRole): void {
  for (const peer of leader.peers)
    if (peer.wantedCommitIndex < state.commitIndex) peer.wantedCommitIndex = state.commitIndex;
  leader.commitIndexWanted = true;
  leader.sendWanted = true;
}

function sendAppend(
  state: RaftState,
  leader: LeaderRole,
  append: { readonly peer: Progress; readonly entries: readonly LogEntry[]; readonly now: number },
): void {
  const { peer, entries } = append;
  const prevLogIndex = Math.max(peer.nextIndex, state.log.firstIndex) - 1;
  const readSequence = sequenceToSend(leader);
  const leaderCommit = announcedCommitIndex(state);
  state.outbox.messages.push({
    kind: 'appendEntriesRequest',
    rangeId: state.rangeId,
    from: state.self,
    to: peer.replicaId,
    term: state.currentTerm,
    prevLogIndex: toLogIndex(prevLogIndex),
    prevLogTerm: state.log.term(prevLogIndex),
    entries,
    leaderCommit,
    sentAtMs: append.now,
    readSequence,
    replicatedIndex: state.replicatedIndex,
  });
  peer.sentAtMs = append.now;
  peer.sentReadSequence = readSequence;
  peer.sentReplicatedIndex = state.replicatedIndex;
  peer.sentCommitIndex = leaderCommit;
  if (entries.length === 0) return;
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length;
  peer.onSentEntries(prevLogIndex + entries.length, bytes);
}

/** An answer of this term. Every answer, also a refusal, proves that the follower still follows. */
export function handleAppendEntriesResponse(
  state: RaftState,
  message: AppendEntriesResponse,
  now: number,
): void {
  const leader = state.role;
  if (leader.kind !== 'leader' || message.term !== state.currentTerm) return;
  const peer = leader.progress.get(message.from);
  if (peer === undefined || !isPlausible(state, leader, message, now)) return;
  peer.lastHeardMs = now;
  if (message.commitIndex > peer.commitIndex) peer.commitIndex = message.commitIndex;
  if (message.sentAtMs > peer.ackedSentAtMs) {
    peer.ackedSentAtMs = message.sentAtMs;
    renewLease(state, leader);
  }
  if (message.readSequence > peer.ackedReadSequence) {
    peer.ackedReadSequence = message.readSequence;
    confirmRounds(state, leader);
  }
  if (message.success) {
    const wasProbe = peer.state !== 'replicate';
    if (peer.onMatched(message.matchIndex, state.log.firstIndex)) {
      if (message.matchIndex > state.commitIndex) maybeCommit(state, leader, now);
    }
    if (wasProbe || peer.nextIndex <= state.log.lastIndex) leader.sendWanted = true;
    if (leader.transfer?.target === peer.replicaId) leader.sendWanted = true;
  } else if (message.needsSnapshot) {
    // A replica that has acknowledged something has a state: such a refusal is older than that.
    if (peer.matchIndex === 0 && peer.state !== 'snapshot') peer.becomeSnapshot();
  } else if (peer.onRejected(message.rejectedIndex, nextIndexHint(state, message))) {
    leader.sendWanted = true;
  }
  if (peer.state === 'snapshot' && !peer.snapshotOut) leader.sendWanted = true;
}

/** Advances the commit index to what every quorum holds, if that is an entry of this term (Figure 8). */
export function maybeCommit(state: RaftState, leader: LeaderRole, now: number): void {
  const reached = jointQuorumValue(leader.voterSets, matchIndex);
  if (reached <= state.commitIndex || reached < leader.termStartIndex) return;
  assert(reached <= state.log.lastIndex, 'only entries of the log are matched');
  assert(state.log.term(reached) === state.currentTerm, 'the term starts at its first entry');
  let bytes = 0;
  for (let i = Math.max(state.commitIndex, leader.termStartIndex) + 1; i <= reached; i++)
    bytes += state.log.cached(i).data.length;
  leader.uncommittedBytes -= bytes;
  assert(leader.uncommittedBytes >= 0, 'uncommitted bytes are counted once');
  const committedBefore = state.commitIndex;
  const first = committedBefore < leader.termStartIndex;
  state.commitIndex = toLogIndex(reached);
  if (first) {
    if (leader.termStartIndex > committedBefore + 1) probe('oldTermCommittedIndirectly');
    releaseReads(state, leader);
  }
  onCommitAdvanced(state, leader, now);
}

/** The own write is durable: only now does the leader count itself. */
export function onOwnEntriesDurable(
  state: RaftState,
  leader: LeaderRole,
  persistedIndex: LogIndex,
  now: number,
): void {
  assert(persistedIndex >= leader.own.matchIndex, 'a leader never truncates its log');
  leader.own.matchIndex = persistedIndex;
  if (persistedIndex > state.commitIndex) maybeCommit(state, leader, now);
}

/** The least that any member, voter or learner, has on disk. Never falls: such entries are committed. */
export function updateReplicatedIndex(state: RaftState, leader: LeaderRole): void {
  let least = Infinity;
  for (const record of leader.progress.values()) least = Math.min(least, record.matchIndex);
  least = Math.min(least, state.commitIndex);
  if (least <= state.replicatedIndex) return;
  state.replicatedIndex = toLogIndex(least);
  state.log.release(state.replicatedIndex);
}

/** Where to go on after a refusal, skipping a whole term at a time (thesis §3.5). */
function nextIndexHint(state: RaftState, message: AppendEntriesResponse): number {
  if (message.conflictTerm === 0) return message.conflictIndex;
  const last = state.log.lastIndexWithTermAtMost(message.conflictTerm, message.rejectedIndex - 1);
  return state.log.term(last) === message.conflictTerm ? last + 1 : message.conflictIndex;
}

/** What no follower that obeys the protocol says is not believed. */
function isPlausible(
  state: RaftState,
  leader: LeaderRole,
  message: AppendEntriesResponse,
  now: number,
): boolean {
  return (
    message.matchIndex <= state.log.lastIndex &&
    message.rejectedIndex <= state.log.lastIndex &&
    message.readSequence <= leader.reads.sentSequence &&
    message.sentAtMs <= now
  );
}
