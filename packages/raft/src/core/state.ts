/**
 * The memory of one replica: what Raft Figure 2 lists, what the role adds, and what waits to leave. Plain data; the
 * rules that change it are in the files beside this one, each of which takes it as its first argument. `role` is
 * replaced only in `roles.ts`.
 */
import type { LogIndex, Prng, RangeId, ReplicaId, Term } from '@flotilla/base';
import type { AppendEntriesResponse, Configuration, HardState, RaftMessage } from '../messages.ts';
import type { RaftLog } from './log.ts';
import type { Persistence } from './persistence.ts';
import type { Progress } from './progress.ts';
import type { RaftLimits, RaftTimings, ReadPoint, SoftState } from './raft-core.ts';

export interface FollowerRole {
  readonly kind: 'follower';
  /** Who was heard as the leader of the current term. */
  leader: ReplicaId | undefined;
}

export interface PreCandidateRole {
  readonly kind: 'preCandidate';
  readonly votes: Map<ReplicaId, boolean>;
}

export interface CandidateRole {
  readonly kind: 'candidate';
  /** The own vote is in it once it is durable. */
  readonly votes: Map<ReplicaId, boolean>;
  /** A leader gave up its lease for this election: voters need not wait for silence. */
  readonly leadershipTransfer: boolean;
}

/** A read that waits for a quorum, and for the first commit of the term. */
export interface PendingRead {
  readonly context: number;
  /** The round that confirms it. It was first sent after the read arrived. */
  readonly sequence: number;
  /** Commit index at arrival; 0 if the term had committed nothing yet. */
  readonly index: number;
  /** The follower that asked, or undefined for a read of this store. */
  readonly askedBy: ReplicaId | undefined;
}

/** ReadIndex rounds of one leader term. A round is a number; it never means anything else (thesis §6.4). */
export interface ReadRounds {
  /** Oldest first; sequences do not fall. */
  pending: PendingRead[];
  /** The newest round that any message carried: reads that arrive now belong to the next. */
  sentSequence: number;
  /** The newest round that was sent to everyone on its own account. */
  forcedSequence: number;
  /** The newest round that a quorum echoed. */
  confirmedSequence: number;
}

export interface Transfer {
  readonly target: ReplicaId;
  readonly deadlineMs: number;
  timeoutNowSent: boolean;
}

export interface LeaderRole {
  readonly kind: 'leader';
  /** Of all members, the leader included. */
  readonly progress: ReadonlyMap<ReplicaId, Progress>;
  /** The same records without the leader's own, sorted by id. */
  readonly peers: readonly Progress[];
  /** The same records, one array per voter set (two in joint consensus). */
  readonly voterSets: readonly (readonly Progress[])[];
  /** The own record. */
  readonly own: Progress;
  /** Index of the first entry of the term, the no-op. */
  readonly termStartIndex: LogIndex;
  /** Data bytes of proposed entries that are not committed. */
  uncommittedBytes: number;
  heartbeatDueMs: number;
  /** Everyone gets a message in the next Ready. */
  heartbeatWanted: boolean;
  /** There may be something to send. */
  sendWanted: boolean;
  /** Not later than the moment at which a quorum has been silent for E. */
  checkQuorumDueMs: number;
  /** The quorum-th newest echoed send time; -Infinity before there is one. */
  leaseStartMs: number;
  /** A transfer was tried in this term: no lease until the next (rule L5). */
  leaseForfeited: boolean;
  transfer: Transfer | undefined;
  /** After a transfer that failed: when to be re-elected at the latest, to have a lease again. */
  reelectionDueMs: number;
  readonly reads: ReadRounds;
}

export type RoleState = FollowerRole | PreCandidateRole | CandidateRole | LeaderRole;

/** What the next Ready takes along. */
export interface Outbox {
  messages: RaftMessage[];
  messagesAfterPersist: RaftMessage[];
  reads: ReadPoint[];
  /** The success answer to the current leader that is still open: later ones are folded into it. */
  ack: AppendEntriesResponse | undefined;
}

export interface RaftState {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  readonly configuration: Configuration;
  /** All members, sorted. */
  readonly members: readonly ReplicaId[];
  readonly timings: RaftTimings;
  readonly limits: RaftLimits;
  readonly prng: Prng;
  readonly log: RaftLog;
  readonly persistence: Persistence;
  readonly outbox: Outbox;

  currentTerm: Term;
  votedFor: ReplicaId | undefined;
  role: RoleState;
  commitIndex: LogIndex;
  lastApplied: LogIndex;
  /** Entries up to it were handed out to be applied. lastApplied <= handedOutIndex <= commitIndex. */
  handedOutIndex: LogIndex;
  /** Entries up to it are durable on every member. */
  replicatedIndex: LogIndex;

  /** Before it, no vote, no pre-vote, no campaign (rules L2, L3). Survives changes of term. */
  promisedUntilMs: number;
  /** When a replica that is not leader campaigns next. */
  electionDueMs: number;
  /** E plus this term's jitter. */
  electionTimeoutMs: number;
  /** Never reset: a context is never used again. */
  lastContext: number;
  softState: SoftState;
}

export function leaderOf(state: RaftState): ReplicaId | undefined {
  switch (state.role.kind) {
    case 'leader':
      return state.self;
    case 'follower':
      return state.role.leader;
    default:
      return undefined;
  }
}

export function hardStateOf(state: RaftState): HardState {
  return {
    currentTerm: state.currentTerm,
    votedFor: state.votedFor,
    commitIndex: state.commitIndex,
  };
}
