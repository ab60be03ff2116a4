/** Bugs in cutting ranges in two. */
import type { Mutant } from '../mutant.ts';

const replica = 'packages/shard/src/replica/replica.ts';
const leaseholder = 'packages/shard/src/replica/leaseholder.ts';
const lifecycle = 'packages/shard/src/membership/replica-lifecycle.ts';
const reads = 'packages/shard/src/reads/reads.ts';
const births = 'packages/shard/src/split/births.ts';

const splitting = ['splitRange', 'crashInSplit'] as const;
const weights = { splitRange: 8, crashInSplit: 4 };

export const splits: readonly Mutant[] = [
  {
    name: 'halves-share-one-session-table',
    breaks: 'each half goes on with the sessions of before the split by itself',
    changes: [{ file: replica, find: 'sessions: sessions.copy(),', replace: 'sessions,' }],
    hunt: { only: [...splitting, 'crash'], weights },
  },
  {
    name: 'evaluates-behind-a-split',
    breaks: 'nothing is evaluated under bounds that an entry ahead of it in the log changes',
    changes: [
      {
        file: leaseholder,
        find: '!this.busyReading && !this.splitting;',
        replace: '!this.busyReading;',
      },
    ],
    hunt: { only: splitting, weights, swarm: { thinkMsMax: 2, syncMs: [1, 20] } },
  },
  {
    name: 'reads-beyond-the-cut-after-waiting',
    breaks:
      'a read that waited for a quorum looks at the bounds again: both halves share a storage id',
    changes: [
      {
        file: reads,
        find: 'const refused = checkKeys(replica, keys, this.options.limits);',
        replace:
          'const refused = progress.confirmed ? undefined : checkKeys(replica, keys, this.options.limits);',
      },
    ],
    hunt: {
      test: 'packages/shard/src/split/split-reads.test.ts',
      because:
        'the right half must have taken a write elsewhere while a replica that has not seen the split waits for a quorum',
    },
  },
  {
    name: 'right-half-is-not-replayed',
    breaks:
      'what began by a split that was applied is there after a crash, with the log that it had',
    changes: [
      {
        file: 'packages/shard/src/store/recovery.ts',
        find: '[...orphans].filter((rangeId) => !tombstones.has(rangeId))',
        replace: '[...orphans].slice(orphans.size)',
      },
    ],
    hunt: { only: splitting, weights },
  },
  {
    name: 'left-half-leaves-with-the-only-log',
    breaks: 'a replica whose log another one is still made from leaves only after a checkpoint',
    changes: [
      {
        file: births,
        find: 'while (this.unsettled.size > 0) {',
        replace: 'while (this.coming > 0) {',
      },
    ],
    hunt: {
      only: [...splitting, 'moveReplica', 'churn', 'crash'],
      weights: { ...weights, churn: 4, moveReplica: 4 },
      swarm: { stores: 5, checkpointBytes: 32 * 1024 * 1024 },
    },
  },
  {
    name: 'removal-deletes-both-halves',
    breaks: 'a replica that leaves takes its own span of a shared storage id along, nothing else',
    changes: [
      {
        file: lifecycle,
        find: 'return { storageId, span: descriptorSpan(descriptor) };',
        replace:
          'return { storageId, span: storageId > 0 ? undefined : descriptorSpan(descriptor) };',
      },
    ],
    hunt: {
      only: [...splitting, 'moveReplica', 'churn'],
      weights: { ...weights, churn: 4, moveReplica: 4 },
      swarm: { stores: 5 },
    },
  },
  {
    name: 'right-half-ends-where-the-left-one-began',
    breaks: 'the halves of a split tile what it cut',
    changes: [
      {
        file: replica,
        find: '    this.descriptor = left;\n',
        replace: '    this.descriptor = { ...left, endKey: right.endKey };\n',
      },
    ],
    hunt: { only: splitting, weights },
  },
  {
    name: 'split-over-a-change-of-members',
    breaks:
      'a split counts only for the very generation that it was proposed for; the leaseholder, which waits until no change of members is pending, covers it, and does not wait here',
    changes: [
      {
        file: 'packages/shard/src/split/splits.ts',
        find: "if (isJoint(descriptor) || isChanging(rangeId) || status?.configurationPending !== false)\n      return notNow('the members of the range are changing');",
        replace: '',
      },
      {
        file: replica,
        find: '      batch.generation === boundsGeneration(descriptor) &&\n      left.generation === descriptor.generation + 1;',
        replace: '      batch.generation === boundsGeneration(descriptor);',
      },
    ],
    hunt: {
      only: [...splitting, 'churn', 'moveReplica'],
      weights: { ...weights, churn: 6 },
      swarm: { stores: 5 },
    },
  },
  {
    name: 'split-before-its-log-is-durable',
    breaks: 'a checkpoint that has the left half cut finds the right half in the log',
    changes: [
      {
        file: births,
        find: 'return raft().beginGroup(rangeId, splitPoint);',
        replace:
          'void raft().beginGroup(rangeId, splitPoint);\n    return Promise.resolve({ fresh: true });',
      },
    ],
    hunt: { only: [...splitting, 'checkpoint'], weights, swarm: { syncMs: [1, 20] } },
  },
  {
    name: 'checkpoint-forgets-what-began-meanwhile',
    breaks:
      'a range whose log began while a checkpoint was being taken stays in the log where it began',
    changes: [
      {
        file: 'packages/raft/src/wal/group-state.ts',
        find: 'if (asked === undefined && known === 0) continue;',
        replace: 'if (asked === undefined) continue;',
      },
    ],
    hunt: {
      only: [...splitting, 'checkpoint', 'crash'],
      weights: { ...weights, checkpoint: 8 },
      swarm: { engineMsMax: 30, syncMs: [1, 20], checkpointBytes: 2000 },
    },
  },
  {
    name: 'vote-without-a-state-is-forgotten',
    breaks:
      'a vote outlives the process, also that of a replica that has no state yet (Raft Fig. 2)',
    changes: [
      {
        file: 'packages/shard/src/store/recovery.ts',
        find: '!alive.has(rangeId) && !mayHaveVoted(wal.group(rangeId))',
        replace: '!alive.has(rangeId)',
      },
    ],
    hunt: {
      test: 'packages/shard/src/split/split.test.ts',
      because:
        'a store that missed a split must vote on the right half, and its process end before it gets the state, some milliseconds later',
    },
  },
  {
    name: 'a-call-replaces-what-a-split-has-made',
    breaks: 'a replica gives way to a newer one of its range alone',
    changes: [
      {
        file: lifecycle,
        find: 'if (known !== undefined && known < replicaId) await',
        replace: 'if (known !== undefined) await',
      },
    ],
    hunt: {
      test: 'packages/shard/src/membership/replica-lifecycle.test.ts',
      because:
        'a split must make the replica between a call for it and the end of the same turn: one seed in hundreds',
    },
  },
  {
    name: 'follower-keeps-reports',
    breaks:
      'who leads a part of the index hears of all ranges in it, though it has no replica of the first range',
    changes: [
      {
        file: 'packages/shard/src/store/range-reports.ts',
        find: 'elsewhere.push(said);',
        replace: 'if (index.partWith(parts, key) === undefined) elsewhere.push(said);',
      },
    ],
    hunt: {
      test: 'packages/shard/src/store/range-reports.test.ts',
      because:
        'the index must be cut, the part be led outside of the first range, and the leader of that follow it: one seed in seven thousand',
    },
  },
];
