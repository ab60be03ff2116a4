/** Bugs in transactions over several ranges: at the leaseholder, in recovery, and in the coordinator. */
import { transactionWorkloads } from '../../swarm.ts';
import type { Hunt, Mutant } from '../mutant.ts';

const gets = 'packages/shard/src/reads/transaction-reads.ts';
const lockedGets = 'packages/shard/src/reads/locked-gets.ts';
const scans = 'packages/shard/src/reads/transaction-scans.ts';
const obstacles = 'packages/shard/src/reads/read-obstacles.ts';
const snapshots = 'packages/shard/src/reads/leaseholder-snapshot.ts';
const prepares = 'packages/shard/src/transaction/prepares.ts';
const decisions = 'packages/shard/src/transaction/decisions.ts';
const resolutions = 'packages/shard/src/transaction/resolutions.ts';
const writes = 'packages/shard/src/replica/write-commands.ts';
const leaseholder = 'packages/shard/src/replica/leaseholder.ts';
const state = 'packages/shard/src/state/transaction-state.ts';
const commit = 'packages/client/src/transaction/commit.ts';
const transaction = 'packages/client/src/transaction/range-transaction.ts';
const reader = 'packages/client/src/transaction/snapshot-reader.ts';
const pusher = 'packages/router/src/transaction/pusher.ts';
const locating = 'packages/router/src/transaction/locate-operation.ts';

const brisk = {
  coordinators: 3,
  workers: 2,
  workloads: transactionWorkloads,
  keys: 3,
  readCommittedShare: 0.2,
  lockShare: 0.1,
  thinkMsMax: 5,
  brisk: 400,
} as const;
const world = { stores: 3, ranges: 4, clients: 2, thinkMsMax: 50, faultsMs: 3000 } as const;

/** Little happens, but for transactions in each other's way. */
const calm: Hunt = { only: ['slowLink', 'transfer'], swarm: { ...world, transactions: brisk } };
const leaders: Hunt = {
  only: ['transfer', 'transferStorm', 'crash', 'isolate', 'leaseWindow'],
  weights: { crash: 4 },
  swarm: { ...world, faultEveryMs: 150, transactions: brisk },
};
const dying: Hunt = {
  only: ['crashCoordinator', 'slowLink', 'storm'],
  weights: { crashCoordinator: 4 },
  swarm: { ...world, faultEveryMs: 150, operationTimeoutMs: 1500, transactions: brisk },
};
/** A promise, or what follows it, comes late from coordinators that live, when others have given them up. */
const late: Hunt = {
  only: ['stragglers'],
  swarm: {
    ...world,
    faultEveryMs: 40,
    operationTimeoutMs: 5000,
    delayMs: [5, 20],
    transactions: { ...brisk, workloads: ['bank', 'ring'], workers: 4, keys: 5 },
  },
};
const silent: Hunt = {
  only: ['isolate', 'oneWay', 'crash', 'pause', 'storm'],
  swarm: { ...world, faultEveryMs: 150, operationTimeoutMs: 300, transactions: brisk },
};
const skewed: Hunt = {
  only: ['clockStep', 'transfer', 'crash'],
  weights: { clockStep: 6 },
  swarm: { ...world, wallOffsetMsMax: 1000, transactions: brisk },
};

