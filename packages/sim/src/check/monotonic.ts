/**
 * currentTerm, commitIndex and lastApplied increase monotonically (Raft Fig. 2 "State"); the term also across restarts
 * (`election-safety.ts`). lastApplied never passes commitIndex.
 */
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { ReplicaMemory } from './ledger.ts';

/** Within one life of the process. */
export function checkMonotonic(memory: ReplicaMemory, { state }: GroupInside): void {
  const { currentTerm, commitIndex, lastApplied } = state;
  if (
    currentTerm < memory.term ||
    commitIndex < memory.commitIndex ||
    lastApplied < memory.lastApplied ||
    lastApplied > commitIndex
  )
    throw new SimFailure(
      'monotone',
      `${memory.name} went back: t${memory.term} commit ${memory.commitIndex} applied ${memory.lastApplied} to t${currentTerm} commit ${commitIndex} applied ${lastApplied}`,
    );
}
