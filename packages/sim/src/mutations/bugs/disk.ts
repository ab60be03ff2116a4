/** Bugs in what is on disk: the log's tail, and the order of checkpoints. */
import { type Mutant, quick } from '../mutant.ts';

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
  {
    name: 'silent-after-a-checkpoint-that-hung',
    breaks: 'L8: a store is silent while its disk hangs, and no longer',
    changes: [
      {
        file: 'packages/raft/src/driver/log-line.ts',
        find: 'this.onProgress();\n        job.resolve();',
        replace: 'this.running = false;\n        job.resolve();',
      },
    ],
    hunt: {
      only: ['diskStall', 'checkpoint', 'pause'],
      weights: { checkpoint: 4, diskStall: 4 },
      swarm: {
        stores: 2,
        ranges: 2,
        clients: 1,
        timings: quick,
        thinkMsMax: 150,
        briskOperations: 10,
        faultEveryMs: 60,
        faultsMs: 3000,
      },
    },
  },
];
