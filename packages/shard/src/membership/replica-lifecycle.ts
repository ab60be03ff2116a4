/**
 * How replicas come to this store and leave it. A message of a leader or candidate for a replica that is newer than any that
 * ever lived here makes one without a state; a snapshot gives it one; a configuration that no longer names it, applied here
 * or shown by somebody else, ends it. Ids are never used again, so a tombstone per range keeps ghosts out. Whatever
 * touches both log and engine takes turns with checkpoints. Sends nothing itself.
 */
import {
  assert,
  type Clock,
  type Logger,
  present,
  probe,
  type RangeId,
  type ReplicaId,
  type StoreId,
  spansOverlap,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toTerm,
} from '@flotilla/base';
import type { MultiRaft, RaftMessage, SnapshotPoint, SoftState } from '@flotilla/raft';
import type { Engine } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import { descriptorSpan, type RangeDescriptor, replicaOnStore } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import type { Installed } from '../snapshot/incoming.ts';
import { type Offer, SnapshotOutcome } from '../snapshot/messages.ts';
import type { ReplicaKeeper } from '../snapshot/transfers.ts';
import type { Births, Nursery } from '../split/births.ts';
import { EarlyMessages } from '../split/early-messages.ts';
import { type RangeState, rangeCheckpointRow } from '../state/range-checkpoint.ts';
import { tombstoneRow } from '../state/storage-census.ts';
import { rangeRowKey } from '../state/storage-keys.ts';
import type { Checkpointer } from '../store/checkpointer.ts';
import type { OneAtATime } from '../store/one-at-a-time.ts';
import type { UnusedStorage } from '../store/storage-reclaimer.ts';
import { configurationOf, isJoint } from './configuration.ts';

export interface LifecycleOptions {
  readonly storeId: StoreId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly engine: Engine;
  readonly turns: EngineTurns;
  readonly raft: () => MultiRaft;
  readonly checkpointer: () => Checkpointer;
  readonly oneAtATime: OneAtATime;
  /** Those with a state. */
  readonly replicas: Map<number, Replica>;
  readonly createReplica: (state: RangeState) => Replica;
  /** By range, the least replica id that may live here. */
  readonly tombstones: Map<number, number>;
  readonly nextStorageId: number;
  readonly births: () => Pick<Births, 'settle' | 'onSettled'>;
  readonly reclaim: (unused: UnusedStorage) => void;
  /** Nothing more is received for the range's replica. */
  readonly stopReceiving: (rangeId: number) => void;
  readonly isStopping: () => boolean;
  readonly onFatal: (error: unknown) => void;
}

/** A replica without a state: it follows its leader and waits for a snapshot. */
export interface Uninitialized {
  readonly replicaId: ReplicaId;
  /** Whose message made it. */
  readonly from: StoreId;
  soft: SoftState | undefined;
}

interface Staged {
  readonly state: RangeState;
  /** What it takes the place of. */
  replaced: UnusedStorage | undefined;
}

export class ReplicaLifecycle implements ReplicaKeeper, Nursery {
  readonly uninitialized: Map<RangeId, Uninitialized> = new Map();
  private readonly options: LifecycleOptions;
  /** Replicas on their way out: still applied to, no longer served. */
  private readonly leaving = new Map<number, Replica>();
  /** Ranges whose replica comes or goes just now. */
  private readonly changing = new Set<number>();
  /** Ranges whose replica a split is about to make. */
  private readonly expected = new Set<number>();
  private readonly early: EarlyMessages;
  /** States that are on their way through the log. */
  private readonly staged = new Map<number, Staged>();
  /** One of them may have taken the place of a replica whose rows nobody has begun to delete. */
  private replacing = false;
  private nextStorageId: number;

  constructor(options: LifecycleOptions) {
    this.options = options;
    this.nextStorageId = options.nextStorageId;
    this.early = new EarlyMessages(options.clock);
  }

  /** Replicas are on their way out, or are replaced: their rows are still here. */
  get isAnyLeaving(): boolean {
    return this.leaving.size > 0 || this.replacing;
  }

  /** Also of a replica that is being removed. */
  replica(rangeId: number): Replica | undefined {
    return this.options.replicas.get(rangeId) ?? this.leaving.get(rangeId);
  }

  /** All that have a state, those that are being removed included. */
  *values(): Generator<Replica> {
    yield* this.options.replicas.values();
    yield* this.leaving.values();
  }

  /** The id that lives here, with a state or without. */
  replicaId(rangeId: number): ReplicaId | undefined {
    return (
      this.replica(rangeId)?.replicaId ?? this.uninitialized.get(toRangeId(rangeId))?.replicaId
    );
  }

