/**
 * What must hold in one replica after every step, and between two moments of it. Tests and the simulator call these
 * after everything they do; production relies on the asserts inside the rules, which are the cheap part of the same.
 * Reads only. Statements across replicas (election safety, log matching, …) are the harness's.
 */
import { assert, type LogIndex, type ReplicaId, type Term } from '@flotilla/base';
import { RaftMachine } from './core.ts';
import { leaseEndMs } from './lease.ts';
import type { RaftCore, Role } from './raft-core.ts';
import { isInitialized, type LeaderRole, mayCampaign, type RaftState } from './state.ts';
import { compactableIndex } from './status.ts';

/** The parts of a replica that may move in one direction only. */
export interface Moment {
  readonly term: Term;
  readonly votedFor: ReplicaId | undefined;
  readonly role: Role;
  readonly commitIndex: LogIndex;
  readonly lastApplied: LogIndex;
  readonly handedOutIndex: LogIndex;
  readonly replicatedIndex: LogIndex;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly lastContext: number;
  readonly promisedUntilMs: number;
}

function stateOf(core: RaftCore): RaftState {
  assert(core instanceof RaftMachine, 'the core is the one of this package');
  return core.state;
}

export function momentOf(core: RaftCore): Moment {
  const state = stateOf(core);
  return {
    term: state.currentTerm,
    votedFor: state.votedFor,
    role: state.role.kind,
    commitIndex: state.commitIndex,
    lastApplied: state.lastApplied,
    handedOutIndex: state.handedOutIndex,
    replicatedIndex: state.replicatedIndex,
    firstIndex: state.log.firstIndex,
    lastIndex: state.log.lastIndex,
    lastContext: state.lastContext,
    promisedUntilMs: state.promisedUntilMs,
  };
}

/** Throws InvariantViolation if something that only rises fell, or a vote changed within its term. */
export function checkTransition(before: Moment, after: Moment): void {
  const facts = { before, after };
  assert(after.term >= before.term, 'terms do not fall (Raft §5.1)', facts);
  assert(after.commitIndex >= before.commitIndex, 'commitIndex does not fall', facts);
  assert(after.lastApplied >= before.lastApplied, 'lastApplied does not fall', facts);
  assert(after.handedOutIndex >= before.handedOutIndex, 'entries are handed out once', facts);
  assert(after.replicatedIndex >= before.replicatedIndex, 'replicatedIndex does not fall', facts);
  assert(after.firstIndex >= before.firstIndex, 'firstIndex does not fall', facts);
  assert(after.lastContext >= before.lastContext, 'contexts are never used again', facts);
  assert(after.promisedUntilMs >= before.promisedUntilMs, 'a promise is not shortened', facts);
  if (after.term !== before.term) return;
  assert(
    before.votedFor === undefined || before.votedFor === after.votedFor,
    'one vote per term (Raft §5.2)',
    facts,
  );
  if (before.role === 'leader') {
    assert(
      after.role === 'leader' || after.role === 'follower',
      'a leader stays or follows',
      facts,
    );
    assert(after.lastIndex >= before.lastIndex, 'leader append-only (Raft §5.3)', facts);
  }
}

/** Throws InvariantViolation if the replica is in a state that the rules cannot reach. O(cached log). */
export function checkInvariants(core: RaftCore): void {
  const state = stateOf(core);
  const { log, persistence } = state;
  assert(state.leaseUntilMs === leaseEndMs(state), 'everybody knows of the lease as it is');
  assert(log.firstIndex <= log.lastIndex + 1, 'the log is a range');
  assert(state.lastApplied <= state.handedOutIndex, 'applied was handed out');
  assert(state.handedOutIndex <= state.commitIndex, 'only committed entries are handed out');
  const durableIndex = Math.max(persistence.persistedIndex, persistence.pendingSnapshotIndex);
  assert(state.handedOutIndex <= durableIndex, 'only durable entries are handed out');
  assert(state.commitIndex <= log.lastIndex, 'committed entries are in the log');
  assert(persistence.persistedIndex <= persistence.takenIndex, 'durable entries were handed out');
  assert(persistence.takenIndex <= log.lastIndex, 'entries of the log were handed out');
  assert(compactableIndex(state) <= state.lastApplied, 'only applied entries may be compacted');
  assert(log.firstIndex - 1 <= state.handedOutIndex, 'only handed out entries were compacted');
  assert(log.cacheStartIndex <= durableIndex + 1, 'what is not durable is cached');
  assert(log.cachedAppliedBytes <= state.limits.cachedBytesMax, 'the cache keeps its budget');
  assert(log.cachedAppliedBytes >= 0, 'cached bytes are counted once');
  checkCachedEntries(state);
  checkConfigurations(state);
  switch (state.role.kind) {
    case 'leader':
      checkLeader(state, state.role);
      return;
    case 'candidate':
      assert(state.votedFor === state.self, 'a candidate voted for itself');
      assert(mayCampaign(state), 'only voters campaign');
      return;
    case 'preCandidate':
      assert(mayCampaign(state), 'only voters campaign');
      return;
    case 'follower':
      assert(state.role.leader !== state.self, 'a follower follows somebody else');
  }
}

