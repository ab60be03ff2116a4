/**
 * The contract of one group's consensus: a pure machine. Same state and same inputs give the same outputs; time and
 * chance are arguments; no I/O, timers, promises, loggers. The driver does what `Ready` says, one WAL at a time, and
 * decides no protocol question. Implementation: `core.ts`; this file is what drivers and tests may know.
 */
import type { LogIndex, RangeId, ReplicaId, StoreId, Term } from '@flotilla/base';
import type {
  Configuration,
  HardState,
  LogEntry,
  RaftMessage,
  SnapshotPoint,
} from '../messages.ts';

/** `now` in every signature: this store's monotonic clock, milliseconds with fractions. Never goes back. */
export interface RaftCore {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  /** The active one: the newest in the log, committed or not (Raft §6). Undefined before there is any state. */
  readonly configuration: Configuration | undefined;

  /**
   * A peer spoke. Messages for another replica id are ignored, older terms answered. Requests are taken from replicas
   * outside of the configuration too: it may be old. An answer may go to a replica that `configuration` does not name.
   */
  step(message: RaftMessage, now: number): void;
  /** Time passed. Must be called once `now >= nextDeadline()`; calling it earlier or later is harmless. */
  tick(now: number): void;
  /** When `tick` has something to do next; Infinity if never. Changes only inside step/tick/propose/... */
  nextDeadline(): number;

  /** Appends a command to the leader's log. Never throws for "not leader". O(1). */
  propose(data: Uint8Array, now: number): ProposeResult;
  /**
   * Appends a change of the configuration; one at a time. A change of voters goes through joint consensus, which the
   * leader leaves by itself, and so does the next leader if this one is lost.
   */
  changeConfiguration(change: ConfigurationChange, now: number): ChangeResult;
  /**
   * Asks for a linearizable read point. The answer comes as Ready.reads under the returned context. A follower asks its
   * leader; an answer that is lost fails after E, a change of leader or term fails at once. Contexts are unique, across
   * restarts too.
   */
  readIndex(now: number): ReadIndexResult;
  /**
   * True if this replica is a leader whose lease covers `now`: by rules L1–L6 no other replica can have been elected.
   * The caller takes the value first and asks afterwards (rule L4), in one turn: a value taken before this replica
   * became leader proves nothing. It adds the disk and clock guards (L8).
   * False while a transfer is under way or was tried in this term (L5), and before the term's own entry is applied.
   */
  leaseValid(now: number): boolean;
  /** Leader: followers hear what is committed now as soon as it is applied here, not only with what comes next. */
  announceCommit(): void;
  /**
   * Hands leadership to `target`: a voter that stays one, does not wait for a snapshot, and is brought up to date first.
   */
  transferLeadership(target: ReplicaId, now: number): TransferResult;

  /**
   * A heartbeat of `leader` in `term` arrived at `heardAtMs`, which may lie in the past: true if this replica follows
   * exactly this leader in exactly this term; then its promise and its election timer are renewed as of that moment.
   */
  leaderHeard(leader: ReplicaId, term: Term, heardAtMs: number): boolean;
  /** `peer`'s store answered at `heardAtMs` a heartbeat sent at `sentAtMs`, and said that `peer` follows this leader in
   *  `term`. Counts like the answer to a heartbeat of the group; nothing if the term is another by now. */
  peerHeard(heard: PeerHeard): void;
  /** Leader: who speaks for `peer` from now on. Forgotten when leadership ends: a new leader's peers are on their own. */
  setCoverage(peer: ReplicaId, coverage: Coverage, now: number): void;

  /** What must be done now, or undefined. May be called again before earlier Readys are advanced: Readys pipeline. */
  takeReady(now: number): Ready | undefined;
  /**
   * `ready.hardState` and `ready.entries` are durable. Called once per Ready that had either, in order. False: `takeReady`
   * has nothing new for that, and `nextDeadline` has not changed.
   */
  advance(ready: Ready, now: number): boolean;
  /** The state machine has applied everything up to `index` and reads see it. Returns as `advance`. */
  appliedTo(index: LogIndex, now: number): boolean;
  /**
   * Forgets entries up to `index`, at most the last applied one. A member that still needs them gets a snapshot; up to
   * `status().compactableIndex` nobody does. Returns the term at `index`.
   */
  compact(index: LogIndex): Term;
  /** Leader: what became of a snapshot that `Ready.snapshotsWanted` asked for. `index`: what the receiver installed. */
  snapshotSent(to: ReplicaId, result: SnapshotSendResult, now: number): void;
  /**
   * The state up to `snapshot.lastIncludedIndex` is staged and durable here: takes it over. False if it is stale (older
   * term, or committed here already), or if another one has not become durable yet. Otherwise it comes as
   * `Ready.snapshot`, and the leader hears of it when that is durable.
   */
  installSnapshot(snapshot: SnapshotPoint, now: number): boolean;

