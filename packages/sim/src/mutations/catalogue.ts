/** All bugs that are planted. */
import { closings } from './bugs/closing.ts';
import { commands } from './bugs/commands.ts';
import { computed } from './bugs/computed.ts';
import { coordinators } from './bugs/coordinating.ts';
import { disk } from './bugs/disk.ts';
import { elections } from './bugs/elections.ts';
import { evaluations } from './bugs/evaluating.ts';
import { loads } from './bugs/loads.ts';
import { memberships } from './bugs/membership.ts';
import { placements } from './bugs/placement.ts';
import { promises } from './bugs/promises.ts';
import { reads } from './bugs/reads.ts';
import { logs } from './bugs/replication.ts';
import { resolvings } from './bugs/resolving.ts';
import { snapshots } from './bugs/snapshots.ts';
import { splits } from './bugs/splitting.ts';
import type { Mutant } from './mutant.ts';

export const mutants: readonly Mutant[] = [
  ...elections,
  ...logs,
  ...memberships,
  ...placements,
  ...reads,
  ...disk,
  ...commands,
  ...splits,
  ...snapshots,
  ...promises,
  ...resolvings,
  ...coordinators,
  ...closings,
  ...computed,
  ...evaluations,
  ...loads,
];
