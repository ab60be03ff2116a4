/**
 * The memory of one replica: what Raft Figure 2 lists, what the role adds, and what waits to leave. Plain data; the
 * rules that change it are in the files beside this one, each of which takes it as its first argument. `role` is
 * replaced only in `roles.ts`.
 */
import type { LogIndex, Prng, RangeId, ReplicaId, Term } from '@flotilla/base';
import type {
  AppendEntriesResponse,
  Configuration,
  HardState,
  RaftMessage,
  SnapshotPoint,
} from '../messages.ts';
import type { ConfigurationHistory } from './configuration-history.ts';
import type { RaftLog } from './log.ts';
import type { Persistence } from './persistence.ts';
import type { Progress } from './progress.ts';
import { isVoter } from './quorum.ts';
import type { RaftLimits, RaftTimings, ReadPoint, SoftState } from './raft-core.ts';

export interface FollowerRole {
  readonly kind: 'follower';
  /** Who was heard as the leader of the current term. */
  leader: ReplicaId | undefined;
  /** Reads that this leader was asked to confirm, oldest first. Empty while no leader is known. */
  asked: AskedRead[];
}

/** A read of this store that waits for the leader's answer. */
export interface AskedRead {
  readonly context: number;
  /** When the answer counts as lost. */
  readonly dueMs: number;
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
  /** Records of the members (`member-records.ts`); replaced when the configuration changes. */
  progress: ReadonlyMap<ReplicaId, Progress>;
  peers: readonly Progress[];
  voterSets: readonly (readonly Progress[])[];
  /** The own record: in no voter set while the active configuration takes the leader's vote away. */
  readonly own: Progress;
  /** Index of the first entry of the term, the no-op. */
  readonly termStartIndex: LogIndex;
  /** Data bytes of proposed entries that are not committed. */
  uncommittedBytes: number;
  heartbeatDueMs: number;
  /** Everyone gets a message in the next Ready. */
  heartbeatWanted: boolean;
  /** A follower waits for a commit index to serve a read: see `Progress.wantedCommitIndex`. */
  commitIndexWanted: boolean;
  /** There may be something to send. */
  sendWanted: boolean;
  /** Not later than the moment at which a quorum has been silent for E. */
  checkQuorumDueMs: number;
  /** When a failed snapshot may be tried again, of the first member; Infinity if there is none. */
  snapshotDueMs: number;
  /** A leader that is to lose its vote has tried to hand over. */
  handOverTried: boolean;
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
  snapshot: SnapshotPoint | undefined;
  snapshotsWanted: ReplicaId[];
  /** The success answer to the current leader that is still open: later ones are folded into it. */
  ack: AppendEntriesResponse | undefined;
}

export interface RaftState {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  readonly configurations: ConfigurationHistory;
  /** The active one, and all its members, sorted. Both empty in a replica without a state. */
  configuration: Configuration;
  members: readonly ReplicaId[];
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
  /** Times that it stood for election since it last heard a leader, voted for another, or met a newer term. */
  triesInVain: number;
  /** E plus this term's jitter. */
  electionTimeoutMs: number;
  /** Never reset: a context is never used again. */
  lastContext: number;
  softState: SoftState;
  /** What `leaseEndMs` gives, as it was told to `onLease`. Changed by `updateLease` alone. */
  leaseUntilMs: number;
  readonly onLease: (untilMs: number) => void;
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

/**
 * True if the replica may stand for election: a voter, or one that loses its vote with a configuration that may not be
 * committed yet. Until it is, perhaps only this replica's log can win (thesis §4.2.2). It does not count itself then.
 */
export function mayCampaign(state: RaftState): boolean {
  const { configurations, configuration, members, self } = state;
  if (isVoter(configuration, self)) return true;
  if (configurations.activeIndex <= state.commitIndex || !members.includes(self)) return false;
  return configurations.some((version) => isVoter(version, self));
}

/**
 * What the leader tells of its commit index: what its own readers see. A follower that showed more than the leader would
 * make a lease read of the leader look stale.
 */
export function announcedCommitIndex(state: RaftState): LogIndex {
  return state.lastApplied;
}

/** True if the replica has a state: it was founded with one or has installed a snapshot. */
export function isInitialized(state: RaftState): boolean {
  return state.members.length > 0;
}

export function hardStateOf(state: RaftState): HardState {
  return {
    currentTerm: state.currentTerm,
    votedFor: state.votedFor,
    commitIndex: state.commitIndex,
  };
}
