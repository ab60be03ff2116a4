/**
 * The door of the machine: takes messages, time, proposals and the driver's confirmations, sorts them by term and role,
 * and hands them to the file that knows the rule. Terms are dealt with here, once, before anything else (Raft §5.1).
 */
import {
  assert,
  assertNever,
  type LogIndex,
  type Prng,
  probe,
  type RangeId,
  type ReplicaId,
  type Term,
  toLogIndex,
} from '@flotilla/base';
import type { Configuration, RaftMessage, SnapshotPoint } from '../messages.ts';
import {
  campaignAsFirst,
  handlePreVoteRequest,
  handlePreVoteResponse,
  handleRequestVoteRequest,
  handleRequestVoteResponse,
  isPromised,
  onElectionTimeout,
  onOwnVoteDurable,
} from './election.ts';
import { handleAppendEntriesRequest, refuseOldTerm } from './follower.ts';
import { initialState } from './initial-state.ts';
import { leaderDeadline, propose, tickLeader } from './leader.ts';
import { updateLease } from './lease.ts';
import { leaderHeard, peerHeard, setCoverage } from './liveness.ts';
import { changeConfiguration } from './membership.ts';
import type {
  ChangeResult,
  ConfigurationChange,
  Coverage,
  PeerHeard,
  ProposeResult,
  RaftCore,
  RaftCoreOptions,
  RaftStatus,
  ReadIndexResult,
  Ready,
  SnapshotSendResult,
  TransferResult,
} from './raft-core.ts';
import {
  expireAskedReads,
  handleReadIndexRequest,
  handleReadIndexResponse,
  readIndex,
} from './read-index.ts';
import { hasNews, takeReady } from './ready.ts';
import {
  announceCommit,
  handleAppendEntriesResponse,
  onOwnEntriesDurable,
  updateReplicatedIndex,
} from './replication.ts';
import { becomeFollower } from './roles.ts';
import { installSnapshot, snapshotSent } from './snapshot.ts';
import { isInitialized, type RaftState } from './state.ts';
import { statusOf } from './status.ts';
import { handleTimeoutNow, transferLeadership } from './transfer.ts';

/** Makes the replica as its disk left it: a follower that knows no leader. Throws only for options that break rules. */
export function createRaftCore(options: RaftCoreOptions, prng: Prng): RaftCore {
  const machine = new RaftMachine(initialState(options, prng));
  if (options.campaigns === true) campaignAsFirst(machine.state, options.now);
  return machine;
}

/** The implementation. Outside of `core` and its tests, use `RaftCore`. */
export class RaftMachine implements RaftCore {
  /** For `invariants.ts` and tests. Nobody else looks inside. */
  readonly state: RaftState;

  constructor(state: RaftState) {
    this.state = state;
  }

  get rangeId(): RangeId {
    return this.state.rangeId;
  }
  get self(): ReplicaId {
    return this.state.self;
  }

  get configuration(): Configuration | undefined {
    return isInitialized(this.state) ? this.state.configuration : undefined;
  }

  step(message: RaftMessage, now: number): void {
    const { state } = this;
    if (message.to !== state.self || message.rangeId !== state.rangeId) return;
    if (message.from === state.self || isStrangersAnswer(state, message)) return;
    if (message.term > state.currentTerm) {
      if (!admitsHigherTerm(state, message, now)) return;
    } else if (message.term < state.currentTerm && !answersLowerTerm(state, message)) return;
    switch (message.kind) {
      case 'appendEntriesRequest':
        handleAppendEntriesRequest(state, message, now);
        return;
      case 'appendEntriesResponse':
        handleAppendEntriesResponse(state, message, now);
        return;
      case 'requestVoteRequest':
        handleRequestVoteRequest(state, message, now);
        return;
      case 'requestVoteResponse':
        handleRequestVoteResponse(state, message, now);
        return;
      case 'preVoteRequest':
        handlePreVoteRequest(state, message, now);
        return;
      case 'preVoteResponse':
        handlePreVoteResponse(state, message, now);
        return;
      case 'timeoutNow':
        handleTimeoutNow(state, message, now);
        return;
      case 'readIndexRequest':
        handleReadIndexRequest(state, message);
        return;
      case 'readIndexResponse':
        handleReadIndexResponse(state, message);
        return;
      default:
        assertNever(message);
    }
  }

  tick(now: number): void {
    const { state } = this;
    const { role } = state;
    if (role.kind === 'leader') {
      tickLeader(state, role, now);
      return;
    }
    if (role.kind === 'follower') expireAskedReads(state, role, now);
    if (now >= state.electionDueMs) onElectionTimeout(state, now);
  }

  nextDeadline(): number {
    const { role, electionDueMs } = this.state;
    if (role.kind === 'leader') return leaderDeadline(role);
    const read = role.kind === 'follower' ? role.asked[0] : undefined;
    return read === undefined ? electionDueMs : Math.min(electionDueMs, read.dueMs);
  }

