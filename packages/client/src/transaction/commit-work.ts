/** What a transaction's commit has to write, and what must hold for it: its writes and reads, seen by the isolation level. */
import type { TransactionContext, WriteCondition, WriteMutation } from '@flotilla/router';
import type { IsolationLevel, TimeBound } from '@flotilla/sql/protocol';
import type { ClaimedSpans } from './claimed-spans.ts';
import type { CommitWork } from './commit.ts';
import type { LockedReads } from './locked-reads.ts';
import type { ReadSet } from './read-set.ts';
import type { WriteBuffer } from './write-buffer.ts';

export interface WorkParts {
  readonly context: TransactionContext;
  readonly isolation: IsolationLevel;
  readonly writes: WriteBuffer;
  readonly reads: ReadSet;
  /** Undefined: nothing was locked. */
  readonly locks: LockedReads | undefined;
  /** Undefined: nothing was claimed. */
  readonly claimed: ClaimedSpans | undefined;
  readonly bound: TimeBound | undefined;
}

export function mutationsOf({ writes, claimed }: WorkParts): WriteMutation[] {
  const mutations: WriteMutation[] = [];
  for (const some of [writes.values(), claimed?.waiting() ?? []])
    for (const { key, value } of some)
      mutations.push(value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value });
  return mutations;
}

export function workOf(parts: WorkParts, mutations: readonly WriteMutation[]): CommitWork {
  const { context, isolation, writes, reads, locks, claimed, bound } = parts;
  const serializable = isolation === 'serializable';
  const unchanged: WriteCondition[] = [];
  const absent: WriteCondition[] = [];
  const readChecks = reads.checksForCommit(serializable, (text) => writes.writes(text));
  let readBeforeWritten = false;
  // What a repeatable read has seen of a deleted span is all there is to delete; of later rows read committed knows nothing.
  if (isolation === 'repeatable read')
    for (const span of writes.deletedSpans)
      readChecks.push({ ...span, since: context.readTimestamp });
  for (const [text, { key, mustBeAbsent, ofSpan }] of writes.entries()) {
    const read = reads.point(text);
    const scanned = read === undefined ? reads.scannedSince(key) : undefined;
    if (read !== undefined || scanned !== undefined) readBeforeWritten = true;
    if (mustBeAbsent) absent.push({ kind: 'absent', key });
    else if (read?.version !== undefined)
      unchanged.push({ kind: 'unchanged', key, timestamp: read.version });
    else if (read !== undefined)
      readChecks.push({ startKey: key, endKey: undefined, since: read.since });
    else if (scanned !== undefined && !serializable && ofSpan !== true)
      readChecks.push({ startKey: key, endKey: undefined, since: scanned });
  }
  // A read of a written key is itself what pushes the write above the snapshot.
  const cheap =
    serializable && !readBeforeWritten && locks === undefined && claimed?.hasLeft !== true;
  return {
    context,
    conditions: [...unchanged, ...absent],
    mutations,
    readChecks,
    locksElsewhere:
      locks?.someUnknown === true || reads.hasLockedBeside((text) => writes.writes(text)),
    cheapTimestamp: cheap && readChecks.length > 0 ? context.readTimestamp : 0,
    bound,
  };
}
