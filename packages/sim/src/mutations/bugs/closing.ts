/** Bugs in closed timestamps and in what followers serve by them. */
import type { ClosingSwarm } from '../../swarm.ts';
import type { Hunt, Mutant } from '../mutant.ts';
import { brisk, world as quiet } from './transaction-worlds.ts';

const heard = 'packages/shard/src/closed/heard-closed.ts';
const told = 'packages/shard/src/closed/told-ranges.ts';
const closed = 'packages/shard/src/closed/closed-timestamps.ts';
const reads = 'packages/shard/src/reads/follower-reads.ts';
const leaseholder = 'packages/shard/src/replica/leaseholder.ts';

const betweenStores = 'packages/shard/src/closed/heard-closed.prop.test.ts';
const atStores = 'packages/shard/src/closed/follower-reads.test.ts';

/** What is closed is hardly past; a commit takes less. */
const closing: ClosingSwarm = { lagMs: 20, holdMs: 0, intervalMs: 10, followerReadLagMs: 0 };
const slowly: ClosingSwarm = { ...closing, lagMs: 150 };
const transactions = { ...brisk, closing };
const world: NonNullable<Hunt['swarm']> = {
  ...quiet,
  ...{ delayMs: [0.1, 1], syncMs: [0, 0], engineMsMax: 0.5 },
  transactions,
};
const calm: Hunt = { only: ['slowLink', 'transfer'], swarm: world };
const lossy: Hunt = { only: ['storm', 'slowLink'], weights: { storm: 4 }, swarm: world };

export const closings: readonly Mutant[] = [
  {
    name: 'follower-serves-what-it-has-not-applied',
    breaks: 'what is closed counts for who has applied up to the index that was said with it',
    changes: [
      {
        file: heard,
        find: 'if (claim.index <= appliedIndex) closed',
        replace: 'if (appliedIndex >= 0) closed',
      },
    ],
    hunt: calm,
  },
  {
    name: 'follower-serves-what-is-not-visible',
    breaks: 'what was handed to the engine counts when its rows and intents can be read',
    changes: [
      {
        file: closed,
        find: 'return this.heard.closedAt(rangeId, visibleIndex);',
        replace:
          'return this.heard.closedAt(rangeId, this.context.replicas.get(rangeId)?.appliedIndex ?? visibleIndex);',
      },
    ],
    hunt: { ...calm, swarm: { ...world, engineMsMax: 30 } },
  },
  {
    name: 'leaseholder-writes-below-what-it-closed',
    breaks:
      'nothing that a leaseholder evaluates after it has closed a timestamp is at or below it',
    changes: [{ file: leaseholder, find: 'this.memory.reads.raise(timestamp);', replace: '' }],
    hunt: calm,
  },
  {
    name: 'leaseholder-closes-without-a-lease',
    breaks: 'a timestamp is closed under a lease that was valid after the timestamp was chosen',
    changes: [
      {
        file: leaseholder,
        find: 'if (!this.context.leaseValid()) return undefined;',
        replace: '',
      },
    ],
    hunt: {
      test: atStores,
      because:
        'a leader that was stopped has a moment before it hears of the next, and a follower must lag just then',
    },
  },
  {
    name: 'new-leaseholder-writes-below-what-was-closed',
    breaks:
      'a new leaseholder writes above what was served, and hence closed, under the leases before',
    changes: [
      {
        file: leaseholder,
        find: 'this.memory.reads = reads ?? new ReadTimestampCache(this.openedAt);',
        replace: 'this.memory.reads = reads ?? new ReadTimestampCache(0);',
      },
    ],
    hunt: {
      only: ['transfer', 'transferStorm', 'crash', 'leaseWindow'],
      swarm: { ...world, faultEveryMs: 150 },
    },
  },
  {
    name: 'closes-what-is-not-in-the-log',
    breaks: 'what was evaluated and not proposed is behind every index: nothing is closed over it',
    changes: [
      { file: leaseholder, find: 'if (this.proposals.hasOpen) return undefined;', replace: '' },
    ],
    hunt: {
      only: ['slowLink', 'slowDisk', 'diskStall'],
      swarm: {
        ...world,
        raftLimits: { uncommittedBytesMax: 1 },
        syncMs: [1, 20],
        transactions: { ...transactions, closing: slowly },
      },
    },
  },
  {
    name: 'follower-passes-intents',
    breaks: 'a follower does not serve a key with an intent at or below the snapshot',
    changes: [
      {
        file: reads,
        find: 'if ((intents.get(nameOf(key))?.timestamp ?? Infinity) <= uncertaintyLimit)',
        replace: 'if ((intents.get(nameOf(key))?.timestamp ?? Infinity) <= 0)',
      },
    ],
    hunt: calm,
  },
  {
    name: 'follower-scan-passes-intents',
    breaks: 'a scan at a follower ends before the first intent at or below the snapshot',
    changes: [
      {
        file: reads,
        find: 'if ((intents.get(name)?.timestamp ?? Infinity) <= upTo)',
        replace: 'if ((intents.get(name)?.timestamp ?? Infinity) <= 0)',
      },
    ],
    hunt: calm,
  },
  {
    name: 'lost-message-goes-unnoticed',
    breaks: 'what a store says of closed timestamps counts if nothing before it is missing',
    changes: [{ file: heard, find: 'known.sequence === base', replace: 'known.sequence <= base' }],
    hunt: lossy,
  },
  {
    name: 'closed-before-all-is-said',
    breaks: 'nothing more is closed before all indexes that have changed are known',
    changes: [
      {
        file: told,
        find: 'closedTimestamp: isLast ? closedTimestamp : 0,',
        replace: 'closedTimestamp,',
      },
    ],
    hunt: {
      test: betweenStores,
      because: 'messages of one moment share a frame, unless they speak of many thousand ranges',
    },
  },
  {
    name: 'closed-for-a-replica-that-was-there-before',
    breaks:
      'what was closed for a replica does not hold for one that was made anew from a snapshot',
    changes: [
      {
        file: heard,
        find: 'return closed;',
        replace:
          'return ((this as any).most ??= new Map()).set(rangeId, Math.max(closed, (this as any).most.get(rangeId) ?? 0)).get(rangeId);',
      },
    ],
    hunt: {
      test: betweenStores,
      because:
        'a replica would have to be taken away and brought back by a leader that has applied less than it had',
    },
  },
  {
    name: 'follower-reads-history-that-is-gone',
    breaks: 'a follower refuses a snapshot that is older than the history, as a leaseholder does',
    changes: [{ file: reads, find: 'return tooOld ?? {', replace: 'return {' }],
    hunt: {
      test: atStores,
      because: 'runs are far shorter than the time for which history is kept',
    },
  },
];
