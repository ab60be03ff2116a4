/**
 * Up to where a group's log may be forgotten. What a member that lives still needs is kept, within a limit in bytes: a
 * member that stays away longer gets a snapshot instead of the log. One that is catching up, from a snapshot that is on its
 * way or from the log itself, holds more: a log is worth keeping as long as it is shorter than the snapshot that it saves.
 * Otherwise the log of a range that is written fast goes past every snapshot of it, and the next is in vain as well. Pure;
 * called when a checkpoint is written.
 */
import { type LogIndex, type RangeId, toLogIndex } from '@flotilla/base';
import type { RaftStatus } from '../core/raft-core.ts';

export interface CompactionFacts {
  /** The state machine's state up to here survives a crash without the log. */
  readonly flushedIndex: LogIndex;
  /** Every member has this on disk, and it is applied here. */
  readonly replicatedIndex: LogIndex;
  /** Where snapshots that are on their way begin, and where members stand that are there: they go on from here. */
  readonly neededIndexes: Iterable<LogIndex>;
  readonly logBytes: number;
  /** So much is kept for any member, and so much for those that go on from `neededIndexes`. */
  readonly retainedLogBytesMax: number;
  readonly heldBytesMax: number;
}

/** Entries up to it may go. */
export function compactionIndex(facts: CompactionFacts): LogIndex {
  const { flushedIndex, replicatedIndex, logBytes, retainedLogBytesMax } = facts;
  if (logBytes <= retainedLogBytesMax) return toLogIndex(Math.min(flushedIndex, replicatedIndex));
  let index: number = flushedIndex;
  if (logBytes <= facts.heldBytesMax)
    for (const needed of facts.neededIndexes) index = Math.min(index, needed);
  return toLogIndex(index);
}

/** Where the followers of a leader stand that follow the log and were heard of within `recentMs`. */
export function followedIndexes(status: RaftStatus, now: number, recentMs: number): LogIndex[] {
  const indexes: LogIndex[] = [];
  for (const { replicaId, state, matchIndex, nextIndex, lastHeardMs } of status.progress) {
    if (replicaId === status.self || state === 'snapshot' || now - lastHeardMs >= recentMs)
      continue;
    // What was installed there just now is not acknowledged yet: it is sent what follows.
    indexes.push(state === 'probe' ? toLogIndex(nextIndex - 1) : matchIndex);
  }
  return indexes;
}

export interface KeptLog {
  readonly rangeId: RangeId;
  readonly logBytes: number;
}

/** Which groups keep no more than they must, so that the whole log shrinks by `excessBytes`: the longest first. */
export function groupsToLetGo(logs: readonly KeptLog[], excessBytes: number): Set<RangeId> {
  const letGo = new Set<RangeId>();
  let left = excessBytes;
  for (const { rangeId, logBytes } of [...logs].sort((a, b) => b.logBytes - a.logBytes)) {
    if (left <= 0) break;
    letGo.add(rangeId);
    left -= logBytes;
  }
  return letGo;
}
