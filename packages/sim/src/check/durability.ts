/**
 * An entry is committed once a majority of its configuration has it on stable storage (Raft §5.3, §5.1 "persistent state";
 * thesis §3.8, §10.2.1), and what is on stable storage is there after any crash.
 *
 * The first half asks, for every index that became committed, how many voters had it on disk; what a dead process had on
 * disk counts. The second half holds every log that is opened to what its replica had on disk when its process died, so
 * that the word for "on disk" is not the driver's alone.
 */
import type { Configuration } from '@flotilla/raft';
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

/** A log has just been opened: everything that was on disk is in it. Call before the memory follows the log. */
export function checkSurvived(memory: ReplicaMemory, { state }: GroupInside): void {
  const { log } = state;
  for (let index = Math.max(memory.base, log.firstIndex); index <= memory.persistedIndex; index++) {
    const before = memory.termAt(index);
    if (before === undefined) continue;
    if (index <= log.lastIndex && log.term(index) === before) continue;
    const now = index <= log.lastIndex ? `t${log.term(index)}` : 'nothing';
    throw new SimFailure(
      'durableLost',
      `${memory.name} had t${before}/i${index} on its disk, and opened with ${now}`,
    );
  }
}

/** After all replicas were looked at. */
export function checkCommitIsDurable(ledger: RangeLedger): void {
  for (const { index, by } of ledger.fresh) {
    const term = ledger.committedTerm[index];
    const own = ledger.configurations.get(index)?.get(term ?? 0);
    // Nothing follows a joint configuration before it is committed: it alone decides on itself (Raft §6).
    const candidates =
      own !== undefined && own.votersOutgoing.length > 0 ? [own] : configurationsAround(ledger, by);
    if (candidates.length === 0) continue;
    const holds = (replicaId: number): boolean => {
      const replica = ledger.replicas.get(replicaId) ?? ledger.lost.get(replicaId);
      if (replica === undefined || replica.persistedIndex < index) return false;
      const there = replica.termAt(index);
      return there === undefined ? index < replica.base : there === term;
    };
    if (candidates.some((each) => hasQuorum(each, holds))) continue;
    const holders = [...ledger.replicas.values()].filter((each) => holds(each.replicaId));
    throw new SimFailure(
      'commitNotDurable',
      `r${ledger.rangeId}: ${by.name} commits t${term}/i${index}, which is on disk of ` +
        `${holders.map(({ name }) => name).join(', ') || 'nobody'}; voters ` +
        candidates.map(({ voters, votersOutgoing }) => `${voters}/${votersOutgoing}`).join(' or '),
    );
  }
  ledger.fresh = [];
}

/** The one that it was committed under is one of these: a leader appends at most one change between two looks. */
function configurationsAround(ledger: RangeLedger, by: ReplicaMemory): readonly Configuration[] {
  const found = new Set<Configuration>();
  for (const each of ledger.replicas.values()) {
    if (each !== by && each.leaderTerm < by.term) continue;
    if (each.configuration !== undefined) found.add(each.configuration);
    if (each.configurationBefore !== undefined) found.add(each.configurationBefore);
  }
  return [...found];
}

function hasQuorum(
  { voters, votersOutgoing }: Configuration,
  holds: (replicaId: number) => boolean,
): boolean {
  const majority = (of: readonly number[]): boolean =>
    of.length === 0 || 2 * of.filter(holds).length > of.length;
  return majority(voters) && majority(votersOutgoing);
}
