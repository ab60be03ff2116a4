/**
 * State Machine Safety: if a server has applied a log entry at a given index, no other server will ever apply a different
 * entry for the same index. Leader Completeness: if a log entry is committed in a given term, it is present in the logs
 * of the leaders of all higher-numbered terms. Raft Fig. 3, §5.4.
 *
 * Checked for what is committed, applied or not: the ledger keeps the term of every committed index, by Log Matching that
 * is the entry, on every replica that ever commits it.
 */
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

/** Notes what the replica has committed since the last look. */
export function checkCommitted(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  { state }: GroupInside,
): void {
  const { commitIndex, currentTerm, log } = state;
  const compacted = log.firstIndex - 1;
  const compactedTerm = ledger.committedTerm[compacted];
  if (compactedTerm !== undefined && log.term(compacted) !== compactedTerm)
    throw new SimFailure(
      'stateMachineSafety',
      `${memory.name} begins after t${log.term(compacted)}/i${compacted}; elsewhere i${compacted} was committed with t${compactedTerm}`,
    );
  for (let index = memory.commitIndex + 1; index <= commitIndex; index++) {
    const term = memory.termAt(index);
    if (term === undefined) continue;
    const known = ledger.committedTerm[index];
    if (known !== undefined) {
      if (known !== term)
        throw new SimFailure(
          'stateMachineSafety',
          `${memory.name} commits t${term}/i${index}; elsewhere i${index} was committed with t${known}`,
        );
      continue;
    }
    ledger.committedTerm[index] = term;
    ledger.committedBy[index] = currentTerm;
    ledger.newestCommittedTerm = Math.max(ledger.newestCommittedTerm, term);
    ledger.fresh.push({ index, by: memory });
  }
  ledger.committedIndex = Math.max(ledger.committedIndex, commitIndex);
}

/** After all replicas were looked at. A leader of an older term that was deposed need not have what came later. */
export function checkLeaderCompleteness(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  { state }: GroupInside,
): void {
  if (state.role.kind !== 'leader') return;
  const { currentTerm, log } = state;
  for (let index = memory.completeUpTo + 1; index <= ledger.committedIndex; index++) {
    const term = ledger.committedTerm[index];
    if (term === undefined || (ledger.committedBy[index] ?? 0) > currentTerm) continue;
    const there = index < log.firstIndex || memory.termAt(index) === term;
    if (!there)
      throw new SimFailure(
        'committedLost',
        `${memory.name} leads t${currentTerm} without t${term}/i${index}, which was committed (its log: ${log.firstIndex} to ${log.lastIndex})`,
      );
  }
  memory.completeUpTo = ledger.committedIndex;
}
