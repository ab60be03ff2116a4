/**
 * What must hold at every moment, seen from above: the simulator looks into every store, at true time. Looked at every few
 * milliseconds, and at the first and the last moment of every process; not after every event: a leader or a lease that
 * lives shorter than that serves nobody. The rules are in the files beside this one.
 */
import { type GroupInside, inspectGroups } from '@flotilla/raft/testing';
import { consensusOf } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { checkQuorumIsHeard } from './check-quorum.ts';
import { checkCommitted, checkLeaderCompleteness } from './committed.ts';
import { checkConfigurations } from './configurations.ts';
import { checkCommitsOwnTerm } from './current-term.ts';
import { checkCommitIsDurable, checkSurvived } from './durability.ts';
import { checkElectionSafety } from './election-safety.ts';
import { checkForcedCampaign } from './forced-campaigns.ts';
import { Leases } from './leases.ts';
import { RangeLedger, ReplicaMemory } from './ledger.ts';
import { checkLog } from './log-matching.ts';
import { checkMonotonic } from './monotonic.ts';
import { checkPromises, messagesIn, notePromise, promiseOf } from './promises.ts';
import { checkReadRounds } from './read-rounds.ts';
import { checkVoteIsUpToDate } from './up-to-date-votes.ts';

interface Seen {
  readonly ledger: RangeLedger;
  readonly memory: ReplicaMemory;
  readonly group: GroupInside;
}

export class Invariants {
  private readonly machines: readonly StoreMachine[];
  private readonly ledgers = new Map<number, RangeLedger>();

  constructor(machines: readonly StoreMachine[]) {
    this.machines = machines;
  }

  /** Distinct (range, term) with a leader. */
  get leaders(): number {
    let count = 0;
    for (const ledger of this.ledgers.values()) count += ledger.leaders.size;
    return count;
  }

  /** Looks at everything. Throws SimFailure. */
  check(): void {
    const seen: Seen[] = [];
    const leases = new Leases();
    const committed = new Map<RangeLedger, number>();
    for (const ledger of this.ledgers.values()) committed.set(ledger, ledger.committedIndex);
    for (const machine of this.machines)
      for (const one of this.lookAt(machine)) {
        seen.push(one);
        checkQuorumIsHeard(one.memory, one.group, machine);
        leases.add(one.ledger, one.memory, one.group, machine.nowMs());
      }
    for (const ledger of this.ledgers.values()) checkCommitIsDurable(ledger);
    for (const { ledger, memory, group } of seen) {
      checkLeaderCompleteness(ledger, memory, group);
      checkConfigurations(ledger, memory);
      checkReadRounds(ledger, memory, group);
      checkCommitsOwnTerm(ledger, memory, group, committed.get(ledger) ?? 0);
    }
    leases.check();
  }

  /** Looks at one machine: its process has just opened its store, or ends at this moment. Throws SimFailure. */
  observe(machine: StoreMachine): void {
    this.lookAt(machine);
  }

  /** A process sends a frame to the consensus of another store. Throws SimFailure. */
  hear(machine: StoreMachine, frame: Uint8Array): void {
    for (const message of messagesIn(frame)) {
      const ledger = this.ledger(message.rangeId);
      const memory = this.memory(ledger, message.from, machine);
      const made = promiseOf(message);
      if (made !== undefined) notePromise(memory, made);
      // The last moment to see that what it acknowledges is on its disk.
      if (made !== undefined && machine.isStopping) this.observe(machine);
      // An election may be won between two looks: what its candidate knew before it is seen here.
      if (message.kind === 'requestVoteRequest') this.observe(machine);
      checkForcedCampaign(ledger, memory, message);
      checkVoteIsUpToDate(ledger, memory, message, () => {
        const raft = machine.store && consensusOf(machine.store);
        const groups = raft === undefined ? [] : inspectGroups(raft);
        return groups.find(({ state }) => state.rangeId === message.rangeId);
      });
    }
  }

  /** Everything that the machine had on its disk is lost, and nothing is expected of it any more. */
  forget(machine: StoreMachine): void {
    for (const ledger of this.ledgers.values())
      for (const [replicaId, memory] of ledger.replicas)
        if (memory.machine === machine) {
          ledger.replicas.delete(replicaId);
          ledger.lost.set(replicaId, memory);
        }
  }

  private lookAt(machine: StoreMachine): Seen[] {
    const raft = machine.store && consensusOf(machine.store);
    if (raft === undefined) return [];
    return inspectGroups(raft).map((group) => {
      const ledger = this.ledger(group.state.rangeId);
      const memory = this.memory(ledger, group.state.self, machine);
      follow(ledger, memory, group, machine.host.life);
      return { ledger, memory, group };
    });
  }

  private ledger(rangeId: number): RangeLedger {
    let ledger = this.ledgers.get(rangeId);
    if (ledger === undefined) {
      ledger = new RangeLedger(rangeId);
      this.ledgers.set(rangeId, ledger);
    }
    return ledger;
  }

  private memory(ledger: RangeLedger, replicaId: number, machine: StoreMachine): ReplicaMemory {
    let memory = ledger.replicas.get(replicaId);
    if (memory === undefined) {
      memory = new ReplicaMemory(ledger.rangeId, replicaId, machine.host.name, machine);
      ledger.replicas.set(replicaId, memory);
    }
    return memory;
  }
}

/** The checks that need one replica alone; then the memory is what the replica is now. */
function follow(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  group: GroupInside,
  life: number,
): void {
  const { state, core } = group;
  const newLife = memory.life !== life || memory.core !== core;
  checkElectionSafety(ledger, memory, group);
  if (newLife) {
    if (memory.life >= 0) {
      checkSurvived(memory, group);
      checkPromises(memory, group);
    }
    memory.commitIndex = 0;
    memory.completeUpTo = 0;
  } else {
    checkMonotonic(memory, group);
  }
  if (state.role.kind === 'leader' && memory.leaderTerm !== state.currentTerm)
    memory.completeUpTo = 0;
  checkLog(ledger, memory, group, newLife);
  checkCommitted(ledger, memory, group);
  memory.life = life;
  memory.core = core;
  memory.term = state.currentTerm;
  memory.commitIndex = state.commitIndex;
  memory.lastApplied = state.lastApplied;
  memory.persistedIndex = state.persistence.persistedIndex;
  memory.configurationBefore = memory.configuration;
  memory.configuration = core.configuration;
}