  status(now: number): RaftStatus;
}

/**
 * Who speaks for a follower. `none`: the group, with heartbeats of its own. `covered`: its store, so that the group only
 * speaks while it has something to say. `silent`: its store does not answer, and nothing is sent to it.
 */
export type Coverage = 'none' | 'covered' | 'silent';

export interface PeerHeard {
  readonly peer: ReplicaId;
  readonly term: Term;
  /** When this store sent what was answered, and when the answer arrived; both by its own clock. */
  readonly sentAtMs: number;
  readonly heardAtMs: number;
}

/** Instructions to the driver. The order of the comments is the order of work. STYLE: raft `Ready`. */
export interface Ready {
  readonly rangeId: RangeId;
  /** 1. Write and sync together with `entries`; undefined = unchanged. */
  readonly hardState: HardState | undefined;
  /** 1. Replace every entry at index >= entries[0].index. */
  readonly entries: readonly LogEntry[];
  /**
   * 1. Before `entries`: the log up to its index is replaced; what follows (lastIncludedIndex, lastIncludedTerm) on disk
   * stays if that entry is there, else the log starts anew after it. Its index counts as checkpointed. When durable, the
   * state machine flips to the staged state, in its place in the line of what is applied; `committed` of this Ready is
   * empty, later ones follow it.
   */
  readonly snapshot: SnapshotPoint | undefined;
  /** True if there is anything to write: a sync before 2., and `advance` after it. */
  readonly mustSync: boolean;
  /** May leave at once, before 1: leader to follower replication (thesis §10.2.1). */
  readonly messages: readonly RaftMessage[];
  /** 2. Only after 1 of this and of every earlier Ready of the group: votes, vote requests, append acks (§3.8). */
  readonly messagesAfterPersist: readonly RaftMessage[];
  /** 3. Apply in order, once each. Always durable here already. */
  readonly committed: readonly LogEntry[];
  /** Answers to `readIndex`; serve when applied >= index. */
  readonly reads: readonly ReadPoint[];
  /** Leader: members that need a snapshot now, each once per attempt: the answer is `snapshotSent`. */
  readonly snapshotsWanted: readonly ReplicaId[];
  /** Role, leader or term changed since the last Ready. */
  readonly softState: SoftState | undefined;
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

export interface SoftState {
  readonly role: Role;
  readonly term: Term;
  readonly leader: ReplicaId | undefined;
}

export type ReadPoint =
  | { readonly context: number; readonly ok: true; readonly index: LogIndex }
  /** Leadership was lost or moved before a quorum answered: retry at `leader`. */
  | { readonly context: number; readonly ok: false; readonly leader: ReplicaId | undefined };

export type ProposeResult =
  | { readonly ok: true; readonly index: LogIndex; readonly term: Term }
  | {
      readonly ok: false;
      readonly reason: 'notLeader' | 'transferring' | 'tooManyUncommitted';
      readonly leader: ReplicaId | undefined;
    };

export type ConfigurationChange =
  | { readonly kind: 'addLearner'; readonly replicaId: ReplicaId; readonly storeId: StoreId }
  | { readonly kind: 'removeLearner'; readonly replicaId: ReplicaId }
  /**
   * Joint consensus, also for a single voter. Promoted ones are learners that have caught up; demoted ones become
   * learners when the joint configuration is left. A voter is never removed directly.
   */
  | {
      readonly kind: 'changeVoters';
      readonly promote: readonly ReplicaId[];
      readonly demote: readonly ReplicaId[];
    };

export type ChangeResult =
  | { readonly ok: true; readonly index: LogIndex; readonly term: Term }
  | {
      readonly ok: false;
      readonly reason:
        | 'notLeader'
        | 'transferring'
        /** The term has not committed an entry of its own yet. */
        | 'notReady'
        | 'changePending'
        | 'notCaughtUp'
        | 'invalid'
        | 'tooManyUncommitted';
      readonly leader: ReplicaId | undefined;
    };

export interface SnapshotSendResult {
  readonly ok: boolean;
  /** ok: the index that the receiver has installed. */
  readonly index: LogIndex;
}

export type ReadIndexResult =
  | { readonly ok: true; readonly context: number }
  | {
      readonly ok: false;
      readonly reason: 'notLeader' | 'tooManyPending';
      readonly leader: ReplicaId | undefined;
    };

export type TransferResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** `notReady`: the target waits for a snapshot. `notHeard`: nothing was heard of it within E. */
      readonly reason: 'notLeader' | 'notVoter' | 'self' | 'inProgress' | 'notReady' | 'notHeard';
    };

