/**
 * The changes of role, and nothing else sets `role`. What each role starts with is decided here; when it starts is
 * decided in `election.ts`, `follower.ts`, `leader.ts`. Raft Fig. 2, Fig. 4.
 */
import {
  assert,
  emptyBytes,
  nextIndex,
  nextTerm,
  probe,
  type ReplicaId,
  type Term,
} from '@flotilla/base';
import { renewLease, updateLease } from './lease.ts';
import { memberRecords } from './member-records.ts';
import { Progress } from './progress.ts';
import { failReads } from './read-index.ts';
import { type LeaderRole, mayCampaign, type RaftState } from './state.ts';

/** Draws this term's timeout and waits it out from `now`. Raft §5.2: randomized election timeouts. */
export function resetElectionTimer(state: RaftState, now: number): void {
  const { electionTimeoutMs, electionJitterMs } = state.timings;
  state.electionTimeoutMs = electionTimeoutMs + state.prng.nextFloat() * electionJitterMs;
  state.electionDueMs = now + state.electionTimeoutMs;
}

/** Tries before a replica begins to wait longer: an election that a split vote or a lost message spoiled is soon repeated. */
const promptTries = 2;
/** A replica waits at most 2^this times as long as at first. */
const backOffsMax = 3;

/**
 * When to try again: pre-votes make a retry harmless, so it need not wait for E. `patienceMs` is at least two writes
 * and two messages, or slow disks would keep a group without a leader. If that is not enough, because the processor is
 * starved or everybody tries at once, each further try waits twice as long: answers come in time, and a storm dies down.
 */
function armRetry(state: RaftState, patienceMs: number, now: number): void {
  const backOffs = Math.min(Math.max(0, state.triesInVain - promptTries), backOffsMax);
  const retryMs = patienceMs + state.prng.nextFloat() * state.timings.electionJitterMs;
  state.electionDueMs = Math.max(now + retryMs * 2 ** backOffs, state.promisedUntilMs);
}

/** After a campaign that cannot be won any more. */
export function resetRetryTimer(state: RaftState, now: number): void {
  armRetry(state, state.timings.heartbeatIntervalMs, now);
}

/** Enters `term` as a follower. The promise not to vote (L2) outlives the change; the vote of an older term does not. */
export function becomeFollower(
  state: RaftState,
  term: Term,
  leader: ReplicaId | undefined,
  now: number,
): void {
  assert(term >= state.currentTerm, 'terms do not fall');
  const before = state.role;
  if (term > state.currentTerm || leader !== undefined) state.triesInVain = 0;
  if (term > state.currentTerm) {
    state.currentTerm = term;
    state.votedFor = undefined;
    state.outbox.ack = undefined; // its leader is gone
  }
  state.role = { kind: 'follower', leader, asked: [] };
  updateLease(state);
  resetElectionTimer(state, now);
  failReads(state, before);
}

/** Asks whether a campaign could win, without touching term or vote. Thesis §9.6. */
export function becomePreCandidate(state: RaftState, now: number): void {
  assert(state.role.kind !== 'leader', 'a leader does not pre-campaign');
  assert(mayCampaign(state), 'only voters campaign');
  assert(now >= state.promisedUntilMs, 'a promise is kept (L2, L3)');
  const before = state.role;
  state.role = { kind: 'preCandidate', votes: new Map([[state.self, true]]) };
  updateLease(state);
  state.triesInVain++;
  armRetry(state, state.timings.heartbeatIntervalMs, now);
  failReads(state, before);
}

/** Enters the next term with its own vote. The vote counts once it is durable (`election.ts`). */
export function becomeCandidate(
  state: RaftState,
  options: { readonly leadershipTransfer: boolean },
  now: number,
): void {
  const before = state.role;
  assert(mayCampaign(state), 'only voters campaign');
  assert(
    before.kind !== 'leader' || (before.leaseForfeited && options.leadershipTransfer),
    'a leader campaigns only to replace a forfeited lease',
  );
  state.currentTerm = nextTerm(state.currentTerm);
  state.votedFor = state.self;
  state.outbox.ack = undefined;
  state.role = {
    kind: 'candidate',
    votes: new Map(),
    leadershipTransfer: options.leadershipTransfer,
  };
  updateLease(state);
  armRetry(state, state.timings.electionTimeoutMs / 2, now);
  failReads(state, before);
}

/** Won: appends the no-op of the term (thesis §6.4) and assumes nothing about anyone's log. */
export function becomeLeader(state: RaftState, now: number): void {
  assert(state.role.kind === 'candidate', 'only a candidate becomes leader');
  assert(state.votedFor === state.self, 'a leader voted for itself');
  const firstIndex = nextIndex(state.log.lastIndex);
  const { self, configuration } = state;
  const records = memberRecords(
    configuration,
    (replicaId) =>
      new Progress({ replicaId, isSelf: replicaId === self, nextIndex: firstIndex, now }),
  );
  const own = records.progress.get(self);
  assert(own !== undefined, 'a leader is a member');
  own.matchIndex = state.persistence.persistedIndex;
  const alone = records.peers.length === 0;
  if (configuration.votersOutgoing.length > 0) probe('jointInterruptedByLeaderCrash');
  const role: LeaderRole = {
    kind: 'leader',
    ...records,
    own,
    termStartIndex: firstIndex,
    uncommittedBytes: 0,
    heartbeatDueMs: alone ? Infinity : now + state.timings.heartbeatIntervalMs,
    heartbeatWanted: !alone,
    commitIndexWanted: false,
    sendWanted: !alone,
    checkQuorumDueMs: alone ? Infinity : now + state.timings.electionTimeoutMs,
    snapshotDueMs: Infinity,
    handOverTried: false,
    leaseStartMs: -Infinity,
    leaseForfeited: false,
    transfer: undefined,
    reelectionDueMs: Infinity,
    reads: { pending: [], sentSequence: 0, forcedSequence: 0, confirmedSequence: 0 },
  };
  state.role = role;
  renewLease(state, role);
  state.triesInVain = 0;
  state.log.append({
    index: firstIndex,
    term: state.currentTerm,
    kind: 'noop',
    data: emptyBytes,
  });
}
