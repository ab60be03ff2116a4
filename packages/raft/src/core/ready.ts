/**
 * Turns what the rules decided into instructions for the driver. Several Readys may be under way: each tells only what
 * is new since the one before.
 */
import { assert, type ReplicaId, toLogIndex } from '@flotilla/base';
import type { HardState, LogEntry, RaftMessage } from '../messages.ts';
import { flushAck } from './follower.ts';
import { armHeartbeat } from './liveness.ts';
import type { ReadPoint, Ready, SoftState } from './raft-core.ts';
import { sendAppends } from './replication.ts';
import { hardStateOf, leaderOf, type RaftState } from './state.ts';
import { maybeSendTimeoutNow } from './transfer.ts';

const noEntries: readonly LogEntry[] = [];
const noMessages: RaftMessage[] = [];
const noReads: ReadPoint[] = [];
const noReplicas: ReplicaId[] = [];

export function takeReady(state: RaftState, now: number): Ready | undefined {
  const { role, outbox } = state;
  if (role.kind === 'leader' && role.sendWanted) {
    const heartbeat = role.heartbeatWanted;
    sendAppends(state, role, now);
    maybeSendTimeoutNow(state, role, heartbeat);
  }
  if (role.kind === 'leader') armHeartbeat(state, role, now);
  flushAck(state);

  const entries = newEntries(state);
  const hardState = newHardState(state, entries.length > 0 || outbox.snapshot !== undefined);
  const committed = newCommitted(state);
  const softState = newSoftState(state);
  const { messages, messagesAfterPersist, reads, snapshot, snapshotsWanted } = outbox;
  if (
    entries.length === 0 &&
    hardState === undefined &&
    committed.length === 0 &&
    softState === undefined &&
    snapshot === undefined &&
    snapshotsWanted.length === 0 &&
    messages.length === 0 &&
    messagesAfterPersist.length === 0 &&
    reads.length === 0
  )
    return undefined;

  const mustSync = entries.length > 0 || hardState !== undefined || snapshot !== undefined;
  const ready: Ready = {
    rangeId: state.rangeId,
    hardState,
    entries,
    mustSync,
    messages: messages.length === 0 ? noMessages : messages,
    messagesAfterPersist: messagesAfterPersist.length === 0 ? noMessages : messagesAfterPersist,
    committed,
    snapshot,
    snapshotsWanted: snapshotsWanted.length === 0 ? noReplicas : snapshotsWanted,
    reads: reads.length === 0 ? noReads : reads,
    softState,
  };
  if (messages.length > 0) outbox.messages = [];
  if (messagesAfterPersist.length > 0) outbox.messagesAfterPersist = [];
  if (reads.length > 0) outbox.reads = [];
  if (snapshotsWanted.length > 0) outbox.snapshotsWanted = [];
  outbox.snapshot = undefined;
  if (mustSync) state.persistence.onTaken(ready);
  return ready;
}

/** False: `takeReady` would find nothing. True if there may be something; never looks at what was handed out already. */
export function hasNews(state: RaftState): boolean {
  const { role, outbox, persistence } = state;
  return (
    (role.kind === 'leader' && role.sendWanted) ||
    outbox.ack !== undefined ||
    outbox.messages.length > 0 ||
    outbox.messagesAfterPersist.length > 0 ||
    outbox.reads.length > 0 ||
    outbox.snapshot !== undefined ||
    outbox.snapshotsWanted.length > 0 ||
    persistence.takenIndex !== state.log.lastIndex ||
    persistence.voteOrTermChanged(state.currentTerm, state.votedFor) ||
    committedUpTo(state) > state.handedOutIndex ||
    softStateChanged(state)
  );
}

function newEntries(state: RaftState): readonly LogEntry[] {
  const { log, persistence } = state;
  if (persistence.takenIndex === log.lastIndex) return noEntries;
  return log.slice(persistence.takenIndex + 1, log.lastIndex + 1, Infinity);
}

/** A commit index alone is a hint that is not worth a write; with entries it travels for nothing. */
function newHardState(state: RaftState, withEntries: boolean): HardState | undefined {
  const changed = state.persistence.voteOrTermChanged(state.currentTerm, state.votedFor);
  return changed || withEntries ? hardStateOf(state) : undefined;
}

/** Only what is durable here is applied here, so that a state machine never runs ahead of its own log. */
function newCommitted(state: RaftState): readonly LogEntry[] {
  const from = state.handedOutIndex + 1;
  const upTo = committedUpTo(state);
  if (from > upTo) return noEntries;
  const committed = state.log.slice(from, upTo + 1, state.limits.applyBytesMax);
  assert(committed[0]?.index === from, 'entries are applied without a gap');
  state.handedOutIndex = toLogIndex(from + committed.length - 1);
  return committed;
}

/** Up to where entries may be handed out now. */
function committedUpTo({ persistence, commitIndex }: RaftState): number {
  // A snapshot comes before everything that follows it.
  if (persistence.pendingSnapshotIndex > 0) return 0;
  return Math.min(commitIndex, persistence.persistedIndex);
}

function softStateChanged(state: RaftState): boolean {
  const before = state.softState;
  return (
    before.role !== state.role.kind ||
    before.term !== state.currentTerm ||
    before.leader !== leaderOf(state)
  );
}

function newSoftState(state: RaftState): SoftState | undefined {
  if (!softStateChanged(state)) return undefined;
  state.softState = { role: state.role.kind, term: state.currentTerm, leader: leaderOf(state) };
  return state.softState;
}
