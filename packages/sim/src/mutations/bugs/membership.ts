/** Bugs in changes of configuration, in snapshots, and in reads at followers. */
import { type Mutant, quick } from '../mutant.ts';

const membership = 'packages/raft/src/core/membership.ts';
const quorum = 'packages/raft/src/core/quorum.ts';
const lifecycle = 'packages/shard/src/membership/replica-lifecycle.ts';
const replica = 'packages/shard/src/replica/replica.ts';

export const memberships: readonly Mutant[] = [
  {
    name: 'ack-of-a-learner-counts',
    breaks: 'entries commit by a majority of the voters; learners do not count (thesis §4.2.1)',
    changes: [
      {
        file: 'packages/raft/src/core/replication.ts',
        find: 'const reached = jointQuorumValue(leader.voterSets, matchIndex);',
        replace: `const everyone = [...leader.progress.values()].map(matchIndex).sort((a, b) => b - a);
  const reached = everyone[state.configuration.voters.length >> 1] ?? 0;`,
      },
    ],
    hunt: { only: ['moveReplica', 'growRange', 'slowLink', 'isolate'], swarm: { stores: 5 } },
  },
  {
    name: 'ack-of-a-former-voter-counts',
    breaks: 'the newest configuration of the log is in force at once, also for counting (Raft §6)',
    changes: [{ file: membership, find: 'leader.voterSets = records.voterSets;', replace: '' }],
    hunt: { only: ['moveReplica', 'growRange', 'slowLink', 'isolate'], swarm: { stores: 5 } },
  },
  {
    name: 'joint-decided-by-the-new-voters',
    breaks: 'in joint consensus elections and commits need both majorities (Raft §6)',
    changes: [
      {
        file: quorum,
        find: 'for (const voters of voterSets) least =',
        replace: 'for (const voters of voterSets.slice(0, 1)) least =',
      },
      {
        file: quorum,
        find: 'voteResultOf(configuration.votersOutgoing, votes)',
        replace: 'voteResultOf([], votes)',
      },
    ],
    hunt: {
      only: ['moveReplica', 'growRange', 'shrinkRange', 'slowLink', 'isolate'],
      swarm: { stores: 5 },
    },
  },
  {
    name: 'joint-left-before-it-is-committed',
    breaks: 'the new configuration is appended once the joint one is committed (Raft §6)',
    changes: [
      {
        file: membership,
        find: 'if (!isJoint(configuration) || leader.transfer !== undefined) return;\n  if (state.configurations.activeIndex > state.commitIndex) return;',
        replace: 'if (!isJoint(configuration) || leader.transfer !== undefined) return;',
      },
      {
        file: membership,
        find: 'if (state.configurations.activeIndex > state.commitIndex) return;\n  if (isJoint(state.configuration)) {',
        replace: 'if (isJoint(state.configuration)) {',
      },
    ],
    hunt: { only: ['moveReplica', 'growRange', 'shrinkRange'], swarm: { stores: 5 } },
  },
  {
    name: 'two-changes-at-once',
    breaks:
      'a change begins when the one before is committed (thesis §4.1). Covered by the sequence that asks for one after the other; so that one here goes on with the next by itself',
    changes: [
      {
        file: membership,
        find: "if (isChangePending(state)) return refused('changePending');",
        replace: '',
      },
      {
        file: membership,
        find: "if (isJoint(next)) probe('jointEntered');",
        replace: `if (change.kind === 'addLearner') {
    appendConfiguration(state, leader, next, now);
    changeConfiguration(state, { kind: 'removeLearner', replicaId: change.replicaId }, now);
    return { ok: true, index: state.log.lastIndex, term: state.currentTerm };
  }`,
      },
    ],
    hunt: { only: ['moveReplica', 'growRange'], swarm: { stores: 5 } },
  },
  {
    name: 'configuration-not-rolled-back',
    breaks: 'when its entry is truncated, the configuration before is in force again (Raft §6)',
    changes: [
      {
        file: 'packages/raft/src/core/follower.ts',
        find: "probe('configurationRolledBack');\n        reconfigured = true;",
        replace: "probe('configurationRolledBack');",
      },
    ],
    hunt: {
      only: ['moveReplica', 'growRange', 'isolate', 'partition', 'crash'],
      swarm: { stores: 5 },
    },
  },
  {
    name: 'snapshot-without-its-sessions',
    breaks: 'a snapshot holds everything that was replicated, sessions too (thesis §6.3, §5)',
    changes: [
      {
        file: replica,
        find: 'this.sessions = state.sessions;\n    this.appliedIndex = state.appliedIndex;\n    this.appliedTerm = state.appliedTerm;\n    this.lastTimestamp = state.lastTimestamp;\n    this.liveBytes = state.liveBytes;\n    this.lastDeletion = state.lastDeletion;\n    this.transactions = state.transactions;\n    this.noteServed();\n    this.context.observe(this.lastTimestamp);',
        replace:
          'this.appliedIndex = state.appliedIndex;\n    this.appliedTerm = state.appliedTerm;\n    this.lastTimestamp = state.lastTimestamp;\n    this.liveBytes = state.liveBytes;\n    this.lastDeletion = state.lastDeletion;\n    this.transactions = state.transactions;\n    this.noteServed();\n    this.context.observe(this.lastTimestamp);',
      },
    ],
    hunt: {
      only: ['crash', 'isolate', 'checkpoint'],
      weights: { checkpoint: 3 },
      swarm: { retainedLogBytesMax: 0, checkpointBytes: 2000 },
    },
  },
  {
    name: 'snapshot-before-the-flush',
    breaks: 'a snapshot is on disk before the log relies on it',
    changes: [
      {
        file: lifecycle,
        find: 'await engine.flush();\n      const result',
        replace: 'void engine;\n      const result',
      },
    ],
    hunt: {
      only: ['powerLoss', 'crashAll', 'moveReplica', 'checkpoint'],
      swarm: { stores: 5, retainedLogBytesMax: 0, checkpointBytes: 2000 },
    },
  },
  {
    name: 'follower-reads-without-asking',
    breaks: 'a follower serves a read when its leader has confirmed an index (thesis §6.4)',
    changes: [
      {
        file: 'packages/raft/src/driver/reads.ts',
        find: 'if (this.mayTrustLeases(now) && this.renewedLease(group, now))',
        replace:
          "if (group.softState?.role === 'follower' || (this.mayTrustLeases(now) && this.renewedLease(group, now)))",
      },
    ],
    hunt: { only: ['slowLink', 'isolate', 'slowDisk'], swarm: { followerReadShare: 0.6 } },
  },
  {
    name: 'follower-shows-more-than-the-leader',
    breaks: "L4: what a follower serves is visible to the leader's own reads",
    changes: [
      {
        file: 'packages/raft/src/core/state.ts',
        find: 'return state.lastApplied;',
        replace: 'return state.commitIndex;',
      },
    ],
    hunt: {
      only: ['slowLink'],
      swarm: {
        followerReadShare: 0.6,
        engineMsMax: 30,
        clients: 6,
        keys: 2,
        thinkMsMax: 2,
        briskOperations: 400,
        entryBytesTarget: 1,
        delayMs: [0.1, 1],
        syncMs: [0.1, 2],
        timings: quick,
        transactions: undefined,
      },
    },
  },
];
