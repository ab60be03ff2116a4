/**
 * What stands inside the groups of a running driver, for a simulator that sees everything and touches nothing: no message
 * is sent, no state changes, nothing is copied.
 */
import { assert } from '@flotilla/base';
import { RaftMachine } from '../core/core.ts';
import type { RaftCore } from '../core/raft-core.ts';
import type { RaftState } from '../core/state.ts';
import { Driver } from '../driver/driver.ts';
import type { MultiRaft } from '../driver/multi-raft.ts';

/** Reads only. Valid until anything happens to the group. */
export interface GroupInside {
  readonly state: Readonly<RaftState>;
  readonly core: Pick<RaftCore, 'configuration' | 'leaseValid' | 'status'>;
}

/** Every group of the store, in no order. */
export function inspectGroups(raft: MultiRaft): GroupInside[] {
  assert(raft instanceof Driver, 'a driver of createMultiRaft');
  const found: GroupInside[] = [];
  for (const { core } of raft.inside()) {
    assert(core instanceof RaftMachine, 'a core of createRaftCore');
    found.push({ state: core.state, core });
  }
  return found;
}