  // ---- coming -------------------------------------------------------------------------------------------------------

  /** A message for a replica that is not here. Acts when the turn is over. */
  onUnknownGroup(from: StoreId, message: RaftMessage): void {
    const { rangeId, to } = message;
    if (this.replicaId(rangeId) === undefined) this.early.keep(from, message);
    if (!callsIntoBeing(message) || !this.isWelcome(rangeId, to)) return;
    this.changing.add(rangeId);
    this.options.clock.afterTurn(() => {
      this.replaceBy(rangeId, to, from)
        .catch((error: unknown) => this.options.onFatal(error))
        .finally(() => this.changing.delete(rangeId));
    });
  }

  private isWelcome(rangeId: RangeId, replicaId: ReplicaId): boolean {
    if (this.options.isStopping() || this.isInMotion(rangeId)) return false;
    // That a newer id was given out for this store proves that the older replica was removed.
    if ((this.replicaId(rangeId) ?? 0) >= replicaId) return false;
    return replicaId >= (this.options.tombstones.get(rangeId) ?? 0);
  }

  /** Its replica comes or goes just now. */
  private isInMotion(rangeId: RangeId): boolean {
    return this.changing.has(rangeId) || this.expected.has(rangeId);
  }

  private async replaceBy(rangeId: RangeId, replicaId: ReplicaId, from: StoreId): Promise<void> {
    const known = this.replicaId(rangeId);
    // A split may have made it meanwhile: what goes is an older one.
    if (known !== undefined && known < replicaId) await this.leave(rangeId, replicaId);
    if (this.options.isStopping() || this.expected.has(rangeId)) return;
    if ((this.replicaId(rangeId) ?? 0) >= replicaId) return;
    this.uninitialized.set(rangeId, { replicaId, from, soft: undefined });
    this.options.raft().addGroup({
      rangeId,
      self: replicaId,
      configuration: undefined,
      appliedIndex: toLogIndex(0),
      freshGroup: false,
    });
    probe('uninitializedReplicaCreated');
    this.options.logger.info({ rangeId, replicaId, from }, 'uninitialized_replica_created');
  }

  /** Role, leader or term of a group changed. @returns its replica, if it has a state */
  onSoftState(rangeId: RangeId, soft: SoftState): Replica | undefined {
    const replica = this.replica(rangeId);
    if (replica !== undefined) replica.onSoftState(soft);
    else present(this.uninitialized.get(rangeId), 'a replica without a state').soft = soft;
    return replica;
  }

  // ---- splits -------------------------------------------------------------------------------------------------------

  expect(rangeId: RangeId, replicaId: ReplicaId): boolean {
    const known = this.replicaId(rangeId);
    if (this.replica(rangeId) !== undefined || (known ?? 0) > replicaId) return false;
    if (replicaId < (this.options.tombstones.get(rangeId) ?? 0)) return false;
    // A snapshot is about to give it a state that is no older.
    if (this.staged.has(rangeId)) return false;
    // It is being forgotten; one that is only about to be made finds it here.
    if (known !== undefined && this.changing.has(rangeId)) return false;
    if (known !== undefined) {
      probe('splitFoundUninitializedReplica');
      this.options.stopReceiving(rangeId);
      this.uninitialized.delete(rangeId);
    }
    this.expected.add(rangeId);
    return true;
  }

  deliver(state: RangeState): void {
    const { rangeId } = state.descriptor;
    this.expected.delete(rangeId);
    this.options.createReplica(state);
    for (const { from, message } of this.early.take(rangeId))
      this.options.raft().receive(from, [message]);
  }

  isBeingReplaced(rangeId: RangeId): boolean {
    return this.staged.has(rangeId);
  }

  // ---- snapshots ----------------------------------------------------------------------------------------------------

  newStorageId(): number {
    return this.nextStorageId++;
  }

  reclaim(storageId: number): void {
    this.options.reclaim({ storageId, span: undefined });
  }

  refuseOffer(offer: Offer): { outcome: SnapshotOutcome; reason: string } | undefined {
    const { rangeId, toReplicaId, index } = offer;
    if (this.isInMotion(toRangeId(rangeId)) || this.replicaId(rangeId) !== toReplicaId)
      return {
        outcome: SnapshotOutcome.SNAPSHOT_UNWANTED,
        reason: `no replica ${toReplicaId} of r${rangeId} here`,
      };
    const replica = this.options.replicas.get(rangeId);
    if (replica === undefined || index > replica.appliedIndex) return undefined;
    probe('snapshotRefusedStale');
    return {
      outcome: SnapshotOutcome.SNAPSHOT_STALE,
      reason: `applied up to ${replica.appliedIndex} already`,
    };
  }

