/**
 * Makes again, when a store opens, the ranges that arose by splits after the last checkpoint: the log says that theirs has
 * begun, and what they began with follows from the log that they were cut from. That they began proves that the split was
 * committed, so their parents' entries are applied up to it here and now, without asking anybody. Physical writes over
 * whatever the engine holds: the rest of each log is applied over them, in order, by consensus later.
 */
import { asBuffer, ExitCode, FatalError, probe, type RangeId, toLogIndex } from '@flotilla/base';
import type { GroupLog, LogEntry, WriteAheadLog } from '@flotilla/raft';
import type { Engine, EngineOperation } from '../engine/engine.ts';
import { decodeCommandBatch } from '../replica/command.ts';
import { Replica } from '../replica/replica.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { WaitingRoom } from '../transaction/waiting-room.ts';

export interface ReplayOptions {
  readonly engine: Engine;
  readonly wal: WriteAheadLog;
  /** As of the checkpoint. */
  readonly ranges: readonly RangeState[];
  /** Ranges whose log has begun, and of which the checkpoint does not tell. */
  readonly orphans: ReadonlySet<RangeId>;
  /** A command's timestamp passed by. */
  readonly observe: (timestamp: number) => void;
}

/** Unit: bytes of log data applied per engine write. */
const stepBytes = 4 * 1024 * 1024;

/**
 * @returns all ranges, orphans included, where they stand now
 * @throws FatalError(engineCorrupt) if an orphan has no parent here
 */
export async function replaySplits(options: ReplayOptions): Promise<readonly RangeState[]> {
  const { wal, engine, observe } = options;
  const orphans = new Set(options.orphans);
  const found = new Map(options.ranges.map((state) => [state.descriptor.rangeId, state]));
  const unseen = [...options.ranges];
  for (let parent = unseen.shift(); parent !== undefined; parent = unseen.shift()) {
    if (orphans.size === 0) break;
    const log = wal.group(parent.descriptor.rangeId);
    const upTo = lastSplitInto(log, parent.appliedIndex, orphans);
    if (upTo === 0) continue;
    const replica = new Replica(parent, {
      leaseholder: undefined,
      served: undefined,
      covering: () => [],
      // Nobody asks anything of it.
      newWaitingRoom: () => new WaitingRoom(undefined, 1),
      observe,
    });
    for (const child of await applyUpTo(replica, log, upTo, engine)) {
      const { rangeId } = child.descriptor;
      // Others have a state of their own by now, or are gone.
      if (!orphans.delete(rangeId)) continue;
      probe('splitReplayedAtOpening');
      found.set(rangeId, child);
      unseen.push(child);
    }
    found.set(replica.rangeId, replica.state());
  }
  if (orphans.size === 0) return [...found.values()];
  throw new FatalError(
    ExitCode.engineCorrupt,
    `the log has begun for ${[...orphans].map((id) => `r${id}`).join(', ')}, and nothing here says with what: ` +
      'rebuild this store from its peers under a new id',
    { orphans: [...orphans] },
  );
}

/** Index of the last entry above `from` that cuts one of `wanted` off; 0 = none. */
function lastSplitInto(log: GroupLog, from: number, wanted: ReadonlySet<RangeId>): number {
  let last = 0;
  for (const entry of entriesOf(log, from, log.lastIndex())) {
    if (entry.kind !== 'command') continue;
    const { split } = decodeCommandBatch(asBuffer(entry.data));
    if (split && wanted.has(split.right.rangeId)) last = entry.index;
  }
  return last;
}

function* entriesOf(log: GroupLog, from: number, upTo: number): Generator<LogEntry> {
  for (let next = from + 1; next <= upTo; ) {
    const entries = log.entries(toLogIndex(next), toLogIndex(upTo + 1), stepBytes);
    yield* entries;
    next += entries.length;
  }
}

/** @returns what began by the splits among these entries */
async function applyUpTo(
  replica: Replica,
  log: GroupLog,
  upTo: number,
  engine: Engine,
): Promise<RangeState[]> {
  const children: RangeState[] = [];
  while (replica.appliedIndex < upTo) {
    const from = toLogIndex(replica.appliedIndex + 1);
    let entries = log.entries(from, toLogIndex(upTo + 1), stepBytes);
    const operations: EngineOperation[] = [];
    for (let after: Parameters<Replica['apply']>[2]; entries.length > 0 || after !== undefined; ) {
      if (after !== undefined) children.push(replica.applySplit(after));
      const applied = replica.apply(entries, operations, after);
      replica.publish(applied);
      after = applied.stoppedAt;
      entries = after?.rest ?? [];
    }
    await engine.write(operations);
  }
  return children;
}
