/**
 * What a server has said is on its disk (Raft §5.1 "updated on stable storage before responding to RPCs", thesis §3.8): the
 * term of every answer to an append, and the vote of every granted or asked-for vote. Heard on the wire, as the process
 * sends it; held to what the replica's log says when it is opened the next time. So it is noticed that a promise was early
 * also where nobody came to harm.
 */
import { decodeFrame } from '@flotilla/base';
import { decodeRaftMessage, isStoreMessage, type RaftMessage } from '@flotilla/raft';
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { Promised, ReplicaMemory } from './ledger.ts';

/** The messages of a group in a frame to another store's consensus, whole ones. */
export function* messagesIn(frame: Uint8Array): Generator<RaftMessage> {
  const decoded = decodeFrame(frame);
  // A message in pieces is large: entries, which promise nothing.
  if (!decoded.ok || decoded.kind !== 'whole') return;
  for (const bytes of decoded.messages) {
    const read = decodeRaftMessage(bytes);
    if (read.ok && !isStoreMessage(read.message)) yield read.message;
  }
}

export function promiseOf(message: RaftMessage): Promised | undefined {
  switch (message.kind) {
    case 'appendEntriesResponse':
      return message.success ? { term: message.term, votedFor: undefined } : undefined;
    case 'requestVoteResponse':
      return message.voteGranted ? { term: message.term, votedFor: message.to } : undefined;
    case 'requestVoteRequest':
      return { term: message.term, votedFor: message.from };
    default:
      return undefined;
  }
}

export function notePromise(memory: ReplicaMemory, made: Promised): void {
  const { promised } = memory;
  if (promised === undefined || made.term > promised.term) {
    memory.promised = made;
    return;
  }
  if (made.term < promised.term || made.votedFor === undefined) return;
  if (promised.votedFor !== undefined && promised.votedFor !== made.votedFor)
    throw new SimFailure(
      'voteForgotten',
      `${memory.name} gave its vote of t${made.term} to ${promised.votedFor}, and to ${made.votedFor}`,
    );
  memory.promised = made;
}

/** A log has just been opened. */
export function checkPromises({ name, promised }: ReplicaMemory, { state }: GroupInside): void {
  if (promised === undefined || state.currentTerm > promised.term) return;
  const { term, votedFor } = promised;
  if (state.currentTerm < term)
    throw new SimFailure(
      'voteForgotten',
      `${name} spoke in t${term}, and opened in t${state.currentTerm}`,
    );
  if (votedFor !== undefined && state.votedFor !== votedFor)
    throw new SimFailure(
      'voteForgotten',
      `${name} gave its vote of t${term} to ${votedFor}, and opened with ${state.votedFor}`,
    );
}
