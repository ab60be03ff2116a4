/** Bugs in the log's way to the followers, and in what counts as committed. */
import { type Hunt, type Mutant, quick } from '../mutant.ts';

const follower = 'packages/raft/src/core/follower.ts';
const log = 'packages/raft/src/core/log.ts';
const replication = 'packages/raft/src/core/replication.ts';
const ready = 'packages/raft/src/core/ready.ts';

/** Leaders lose their followers while clients keep them busy: logs part. */
const contested: Hunt = {
  only: ['partition', 'transferStorm', 'isolate', 'crash'],
  swarm: { clients: 6, thinkMsMax: 10, faultEveryMs: 200, briskOperations: 2000 },
};

/** The same, one entry at a time: a leader of before comes back with a tail, and its successor's messages are nearly empty. */
const piecemeal: Hunt = {
  only: ['partition', 'transferStorm', 'isolate'],
  weights: { isolate: 2 },
  swarm: {
    ...contested.swarm,
    stores: 3,
    ranges: 3,
    thinkMsMax: 2,
    faultEveryMs: 100,
    faultsMs: 3000,
    delayMs: [0.02, 1],
    syncMs: [0.1, 2],
    engineMsMax: 0.5,
    operationTimeoutMs: 1500,
    entryBytesTarget: 1,
    timings: quick,
    raftLimits: { appendBytesMax: 1, inflightMessagesMax: 1, inflightBytesMax: 1000 },
    transactions: undefined,
  },
};

export const logs: readonly Mutant[] = [
  {
    name: 'old-term-committed-by-counting',
    breaks:
      'only entries of the current term commit by counting (Raft §5.4.2, Figure 8); without the assertion that says so',
    changes: [
      {
        file: replication,
        find: 'if (reached <= state.commitIndex || reached < leader.termStartIndex) return;',
        replace: 'if (reached <= state.commitIndex) return;',
      },
      {
        file: replication,
        find: "assert(state.log.term(reached) === state.currentTerm, 'the term starts at its first entry');",
        replace: '',
      },
    ],
    hunt: { ...contested, only: ['crash', 'crashAll', 'partition', 'isolate'] },
  },
  {
    name: 'ack-before-sync',
    breaks: 'an append is acknowledged after it is durable (Raft §5.1, thesis §10.2.1)',
    changes: [
      {
        file: follower,
        find: 'state.outbox.messagesAfterPersist.push(state.outbox.ack);',
        replace: 'state.outbox.messages.push(state.outbox.ack);',
      },
    ],
    hunt: { only: ['powerLoss', 'crashAll', 'slowDisk'] },
  },
  {
    name: 'leader-counts-itself-before-sync',
    breaks: 'a leader counts itself once its own write is durable (thesis §10.2.1)',
    changes: [
      {
        file: replication,
        find: "assert(persistedIndex >= leader.own.matchIndex, 'a leader never truncates its log');\n  leader.own.matchIndex = persistedIndex;",
        replace: 'void persistedIndex;\n  leader.own.matchIndex = state.log.lastIndex;',
      },
    ],
    hunt: { only: ['powerLoss', 'crashAll', 'slowDisk'] },
  },
  {
    name: 'prev-log-term-not-checked',
    breaks: 'an append is taken only where prevLogIndex and prevLogTerm match (Raft §5.3)',
    changes: [
      { file: log, find: 'return this.term(index) === term;', replace: 'return term >= 0;' },
    ],
    hunt: contested,
  },
  {
    name: 'every-append-truncates',
    breaks: 'only an entry that conflicts removes what follows (Raft Fig. 2, step 3)',
    changes: [
      {
        file: follower,
        find: 'if (log.term(entry.index) !== entry.term) {',
        replace: 'if (entry.index > state.commitIndex) {',
      },
    ],
    hunt: { only: ['storm', 'replay', 'slowLink'] },
  },
  {
    name: 'committed-entries-truncated',
    breaks:
      'what is committed is in every later log: nothing below the commit index is looked at or replaced (Raft §5.4.3)',
    changes: [
      {
        file: follower,
        find: "assert(entry.index > state.commitIndex, 'committed entries are never replaced');",
        replace: '',
      },
      { file: log, find: 'return this.term(index) === term;', replace: 'return term >= 0;' },
      {
        file: log,
        find: "assert(index > this.evictableIndex, 'applied entries are never truncated');",
        replace: '',
      },
    ],
    hunt: contested,
  },
  {
    name: 'follower-commits-what-was-not-checked',
    breaks: 'a follower commits up to the last entry that is known to match (Raft Fig. 2, step 5)',
    changes: [
      {
        file: follower,
        find: 'state.commitIndex = toLogIndex(Math.min(message.leaderCommit, matchIndex));',
        replace:
          'state.commitIndex = toLogIndex(Math.min(message.leaderCommit, state.log.lastIndex));',
      },
    ],
    hunt: piecemeal,
  },
  {
    name: 'heartbeat-acks-the-whole-log',
    breaks: 'an empty append proves the log up to prevLogIndex, no further (Raft §5.3)',
    changes: [
      {
        file: follower,
        find: 'Math.max(message.prevLogIndex + message.entries.length, state.commitIndex),',
        replace: 'Math.max(state.log.lastIndex, state.commitIndex),',
      },
    ],
    hunt: piecemeal,
  },
  {
    name: 'applied-before-committed',
    breaks: 'an entry is applied once it is committed (Raft §5.3)',
    changes: [
      {
        file: ready,
        find: 'return Math.min(commitIndex, persistence.persistedIndex);',
        replace: 'return Math.max(0 * commitIndex, persistence.persistedIndex);',
      },
    ],
    hunt: { only: ['isolate', 'partition', 'crash', 'slowLink'] },
  },
];
