/**
 * How the right half of a split comes to life on this store. The left half's log is what it is made from, so nothing of
 * it needs to be durable but the fact that its own log has begun; until a checkpoint tells of it, a crash makes it again
 * from there (`replay.ts`). Until then the left half may neither leave this store nor be replaced by a snapshot: whoever
 * wants that settles first. Called by the state machine while it applies, and by whoever takes replicas away; never waits
 * for what takes turns with checkpoints, because those may be waiting for it.
 *
 * The right replica on the left leader's store stands for election at once. Rules L2 and L3 ask a replica to be silent
 * that may have promised a leader so. This group never had a leader: a replica that was here before without a state, in
 * this life of the process or one that ended less than E ago, is not fresh and waits (`MultiRaft.beginGroup`). Nor can a
 * lease of the left half's leader still cover the right half: its own store has applied the split before any follower
 * hears that the entry is committed, and serves nothing of the right half since; if another leader committed it, the
 * lease of the one before has ended.
 */
import {
  assert,
  type Logger,
  probe,
  type RangeId,
  type StoreId,
  toLogIndex,
  toReplicaId,
} from '@flotilla/base';
import type { MultiRaft } from '@flotilla/raft';
import { configurationOf } from '../membership/configuration.ts';
import { type RangeDescriptor, replicaOnStore } from '../range-descriptor.ts';
import { type Replica, splitPoint } from '../replica/replica.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import type { Checkpointer } from '../store/checkpointer.ts';
import type { UnusedStorage } from '../store/storage-reclaimer.ts';

/** What births ask of those who know the replicas of this store. */
export interface Nursery {
  /** Also of a replica that is being removed. */
  replica(rangeId: number): Replica | undefined;
  /** Nothing comes or goes for the range until `deliver`. False: it has a replica, or one that must not come to life. */
  expect(rangeId: RangeId, replicaId: number): boolean;
  /** The replica that was expected is there. */
  deliver(state: RangeState): void;
  /** A snapshot is about to take this replica's place. */
  isBeingReplaced(rangeId: RangeId): boolean;
}

export interface BirthsOptions {
  readonly storeId: StoreId;
  readonly logger: Logger;
  readonly nursery: Nursery;
  readonly raft: () => MultiRaft;
  readonly checkpointer: () => Checkpointer;
  readonly reclaim: (unused: UnusedStorage) => void;
  readonly isStopping: () => boolean;
  readonly onFatal: (error: unknown) => void;
  /** Made again by replaying, when this store was opened. */
  readonly replayed: Iterable<RangeId>;
}

/** The right half will live here; its log has begun. */
export interface Birth {
  readonly fresh: boolean;
}

/** What the left half has let go of where the right half does not live. */
interface LeftBehind {
  readonly left: RangeId;
  /** Of the split, in the left half's log. */
  readonly index: number;
  readonly unused: UnusedStorage;
}

export class Births {
  private readonly options: BirthsOptions;
  /** Ranges that no checkpoint tells of. */
  private readonly unsettled: Set<RangeId>;
  /** Those of them that have no replica yet, and who waits for that. */
  private coming = 0;
  private waiting: (() => void)[] = [];
  /** A crash would cut the left half again, and the right half may live here then, from these very rows. */
  private leftBehind: LeftBehind[] = [];

  constructor(options: BirthsOptions) {
    this.options = options;
    this.unsettled = new Set(options.replayed);
  }

  /** There is something that a crash would have to make again. */
  get hasUnsettled(): boolean {
    return this.unsettled.size > 0;
  }

  /** Before the split takes effect. @returns undefined: the right half does not live here */
  async prepare(left: Replica, right: RangeDescriptor): Promise<Birth | undefined> {
    const { storeId, nursery, raft } = this.options;
    const { rangeId } = right;
    const self = replicaOnStore(right, storeId)?.replicaId;
    if (self !== left.replicaId || left.isRemoved || nursery.isBeingReplaced(left.rangeId))
      return undefined;
    if (!nursery.expect(rangeId, self)) return undefined;
    this.unsettled.add(rangeId);
    this.coming++;
    return raft().beginGroup(rangeId, splitPoint);
  }

  /** The split takes effect, between two engine writes: `left` has let go of `state`. */
  complete(left: Replica, state: RangeState, birth: Birth | undefined): void {
    const { nursery, raft, logger } = this.options;
    const leads = left.leaseholder !== undefined;
    // The candidate's voters must hear of the split before it can be elected.
    if (leads) raft().announceCommit(left.rangeId);
    const { descriptor, storageId, replicaId, appliedIndex } = state;
    const { rangeId, startKey, endKey } = descriptor;
    if (birth === undefined) {
      probe('splitWithoutRightReplica');
      const other = nursery.replica(rangeId);
      assert(other?.storageId !== storageId, 'a range arises once', { rangeId, storageId });
      const unused = { storageId, span: { startKey, endKey } };
      this.leftBehind.push({ left: left.rangeId, index: left.appliedIndex, unused });
      if (this.leftBehind.length === 1) this.clearUp().catch(this.options.onFatal);
      return;
    }
    nursery.deliver(state);
    const { leaseholder } = left;
    // All that the left half's leaders have served and locked there is known here, and nothing is added any more.
    if (leaseholder !== undefined && leaseholder.leadsSince < Infinity) {
      const reads = leaseholder.memory.reads.copy();
      const locks = leaseholder.locks.copyFrom(startKey);
      nursery.replica(rangeId)?.inherit({ kind: 'cutOff', reads, locks });
    }
    raft().addGroup({
      rangeId,
      self: toReplicaId(replicaId),
      configuration: configurationOf(descriptor),
      appliedIndex: toLogIndex(appliedIndex),
      freshGroup: birth.fresh,
      campaigns: birth.fresh && leads,
    });
    logger.info({ rangeId, replicaId, fresh: birth.fresh, leads }, 'range_split_off');
    this.coming--;
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** A checkpoint is in force that has these ranges, as of these indexes. */
  onCheckpoint(applied: ReadonlyMap<RangeId, number>): void {
    for (const rangeId of applied.keys()) this.unsettled.delete(rangeId);
    this.reclaimIf(({ left, index }) => (applied.get(left) ?? 0) >= index);
  }

  /** A snapshot has taken its place for good, or it is gone for good. */
  onSettled(rangeId: RangeId): void {
    this.unsettled.delete(rangeId);
    this.reclaimIf(({ left }) => left === rangeId);
  }

  private reclaimIf(isSettled: (each: LeftBehind) => boolean): void {
    const settled = this.leftBehind.filter(isSettled);
    if (settled.length === 0) return;
    this.leftBehind = this.leftBehind.filter((each) => !settled.includes(each));
    for (const { unused } of settled) this.options.reclaim(unused);
  }

  /** One checkpoint may be under way that began before the split. */
  private async clearUp(): Promise<void> {
    const { checkpointer, isStopping } = this.options;
    while (this.leftBehind.length > 0 && !isStopping()) await checkpointer().run();
  }

  /** Makes what arose here lately independent of the logs that it was made from. The caller has its turn. */
  async settle(): Promise<void> {
    while (this.unsettled.size > 0) {
      if (this.coming > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
      else await this.options.checkpointer().takeNow();
    }
  }
}
