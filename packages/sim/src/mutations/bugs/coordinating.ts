/** Bugs in the coordinator of a transaction, in its reads and in its commit. */
import type { Mutant } from '../mutant.ts';
import { brisk, calm, leaders, silent, skewed } from './transaction-worlds.ts';

const commit = 'packages/client/src/transaction/commit.ts';
const transaction = 'packages/client/src/transaction/range-transaction.ts';
const locks = 'packages/client/src/transaction/locked-reads.ts';
const work = 'packages/client/src/transaction/commit-work.ts';
const reader = 'packages/client/src/transaction/snapshot-reader.ts';
const locating = 'packages/router/src/transaction/locate-operation.ts';

export const coordinators: readonly Mutant[] = [
  {
    name: 'where-keys-are-is-said-too-early',
    breaks: 'the ranges of a commit are known when all its keys and read checks were looked at',
    changes: [
      { file: locating, find: 'if (this.isIdle)', replace: 'if (this.calls.size === 0)' },
      {
        file: 'packages/router/src/transaction/spread-operation.ts',
        find: 'and make room for more.\n    while (this.queued.length > 0 && this.hasRoom) {',
        replace: '\n    if (this.queued.length > 0 && this.hasRoom) {',
      },
    ],
    hunt: {
      test: 'packages/router/src/router.test.ts',
      because:
        'a transaction must have read in five ranges or more, and write to one of them alone',
    },
  },
  {
    name: 'refresh-is-skipped',
    breaks: 'a snapshot moves on only if everything that was read is the same there',
    changes: [
      {
        file: reader,
        find: 'if (!isComplete || !(await router.refresh(context, checks, to))) {',
        replace: 'if (!isComplete) {',
      },
    ],
    hunt: {
      ...skewed,
      swarm: { ...skewed.swarm, transactions: { ...brisk, lockShare: 0.4, readCommittedShare: 0 } },
    },
  },
  {
    name: 'reads-are-not-checked-at-commit',
    breaks: 'a serializable transaction commits where all that it has read still holds',
    changes: [
      {
        file: work,
        find: 'const readChecks = reads.checksForCommit(serializable, (text) => writes.writes(text));',
        replace: 'const readChecks = reads.checksForCommit(false, (text) => writes.writes(text));',
      },
    ],
    hunt: calm,
  },
  {
    name: 'aborted-before-it-is-decided',
    breaks: 'the user hears of an abort when the record says so, so that no late message undoes it',
    changes: [
      {
        file: commit,
        find: 'record = wasAnswered(why) ? await this.abort(timestamp) : await this.recover();',
        replace:
          "record = wasAnswered(why) ? { status: 'aborted', commitTimestamp: 0 } : await this.recover();",
      },
    ],
    hunt: {
      test: 'packages/client/src/transaction/abort.test.ts',
      because:
        'the resolution that follows takes the intents away, and stores decide the rest: the coordinator must die in between, while one of its promises still waits for somebody',
    },
  },
  {
    name: 'unknown-is-told-as-aborted',
    breaks: 'a commit whose end nobody can tell is unknown, and is said to be',
    changes: [
      {
        file: commit,
        find: "throw new DbError('OUTCOME_UNKNOWN', 'the transaction may have been committed', {\n        outcome: 'unknown',\n        cause: error,\n      });",
        replace: 'throw why ?? error;',
      },
    ],
    hunt: silent,
  },
  {
    name: 'committed-at-the-first-answer',
    breaks: 'a promise is kept when every range has agreed',
    changes: [
      {
        file: 'packages/router/src/transaction/prepare-operation.ts',
        find: "if (ended) this.succeed({ kind: 'prepared' });",
        replace: "this.succeed({ kind: 'prepared' });",
      },
    ],
    hunt: calm,
  },
  {
    name: 'a-lost-lock-is-not-noticed',
    breaks:
      'what a statement has locked is what it was when a later one locks it again, or the transaction ends',
    changes: [
      {
        file: locks,
        find: "if (isolation !== 'read committed' || counts) throw changed(key);",
        replace: "if (isolation !== 'read committed') throw changed(key);",
      },
    ],
    hunt: {
      ...leaders,
      swarm: {
        ...leaders.swarm,
        transactions: { ...brisk, readCommittedShare: 0.8, workloads: ['lists', 'ring'] },
      },
    },
  },
  {
    name: 'locks-alone-are-not-confirmed',
    breaks:
      'all that a transaction has locked and read was so at one moment, also where it writes nothing and locks were lost',
    changes: [
      {
        file: transaction,
        find: "else if (hasLocked && this.isolation !== 'read committed') await this.reader.confirm();",
        replace: '',
      },
    ],
    hunt: {
      ...leaders,
      swarm: {
        ...leaders.swarm,
        transactions: { ...brisk, lockShare: 0.5, readCommittedShare: 0, workloads: ['lists'] },
      },
    },
  },
];
