/** Bugs in what a leaseholder lets transactions read, and in what it remembers of their reads. */
import type { Mutant } from '../mutant.ts';
import { brisk, calm, leaders, skewed, world } from './transaction-worlds.ts';

const gets = 'packages/shard/src/reads/transaction-reads.ts';
const lockedGets = 'packages/shard/src/reads/locked-gets.ts';
const scans = 'packages/shard/src/reads/transaction-scans.ts';
const obstacles = 'packages/shard/src/reads/read-obstacles.ts';
const chosen = 'packages/shard/src/reads/leaseholder-snapshot.ts';
const leaseholder = 'packages/shard/src/replica/leaseholder.ts';

export const snapshots: readonly Mutant[] = [
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
        file: chosen,
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
    name: 'new-leaseholder-knows-no-uncertainty',
    breaks: 'what a store has said of its clock bounds nothing that an earlier leaseholder wrote',
    changes: [
      {
        file: chosen,
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
    name: 'confirmed-snapshot-is-of-the-answer',
    breaks:
      'a quorum that confirms a leaseholder keeps later writes away only from what is older than the question',
    changes: [
      {
        file: chosen,
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
];
