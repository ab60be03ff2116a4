/**
 * The contract of the multi-group driver: one loop per store over the dirty groups only. It owns every RaftCore of the
 * process and the write-ahead log, and is the only caller of both.
 *
 *   step inbox -> collect Ready of all dirty groups -> send `messages` (the sender coalesces per store)
 *   -> one WAL write + one sync for all groups -> release `messagesAfterPersist`, advance
 *   -> hand all groups' committed entries to the state machine as one batch
 *
 * No batching timer: the next batch is what arrived during the current sync. At most one WAL write and one apply are
 * outstanding; both run beside further stepping.
 */
import type { Buckets, LogIndex, RangeId, ReplicaId, StoreId, Term } from '@flotilla/base';
import type {
  ChangeResult,
  ConfigurationChange,
  ProposeResult,
  RaftStatus,
  SnapshotSendResult,
  SoftState,
  TransferResult,
} from '../core/raft-core.ts';
import type { Configuration, LogEntry, RaftMessage, SnapshotPoint } from '../messages.ts';
import type { HeardLog, PeerMessage } from '../store-messages.ts';

export interface GroupOptions {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  /** The state machine's at `appliedIndex`; undefined = a replica without a state (`RaftCoreOptions`). */
  readonly configuration: Configuration | undefined;
  /** The state machine's durable applied index: replay starts after it. */
  readonly appliedIndex: LogIndex;
  /** First start of a brand-new group (rule L3 does not apply). */
  readonly freshGroup: boolean;
  /** As in `RaftCoreOptions`. */
  readonly campaigns?: boolean;
}

/** A position in a log. */
export interface LogPoint {
  readonly index: LogIndex;
  readonly term: Term;
}

/** Committed entries of one group, in order, to be applied once each; or a snapshot that takes the place of all before. */
export interface CommittedEntries {
  readonly rangeId: RangeId;
  /** The staged state of this point becomes the state: it is durable in the log, so there is no way back. */
  readonly snapshot: SnapshotPoint | undefined;
  /** Empty beside a snapshot. */
  readonly entries: readonly LogEntry[];
}

/** A member of a group that this store leads needs the state: its log does not reach back far enough. */
export interface SnapshotRequest {
  readonly rangeId: RangeId;
  readonly to: ReplicaId;
  readonly storeId: StoreId;
  /** In which this store leads. */
  readonly term: Term;
  /** False: the log behind `index` is gone, and a snapshot of that point is sent in vain. */
  readonly reaches: (index: LogIndex) => boolean;
}

export type InstallResult =
  /** Installed and applied. */
  | { readonly ok: true; readonly appliedIndex: LogIndex }
  | {
      readonly ok: false;
      /**
       * `stale`: of an older term, or committed here already, or another one is on its way to disk. `unsafe`: this replica
       * is no member of it. `stopped`: not decided, the log may have it; what is staged must stay.
       */
      readonly reason: 'stale' | 'noSuchGroup' | 'stopped' | 'unsafe';
    };

/** What the driver drives. Implemented by `shard`. */
export interface StateMachine {
  /** Applies all groups' entries in one storage batch. Resolves when reads see them. At most one call outstanding.
   *  A rejection is fatal for the process. */
  apply(batch: readonly CommittedEntries[]): Promise<void>;
  /** Called inside the loop, before `apply` of entries of the new term. Must not call back into the driver. */
  onSoftState(rangeId: RangeId, state: SoftState): void;
  /** Resolves when the receiver has installed a snapshot (and at which index), or it failed or was refused: it is asked
   *  for again then. Called inside the loop, must not call back into it. A rejection is fatal for the process. */
  sendSnapshot(request: SnapshotRequest): Promise<SnapshotSendResult>;
  /**
   * A message for a group that is not here, or for another replica of it than the one that is. Called inside the loop:
   * what follows from it (`removeGroup`, `addGroup`) must wait until later.
   */
  onUnknownGroup(from: StoreId, message: RaftMessage): void;
  /** About how many bytes a snapshot of the group has: as much log is kept rather than sending another. Default: 0. */
  stateBytes?(rangeId: RangeId): number;
  /** This replica leads and asks another to take over at once. @returns what that one's `onHandOver` is told; 0 = nothing */
  handOver?(rangeId: RangeId): number;
  /** The leader of `term` asks the replica here to take over. It may come too late to count. */
  onHandOver?(rangeId: RangeId, term: Term, handOver: number): void;
}

