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
import type { LogIndex, RangeId, ReplicaId, StoreId } from '@flotilla/base';
import type { ProposeResult, RaftStatus, SoftState, TransferResult } from '../core/raft-core.ts';
import type { Configuration, LogEntry } from '../messages.ts';
import type { PeerMessage } from '../store-messages.ts';

export interface GroupOptions {
  readonly rangeId: RangeId;
  readonly self: ReplicaId;
  /** The state machine's at `appliedIndex`; undefined = a replica without a state (`RaftCoreOptions`). */
  readonly configuration: Configuration | undefined;
  /** The state machine's durable applied index: replay starts after it. */
  readonly appliedIndex: LogIndex;
  /** First start of a brand-new group (rule L3 does not apply). */
  readonly freshGroup: boolean;
}

/** Committed entries of one group, in order, to be applied once each. */
export interface CommittedEntries {
  readonly rangeId: RangeId;
  readonly entries: readonly LogEntry[];
}

/** What the driver drives. Implemented by `shard`. */
export interface StateMachine {
  /** Applies all groups' entries in one storage batch. Resolves when reads see them. At most one call outstanding.
   *  A rejection is fatal for the process. */
  apply(batch: readonly CommittedEntries[]): Promise<void>;
  /** Called inside the loop, before `apply` of entries of the new term. Must not call back into the driver. */
  onSoftState(rangeId: RangeId, state: SoftState): void;
}

export type ReadGrant =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly reason: 'notLeader' | 'tooManyPending' | 'noSuchGroup' | 'stopped';
      readonly leader: ReplicaId | undefined;
    };

export interface MultiRaft {
  addGroup(options: GroupOptions): void;
  hasGroup(rangeId: RangeId): boolean;

  /** Queues messages of peers for the next turn. Unknown groups and full inboxes drop (and count). */
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
  transferLeadership(rangeId: RangeId, target: ReplicaId): TransferResult;
  status(rangeId: RangeId): RaftStatus | undefined;
  statuses(): readonly RaftStatus[];

  /** Flushed indices of the state machine: writes a checkpoint and compacts what every member has. Waits its turn
   *  between appends. */
  checkpoint(applied: ReadonlyMap<RangeId, LogIndex>, hlcUpperBound: number): Promise<void>;

  /** Hands over leadership where it can within `timeoutMs`, finishes outstanding work, closes the log cleanly. */
  stop(options: { readonly transferTimeoutMs: number }): Promise<void>;
}
