/**
 * What of log and engine belongs to living replicas, and what a crash left behind. The log decides: a range lives where
 * the log says it was flushed, or where it took a snapshot, or where it began by a split, and is gone when the log says
 * so. Everything else in the engine is swept in the background: checkpoints that were not finished, snapshots that were
 * staged and not taken, replicas whose removal was under way.
 */
import { present, type RangeId } from '@flotilla/base';
import type { GroupLog, GroupWrite, WriteAheadLog } from '@flotilla/raft';
import type { Engine } from '../engine/engine.ts';
import { splitPoint } from '../replica/replica.ts';
import { replaySplits } from '../split/replay.ts';
import { loadRanges, type RangeState } from '../state/range-checkpoint.ts';
import { readTombstones, storageIdsIn, unusedStorage } from '../state/storage-census.ts';
import { rangeRowKey } from '../state/storage-keys.ts';
import type { StoreFoundation } from './foundation.ts';
import type { Identity } from './identity.ts';

export type RecoveredContents = Pick<
  StoreFoundation,
  | 'ranges'
  | 'checkpointed'
  | 'replayed'
  | 'obsoleteRows'
  | 'unusedStorage'
  | 'nextStorageId'
  | 'tombstones'
>;

export interface RecoveryOptions {
  readonly identity: Identity;
  readonly engine: Engine;
  readonly wal: WriteAheadLog;
  /** A command's timestamp passed by. */
  readonly observe: (timestamp: number) => void;
}

/**
 * Finishes in the log what had begun, reads the rest. Called before consensus runs.
 * @throws FatalError(engineCorrupt) if the engine lacks what the log relies on
 */
export async function recoverContents(options: RecoveryOptions): Promise<RecoveredContents> {
  const { identity, engine, wal } = options;
  if (identity.clusterId === undefined)
    return {
      ranges: [],
      checkpointed: new Map(),
      replayed: [],
      obsoleteRows: [],
      unusedStorage: [],
      nextStorageId: 1,
      tombstones: new Map(),
    };
  const positions = new Map<RangeId, number>();
  for (const { rangeId, appliedIndex } of present(wal.lastCheckpoint, 'checkpoint').applied)
    positions.set(rangeId, appliedIndex);
  const { ranges, obsolete, orphans } = await loadRanges(engine, positions, splitPoint.index);
  const tombstones = await readTombstones(engine);
  const lives = ({ descriptor, replicaId }: RangeState): boolean =>
    replicaId >= (tombstones.get(descriptor.rangeId) ?? 0);
  const dead = ranges.filter((range) => !lives(range));
  const replayed = [...orphans].filter((rangeId) => !tombstones.has(rangeId));
  const living = await replaySplits({
    ...options,
    ranges: ranges.filter(lives),
    orphans: new Set(replayed),
  });
  await forgetGroups(wal, living);
  const inEngine = await storageIdsIn(engine);
  for (const rangeId of orphans) positions.delete(rangeId);
  return {
    ranges: living,
    checkpointed: positions,
    replayed,
    obsoleteRows: [
      ...obsolete,
      ...dead.map((range) => rangeRowKey(range.descriptor.rangeId, range.appliedIndex)),
    ],
    unusedStorage: unusedStorage(inEngine, living),
    nextStorageId: Math.max(0, ...inEngine, ...living.map((range) => range.storageId)) + 1,
    tombstones,
  };
}

/**
 * Groups without a living replica: removals that were under way. Replicas that never got a state have acknowledged nothing,
 * but may have voted: some bytes of each stay in the log for when it is called again.
 */
async function forgetGroups(wal: WriteAheadLog, living: readonly RangeState[]): Promise<void> {
  const alive = new Set<RangeId>(living.map((range) => range.descriptor.rangeId));
  const removals: GroupWrite[] = wal
    .rangeIds()
    .filter((rangeId) => !alive.has(rangeId) && !mayHaveVoted(wal.group(rangeId)))
    .map((rangeId) => ({ rangeId, removed: true, hardState: undefined, entries: [] }));
  if (removals.length > 0) await wal.append(removals);
}

function mayHaveVoted(log: GroupLog): boolean {
  return log.lastIndex() === 0 && log.hardState().currentTerm > 0;
}
