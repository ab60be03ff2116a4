/** A naive log to compare the real one with, and the small things that tests of the log share. */
import {
  type LogIndex,
  type RangeId,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toTerm,
} from '@flotilla/base';
import type { EntryKind, HardState, LogEntry } from '../messages.ts';
import type {
  Checkpoint,
  GroupCompaction,
  GroupWrite,
  WriteAheadLog,
} from '../wal/write-ahead-log.ts';

export function entry(
  index: number,
  term: number,
  data: Uint8Array | string,
  kind: EntryKind = 'command',
): LogEntry {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  return { index: toLogIndex(index), term: toTerm(term), kind, data: bytes };
}

export function hardState(term: number, votedFor: number, commit: number): HardState {
  return {
    currentTerm: toTerm(term),
    votedFor: votedFor === 0 ? undefined : toReplicaId(votedFor),
    commitIndex: toLogIndex(commit),
  };
}

interface ModelGroup {
  hardState: HardState;
  compacted: { index: number; term: number };
  checkpointed: number;
  entries: LogEntry[];
}

export class ModelLog {
  private groups = new Map<RangeId, ModelGroup>();
  private checkpointed: Checkpoint | undefined;

  append(writes: readonly GroupWrite[]): void {
    for (const write of writes) {
      if (write.removed === true) {
        this.groups.delete(write.rangeId);
        if (this.checkpointed !== undefined)
          this.checkpointed = {
            ...this.checkpointed,
            applied: this.checkpointed.applied.filter((each) => each.rangeId !== write.rangeId),
          };
        continue;
      }
      const group = this.group(write.rangeId);
      if (write.snapshot !== undefined) {
        const { index, term } = write.snapshot;
        const same = index <= this.last(write.rangeId) && this.term(write.rangeId, index) === term;
        group.entries = same ? group.entries.slice(index - group.compacted.index) : [];
        group.compacted = { index, term };
        group.checkpointed = index;
        if (this.checkpointed !== undefined)
          this.checkpointed = {
            ...this.checkpointed,
            applied: [
              ...this.checkpointed.applied.filter((each) => each.rangeId !== write.rangeId),
              { rangeId: write.rangeId, appliedIndex: index },
            ],
          };
      }
      if (write.hardState !== undefined) group.hardState = write.hardState;
      for (const each of write.entries) {
        group.entries.length = each.index - group.compacted.index - 1;
        group.entries.push(each);
      }
    }
  }

  checkpoint(checkpoint: Checkpoint, compactions: readonly GroupCompaction[]): void {
    for (const { rangeId, index, term } of compactions) {
      const group = this.group(rangeId);
      if (index <= group.compacted.index) continue;
      group.entries = group.entries.slice(index - group.compacted.index);
      group.compacted = { index, term };
    }
    const wanted = new Map(checkpoint.applied.map((each) => [each.rangeId, each.appliedIndex]));
    const applied = [...this.groups.keys()]
      .sort((a, b) => a - b)
      .flatMap((rangeId) => {
        const group = this.group(rangeId);
        const asked = wanted.get(rangeId);
        if (asked === undefined && group.checkpointed === 0) return [];
        const index = asked === undefined || asked > this.last(rangeId) ? 0 : asked;
        group.checkpointed = Math.max(group.checkpointed, index);
        return [{ rangeId, appliedIndex: toLogIndex(group.checkpointed) }];
      });
    this.checkpointed = { ...checkpoint, applied };
  }

  copy(): ModelLog {
    const copy = new ModelLog();
    copy.checkpointed = this.checkpointed;
    for (const [rangeId, group] of this.groups)
      copy.groups.set(rangeId, { ...group, entries: [...group.entries] });
    return copy;
  }

  /** Index of the last entry. */
  last(rangeId: RangeId): number {
    const { compacted, entries } = this.group(rangeId);
    return compacted.index + entries.length;
  }
  compacted(rangeId: RangeId): number {
    return this.group(rangeId).compacted.index;
  }
  checkpointedIndex(rangeId: RangeId): number {
    return this.group(rangeId).checkpointed;
  }
  term(rangeId: RangeId, index: number): number {
    const { compacted, entries } = this.group(rangeId);
    return index === compacted.index
      ? compacted.term
      : (entries[index - compacted.index - 1]?.term ?? -1);
  }

  describe(rangeIds: readonly number[]): unknown {
    const groups = rangeIds.map((id) => {
      const group = this.group(toRangeId(id));
      return {
        id,
        hardState: group.hardState,
        compacted: { ...group.compacted },
        checkpointed: group.checkpointed,
        entries: group.entries.map(text),
        configurations: group.entries.filter(({ kind }) => kind === 'configuration').map(text),
      };
    });
    return { groups, checkpoint: this.checkpointed };
  }

  private group(rangeId: RangeId): ModelGroup {
    let group = this.groups.get(rangeId);
    if (group === undefined) {
      group = {
        hardState: hardState(0, 0, 0),
        compacted: { index: 0, term: 0 },
        checkpointed: 0,
        entries: [],
      };
      this.groups.set(rangeId, group);
    }
    return group;
  }
}

/** Everything that a log says, read back from its disk; comparable with `ModelLog.describe`. */
export function describeLog(log: WriteAheadLog, rangeIds: readonly number[]): unknown {
  const groups = rangeIds.map((id) => {
    const group = log.group(toRangeId(id));
    const [first, last] = [group.firstIndex(), group.lastIndex()];
    const entries: LogEntry[] = [];
    while (first + entries.length <= last) {
      const from = toLogIndex(first + entries.length);
      entries.push(...group.entries(from, toLogIndex(last + 1), 700));
    }
    for (const each of entries)
      if (group.term(each.index) !== each.term) throw new Error(`term of i${each.index}`);
    const compacted = toLogIndex(first - 1);
    return {
      id,
      hardState: group.hardState(),
      compacted: { index: compacted, term: group.term(compacted) },
      checkpointed: group.checkpointedIndex(),
      entries: entries.map(text),
      configurations: group.configurations().map(text),
    };
  });
  return { groups, checkpoint: log.lastCheckpoint };
}

function text({ index, term, kind, data }: LogEntry): string {
  return `i${index} t${term} ${kind} ${Buffer.from(data).toString('base64')}`;
}

export function compaction(rangeId: number, index: number, term: number): GroupCompaction {
  return { rangeId: toRangeId(rangeId), index: toLogIndex(index), term: toTerm(term) };
}

export function checkpointOf(hlc: number, applied: Record<number, number>): Checkpoint {
  return {
    hlcUpperBound: hlc,
    applied: Object.entries(applied).map(([id, index]) => ({
      rangeId: toRangeId(Number(id)),
      appliedIndex: toLogIndex(index) as LogIndex,
    })),
  };
}

/** Lets everything that waits for nothing but the loop happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise(setImmediate);
}