  propose(data: Uint8Array, _now: number): ProposeResult {
    return propose(this.state, data);
  }

  changeConfiguration(change: ConfigurationChange, now: number): ChangeResult {
    return changeConfiguration(this.state, change, now);
  }

  snapshotSent(to: ReplicaId, result: SnapshotSendResult, now: number): void {
    snapshotSent(this.state, to, result, now);
  }

  installSnapshot(snapshot: SnapshotPoint, now: number): boolean {
    return installSnapshot(this.state, snapshot, now);
  }

  readIndex(now: number): ReadIndexResult {
    return readIndex(this.state, now);
  }

  leaseValid(now: number): boolean {
    return this.state.leaseUntilMs > now;
  }

  announceCommit(): void {
    if (this.state.role.kind === 'leader') announceCommit(this.state, this.state.role);
  }

  transferLeadership(target: ReplicaId, now: number): TransferResult {
    return transferLeadership(this.state, target, now);
  }

  leaderHeard(leader: ReplicaId, term: Term, heardAtMs: number): boolean {
    return leaderHeard(this.state, leader, term, heardAtMs);
  }

  peerHeard(heard: PeerHeard): void {
    peerHeard(this.state, heard);
  }

  setCoverage(peer: ReplicaId, coverage: Coverage, now: number): void {
    setCoverage(this.state, peer, coverage, now);
  }

  takeReady(now: number): Ready | undefined {
    return takeReady(this.state, now);
  }

  advance(ready: Ready, now: number): boolean {
    const { state } = this;
    const { hardState } = ready;
    const moved = state.persistence.onPersisted(ready);
    if (moved && state.role.kind === 'leader')
      onOwnEntriesDurable(state, state.role, state.persistence.persistedIndex, now);
    if (hardState?.currentTerm === state.currentTerm && hardState.votedFor === state.self)
      onOwnVoteDurable(state, now);
    return hasNews(state);
  }

  appliedTo(index: LogIndex, _now: number): boolean {
    const { state } = this;
    assert(index >= state.lastApplied, 'lastApplied does not fall', { index });
    assert(index <= state.handedOutIndex, 'only handed out entries are applied', { index });
    state.lastApplied = index;
    updateLease(state);
    state.log.setEvictable(index);
    state.log.release(state.replicatedIndex);
    const leader = state.role;
    if (leader.kind !== 'leader') return hasNews(state);
    const replicatedBefore = state.replicatedIndex;
    updateReplicatedIndex(state, leader);
    if (leader.commitIndexWanted) leader.sendWanted = true;
    // Followers are told of it by a heartbeat, if none is due anyway: `takeReady` sees to that.
    const untold = state.replicatedIndex > replicatedBefore && leader.heartbeatDueMs === Infinity;
    return untold || hasNews(state);
  }

  compact(index: LogIndex): Term {
    assert(index <= this.state.lastApplied, 'only applied entries are compacted', { index });
    return this.state.log.compact(toLogIndex(index));
  }

  status(now: number): RaftStatus {
    return statusOf(this.state, now);
  }
}

/**
 * Requests of replicas that the configuration does not name count: it may be old, or theirs (Raft §6). Their answers do
 * not: neither acks nor votes nor terms of replicas that were removed.
 */
function isStrangersAnswer(state: RaftState, message: RaftMessage): boolean {
  switch (message.kind) {
    case 'appendEntriesResponse':
    case 'requestVoteResponse':
    case 'preVoteResponse':
      return !state.members.includes(message.from);
    default:
      return false;
  }
}

/**
 * A newer term: adopts it and goes on, or ignores the message. Pre-votes are of a term that does not exist yet. A vote
 * request does not get to raise the term of a replica that promised silence (thesis §4.2.3).
 */
function admitsHigherTerm(state: RaftState, message: RaftMessage, now: number): boolean {
  if (message.kind === 'preVoteRequest') return true;
  if (message.kind === 'requestVoteRequest' && !message.leadershipTransfer) {
    if (isPromised(state, now)) {
      probe('voteRefusedByLease');
      return false;
    }
  }
  const leader = message.kind === 'appendEntriesRequest' ? message.from : undefined;
  becomeFollower(state, message.term, leader, now);
  return true;
}

/** An older term: true if the message means something all the same. Requests are answered with the own term. */
function answersLowerTerm(state: RaftState, message: RaftMessage): boolean {
  switch (message.kind) {
    case 'appendEntriesRequest':
      refuseOldTerm(state, message);
      return false;
    case 'requestVoteRequest':
    case 'preVoteRequest':
    case 'readIndexRequest':
    case 'preVoteResponse':
      return true;
    case 'timeoutNow':
      probe('lateTimeoutNowIgnored');
      return false;
    default:
      return false;
  }
}
