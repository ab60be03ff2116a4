/**
 * What replicas of one group say to each other. Words of Raft Figure 2 and the thesis; deviations stand in
 * `docs/DIVERGENCE.md`. Pure data: the codec is `codec.ts`, the meaning is in `core/`.
 */
import type { LogIndex, RangeId, ReplicaId, StoreId, Term } from '@flotilla/base';

/** `command`: opaque to consensus. `noop`: first entry of a term. `configuration`: encoded Configuration. */
export type EntryKind = 'command' | 'noop' | 'configuration';

export interface LogEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/**
 * Who votes and who only listens. Sets are sorted and distinct; a learner is no voter. `votersOutgoing` is non-empty
 * only in joint consensus (thesis §4.3).
 */
export interface Configuration {
  readonly voters: readonly ReplicaId[];
  readonly votersOutgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  /** Where each member lives. Consensus only passes it on. Every member has an entry, and nobody else. */
  readonly storeOf: ReadonlyMap<ReplicaId, StoreId>;
}

/** A state machine's state that replaces the log up to `lastIncludedIndex` (Raft §7). The state itself travels apart. */
export interface SnapshotPoint {
  /** The leader that sent it, and its term. */
  readonly from: ReplicaId;
  readonly term: Term;
  readonly lastIncludedIndex: LogIndex;
  readonly lastIncludedTerm: Term;
  /** In force at `lastIncludedIndex`. */
  readonly configuration: Configuration;
}

/** What must be on disk before any message that depends on it leaves. Raft Fig. 2 "Persistent state". */
export interface HardState {
  readonly currentTerm: Term;
  readonly votedFor: ReplicaId | undefined;
  /** A hint that shortens replay; raising it alone never forces a sync. */
  readonly commitIndex: LogIndex;
}

interface Envelope {
  readonly rangeId: RangeId;
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  /** The sender's currentTerm, except in PreVoteRequest: the term it would campaign for. */
  readonly term: Term;
}

export interface AppendEntriesRequest extends Envelope {
  readonly kind: 'appendEntriesRequest';
  readonly prevLogIndex: LogIndex;
  readonly prevLogTerm: Term;
  /** Empty in a heartbeat. */
  readonly entries: readonly LogEntry[];
  readonly leaderCommit: LogIndex;
  /** Leader's monotonic clock at sending, ms. Echoed in the response: leases count from it. */
  readonly sentAtMs: number;
  /** Newest ReadIndex round of this leader's term; 0 = none. Echoed in the response. */
  readonly readSequence: number;
  /** Every member's durable log reaches this index: the log up to it may be compacted. */
  readonly replicatedIndex: LogIndex;
}

export interface AppendEntriesResponse extends Envelope {
  readonly kind: 'appendEntriesResponse';
  readonly success: boolean;
  /** success: last index known to match and durable here. Otherwise 0. */
  readonly matchIndex: LogIndex;
  /** failure: prevLogIndex of the refused request, to recognise stale refusals. Otherwise 0. */
  readonly rejectedIndex: LogIndex;
  /** failure: term of the conflicting entry, or 0 if the log is shorter than prevLogIndex (thesis §3.5 hint). */
  readonly conflictTerm: Term;
  /** failure: first index of conflictTerm, or the index after the last one here. */
  readonly conflictIndex: LogIndex;
  readonly sentAtMs: number;
  readonly readSequence: number;
  /** failure: nothing can be appended here before a snapshot, because there is no state at all. */
  readonly needsSnapshot: boolean;
  /** The sender's commit index. */
  readonly commitIndex: LogIndex;
}

export interface RequestVoteRequest extends Envelope {
  readonly kind: 'requestVoteRequest';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
  /** Set when the leader asked for this election by TimeoutNow: voters need not wait for silence (thesis §4.2.3). */
  readonly leadershipTransfer: boolean;
}

export interface RequestVoteResponse extends Envelope {
  readonly kind: 'requestVoteResponse';
  readonly voteGranted: boolean;
}

/** Thesis §9.6. Changes no state at the receiver. */
export interface PreVoteRequest extends Envelope {
  readonly kind: 'preVoteRequest';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
}

export interface PreVoteResponse extends Envelope {
  readonly kind: 'preVoteResponse';
  readonly voteGranted: boolean;
}

/** Thesis §3.10. Ignored unless the target is still in `term` with `lastLogIndex` as its last entry. */
export interface TimeoutNow extends Envelope {
  readonly kind: 'timeoutNow';
  readonly lastLogIndex: LogIndex;
  /** What the leader's state machine has to say to its successor's. 0: nothing. Consensus does not look at it. */
  readonly handOver: number;
}

/** A follower asks its leader to confirm a read (thesis §6.4). */
export interface ReadIndexRequest extends Envelope {
  readonly kind: 'readIndexRequest';
  readonly context: number;
}

export interface ReadIndexResponse extends Envelope {
  readonly kind: 'readIndexResponse';
  readonly context: number;
  /** 0 with success = false: the receiver cannot confirm; ask again elsewhere. */
  readonly readIndex: LogIndex;
  readonly success: boolean;
}

export type RaftMessage =
  | AppendEntriesRequest
  | AppendEntriesResponse
  | RequestVoteRequest
  | RequestVoteResponse
  | PreVoteRequest
  | PreVoteResponse
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexResponse;
