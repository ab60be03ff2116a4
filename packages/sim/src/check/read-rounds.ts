/**
 * A read that comes to a leader after its successor has committed something must not be confirmed there: the round that it
 * waits for has not been sent yet, and no quorum echoes it any more (thesis §6.4 step 3). Sees what no client may happen to
 * ask for: that a leader was replaced, and who still believes in it.
 */
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

/** After all replicas of one instant were looked at. */
export function checkReadRounds(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  { state }: GroupInside,
): void {
  const { role, currentTerm } = state;
  if (role.kind !== 'leader' || currentTerm >= ledger.newestCommittedTerm) {
    memory.roundsWhenReplaced = undefined;
    return;
  }
  const { sentSequence, confirmedSequence } = role.reads;
  const rounds = memory.roundsWhenReplaced;
  if (rounds?.term !== currentTerm) {
    memory.roundsWhenReplaced = { term: currentTerm, sent: sentSequence };
    return;
  }
  if (confirmedSequence > rounds.sent)
    throw new SimFailure(
      'staleRead',
      `${memory.name} leads t${currentTerm} and confirms read round ${confirmedSequence}; it had sent ${rounds.sent} when t${ledger.newestCommittedTerm} was committed`,
    );
}