/** The configuration in force is the newest of the log, and the leader's records follow it. */
function checkConfigurations(state: RaftState): void {
  const { configurations, configuration, log, role, members } = state;
  assert(configuration === configurations.active, 'the newest configuration is in force');
  assert(configurations.activeIndex <= log.lastIndex, 'a configuration is in the log');
  assert(configurations.baseIndex <= state.commitIndex, 'there is a configuration to go back to');
  for (let i = log.cacheStartIndex; i <= log.lastIndex; i++) {
    const isOne = log.cached(i).kind === 'configuration';
    if (i > configurations.baseIndex)
      assert(configurations.has(i) === isOne, 'every configuration of the log is known');
  }
  if (!isInitialized(state)) {
    assert(log.lastIndex === 0, 'a replica without a state stores nothing');
    assert(role.kind === 'follower', 'a replica without a state follows');
  }
  if (role.kind !== 'leader') return;
  const { progress, peers, voterSets, own } = role;
  assert(progress.size === members.length, 'every member has a record, and nobody else');
  for (const member of members) assert(progress.has(member), 'every member has a record');
  assert(progress.get(state.self) === own, "the leader's record is its own");
  assert(peers.length === members.length - 1, 'everybody else is a peer');
  const { voters, votersOutgoing } = configuration;
  assert(voterSets.length === (votersOutgoing.length > 0 ? 2 : 1), 'a majority per set counts');
  for (const [at, set] of [voters, votersOutgoing].entries())
    for (const [i, voter] of set.entries())
      assert(voterSets[at]?.[i] === progress.get(voter), 'voters count, nobody else');
  assert(voterSets[0]?.length === voters.length, 'voters count, nobody else');
}

function checkCachedEntries(state: RaftState): void {
  const { log } = state;
  let term = log.cacheStartIndex > log.lastIndex ? log.lastTerm : log.term(log.cacheStartIndex - 1);
  for (let i = log.cacheStartIndex; i <= log.lastIndex; i++) {
    const entry = log.cached(i);
    assert(entry.index === i, 'the cache is contiguous');
    assert(entry.term >= term, 'terms do not fall along the log');
    term = entry.term;
  }
  assert(term === log.lastTerm, 'the last term is that of the last entry');
  assert(term <= state.currentTerm, 'no entry is newer than the term');
}

function checkLeader(state: RaftState, leader: LeaderRole): void {
  const { log, limits } = state;
  assert(state.votedFor === state.self, 'a leader voted for itself');
  assert(log.lastTerm === state.currentTerm, "a leader's last entry is of its term");
  if (leader.termStartIndex >= log.firstIndex)
    assert(log.term(leader.termStartIndex) === state.currentTerm, 'the term starts at its no-op');
  assert(leader.own.matchIndex === state.persistence.persistedIndex, 'self-ack is durability');
  let uncommitted = 0;
  for (let i = Math.max(state.commitIndex, leader.termStartIndex) + 1; i <= log.lastIndex; i++)
    uncommitted += log.cached(i).data.length;
  assert(leader.uncommittedBytes === uncommitted, 'uncommitted bytes are counted exactly');
  for (const peer of leader.peers) {
    assert(peer.matchIndex < peer.nextIndex, 'matchIndex < nextIndex', { peer: peer.replicaId });
    assert(peer.nextIndex <= log.lastIndex + 1, 'nextIndex is in the log or just after it');
    assert(peer.inflights.count <= limits.inflightMessagesMax, 'inflight messages keep the limit');
    if (peer.state === 'snapshot') assert(peer.inflights.count === 0, 'no entries are in flight');
    assert(peer.inflights.count > 0 || peer.inflights.bytes === 0, 'inflight bytes do not leak');
  }
  const { reads } = leader;
  let sequence = 0;
  for (const read of reads.pending) {
    assert(read.sequence >= sequence, 'reads wait in the order of their rounds');
    assert(read.sequence <= reads.sentSequence + 1, 'a read waits for this or the next round');
    assert(read.index <= state.commitIndex, 'a read point is committed');
    sequence = read.sequence;
  }
  assert(reads.pending.length <= limits.pendingReadsMax, 'pending reads keep the limit');
  assert(reads.forcedSequence <= reads.sentSequence, 'forced rounds were sent');
  assert(reads.confirmedSequence <= reads.sentSequence, 'confirmed rounds were sent');
  if (leader.transfer !== undefined) {
    assert(leader.leaseForfeited, 'a transfer gives up the lease (L5)');
    assert(leader.transfer.target !== state.self, 'a transfer is to somebody else');
  }
}
