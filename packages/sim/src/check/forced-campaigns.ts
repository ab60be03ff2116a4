/**
 * A campaign that may break the promise of leases has been asked for by the leader of the term before it, which gave its
 * lease up first: its target campaigns, in the very next term, or that leader itself (thesis §3.10, §4.2.3; rule L5 of the
 * raft package). Heard on the wire.
 */
import type { RaftMessage } from '@flotilla/raft';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

/** @param memory of the sender */
export function checkForcedCampaign(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  message: RaftMessage,
): void {
  if (message.kind === 'timeoutNow') ledger.asked.add(`${message.term}/${message.to}`);
  if (message.kind !== 'requestVoteRequest' || !message.leadershipTransfer) return;
  const before = message.term - 1;
  if (ledger.asked.has(`${before}/${memory.replicaId}`) || memory.leaderTerm === before) return;
  throw new SimFailure(
    'twoLeases',
    `${memory.name} campaigns for t${message.term} against all promises; nobody asked it to in t${before}`,
  );
}
