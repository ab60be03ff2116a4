/**
 * A leader that does not hear from a majority for an election timeout steps down, so that its clients look for another
 * (thesis §6.2; rule L6 of the raft package). Late timers and the store-level heartbeat, which notices silence for all
 * groups at once after another E, may add to it.
 */
import type { GroupInside } from '@flotilla/raft/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { SimFailure } from '../failure.ts';
import type { ReplicaMemory } from './ledger.ts';

/** What the loop, late timers apart, may add. Unit: ms. */
const slackMs = 200;

export function checkQuorumIsHeard(
  memory: ReplicaMemory,
  { state, core }: GroupInside,
  machine: StoreMachine,
): void {
  const { role, timings } = state;
  const now = machine.nowMs();
  // A stopped process learns what time it is when it goes on: then its timers are due.
  if (machine.host.isPaused) {
    memory.awakeSinceMs = undefined;
    return;
  }
  memory.awakeSinceMs ??= now;
  // A change of voters may ask for a majority that has been silent all along: the leader learns it now.
  if (memory.askedVoters !== core.configuration) {
    memory.askedVoters = core.configuration;
    memory.askedSinceMs = now;
  }
  if (role.kind !== 'leader') return;
  for (const voters of role.voterSets) {
    const heard = voters
      .map((each) => (each.coverage === 'covered' ? now : each.lastHeardMs))
      .sort((one, other) => other - one);
    const quorumHeardMs = heard[voters.length >> 1] ?? now;
    const since = Math.max(quorumHeardMs, memory.awakeSinceMs, memory.askedSinceMs);
    if (now - since <= 2 * timings.electionTimeoutMs + 2 * machine.host.timersLateMs + slackMs)
      continue;
    throw new SimFailure(
      'checkQuorum',
      `${memory.name} leads t${state.currentTerm}, and no majority has answered for ${Math.round(now - quorumHeardMs)} ms`,
    );
  }
}
