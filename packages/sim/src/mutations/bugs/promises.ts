/** Bugs in promises of transactions at the leaseholder: what is checked before they are made, and what lays or keeps intents. */
import type { Mutant } from '../mutant.ts';
import { brisk, calm, world } from './transaction-worlds.ts';

const prepares = 'packages/shard/src/transaction/prepares.ts';
const writes = 'packages/shard/src/replica/write-commands.ts';
const state = 'packages/shard/src/state/transaction-state.ts';

export const promises: readonly Mutant[] = [
  {
    name: 'prepare-comes-below-reads',
    breaks: 'an intent is laid above every version of its key and not below what others have read',
    changes: [
      {
        file: prepares,
        find: 'if (least > commitTimestamp) {',
        replace: 'if (least > commitTimestamp + 1e12) {',
      },
    ],
    hunt: calm,
  },
  {
    name: 'demanded-timestamp-below-reads',
    breaks: 'a write at a timestamp that its transaction demands comes above versions and reads',
    changes: [
      {
        file: writes,
        find: 'if (least > demanded) return pushedTo(least);',
        replace: 'if (least > demanded + 1e12) return pushedTo(least);',
      },
    ],
    hunt: calm,
  },
  {
    name: 'prepare-without-its-read-checks',
    breaks: 'intents are laid only where the reads of the transaction hold up to its timestamp',
    changes: [
      {
        file: prepares,
        find: 'const validation = validateReads(core, attempt, request.readChecks ?? [], {',
        replace: 'const validation = validateReads(core, attempt, [], {',
      },
    ],
    hunt: calm,
  },
  {
    name: 'prepare-without-its-conditions',
    breaks: 'a key that was read and is written has not changed in between',
    changes: [
      {
        file: prepares,
        find: 'const failed = firstFailedCondition(core.view(), conditions);',
        replace: 'const failed = firstFailedCondition(core.view(), conditions.slice(0, 0));',
      },
    ],
    hunt: calm,
  },
  {
    name: 'one-range-without-its-read-checks',
    breaks: 'a commit in one range checks what it has read and not written',
    changes: [
      {
        file: writes,
        find: 'const validation = validateReads(core, attempt, requests, { upTo, transaction });',
        replace:
          'const validation = validateReads(core, attempt, requests.slice(0, 0), { upTo, transaction });',
      },
    ],
    hunt: { ...calm, swarm: { ...calm.swarm, ranges: 2 } },
  },
  {
    name: 'late-prepare-is-not-forbidden',
    breaks: 'a prepare that comes after a decision, or after a marker, lays nothing',
    changes: [
      {
        file: prepares,
        find: 'if (forbidden !== undefined) return forbidden;',
        replace: '',
      },
    ],
    hunt: {
      test: 'packages/shard/src/transaction/late-messages.test.ts',
      because:
        'the first promise beside the anchor must come after the abort, and the coordinator die before the other intents go, some milliseconds later',
    },
  },
  {
    name: 'split-leaves-intents-behind',
    breaks: 'intents go with their keys to the right half of a split',
    changes: [
      {
        file: state,
        find: '      right.intents.set(name, intent);\n',
        replace: '',
      },
    ],
    hunt: {
      only: ['splitRange', 'crashInSplit'],
      weights: { splitRange: 8 },
      swarm: { ...world, faultEveryMs: 150, transactions: brisk },
    },
  },
  {
    name: 'snapshot-without-intents',
    breaks: 'a snapshot of a range has its intents',
    changes: [
      {
        file: 'packages/shard/src/snapshot/source.ts',
        find: '      { kind: recordKind.intent, iterator: engine.iterate(space.intentSpan(startKey, endKey)) },\n',
        replace: '',
      },
    ],
    hunt: {
      only: ['moveReplica', 'churn', 'transferStorm', 'crashCoordinator', 'isolate'],
      weights: { churn: 4, crashCoordinator: 4, transferStorm: 2 },
      swarm: {
        ...world,
        stores: 4,
        replication: 3,
        faultEveryMs: 150,
        retainedLogBytesMax: 0,
        transactions: brisk,
      },
    },
  },
  {
    name: 'intents-are-not-loaded',
    breaks: 'a range that is opened has the intents of its checkpoint',
    changes: [
      {
        file: state,
        find: 'this.addIntent(userKey, checkStored(userKey, value));',
        replace: 'checkStored(userKey, value);',
      },
    ],
    hunt: {
      only: ['crash', 'stop', 'crashAll', 'checkpoint'],
      swarm: { ...world, faultEveryMs: 150, checkpointBytes: 2000, transactions: brisk },
    },
  },
];