export const transactions: readonly Mutant[] = [
  {
    name: 'snapshot-passes-intents',
    breaks: 'a snapshot waits for what others are about to commit at or below it',
    changes: [
      {
        file: obstacles,
        find: 'const intent = memory.unsettledIntent(name, transaction, upTo);',
        replace:
          'const intent = memory.unsettledIntent(name, transaction, upTo === Infinity ? upTo : 0);',
      },
    ],
    hunt: calm,
  },
  {
    name: 'snapshot-looks-at-the-newest-write-under-way',
    breaks:
      'a snapshot waits for every write below it that is in the log and not applied, also where a later one of the key follows',
    changes: [
      {
        file: obstacles,
        find: 'const first = overlay.firstUnderWay(name);',
        replace: 'const first = overlay.get(name)?.timestamp;',
      },
    ],
    hunt: {
      only: ['slowDisk', 'slowLink'],
      swarm: {
        ...world,
        clients: 6,
        keys: 2,
        thinkMsMax: 2,
        syncMs: [1, 20],
        transactions: { ...brisk, workloads: ['registers', 'lists'] },
      },
    },
  },
  {
    name: 'scan-passes-intents',
    breaks: 'a scan of a snapshot waits for what others are about to commit within its span',
    changes: [
      {
        file: obstacles,
        find: 'memory.unsettledIntents(span, of)',
        replace: 'memory.unsettledIntents(span, { ...of, upTo: 0 })',
      },
    ],
    hunt: {
      ...calm,
      swarm: { ...calm.swarm, transactions: { ...brisk, workloads: ['predicate'] } },
    },
  },
  {
    name: 'locked-read-passes-intents',
    breaks: 'a locking read answers the newest version, also of those committed and not resolved',
    changes: [
      {
        file: lockedGets,
        find: 'const waits = obstacleOn(leaseholder, key, owner.name, Infinity);',
        replace: 'const waits = obstacleOn(leaseholder, key, owner.name, 0);',
      },
    ],
    hunt: {
      ...calm,
      swarm: { ...calm.swarm, transactions: { ...brisk, readCommittedShare: 0.5, lockShare: 0.4 } },
    },
  },
  {
    name: 'reads-are-not-remembered',
    breaks: 'nothing is written below a timestamp at which a key was read',
    changes: [
      {
        file: gets,
        find: 'for (const key of keys) memory.reads.bumpKey(nameOf(key), readTimestamp, transaction);',
        replace: '',
      },
    ],
    hunt: calm,
  },
  {
    name: 'scans-are-not-remembered',
    breaks: 'nothing is written below a timestamp at which a span was read',
    changes: [
      {
        file: scans,
        find: '    memory.reads.bumpSpan(nameOf(startKey), nameOf(endKey), readTimestamp, transaction);\n',
        replace: '',
      },
    ],
    hunt: {
      ...calm,
      swarm: { ...calm.swarm, transactions: { ...brisk, workloads: ['predicate'] } },
    },
  },
  {
    name: 'uncertainty-is-ignored',
    breaks: 'a version that may be older than the reader, by the clocks, is not passed by',
    changes: [
      {
        file: snapshots,
        find: 'const uncertaintyLimit = asked === 0 ? readTimestamp : Math.max(readTimestamp, narrowed);',
        replace: 'const uncertaintyLimit = Math.min(readTimestamp, Math.max(narrowed, Infinity));',
      },
    ],
    // Nothing but clients carries time from store to store.
    hunt: {
      ...skewed,
      swarm: {
        ...skewed.swarm,
        replication: 1,
        transactions: { ...brisk, workloads: ['registers', 'lists'], thinkMsMax: 40 },
      },
    },
  },
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
    name: 'new-leaseholder-forgets-reads',
    breaks: 'a new leaseholder takes everything below its first moment for read',
    changes: [
      {
        file: leaseholder,
        find: 'this.memory.reads = reads ?? new ReadTimestampCache(this.openedAt);',
        replace: 'this.memory.reads = reads ?? new ReadTimestampCache(0);',
      },
    ],
    hunt: leaders,
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
  {
    name: 'new-leaseholder-knows-no-uncertainty',
    breaks: 'what a store has said of its clock bounds nothing that an earlier leaseholder wrote',
    changes: [
      {
        file: snapshots,
        find: 'Math.max(observed, leaseholder.leadsSince),',
        replace: 'observed,',
      },
    ],
    hunt: {
      test: 'packages/shard/src/reads/uncertainty.test.ts',
      because:
        'a store must lag behind a write when a transaction first speaks to it, and lead its range within the same transaction: time travels with every frame between the two',
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
  {
    name: 'confirmed-snapshot-is-of-the-answer',
    breaks:
      'a quorum that confirms a leaseholder keeps later writes away only from what is older than the question',
    changes: [
      {
        file: snapshots,
        find: 'const newest = askedAt || Math.max(',
        replace: 'const newest = Math.max(',
      },
    ],
    hunt: {
      test: 'packages/shard/src/reads/confirmed-snapshot.test.ts',
      because:
        'a leaseholder without a lease must ask a quorum, and another one be elected and write in the millisecond between two answers',
    },
  },
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
        file: transaction,
        find: 'const readChecks = reads.checksForCommit(serializable, (text) => buffer.writes(text));',
        replace: 'const readChecks = reads.checksForCommit(false, (text) => buffer.writes(text));',
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
        file: transaction,
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
        find: "else if (this.hasLocked && this.isolation !== 'read committed') await this.reader.confirm();",
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
