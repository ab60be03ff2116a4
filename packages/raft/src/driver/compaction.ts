/**
 * Up to where a group's log may be forgotten. What a member that lives still needs is kept, within a limit in bytes: a
 * member that stays away longer gets a snapshot instead of the log. Pure; called when a checkpoint is written.
 */
import { type LogIndex, toLogIndex } from '@flotilla/base';

export interface CompactionFacts {
  /** The state machine's state up to here survives a crash without the log. */
  readonly flushedIndex: LogIndex;
  /** Every member has this on disk, and it is applied here. */
  readonly replicatedIndex: LogIndex;
  /** Where the snapshots that are on their way begin: their receivers go on from there. */
  readonly snapshotIndexes: Iterable<LogIndex>;
  readonly logBytes: number;
  readonly retainedLogBytesMax: number;
}

/** Entries up to it may go. A snapshot under way does not hold the log for ever either: twice the limit ends it. */
export function compactionIndex(facts: CompactionFacts): LogIndex {
  const { flushedIndex, replicatedIndex, logBytes, retainedLogBytesMax } = facts;
  if (logBytes <= retainedLogBytesMax) return toLogIndex(Math.min(flushedIndex, replicatedIndex));
  let index: number = flushedIndex;
  if (logBytes <= 2 * retainedLogBytesMax)
    for (const snapshotIndex of facts.snapshotIndexes) index = Math.min(index, snapshotIndex);
  return toLogIndex(index);
}
