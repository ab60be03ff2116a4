/**
 * A vote goes to a candidate whose log is at least as up to date as the voter's: the later last term wins, then the longer
 * log (Raft §5.4.1). Heard on the wire, and held to the voter's log if nobody has led it in that term since it voted: then
 * that log is what it was.
 */
import type { RaftMessage } from '@flotilla/raft';
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

/** @param inside of the sender, looked at only if it votes */
export function checkVoteIsUpToDate(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  message: RaftMessage,
  inside: () => GroupInside | undefined,
): void {
  if (message.kind === 'requestVoteRequest')
    ledger.candidacies.set(`${message.term}/${message.from}`, message);
  if (message.kind !== 'requestVoteResponse' || !message.voteGranted) return;
  const asked = ledger.candidacies.get(`${message.term}/${message.to}`);
  const state = inside()?.state;
  if (asked === undefined || state === undefined || state.currentTerm !== message.term) return;
  if (state.role.kind !== 'follower' || state.role.leader !== undefined) return;
  const { lastIndex, lastTerm } = state.log;
  if (asked.lastLogTerm > lastTerm) return;
  if (asked.lastLogTerm === lastTerm && asked.lastLogIndex >= lastIndex) return;
  throw new SimFailure(
    'committedLost',
    `${memory.name} has t${lastTerm}/i${lastIndex} and votes in t${message.term} for ${message.to}, whose log ends at ` +
      `t${asked.lastLogTerm}/i${asked.lastLogIndex}`,
  );
}
