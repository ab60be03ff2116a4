/** What opening a directory yields and a running store lives on. Apart, because both ends of the hand-over need it. */
import type { DirectoryLock, HybridLogicalClock, RangeId } from '@flotilla/base';
import type { WriteAheadLog } from '@flotilla/raft';
import type { Engine } from '../engine/engine.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import type { Identity } from './identity.ts';
import type { UnusedStorage } from './storage-reclaimer.ts';

export interface StoreFoundation {
  readonly identity: Identity;
  readonly engine: Engine;
  readonly wal: WriteAheadLog;
  readonly hlc: HybridLogicalClock;
  readonly ranges: readonly RangeState[];
  /** Where the checkpoint in force has each range. */
  readonly checkpointed: ReadonlyMap<RangeId, number>;
  /** Ranges that were made again from the logs that they arose from: no checkpoint tells of them. */
  readonly replayed: readonly RangeId[];
  /** Range rows and storage that nothing refers to. */
  readonly obsoleteRows: readonly Buffer[];
  readonly unusedStorage: readonly UnusedStorage[];
  /** Above every storage id that has rows or is in use. */
  readonly nextStorageId: number;
  /** By range, the least replica id that may live here. */
  readonly tombstones: Map<number, number>;
  readonly lock: DirectoryLock;
}
