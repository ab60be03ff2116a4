/** Bugs in terms, votes and the hand-over of leadership. */
import type { Mutant } from '../mutant.ts';

const election = 'packages/raft/src/core/election.ts';
const initialState = 'packages/raft/src/core/initial-state.ts';
const transfer = 'packages/raft/src/core/transfer.ts';

export const elections: readonly Mutant[] = [
  {
    name: 'vote-not-persisted',
    breaks: 'votedFor is on stable storage before the vote counts (Raft Fig. 2, §5.1)',
    changes: [
      {
        file: initialState,
        find: 'votedFor: hardState.votedFor,',
        replace: 'votedFor: undefined,',
      },
    ],
    hunt: { only: ['crash', 'crashAll', 'powerLoss', 'oneWay'] },
  },
  {
    name: 'vote-twice-in-a-term',
    breaks: 'a server votes for at most one candidate in a term (Raft §5.2)',
    changes: [
      {
        file: election,
        find: '(state.votedFor === undefined || state.votedFor === message.from) &&',
        replace: '',
      },
    ],
    hunt: { only: ['crashAll', 'crash', 'storm'], swarm: { stores: 5 } },
  },
  {
    name: 'vote-sent-before-sync',
    breaks: 'a vote leaves after it is durable (thesis §3.8)',
    changes: [
      {
        file: election,
        find: "state.outbox.messagesAfterPersist.push({\n    kind: 'requestVoteResponse',",
        replace: "state.outbox.messages.push({\n    kind: 'requestVoteResponse',",
      },
    ],
    hunt: {
      only: ['powerLoss', 'crashAll'],
      swarm: { stores: 3, syncMs: [1, 20], faultEveryMs: 150, faultsMs: 6000 },
    },
  },
  {
    name: 'vote-for-a-shorter-log',
    breaks: 'a vote goes only to a log that is at least as up to date (Raft §5.4.1)',
    changes: [
      {
        file: 'packages/raft/src/core/log.ts',
        find: 'if (lastLogTerm !== this.lastEntryTerm) return lastLogTerm > this.lastEntryTerm;\n    return lastLogIndex >= this.last;',
        replace: 'return lastLogTerm >= 0 && lastLogIndex >= 0;',
      },
    ],
    hunt: {
      only: ['isolate', 'crash', 'crashAll', 'leaseWindow'],
      swarm: { clients: 6, thinkMsMax: 10, faultEveryMs: 200, briskOperations: 2000 },
    },
  },
  {
    name: 'restart-forgets-the-promise',
    breaks: 'L3: a restarted store neither votes nor campaigns for E',
    changes: [
      {
        file: initialState,
        find: 'promisedUntilMs: bound ? now + electionTimeoutMs : -Infinity,',
        replace: 'promisedUntilMs: -Infinity,',
      },
      {
        file: initialState,
        find: '(options.freshGroup ? 0 : electionTimeoutMs + patienceMs) + jitterMs',
        replace: 'jitterMs',
      },
    ],
    hunt: { only: ['leaseWindow'] },
  },
  {
    name: 'elections-ignore-the-promise',
    breaks:
      'L2, thesis §4.2.3: who heard a leader within E grants neither pre-votes nor votes; each of the two covers the other',
    changes: [
      {
        file: election,
        find: 'return now < state.promisedUntilMs;',
        replace: 'return now < 0;',
      },
    ],
    hunt: { only: ['bridge'], swarm: { stores: 3, faultEveryMs: 150, faultsMs: 6000 } },
  },
  {
    name: 'late-timeout-now-honoured',
    breaks: 'L5, thesis §3.10: TimeoutNow means something to a follower of that term alone',
    changes: [
      {
        file: 'packages/raft/src/core/core.ts',
        find: "probe('lateTimeoutNowIgnored');\n      return false;",
        replace: "probe('lateTimeoutNowIgnored');\n      return true;",
      },
      {
        file: transfer,
        find: `message.term !== state.currentTerm ||
    message.lastLogIndex !== state.log.lastIndex ||
    state.role.kind !== 'follower' ||
    state.role.leader !== message.from`,
        replace: "state.role.kind !== 'follower'",
      },
    ],
    hunt: {
      only: ['transferStorm', 'disconnect'],
      swarm: { faultEveryMs: 150, faultsMs: 6000 },
    },
  },
  {
    name: 'lease-kept-on-transfer',
    breaks: 'L5: a leader that asked another to campaign has no lease for the rest of its term',
    changes: [
      { file: transfer, find: 'leader.leaseForfeited = true;', replace: '' },
      {
        file: transfer,
        find: 'leader.reelectionDueMs = now + state.timings.electionTimeoutMs;',
        replace: '',
      },
    ],
    hunt: { only: ['transfer', 'pause', 'oneWay', 'storm'] },
  },
  {
    name: 'leader-never-steps-down',
    breaks: 'L6, thesis §6.2: a leader that no quorum answered for E steps down',
    changes: [
      {
        file: 'packages/raft/src/core/leader.ts',
        find: 'leader.checkQuorumDueMs = quorumHeardUntilMs(state, leader);\n    if (',
        replace: 'leader.checkQuorumDueMs = Infinity;\n    if (',
      },
    ],
    hunt: { only: ['isolate', 'oneWay', 'partition'] },
  },
  {
    name: 'no-entry-of-the-own-term',
    breaks: 'a leader appends a no-op at the start of its term (thesis §6.4, Raft §8)',
    changes: [
      {
        file: 'packages/raft/src/core/roles.ts',
        find: `state.log.append({
    index: firstIndex,
    term: state.currentTerm,
    kind: 'noop',
    data: emptyBytes,
  });`,
        replace: 'void emptyBytes;',
      },
    ],
    hunt: {},
  },
];
