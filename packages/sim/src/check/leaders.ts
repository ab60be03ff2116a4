/** Who leads each range, seen from above: of several that believe so, the one of the newest term. */
import { inspectStore } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import type { Descriptor } from './tiling.ts';

export interface Leader {
  readonly machine: StoreMachine;
  readonly term: number;
  /** As it has applied it. */
  readonly descriptor: Descriptor;
}

/** By range. */
export function leadersOf(machines: readonly StoreMachine[]): ReadonlyMap<number, Leader> {
  const leaders = new Map<number, Leader>();
  for (const machine of machines) {
    if (machine.store === undefined) continue;
    for (const { rangeId, raft, descriptor } of inspectStore(machine.store)) {
      if (raft.role !== 'leader' || (leaders.get(rangeId)?.term ?? 0) > raft.term) continue;
      leaders.set(rangeId, { machine, term: raft.term, descriptor });
    }
  }
  return leaders;
}
