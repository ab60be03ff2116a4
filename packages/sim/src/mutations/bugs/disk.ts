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
    name: 'old-copy-of-a-disk-is-believed',
    breaks: 'a start finds at least what the lives before it have told of their log (ADR 0024)',
    changes: [
      {
        file: 'packages/shard/src/store/old-copy.ts',
        find: 'return told.logBatch > recoveredBatch;',
        replace: 'return told.logBatch > recoveredBatch + 1e9;',
      },
    ],
    hunt: {
      test: 'packages/shard/src/store/old-disk.test.ts',
      because: 'seeds do not put old copies of disks back',
    },
  },
  {
    name: 'old-copy-fills-its-log-up',
    breaks: 'what lives write that nobody has confirmed makes no copy good (ADR 0024)',
    changes: [
      {
        file: 'packages/shard/src/store/open-store.ts',
        find: 'unconfirmed: before.unconfirmed ?? { incarnation, recoveredBatch },',
        replace: 'unconfirmed: { incarnation, recoveredBatch },',
      },
    ],
    hunt: {
      test: 'packages/shard/src/store/old-disk.test.ts',
      because: 'seeds do not put old copies of disks back',
    },
  },
  {
    name: 'told-before-it-is-durable',
    breaks: 'a store tells nobody of a batch that is not synced (ADR 0024)',
    changes: [
      {
        file: 'packages/raft/src/wal/segmented-log.ts',
        find: 'this.batchNumber += 1;',
        replace: 'this.batchNumber += 1;\n    this.durableNumber = this.batchNumber;',
      },
    ],
    hunt: {
      test: 'packages/raft/src/wal/write-ahead-log.prop.test.ts',
      because: 'a crash has to come between the sending of a heartbeat and the end of a sync',
    },
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
