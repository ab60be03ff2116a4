/**
 * The contract of the write-ahead log: one append-only stream of records for all groups of a store, in preallocated
 * segment files. What `append` resolved is on disk and survives any crash; what it did not may or may not. Opening
 * tells a torn tail, which is cut, from damage to acknowledged bytes, which is `FatalError(ExitCode.walCorrupt)`.
 * Format and recovery rules: `README.md` of this folder's package, "Write-ahead log".
 */
import type { LogIndex, RangeId, Term } from '@flotilla/base';
import type { LogStorage } from '../core/raft-core.ts';
import type { HardState, LogEntry } from '../messages.ts';

/** What one group wants on disk in the next batch. Takes effect in this order: removed, snapshot, hard state, entries. */
export interface GroupWrite {
  readonly rangeId: RangeId;
  /**
   * The log and the hard state of the group are forgotten, and checkpoints no longer name it. Nothing else may stand in
   * the same write; a later one, in the same batch or not, makes the group anew. A `GroupLog` taken before is dead.
   */
  readonly removed?: boolean;
  /**
   * A snapshot was installed: the log starts after `index`, and so does the group's checkpointed index. Entries above it
   * stay if the log holds exactly this entry, otherwise all are gone. Not below what is
   * compacted or checkpointed already: a state machine does not go back.
   */
  readonly snapshot?: { readonly index: LogIndex; readonly term: Term } | undefined;
  readonly hardState: HardState | undefined;
  /** Contiguous; replaces every entry of the group at index >= entries[0].index. */
  readonly entries: readonly LogEntry[];
}

export interface GroupCompaction {
  readonly rangeId: RangeId;
  /** Entries up to and including it are forgotten. */
  readonly index: LogIndex;
  readonly term: Term;
}

/** The state machine's flush point: everything up to these indices survives a crash outside the log. */
export interface Checkpoint {
  /**
   * A flush takes time: an index below the group's checkpointed one (a snapshot was installed meanwhile) or beyond its
   * log, or a group that the log does not have (removed meanwhile), changes nothing.
   */
  readonly applied: readonly { readonly rangeId: RangeId; readonly appliedIndex: LogIndex }[];
  /** No timestamp above it was issued before this checkpoint. */
  readonly hlcUpperBound: number;
}

/** What recovery knows of one group. Also its log, readable until the next compaction. */
export interface GroupLog extends LogStorage {
  readonly rangeId: RangeId;
  hardState(): HardState;
  /** From the last checkpoint or installed snapshot; 0 if there is none. */
  checkpointedIndex(): LogIndex;
  /** What its entries take on disk, compacted ones not counted. */
  bytes(): number;
}

export interface WriteAheadLog {
  /** One write and one sync for all of `writes`, in order. At most one append or checkpoint is outstanding. */
  append(writes: readonly GroupWrite[]): Promise<void>;
  /**
   * Records a flush point and compactions, syncs, and frees the segments that nothing needs any more. Groups that the
   * checkpoint does not name keep the flush point that they have.
   */
  checkpoint(checkpoint: Checkpoint, compactions: readonly GroupCompaction[]): Promise<void>;
  /** The group's log; made on first use. */
  group(rangeId: RangeId): GroupLog;
  /** Groups that recovery found or `group` made, sorted. */
  rangeIds(): readonly RangeId[];
  /** True if the last life ended in `close`: nothing above the checkpoint needs replay. */
  readonly closedCleanly: boolean;
  readonly lastCheckpoint: Checkpoint | undefined;
  /**
   * Number of the last batch that is known to be durable. Batches are numbered over the life of the log, whatever its
   * process: no later opening of it recovers a lower one. A log that does is an old copy, or its disk lost what it had synced.
   */
  durableBatch(): number;
  /** What opening found: everything up to the batch of this number. 0: a new log. */
  readonly recoveredBatch: number;
  /** Live bytes on disk, all segments. */
  sizeBytes(): number;
  /** Syncs since opening, and the time the current one has been running (0 = none): for the stall watchdog. */
  syncs(): number;
  pendingSyncMs(now: number): number;
  /** Writes the clean-stop mark and closes. */
  close(): Promise<void>;
}
