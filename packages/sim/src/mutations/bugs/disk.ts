/** Bugs in what is on disk: the log's tail, and the order of checkpoints. */
import type { Mutant } from '../mutant.ts';

const recovery = 'packages/raft/src/wal/recovery.ts';

export const disk: readonly Mutant[] = [
  {
    name: 'torn-tail-not-cut',
    breaks: 'what is left of a torn batch is zeroed before anything is written over it',
    changes: [
      {
        file: recovery,
        find: 'if (isZero(reader.bytes(at, length))) continue;',
        replace: 'if (length > 0) continue;',
      },
    ],
    hunt: { only: ['powerLoss', 'crashAll', 'slowDisk'] },
  },
  {
    name: 'recovered-tail-not-synced',
    breaks: 'a batch that a killed process left unsynced is synced before it counts as durable',
    changes: [
      {
        file: recovery,
        find: 'await this.segments.get(end.segment).file.datasync();',
        replace: 'void end;',
      },
    ],
    hunt: { only: ['crash', 'powerLoss', 'crashAll', 'slowDisk'] },
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
