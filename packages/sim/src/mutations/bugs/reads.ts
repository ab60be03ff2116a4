/** Bugs in leases, in reads without a lease, and in what stores promise each other for all of their groups. */
import type { Mutant } from '../mutant.ts';

const lease = 'packages/raft/src/core/lease.ts';
const liveness = 'packages/raft/src/core/liveness.ts';
const readIndex = 'packages/raft/src/core/read-index.ts';
const replication = 'packages/raft/src/core/replication.ts';
const following = 'packages/raft/src/driver/liveness/following.ts';

export const reads: readonly Mutant[] = [
  {
    name: 'lease-from-receive-time',
    breaks: 'L1: a lease begins when the heartbeat was sent, not when its answer came',
    changes: [
      {
        file: replication,
        find: 'peer.ackedSentAtMs = message.sentAtMs;',
        replace: 'peer.ackedSentAtMs = now;',
      },
      {
        file: liveness,
        find: 'peer.ackedSentAtMs = heard.sentAtMs;',
        replace: 'peer.ackedSentAtMs = heard.heardAtMs;',
      },
    ],
    hunt: { only: ['slowLink', 'isolate', 'oneWay', 'partition'] },
  },
  {
    name: 'lease-longer-than-the-promise',
    breaks: 'L1: a lease is shorter than E less the drift of clocks',
    changes: [
      {
        file: lease,
        find: 'leader.leaseStartMs + leaseDurationMs - now',
        replace: 'leader.leaseStartMs + 3 * leaseDurationMs - now',
      },
    ],
    hunt: { only: ['pause'] },
  },
  {
    name: 'read-without-a-lease',
    breaks: 'L4: a leader that has no lease asks a quorum before it serves (thesis §6.4)',
    changes: [
      {
        file: 'packages/shard/src/store/reads.ts',
        find: 'if (consensus.leaseValid(replica.rangeId)) return values;',
        replace:
          "if (replica.role === 'leader' || consensus.leaseValid(replica.rangeId)) return values;",
      },
    ],
    hunt: { only: ['pause', 'isolate', 'partition'] },
  },
  {
    name: 'lease-before-the-term-is-applied',
    breaks: "L4: no lease before the term's own entry is applied",
    changes: [
      {
        file: lease,
        find: 'if (state.lastApplied < leader.termStartIndex) return 0;',
        replace: '',
      },
    ],
    hunt: { only: ['crash', 'transfer', 'stop'], swarm: { engineMsMax: 30 } },
  },
  {
    name: 'read-round-reused',
    breaks: 'a read waits for a round that left after it came (thesis §6.4 step 3)',
    changes: [
      {
        file: readIndex,
        find: 'sequence: reads.sentSequence + 1,',
        replace: 'sequence: reads.sentSequence,',
      },
    ],
    hunt: { only: ['pause', 'slowLink', 'isolate', 'partition', 'clockStep'] },
  },
  {
    name: 'read-index-before-the-own-term',
    breaks: 'ReadIndex waits until the term has committed an entry of its own (thesis §6.4 step 1)',
    changes: [
      {
        file: readIndex,
        find: 'if (state.commitIndex < leader.termStartIndex) return;',
        replace: '',
      },
      {
        file: readIndex,
        find: 'Math.max(read.index, leader.termStartIndex)',
        replace: 'Math.max(read.index, 1)',
      },
    ],
    hunt: { only: ['crash', 'transfer', 'stop'] },
  },
  {
    name: 'lease-with-a-stalled-disk',
    breaks: 'L8: a leader whose disk makes no progress falls silent and has no lease',
    changes: [
      {
        file: 'packages/raft/src/driver/driver.ts',
        find: 'if (this.log.isStalled) return;',
        replace: '',
      },
    ],
    hunt: { only: ['diskStall', 'slowDisk'] },
  },
  {
    name: 'store-speaks-for-another-term',
    breaks: 'the heartbeats of two stores renew promises and leases of exactly the term they name',
    changes: [
      {
        file: liveness,
        find: "if (leader.kind !== 'leader' || heard.term !== state.currentTerm) return;",
        replace: "if (leader.kind !== 'leader') return;",
      },
      {
        file: liveness,
        find: 'role.leader !== leader || state.currentTerm !== term',
        replace: 'term < 0',
      },
    ],
    hunt: { only: ['transfer', 'isolate', 'oneWay', 'partition', 'slowLink'] },
  },
  {
    name: 'support-not-withdrawn',
    breaks: 'a store speaks for a follower no longer than it follows that leader in that term',
    changes: [
      { file: following, find: 'followed.session.supported.delete(group.rangeId);', replace: '' },
    ],
    hunt: { only: ['transfer', 'isolate', 'oneWay', 'partition', 'slowLink'] },
  },
  {
    name: 'support-without-its-promise',
    breaks: 'L2: the follower itself learns of every heartbeat that its store answered for it',
    changes: [
      {
        file: following,
        find: 'group.core.leaderHeard(item.leader, item.term, session.heardAtMs);',
        replace: 'void item;',
      },
    ],
    hunt: { only: ['transfer', 'isolate', 'oneWay', 'partition', 'pause'] },
  },
];
