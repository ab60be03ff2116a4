/** Bugs in leases, in reads without a lease, and in what stores promise each other for all of their groups. */
import type { Hunt, Mutant } from '../mutant.ts';

const lease = 'packages/raft/src/core/lease.ts';
const liveness = 'packages/raft/src/core/liveness.ts';
const readIndex = 'packages/raft/src/core/read-index.ts';
const replication = 'packages/raft/src/core/replication.ts';
const leaderSide = 'packages/raft/src/driver/liveness/leader-side.ts';
const versionedSet = 'packages/raft/src/driver/liveness/versioned-set.ts';
const following = 'packages/raft/src/driver/liveness/following.ts';

/** Leaders go on hearing what was said before they were replaced. */
const lateEchoes: Hunt = {
  only: ['lateEchoes'],
  swarm: {
    stores: 3,
    replication: 3,
    timings: {
      electionTimeoutMs: 1000,
      electionJitterMs: 300,
      heartbeatIntervalMs: 50,
      leaseDurationMs: 900,
    },
    clients: 8,
    keys: 2,
    thinkMsMax: 10,
    followerReadShare: 0.9,
    ranges: 2,
    briskOperations: 600,
    operationTimeoutMs: 300,
    faultEveryMs: 1200,
    faultsMs: 8000,
  },
};

/** A leader that was stopped goes on and hears a follower, but not its successor; its groups have nothing to say. */
const bridgedAfterAPause: Hunt = {
  only: ['bridge', 'pause'],
  swarm: {
    stores: 3,
    replication: 3,
    faultEveryMs: 150,
    faultsMs: 8000,
    clients: 2,
    thinkMsMax: 150,
    ranges: 6,
    briskOperations: 10,
  },
};

/** Leases hardly outlive a round of heartbeats: many a read asks a quorum. */
const shortLeases: Hunt = {
  only: ['transferStorm', 'crash', 'bridge', 'slowLink', 'pause'],
  swarm: {
    timings: {
      electionTimeoutMs: 300,
      electionJitterMs: 100,
      heartbeatIntervalMs: 60,
      leaseDurationMs: 65,
    },
    clients: 6,
    thinkMsMax: 10,
    faultEveryMs: 150,
  },
};

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
    hunt: lateEchoes,
  },
  {
    name: 'lease-longer-than-the-promise',
    breaks: 'L1: a lease is shorter than E less the drift of clocks',
    changes: [
      {
        file: lease,
        find: 'role.leaseStartMs + timings.leaseDurationMs;',
        replace: 'role.leaseStartMs + 3 * timings.leaseDurationMs;',
      },
    ],
    hunt: { only: ['pause'] },
  },
  {
    name: 'read-without-a-lease',
    breaks: 'L4: a leader that has no lease asks a quorum before it serves (thesis §6.4)',
    changes: [
      {
        file: 'packages/shard/src/reads/reads.ts',
        find: 'if (confirmed || this.options.consensus.leaseValid(replica.rangeId)) return values;',
        replace:
          "if (replica.role === 'leader' || this.options.consensus.leaseValid(replica.rangeId)) return values;",
      },
    ],
    hunt: lateEchoes,
  },
  {
    name: 'lease-before-the-term-is-applied',
    breaks: "L4: no lease before the term's own entry is applied",
    changes: [
      {
        file: lease,
        find: 'if (lastApplied < role.termStartIndex) return -Infinity;',
        replace: '',
      },
    ],
    hunt: { only: ['crash', 'transfer', 'stop'], swarm: { engineMsMax: 30 } },
  },
  {
    name: 'read-round-of-before',
    breaks: 'a read waits for echoes of a round that left after it came (thesis §6.4 step 3)',
    changes: [
      {
        file: replication,
        find: 'if (message.readSequence > peer.ackedReadSequence) {\n    peer.ackedReadSequence = message.readSequence;',
        replace:
          'if (leader.reads.sentSequence > peer.ackedReadSequence) {\n    peer.ackedReadSequence = leader.reads.sentSequence;',
      },
    ],
    hunt: lateEchoes,
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
    hunt: shortLeases,
  },
  {
    name: 'store-speaks-for-another-term',
    breaks: 'the heartbeats of two stores renew promises and leases of exactly the term they name',
    equivalent:
      'A promise is about time, not about a term: a follower that promised at s elects nobody until s + E, whoever led then. Answers for an older term are only about times before the follower voted again, because its support ends before that vote leaves (`support-not-withdrawn` takes that away, and dies). So a lease that an old answer renews is one that its promise still covers. On the side of the follower, what is heard for an older term can only lengthen a promise.',
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
      {
        file: versionedSet,
        find: 'item.term === expected.term &&',
        replace: '',
      },
    ],
    hunt: bridgedAfterAPause,
  },
  {
    name: 'support-not-withdrawn',
    breaks: 'a store speaks for a follower no longer than it follows that leader in that term',
    changes: [
      { file: following, find: 'followed.session.supported.delete(group.rangeId);', replace: '' },
    ],
    hunt: bridgedAfterAPause,
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
    hunt: {
      only: ['bridge'],
      swarm: {
        stores: 3,
        faultEveryMs: 150,
        clients: 2,
        thinkMsMax: 150,
        ranges: 6,
        briskOperations: 10,
      },
    },
  },
  {
    name: 'first-answer-forgets-removals',
    breaks:
      'a store that leads a group no more tells so whom it told that it leads it, heard of or not',
    changes: [
      {
        file: leaderSide,
        find: 'if (before !== undefined) {',
        replace: 'if (session !== undefined) {',
      },
      {
        file: versionedSet,
        find: 'if (delta.base === 0) this.dropOthers(delta, beforeChange);',
        replace: '',
      },
    ],
    hunt: {
      test: 'packages/raft/src/driver/liveness/sides.test.ts',
      because:
        'leadership must go in the time of one round trip of a new process, and the follower be the one that a majority lacks',
    },
  },
];
