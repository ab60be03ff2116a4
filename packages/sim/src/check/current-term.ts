/**
 * Only entries of the leader's current term are committed by counting replicas; once one of them is, all before it are
 * (Raft §5.4.2, Figure 8). So if nobody but a leader knows yet that its commit index is committed, the entry there is of
 * its own term.
 */
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

/** After all replicas of one instant were looked at. @param before the committed index of the instant before */
export function checkCommitsOwnTerm(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  { state }: GroupInside,
  before: number,
): void {
  const { commitIndex, currentTerm, log } = state;
  if (state.role.kind !== 'leader' || commitIndex <= before) return;
  // What its log begins after was decided before: in a snapshot's log, or in that of the range it was cut from.
  if (commitIndex < log.firstIndex) return;
  const term = log.term(commitIndex);
  if (term === currentTerm) return;
  // It may have heard it from the leader before, just now.
  for (const other of ledger.replicas.values())
    if (other !== memory && other.commitIndex >= commitIndex) return;
  throw new SimFailure(
    'stateMachineSafety',
    `${memory.name} leads t${currentTerm} and commits t${term}/i${commitIndex} by counting`,
  );
}