  refuseState(offer: Offer, state: RangeState): string | undefined {
    const { descriptor, appliedIndex } = state;
    if (descriptor.rangeId !== offer.rangeId) return 'another range';
    if (appliedIndex < offer.index) return 'an older state than offered';
    if (replicaOnStore(descriptor, this.options.storeId)?.replicaId !== offer.toReplicaId)
      return 'this replica is no member in it';
    for (const other of this.options.replicas.values())
      if (other.rangeId !== descriptor.rangeId && spansOverlap(other.descriptor, descriptor))
        return `overlaps r${other.rangeId}`;
    return undefined;
  }

  /**
   * The rows of the state are in the engine. Makes them durable together with the row that refers to them, and only then
   * tells the log: from then on they are the truth.
   */
  install(offer: Offer, state: RangeState): Promise<Installed> {
    const { engine, turns, oneAtATime, logger } = this.options;
    const { rangeId } = state.descriptor;
    return oneAtATime.run(async () => {
      const refused = this.refuseNow(offer, state);
      if (refused !== undefined) return { ok: false, ...refused };
      if (isJoint(state.descriptor)) probe('snapshotDuringConfigurationChange');
      const staged: Staged = { state, replaced: undefined };
      this.staged.set(rangeId, staged);
      this.replacing = true;
      // From here on no split of it makes anything here; what one made before must not need its log any more.
      await this.options.births().settle();
      // That was a checkpoint: if what is applied has come up to this index meanwhile, the row of this index is its own.
      const refusedSince = this.refuseNow(offer, state);
      if (refusedSince !== undefined) {
        this.staged.delete(rangeId);
        this.replacing = false;
        return { ok: false, ...refusedSince };
      }
      await turns.write(() => [rangeCheckpointRow(state)]);
      await engine.flush();
      const result = await this.options.raft().installSnapshot(rangeId, pointOf(offer, state));
      this.staged.delete(rangeId);
      if (result.ok) await this.forgetReplaced(rangeId, staged);
      this.replacing = false;
      if (!result.ok) return this.notInstalled(rangeId, state, result.reason);
      probe('snapshotInstalled');
      const { replicaId, appliedIndex: index } = state;
      logger.info({ rangeId, replicaId, index }, 'snapshot_installed');
      return { ok: true, index: result.appliedIndex };
    });
  }

  /** Unless it is refused, no checkpoint has a row of this index, and none gets one before the next is taken. */
  private refuseNow(
    offer: Offer,
    state: RangeState,
  ): { outcome: SnapshotOutcome; reason: string } | undefined {
    const refused = this.refuseOffer({ ...offer, index: state.appliedIndex });
    if (refused !== undefined) return refused;
    // Another range may have come over these keys since the first chunk: what it is cut into is its own to make.
    const reason = this.options.isStopping() ? 'stopping' : this.refuseState(offer, state);
    return reason === undefined ? undefined : { outcome: SnapshotOutcome.SNAPSHOT_FAILED, reason };
  }

  /** In its place in the line of what is applied. */
  flip(rangeId: RangeId, snapshot: SnapshotPoint): void {
    const staged = present(this.staged.get(rangeId), 'the staged state of a snapshot');
    const { state } = staged;
    assert(state.appliedIndex === snapshot.lastIncludedIndex, 'the staged state is the one', {
      rangeId,
      index: state.appliedIndex,
      lastIncludedIndex: snapshot.lastIncludedIndex,
    });
    const replica = this.replica(rangeId);
    if (replica !== undefined) {
      staged.replaced = storageOf(replica);
      replica.install(state);
      return;
    }
    const placeholder = present(this.uninitialized.get(rangeId), 'a replica without a state');
    this.uninitialized.delete(rangeId);
    const created = this.options.createReplica(state);
    if (placeholder.soft !== undefined) created.onSoftState(placeholder.soft);
  }

  private async notInstalled(
    rangeId: RangeId,
    state: RangeState,
    reason: string,
  ): Promise<Installed> {
    this.options.logger.info({ rangeId, index: state.appliedIndex, reason }, 'snapshot_refused');
    if (reason === 'stale') probe('snapshotRefusedStale');
    const outcome =
      reason === 'stale' ? SnapshotOutcome.SNAPSHOT_STALE : SnapshotOutcome.SNAPSHOT_FAILED;
    // The log may have taken it before it stopped: recovery knows.
    if (reason === 'stopped') return { ok: false, outcome, reason, undecided: true };
    await this.deleteRangeRow(rangeId, state.appliedIndex);
    return { ok: false, outcome, reason };
  }

