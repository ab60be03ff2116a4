/**
 * The contract of one group's consensus: a pure machine. Same state and same inputs give the same outputs; time and
 * chance are arguments; no I/O, timers, promises, loggers. The driver does what `Ready` says, one WAL at a time, and
 * decides no protocol question. Implementation: `core.ts`; this file is what drivers and tests may know.
 */
import type { LogIndex, RangeId, ReplicaId, Term } from '@flotilla/base';
import type { Configuration, HardState, LogEntry, RaftMessage } from '../messages.ts';

/** `now` in every signature: this store's monotonic clock, milliseconds with fractions. Never goes back. */
export interface RaftCore {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;

  /** A peer spoke. Messages for another replica id, from a non-member or of an older term are ignored or answered. */
  step(message: RaftMessage, now: number): void;
  /** Time passed. Must be called once `now >= nextDeadline()`; calling it earlier or later is harmless. */
  tick(now: number): void;
  /** When `tick` has something to do next; Infinity if never. Changes only inside step/tick/propose/... */
  nextDeadline(): number;

  /** Appends a command to the leader's log. Never throws for "not leader". O(1). */
  propose(data: Uint8Array, now: number): ProposeResult;
  /** Asks for a linearizable read point. The answer comes as Ready.reads under the returned context. */
  readIndex(now: number): ReadIndexResult;
  /**
   * True if this replica is a leader whose lease covers `now`: by rules L1–L6 no other replica can have been elected.
   * The caller takes the value first and asks afterwards (rule L4), in one turn: a value taken before this replica
   * became leader proves nothing. It adds the disk and clock guards (L8).
   * False while a transfer is under way or was tried in this term (L5), and before the term's own entry is applied.
   */
  leaseValid(now: number): boolean;
  /** Hands leadership to `target` (must be a voter that is caught up or nearly so; it is brought up to date first). */
  transferLeadership(target: ReplicaId, now: number): TransferResult;

  /** What must be done now, or undefined. May be called again before earlier Readys are advanced: Readys pipeline. */
  takeReady(now: number): Ready | undefined;
  /** `ready.hardState` and `ready.entries` are durable. Called once per Ready that had either, in order. */
  advance(ready: Ready, now: number): void;
  /** The state machine has applied everything up to `index` and reads see it. */
  appliedTo(index: LogIndex, now: number): void;
  /** Forgets entries up to `index`; only applied ones that `compactableIndex` covers. Returns the term at `index`. */
  compact(index: LogIndex): Term;

  status(now: number): RaftStatus;
}

/** Instructions to the driver. The order of the comments is the order of work. STYLE: raft `Ready`. */
export interface Ready {
  readonly rangeId: RangeId;
  /** 1. Write and sync together with `entries`; undefined = unchanged. */
  readonly hardState: HardState | undefined;
  /** 1. Replace every entry at index >= entries[0].index. */
  readonly entries: readonly LogEntry[];
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

export type ReadIndexResult =
  | { readonly ok: true; readonly context: number }
  | {
      readonly ok: false;
      readonly reason: 'notLeader' | 'tooManyPending';
      readonly leader: ReplicaId | undefined;
    };

export type TransferResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'notLeader' | 'notVoter' | 'self' | 'inProgress' };

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
  /** Entries up to it are durable on every member: the bound for `compact`. */
  readonly compactableIndex: LogIndex;
  readonly leaseValid: boolean;
  /** Milliseconds of lease left; 0 if none. */
  readonly leaseRemainingMs: number;
  readonly configuration: Configuration;
  /** Leader only; sorted by replica. */
  readonly progress: readonly {
    readonly replicaId: ReplicaId;
    readonly matchIndex: LogIndex;
    readonly nextIndex: LogIndex;
    readonly lastHeardMs: number;
  }[];
}

/** Read access to the part of the log that is on disk and no longer cached by the core. Synchronous. */
export interface LogStorage {
  /** First index that can be read; firstIndex - 1 is the compaction point, whose term is known too. */
  firstIndex(): LogIndex;
  lastIndex(): LogIndex;
  /** Term of an entry in [firstIndex - 1, lastIndex]. */
  term(index: LogIndex): Term;
  /** Entries in [from, to), at least one, at most about `bytesMax` of data. */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly LogEntry[];
}

export interface RaftCoreOptions {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  readonly configuration: Configuration;
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
