/** Bugs in what is on disk: the log's tail, and the order of checkpoints. */
import type { Mutant } from '../mutant.ts';

const recovery = 'packages/raft/src/wal/recovery.ts';

export const disk: readonly Mutant[] = [
  {
    name: 'unproven-tail-believed',
    breaks:
      'a batch of which no header says that it was synced is written again before it counts as durable',
    changes: [
      {
        file: recovery,
        find: 'else if (isBefore(this.proven, synced)) this.proven = synced;',
        replace: 'else this.proven = { segment: segment.number, offset };',
      },
    ],
    hunt: { only: ['crash', 'powerLoss', 'crashAll', 'slowDisk', 'diskError'] },
  },
  {
    name: 'checkpoint-before-the-flush',
    breaks: 'the log forgets entries only after the engine has them on disk',
    changes: [
      {
        file: 'packages/shard/src/store/checkpointer.ts',
        find: 'await engine.flush();',
        replace: 'void engine;',
      },
    ],
    hunt: { only: ['powerLoss', 'crashAll', 'checkpoint'] },
  },
];
