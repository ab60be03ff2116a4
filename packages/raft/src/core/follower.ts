/**
 * What a replica does when a leader speaks: follow, promise (L2), check, store, acknowledge. Raft Fig. 2
 * "AppendEntries RPC, receiver implementation". An acknowledgement waits in the outbox until a Ready takes it along
 * after everything it confirms.
 */
import {
  assert,
  type LogIndex,
  probe,
  type ReplicaId,
  type Term,
  toLogIndex,
  toTerm,
} from '@flotilla/base';
import type { AppendEntriesRequest, AppendEntriesResponse } from '../messages.ts';
import { configurationOf, refreshConfiguration } from './membership.ts';
import { becomeFollower } from './roles.ts';
import { isInitialized, type RaftState } from './state.ts';

const noIndex: LogIndex = toLogIndex(0);
const noTerm: Term = toTerm(0);

/** The message is of the current term. */
export function handleAppendEntriesRequest(
  state: RaftState,
  message: AppendEntriesRequest,
  now: number,
): void {
  assert(message.term === state.currentTerm, 'the append is of this term');
  assert(state.role.kind !== 'leader', 'a term has at most one leader');
  if (state.role.kind !== 'follower') becomeFollower(state, message.term, message.from, now);
  else if (state.role.leader === undefined) {
    state.role.leader = message.from;
    state.triesInVain = 0;
  }
  assert(
    state.role.kind === 'follower' && state.role.leader === message.from,
    'a term has at most one leader',
  );
  state.promisedUntilMs = now + state.timings.electionTimeoutMs;
  state.electionDueMs = now + state.electionTimeoutMs;

  if (!isInitialized(state)) {
    refuse(state, message);
    return;
  }
  if (message.prevLogIndex < state.commitIndex) storeAboveCommit(state, message);
  else if (state.log.matches(message.prevLogIndex, message.prevLogTerm))
    storeEntries(state, message, 0);
  else {
    refuse(state, message);
    return;
  }
  const matchIndex = toLogIndex(
    Math.max(message.prevLogIndex + message.entries.length, state.commitIndex),
  );
  if (message.leaderCommit > state.commitIndex)
    state.commitIndex = toLogIndex(Math.min(message.leaderCommit, matchIndex));
  if (message.replicatedIndex > state.replicatedIndex) {
    state.replicatedIndex = message.replicatedIndex;
    state.log.release(state.replicatedIndex);
  }
  acknowledge(state, message, matchIndex);
}

/** An append of an older term: the answer's term makes its sender step down (bug 12). */
export function refuseOldTerm(state: RaftState, message: AppendEntriesRequest): void {
  assert(message.term < state.currentTerm, 'the append is of an older term');
  state.outbox.messagesAfterPersist.push({
    kind: 'appendEntriesResponse',
    rangeId: state.rangeId,
    from: state.self,
    to: message.from,
    term: state.currentTerm,
    success: false,
    matchIndex: noIndex,
    rejectedIndex: message.prevLogIndex,
    conflictTerm: noTerm,
    conflictIndex: toLogIndex(state.log.lastIndex + 1),
    sentAtMs: message.sentAtMs,
    readSequence: 0,
    needsSnapshot: false,
    commitIndex: state.commitIndex,
  });
}

/** What is committed here is the same in every leader's log: only what lies above is looked at. */
function storeAboveCommit(state: RaftState, message: AppendEntriesRequest): void {
  const known = state.commitIndex - message.prevLogIndex;
  if (known < message.entries.length) storeEntries(state, message, known);
}

/** Keeps what is there already, replaces from the first entry that differs, appends the rest. Raft §5.3. */
function storeEntries(state: RaftState, message: AppendEntriesRequest, from: number): void {
  const { log, configurations } = state;
  const { entries } = message;
  let reconfigured = false;
  let at = from;
  for (; at < entries.length; at++) {
    const entry = entries[at];
    assert(entry !== undefined, 'entries are dense');
    if (entry.index > log.lastIndex) break;
    if (log.term(entry.index) !== entry.term) {
      assert(entry.index > state.commitIndex, 'committed entries are never replaced');
      probe('logTruncatedConflict');
      log.truncateFrom(entry.index);
      state.persistence.onTruncated(entry.index);
      if (configurations.truncateFrom(entry.index)) {
        probe('configurationRolledBack');
        reconfigured = true;
      }
      break;
    }
  }
  for (; at < entries.length; at++) {
    const entry = entries[at];
    assert(entry !== undefined, 'entries are dense');
    log.append(entry);
    if (entry.kind !== 'configuration') continue;
    configurations.append(entry.index, configurationOf(entry));
    reconfigured = true;
  }
  if (reconfigured) refreshConfiguration(state);
}

/** Folds the answer into the one that waits already: a later success says everything an earlier one did. */
function acknowledge(state: RaftState, message: AppendEntriesRequest, matchIndex: LogIndex): void {
  const { from, sentAtMs, readSequence } = message;
  foldAck(state, from, { matchIndex, sentAtMs, readSequence });
}

/** The snapshot of the leader that is followed: what it holds matches. It promises nothing. */
export function acknowledgeSnapshot(state: RaftState, to: ReplicaId, matchIndex: LogIndex): void {
  foldAck(state, to, { matchIndex, sentAtMs: 0, readSequence: 0 });
}

function foldAck(
  state: RaftState,
  to: ReplicaId,
  ack: Pick<AppendEntriesResponse, 'matchIndex' | 'sentAtMs' | 'readSequence'>,
): void {
  const open = state.outbox.ack;
  assert(open === undefined || open.to === to, 'an open answer is for this leader');
  state.outbox.ack = {
    kind: 'appendEntriesResponse',
    rangeId: state.rangeId,
    from: state.self,
    to,
    term: state.currentTerm,
    success: true,
    matchIndex:
      open !== undefined && open.matchIndex > ack.matchIndex ? open.matchIndex : ack.matchIndex,
    rejectedIndex: noIndex,
    conflictTerm: noTerm,
    conflictIndex: noIndex,
    sentAtMs: Math.max(ack.sentAtMs, open?.sentAtMs ?? 0),
    readSequence: Math.max(ack.readSequence, open?.readSequence ?? 0),
    needsSnapshot: false,
    commitIndex: state.commitIndex,
  };
}

/** The logs part at or before prevLogIndex: says where to look next (thesis §3.5). */
function refuse(state: RaftState, message: AppendEntriesRequest): void {
  const { log } = state;
  const shorter = message.prevLogIndex > log.lastIndex;
  flushAck(state);
  state.outbox.messagesAfterPersist.push({
    kind: 'appendEntriesResponse',
    rangeId: state.rangeId,
    from: state.self,
    to: message.from,
    term: state.currentTerm,
    success: false,
    matchIndex: noIndex,
    rejectedIndex: message.prevLogIndex,
    conflictTerm: shorter ? noTerm : log.term(message.prevLogIndex),
    conflictIndex: toLogIndex(
      shorter ? log.lastIndex + 1 : log.firstIndexOfTermAt(message.prevLogIndex, state.commitIndex),
    ),
    sentAtMs: message.sentAtMs,
    readSequence: message.readSequence,
    needsSnapshot: !isInitialized(state),
    commitIndex: state.commitIndex,
  });
}

/** Moves the open answer behind what is queued already. */
export function flushAck(state: RaftState): void {
  if (state.outbox.ack === undefined) return;
  state.outbox.messagesAfterPersist.push(state.outbox.ack);
  state.outbox.ack = undefined;
}