  private async forgetReplaced(rangeId: RangeId, staged: Staged): Promise<void> {
    const before = this.options.checkpointer().moved(rangeId, staged.state.appliedIndex);
    if (before !== undefined) await this.deleteRangeRow(rangeId, before);
    this.options.births().onSettled(rangeId);
    if (staged.replaced !== undefined) this.options.reclaim(staged.replaced);
  }

  // ---- leaving ------------------------------------------------------------------------------------------------------

  /** The replica was removed from its range for good. Does nothing if another one lives here by now. */
  remove(rangeId: RangeId, replicaId: ReplicaId, why: RangeDescriptor): void {
    if (this.options.isStopping() || this.isInMotion(rangeId)) return;
    if (this.replicaId(rangeId) !== replicaId) return;
    const { generation } = why;
    this.options.logger.info({ rangeId, replicaId, generation }, 'replica_removed');
    this.change(rangeId, this.leave(rangeId, toReplicaId(replicaId + 1)));
  }

  /** A replica that never had a state leaves: the next message of a leader or candidate makes it again. */
  forgetUninitialized(rangeId: RangeId): void {
    const replica = this.uninitialized.get(rangeId);
    if (replica === undefined || this.changing.has(rangeId) || this.options.isStopping()) return;
    this.options.logger.info(
      { rangeId, replicaId: replica.replicaId },
      'replica_never_got_a_state',
    );
    this.change(
      rangeId,
      this.options.oneAtATime.run(async () => {
        // A snapshot that was being installed may have given it a state.
        if (this.uninitialized.get(rangeId) !== replica) return;
        this.options.stopReceiving(rangeId);
        this.options.raft().closeGroup(rangeId);
        this.uninitialized.delete(rangeId);
      }),
    );
  }

  private change(rangeId: RangeId, done: Promise<void>): void {
    this.changing.add(rangeId);
    done
      .catch((error: unknown) => this.options.onFatal(error))
      .finally(() => this.changing.delete(rangeId));
  }

  private async leave(rangeId: RangeId, leastReplicaId: ReplicaId): Promise<void> {
    const { engine, turns, tombstones, stopReceiving, oneAtATime } = this.options;
    stopReceiving(rangeId);
    this.retire(rangeId);
    const left = await oneAtATime.run(async () => {
      // A store that starts again finds what is to be done.
      if (this.options.isStopping()) return false;
      // A snapshot that was being installed may have given it a state.
      this.retire(rangeId);
      // From here on no split of it makes anything here; what one made before must not need its log any more.
      await this.options.births().settle();
      // Durable before the log forgets what this replica promised: its id must never come to life again.
      if (leastReplicaId > (tombstones.get(rangeId) ?? 0)) {
        tombstones.set(rangeId, leastReplicaId);
        await turns.write(() => [tombstoneRow(rangeId, leastReplicaId)]);
        await engine.flush();
      }
      await this.options.raft().removeGroup(rangeId);
      const position = this.options.checkpointer().moved(rangeId, undefined);
      if (position !== undefined) await this.deleteRangeRow(rangeId, position);
      this.options.births().onSettled(rangeId);
      return true;
    });
    if (!left) return;
    const replica = this.leaving.get(rangeId);
    this.uninitialized.delete(rangeId);
    this.leaving.delete(rangeId);
    if (replica !== undefined) this.options.reclaim(storageOf(replica));
  }

  /** Serves nothing any more; what the log still hands out is applied to it until it is gone. */
  private retire(rangeId: RangeId): void {
    const { replicas } = this.options;
    const replica = replicas.get(rangeId);
    if (replica === undefined) return;
    replica.retire();
    replicas.delete(rangeId);
    this.leaving.set(rangeId, replica);
  }

  private deleteRangeRow(rangeId: RangeId, index: number): Promise<void> {
    const key = rangeRowKey(rangeId, index);
    return this.options.turns.write(() => [{ type: 'del', key }]);
  }
}

/**
 * A leader has something for the replica, or a candidate needs its vote: after a split that this store has not seen the
 * group may have no majority without it.
 */
function callsIntoBeing({ kind }: RaftMessage): boolean {
  return (
    kind === 'appendEntriesRequest' || kind === 'preVoteRequest' || kind === 'requestVoteRequest'
  );
}

/** The part of its storage id that is the replica's: others may share it. */
function storageOf({ storageId, descriptor }: Replica): UnusedStorage {
  return { storageId, span: descriptorSpan(descriptor) };
}

function pointOf(offer: Offer, state: RangeState): SnapshotPoint {
  return {
    from: toReplicaId(offer.fromReplicaId),
    term: toTerm(offer.term),
    lastIncludedIndex: toLogIndex(state.appliedIndex),
    lastIncludedTerm: toTerm(state.appliedTerm),
    configuration: configurationOf(state.descriptor),
  };
}
