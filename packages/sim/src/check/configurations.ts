/**
 * Membership changes: any two consecutive configurations have overlapping quorums, so no two leaders can be elected in one
 * term while one replaces the other; voters change through joint consensus only (Raft §6, thesis §4.3); a change begins
 * only when the one before is committed (thesis §4.1), so every log holds at most one that is not.
 */
import type { Configuration } from '@flotilla/raft';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

/** After all replicas were looked at: what is committed is known. */
export function checkConfigurations(ledger: RangeLedger, memory: ReplicaMemory): void {
  const indices = memory.configurationIndices;
  const uncommitted = indices.filter((index) => index > ledger.committedIndex);
  if (uncommitted.length > 1)
    throw new SimFailure(
      'configuration',
      `${memory.name} has two changes that are not committed: i${uncommitted.join(', i')} above i${ledger.committedIndex}`,
    );
  const [older, newer] = [indices.at(-2), indices.at(-1)];
  if (older === undefined || newer === undefined) return;
  const from = configurationAt(ledger, memory, older);
  const to = configurationAt(ledger, memory, newer);
  if (from === undefined || to === undefined) return;
  const fault = faultOf(from, to);
  if (fault !== undefined)
    throw new SimFailure(
      'configuration',
      `${memory.name} i${older} to i${newer}: ${fault} (${print(from)} to ${print(to)})`,
    );
}

function configurationAt(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  index: number,
): Configuration | undefined {
  return ledger.configurations.get(index)?.get(memory.termAt(index) ?? 0);
}

/** What is wrong with one step, or undefined. Exported for its test. */
export function faultOf(from: Configuration, to: Configuration): string | undefined {
  const joint = (each: Configuration): boolean => each.votersOutgoing.length > 0;
  if (!joint(from) && !joint(to))
    return same(from.voters, to.voters) ? undefined : 'voters change without joint consensus';
  if (!joint(from) && joint(to))
    return same(from.voters, to.votersOutgoing)
      ? undefined
      : 'outgoing voters are not the old ones';
  if (joint(from) && joint(to)) return 'from one joint configuration to another';
  return same(from.voters, to.voters) ? undefined : 'a joint configuration is left to other voters';
}

function same(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((each, i) => each === other[i]);
}

export function print({ voters, votersOutgoing, learners }: Configuration): string {
  const outgoing = votersOutgoing.length > 0 ? ` out ${votersOutgoing}` : '';
  return `{${voters}${outgoing}${learners.length > 0 ? ` learn ${learners}` : ''}}`;
}
