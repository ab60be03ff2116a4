/** Bugs in how transactions are decided, resolved and recovered. */
import type { Mutant } from '../mutant.ts';
import { brisk, calm, dying, late } from './transaction-worlds.ts';

const decisions = 'packages/shard/src/transaction/decisions.ts';
const resolutions = 'packages/shard/src/transaction/resolutions.ts';
const pusher = 'packages/router/src/transaction/pusher.ts';

export const resolvings: readonly Mutant[] = [
  {
    name: 'prevented-without-a-marker',
    breaks: 'a promise that recovery did not find can no longer be kept',
    changes: [
      {
        file: decisions,
        find: 'if (record !== undefined && record.commitTimestamp >= commitTimestamp) continue;',
        replace: 'if (key.length > 0) continue;',
      },
    ],
    hunt: {
      test: 'packages/shard/src/transaction/late-messages.test.ts',
      because:
        'the promise must reach its range after whoever recovers has asked there, and before the coordinator hears that it was given up',
    },
  },
  {
    name: 'intents-of-another-attempt-count',
    breaks: 'only the intent at the very timestamp of the commit becomes a version',
    changes: [
      {
        file: resolutions,
        find: 'if (commitTimestamp === 0 || timestamp !== commitTimestamp) return changes;',
        replace: 'if (commitTimestamp === 0) return changes;',
      },
      {
        file: decisions,
        find: 'if (intent?.transaction === transaction && intent.timestamp === commitTimestamp) {',
        replace: 'if (intent?.transaction === transaction) {',
      },
    ],
    hunt: late,
  },
  {
    name: 'resolved-at-another-timestamp',
    breaks: 'an intent becomes a version at the timestamp of the commit',
    changes: [
      {
        file: resolutions,
        find: 'changes.writes.push(physicalWrite(key, stored, isDelete, previous, timestamp));',
        replace: 'changes.writes.push(physicalWrite(key, stored, isDelete, previous, 0));',
      },
    ],
    hunt: calm,
  },
  {
    name: 'a-key-ends-once-per-message',
    breaks: 'a key that one message names for two transactions is resolved for both',
    changes: [
      {
        file: resolutions,
        find: 'if (before.resolved.has(recordName(name, transaction))) return before;',
        replace: 'if ([...before.resolved].some((each) => each.startsWith(name))) return before;',
      },
    ],
    hunt: {
      ...calm,
      swarm: {
        ...calm.swarm,
        transactions: {
          ...{ ...brisk, coordinators: 1, workers: 6, lockShare: 0.6, thinkMsMax: 1 },
          workloads: ['bank', 'lists'],
        },
      },
    },
  },
  {
    name: 'locks-go-before-the-resolution',
    breaks: 'who waited for a lock is evaluated on a view with all that was decided before it',
    changes: [
      {
        file: resolutions,
        find: `    const answer = append(core, caller, changes, { resolve: {} });
    for (const { transactionId } of resolutions)
      core.locks.releaseAll(nameOf(transactionId ?? noBytes));
    return answer;`,
        replace: `    for (const { transactionId } of resolutions)
      core.locks.releaseAll(nameOf(transactionId ?? noBytes));
    return append(core, caller, changes, { resolve: {} });`,
      },
    ],
    hunt: {
      test: 'packages/shard/src/transaction/announced-commit.test.ts',
      because:
        'a message from before the commit must lock the key once more after it was announced, and a writer wait for just that lock',
    },
  },
  {
    name: 'the-dead-are-left-alone',
    breaks: 'stores finish what dead coordinators have left, though nobody meets it',
    changes: [
      {
        file: 'packages/shard/src/transaction/abandoned.ts',
        find: '      void this.finish(transaction, anchorKey, keys);',
        replace: '      void [transaction, anchorKey, keys];',
      },
    ],
    hunt: dying,
  },
  {
    name: 'decided-without-comparing',
    breaks: 'a record is decided only if it is still the one that was looked at',
    changes: [
      {
        file: decisions,
        find: '(expected === TRANSACTION_NONE || found?.commitTimestamp === request.expectedTimestamp);',
        replace: '(expected === TRANSACTION_NONE || found !== undefined);',
      },
    ],
    hunt: {
      test: 'packages/shard/src/transaction/late-messages.test.ts',
      because:
        'the anchor must hear of a second attempt between the question and the decision of whoever recovers the first',
    },
  },
  {
    name: 'staging-is-taken-for-committed',
    breaks: 'recovery commits a transaction only if every promised intent is there',
    changes: [
      {
        file: pusher,
        find: '(await settler.prevent(transactionId, record.commitTimestamp, record.promisedKeys, step()));',
        replace: 'record.promisedKeys.length > 0;',
      },
    ],
    hunt: dying,
  },
  {
    name: 'a-staged-record-hides-its-timestamp',
    breaks: 'whoever cannot decide a record because it says something else hears what it says',
    changes: [
      {
        file: decisions,
        find: 'decided === TRANSACTION_STAGING ? before : commitTimestamp',
        replace: 'commitTimestamp',
      },
    ],
    hunt: {
      test: 'packages/shard/src/transaction/late-messages.test.ts',
      because:
        'an attempt that was pushed must reach the other ranges and not the anchor, and then be given up',
    },
  },
];