export interface RaftStatus {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  readonly role: Role;
  readonly term: Term;
  readonly leader: ReplicaId | undefined;
  readonly votedFor: ReplicaId | undefined;
  readonly commitIndex: LogIndex;
  readonly lastApplied: LogIndex;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly persistedIndex: LogIndex;
  /** Applied here and durable on every member: nobody needs it any more. */
  readonly compactableIndex: LogIndex;
  readonly leaseValid: boolean;
  /** Milliseconds of lease left; 0 if none. */
  readonly leaseRemainingMs: number;
  readonly configuration: Configuration | undefined;
  /** Where the active configuration stands in the log; what it was at the start counts as the applied index then. */
  readonly configurationIndex: LogIndex;
  /** The active configuration is not committed, or joint. */
  readonly configurationPending: boolean;
  /** Leader only; sorted by replica. */
  readonly progress: readonly {
    readonly replicaId: ReplicaId;
    readonly matchIndex: LogIndex;
    readonly nextIndex: LogIndex;
    readonly state: ProgressState;
    readonly lastHeardMs: number;
  }[];
}

/**
 * `probe`: where the logs part is not known; one request with entries at a time, then empty ones at heartbeats.
 * `replicate`: it is known; requests are pipelined and `nextIndex` runs ahead of the answers.
 * `snapshot`: what it needs is compacted, or it has no state at all; only empty requests until a snapshot arrived.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/** Read access to the part of the log that is on disk and no longer cached by the core. Synchronous. */
export interface LogStorage {
  /** First index that can be read; firstIndex - 1 is the compaction point, whose term is known too. */
  firstIndex(): LogIndex;
  lastIndex(): LogIndex;
  /** Term of an entry in [firstIndex - 1, lastIndex]. */
  term(index: LogIndex): Term;
  /** Entries in [from, to), at least one, at most about `bytesMax` of data. */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly LogEntry[];
  /** Every configuration entry at firstIndex or above, ascending; from memory. The array returned does not change. */
  configurations(): readonly LogEntry[];
}

export interface RaftCoreOptions {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  /**
   * The state machine's configuration at `appliedIndex`; later ones are read from the log. Undefined: a replica that a
   * message of its leader has called into being. It follows and promises, takes part in no election, and stores nothing
   * before it has a snapshot.
   */
  readonly configuration: Configuration | undefined;
  readonly hardState: HardState;
  readonly storage: LogStorage;
  /** Durably applied: `committed` starts after it. */
  readonly appliedIndex: LogIndex;
  readonly now: number;
  /**
   * True only for the very first start of a brand-new group. Otherwise the replica neither votes nor campaigns for
   * `electionTimeoutMs` after `now`: it may have promised a leader so before it stopped (rule L3).
   */
  readonly freshGroup: boolean;
  /** Campaigns as it is made, without asking first: only for a fresh group that somebody has reason to lead. */
  readonly campaigns?: boolean;
  /**
   * Told whenever it changes until when this replica holds the lease, exclusive: `leaseValid(now)` is `now < untilMs`.
   * -Infinity: it holds none, as at first. Called inside of any method; must not call back.
   */
  readonly onLease?: (untilMs: number) => void;
  readonly timings: RaftTimings;
  readonly limits: RaftLimits;
}

/** Milliseconds. Constraint: leaseDurationMs < electionTimeoutMs * (1 - 2 * drift) - margin. */
export interface RaftTimings {
  /** E: silence after which a follower may campaign, and the length of its promise not to vote. */
  readonly electionTimeoutMs: number;
  /** Each campaign waits E plus a uniform part of this. */
  readonly electionJitterMs: number;
  readonly heartbeatIntervalMs: number;
  /** D: how long an acknowledged send keeps the lease. */
  readonly leaseDurationMs: number;
}

export interface RaftLimits {
  /** Data bytes per AppendEntriesRequest. */
  readonly appendBytesMax: number;
  /** Unacknowledged requests per follower. */
  readonly inflightMessagesMax: number;
  /** Unacknowledged data bytes per follower. */
  readonly inflightBytesMax: number;
  /** Uncommitted data bytes in the leader's log, above which `propose` refuses. */
  readonly uncommittedBytesMax: number;
  /** Data bytes of durable, applied entries kept in memory per group for followers that lag. */
  readonly cachedBytesMax: number;
  /** Committed data bytes per Ready. */
  readonly applyBytesMax: number;
  readonly pendingReadsMax: number;
}