export type ReadGrant =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly reason: 'notLeader' | 'tooManyPending' | 'noSuchGroup' | 'stopped';
      readonly leader: ReplicaId | undefined;
    };

export type Overload = 'none' | 'busy';

/** For people: what a store's status shows. */
export interface DriverHealth {
  readonly overload: Overload;
  /** How late the loop was, 99 of 100 times, in the last second that was measured. Unit: ms. */
  readonly loopDelayP99Ms: number;
  /** How often the loop stood for longer than `loopStallMsMax`, and for how long at most. */
  readonly loopStalls: number;
  readonly longestLoopStallMs: number;
  /** Bytes of entries that wait for the disk, and for the state machine. */
  readonly bytesToWrite: number;
  readonly bytesToApply: number;
  /** Messages of peers that found no room. */
  readonly droppedMessages: number;
  /** How long writes to the log took, with their syncs, and batches of entries with the state machine. Unit: ms. */
  readonly logWriteTimes: Buckets;
  readonly applyTimes: Buckets;
}

export interface MultiRaft {
  addGroup(options: GroupOptions): void;
  hasGroup(rangeId: RangeId): boolean;
  /**
   * The log of a group that has no state here begins after `point`, whose state the caller has: durable when it resolves,
   * and then `addGroup` starts the replica. One without a state that is here falls silent for good; its term stays.
   * @returns whether no replica of the group can have made a promise here (`GroupOptions.freshGroup`)
   */
  beginGroup(rangeId: RangeId, point: LogPoint): Promise<{ readonly fresh: boolean }>;
  /**
   * The group falls silent at once; its log and its votes are forgotten. Resolves when that is durable and nothing of it is
   * with the state machine any more; after that `addGroup` may bring the range back under a new replica id. Rejects only
   * if the log fails, which ends the process.
   */
  removeGroup(rangeId: RangeId): Promise<void>;

  /** A replica without a state leaves the memory. Its term and vote stay in the log, for when it is added again. */
  closeGroup(rangeId: RangeId): void;
  /** Proposes a change of the members; its entries come to `apply` like commands. */
  changeConfiguration(rangeId: RangeId, change: ConfigurationChange): ChangeResult;
  /**
   * Takes over a state that was received and staged, and that is durable outside of the log. Resolves after `apply` was
   * given it. Never rejects.
   */
  installSnapshot(rangeId: RangeId, snapshot: SnapshotPoint): Promise<InstallResult>;

  /** Queues messages of peers for the next turn. Full inboxes drop (and count). */
  receive(from: StoreId, messages: readonly PeerMessage[]): void;
  /** Appends a command to the group's log if this replica leads it. The entry's fate is seen in `apply`, or by a
   *  change of term in `onSoftState` (then it may still be committed by another leader: outcome unknown). */
  propose(rangeId: RangeId, data: Uint8Array): ProposeResult;
  /**
   * Lease check for a read whose value was already taken (rule L4): leader, own-term entry applied, lease covers now,
   * disk not stalled (L8), clocks agree. Cheap and synchronous; false means "use readBarrier".
   */
  leaseValid(rangeId: RangeId): boolean;
  /** Resolves after a quorum confirmed leadership (or a lease did) and everything up to the read point is applied:
   *  a value taken after that is linearizable. Never rejects. */
  readBarrier(rangeId: RangeId): Promise<ReadGrant>;
  /**
   * Whether new work of clients should be refused for now: the event loop is late, or too much waits for disk and state
   * machine. Ask once per piece of work; the asking times the loop. Consensus itself is never refused.
   */
  overload(): Overload;
  health(): DriverHealth;
  /** What another store told of its log since this one's start: for it to ask when it has started again. */
  heardOf(storeId: StoreId): HeardLog | undefined;
  /** As `RaftCore.announceCommit`. */
  announceCommit(rangeId: RangeId): void;
  transferLeadership(rangeId: RangeId, target: ReplicaId): TransferResult;
  status(rangeId: RangeId): RaftStatus | undefined;
  statuses(): readonly RaftStatus[];

  /**
   * Flushed indices of the state machine: writes a checkpoint and compacts what every member has, or what the limit on
   * retained logs lets nobody have any more. Waits its turn between appends.
   */
  checkpoint(applied: ReadonlyMap<RangeId, LogIndex>, hlcUpperBound: number): Promise<void>;

  /** Hands over leadership where it can within `timeoutMs`, finishes outstanding work, closes the log cleanly. */
  stop(options: { readonly transferTimeoutMs: number }): Promise<void>;
}
