/** Bugs in writes whose value is computed where the key lies. */
import type { Hunt, Mutant } from '../mutant.ts';

const evaluation = 'packages/shard/src/replica/evaluation.ts';
const writes = 'packages/shard/src/replica/write-commands.ts';
const commit = 'packages/client/src/transaction/commit.ts';

const lists = {
  coordinators: 3,
  workers: 3,
  workloads: ['lists'],
  keys: 2,
  readCommittedShare: 0.2,
  lockShare: 0.1,
  thinkMsMax: 2,
  brisk: 400,
} as const;
const world = { stores: 3, ranges: 4, clients: 2, thinkMsMax: 50, faultsMs: 3000 } as const;
const calm: Hunt = { only: ['slowLink', 'slowDisk'], swarm: { ...world, transactions: lists } };

export const computed: readonly Mutant[] = [
  {
    name: 'computed-over-what-is-applied',
    breaks: 'a value is computed from the newest write, also where that is not applied yet',
    changes: [
      {
        file: evaluation,
        find: 'const stored = newestStored(view, overlayKey(key), key);\n    const computed',
        replace: 'const stored = view.engine.get(view.space.dataKey(key));\n    const computed',
      },
    ],
    hunt: calm,
  },
  {
    name: 'computed-beside-intents',
    breaks: 'a computed write waits for what others are about to commit, and for their locks',
    changes: [
      {
        file: writes,
        find: 'const waits = waitForOthers(core, attempt, needs, () =>',
        replace:
          'const waits = waitForOthers(core, attempt, { mutations: request.mutations }, () =>',
      },
    ],
    hunt: {
      ...calm,
      swarm: { ...world, transactions: { ...lists, keys: 4, workloads: ['lists', 'ring'] } },
    },
  },
  {
    name: 'computed-again-when-in-doubt',
    breaks: 'what may have been computed is not done again in another way',
    changes: [
      {
        file: commit,
        find: 'if (error === locked || isInvalid(error)) return false;',
        replace: 'if (error) return false;',
      },
    ],
    hunt: {
      only: ['isolate', 'oneWay', 'crash', 'pause', 'storm'],
      swarm: {
        ...world,
        faultEveryMs: 150,
        operationTimeoutMs: 300,
        transactions: { ...lists, workloads: ['lists', 'registers'] },
      },
    },
  },
];
