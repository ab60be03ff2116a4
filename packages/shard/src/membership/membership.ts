/**
 * Everything by which replicas come, move and go on one store, wired together: lifecycle, snapshots in both directions,
 * changes of members, the question whether one is a member still, and the deletion of what is left. Made by
 * `store/member.ts`; has no logic of its own.
 */
import { probe, type RangeId, type StoreId, toLogIndex } from '@flotilla/base';
import type { MultiRaft, SnapshotRequest, SnapshotSendResult } from '@flotilla/raft';
import { flotilla } from '../../gen/kv.js';
import { type RangeDescriptor, replicaOnStore, toStoreIds } from '../range-descriptor.ts';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import type { Replica } from '../replica/replica.ts';
import { type BulkMessage, decodeBulk, encodeBulk } from '../snapshot/messages.ts';
import type { SendResult } from '../snapshot/outgoing.ts';
import { SnapshotTransfers } from '../snapshot/transfers.ts';
import { Births } from '../split/births.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import type { Checkpointer } from '../store/checkpointer.ts';
import type { StoreContext } from '../store/context.ts';
import type { MetaIndex } from '../store/meta-index.ts';
import type { OneAtATime } from '../store/one-at-a-time.ts';
import { PeerChannel } from '../store/peer-channel.ts';
import { StorageReclaimer, type UnusedStorage } from '../store/storage-reclaimer.ts';
import { type FailedSends, MembershipChanges } from './membership-changes.ts';
import type { MembershipGoal } from './next-step.ts';
import { RemovalInquiry } from './removal-inquiry.ts';
import { ReplicaLifecycle } from './replica-lifecycle.ts';

const leadershipLost = 'leadership was lost';
const overtaken = 'the log went past it: the range is written faster than a copy of it can be sent';

export interface MembershipOptions {
  readonly context: StoreContext;
  readonly raft: () => MultiRaft;
  readonly checkpointer: () => Checkpointer;
  readonly oneAtATime: OneAtATime;
  readonly createReplica: (state: RangeState) => Replica;
  readonly tombstones: Map<number, number>;
  readonly nextStorageId: number;
  readonly unusedStorage: readonly UnusedStorage[];
  /** Ranges that were made again when the store was opened. */
  readonly replayed: readonly RangeId[];
  readonly metaDescriptor: () => RangeDescriptor | undefined;
  readonly index: MetaIndex;
}

export class Membership {
  readonly lifecycle: ReplicaLifecycle;
  readonly births: Births;
  readonly changes: MembershipChanges;
  readonly inquiry: RemovalInquiry;
  readonly transfers: SnapshotTransfers;
  private readonly options: MembershipOptions;
  private readonly reclaimer: StorageReclaimer;
  private readonly bulkChannel: PeerChannel<BulkMessage>;
  /** Ranges of which a snapshot is on its way, with how many. */
  private readonly sending = new Map<RangeId, number>();
  /** Since this store leads them, by range; let go when a snapshot arrives, and when the range goes. */
  private readonly failedSends = new Map<RangeId, FailedSends>();

  constructor(options: MembershipOptions) {
    this.options = options;
    const { context, raft } = options;
    const { storeId, limits, engine, turns, replicas, logger, isStopping, fail } = context;
    const { clock } = context.options;
    const send = (to: StoreId, request: flotilla.kv.Request.$Properties): void =>
      context.outbox.enqueue(
        { kind: 'store', storeId: to, channel: 'kv' },
        flotilla.kv.Request.encode(request).finish(),
      );
    this.reclaimer = new StorageReclaimer({
      engine,
      turns,
      rowsPerStep: limits.reclaimRows,
      isStopping,
      onFatal: fail,
    });
    this.lifecycle = new ReplicaLifecycle({
      ...options,
      storeId,
      clock,
      logger,
      engine,
      turns,
      replicas,
      births: () => this.births,
      reclaim: (unused) => this.reclaimer.reclaim(unused),
      stopReceiving: (rangeId) => this.transfers.forget(rangeId),
      isStopping,
      onFatal: fail,
    });
    this.births = new Births({
      storeId,
      logger,
      nursery: this.lifecycle,
      raft,
      checkpointer: options.checkpointer,
      reclaim: (unused) => this.reclaimer.reclaim(unused),
      isStopping,
      onFatal: fail,
      replayed: options.replayed,
    });
    this.transfers = new SnapshotTransfers({
      storeId,
      clock,
      engine,
      turns,
      limits,
      keeper: this.lifecycle,
      incarnation: context.identity().incarnation,
      send: (to, message) =>
        context.outbox.enqueue(
          { kind: 'store', storeId: to, channel: 'bulk' },
          encodeBulk(message),
        ),
      onFatal: fail,
    });
    this.inquiry = new RemovalInquiry({
      ...options,
      storeId,
      clock,
      replicas,
      lifecycle: this.lifecycle,
      leaderlessMs: limits.leaderlessMs,
      send,
      onFatal: fail,
    });
    this.changes = new MembershipChanges({
      storeId,
      clock,
      logger,
      replicas,
      raft: {
        status: (rangeId) => raft().status(rangeId),
        changeConfiguration: (rangeId, change) => raft().changeConfiguration(rangeId, change),
        transferLeadership: (rangeId, target) => raft().transferLeadership(rangeId, target),
      },
      isSending: (rangeId) => this.sending.has(rangeId),
      failedSends: (rangeId) => this.failedSends.get(rangeId),
      strayLearnerMs: limits.strayLearnerMs,
    });
    this.bulkChannel = new PeerChannel(context, {
      channel: 'bulk',
      decode: decodeBulk,
      receive: (from, messages) => this.transfers.receive(from, messages),
    });
  }

  /** Rows that belong to nobody are being deleted, or soon will be. */
  get isReclaiming(): boolean {
    return this.lifecycle.isAnyLeaving || this.reclaimer.isBusy;
  }

  /** What recovery found to be nobody's goes first. */
  start(): void {
    for (const unused of this.options.unusedStorage) this.reclaimer.reclaim(unused);
    this.inquiry.start();
    this.changes.start();
  }

  /** No background work begins any more; snapshots under way are given up. */
  stop(): void {
    this.inquiry.stop();
    this.changes.stop();
    this.transfers.stop();
  }

  close(): void {
    this.bulkChannel.close();
  }

  /** Consensus found that a member cannot be brought up to date from the log. */
  async sendSnapshot(request: SnapshotRequest): Promise<SnapshotSendResult> {
    const { rangeId, to, storeId, term, reaches } = request;
    const replica = this.options.context.replicas.get(rangeId);
    const leads = (): boolean => replica?.role === 'leader' && replica.term === term;
    // The state that is sent must name its receiver: the entry that does is applied soon.
    if (
      replica === undefined ||
      !leads() ||
      replicaOnStore(replica.descriptor, storeId)?.replicaId !== to
    )
      return { ok: false, index: toLogIndex(0) };
    this.sending.set(rangeId, (this.sending.get(rangeId) ?? 0) + 1);
    const result = await this.transfers.send({
      replica,
      toReplicaId: to,
      toStore: storeId,
      term,
      inVain: (index) => {
        if (!leads()) return leadershipLost;
        return reaches(toLogIndex(index)) ? undefined : overtaken;
      },
    });
    const left = (this.sending.get(rangeId) ?? 1) - 1;
    if (left === 0) this.sending.delete(rangeId);
    else this.sending.set(rangeId, left);
    const { ok, index, reason } = result;
    const { logger } = this.options.context;
    if (reason === overtaken) {
      probe('snapshotOvertaken');
      logger.warn({ rangeId, to, storeId }, 'snapshot_overtaken_by_log');
    }
    logger.info({ rangeId, to, storeId, ok, index, reason }, 'snapshot_sent');
    this.noteSent(rangeId, result);
    return { ok, index: toLogIndex(index) };
  }

  private noteSent(rangeId: RangeId, { ok, reason, begun }: SendResult): void {
    if (ok || reason === leadershipLost || !this.options.context.replicas.has(rangeId))
      this.failedSends.delete(rangeId);
    else if (begun)
      this.failedSends.set(rangeId, {
        count: (this.failedSends.get(rangeId)?.count ?? 0) + 1,
        reason,
      });
  }

  /** A request of a client to a leaseholder. @returns the answer if there is one at once; otherwise it is sent later */
  changeReplicas(
    caller: Caller,
    replica: Replica,
    request: flotilla.kv.ChangeReplicasRequest.$Properties,
  ): Answer | undefined {
    const add = toStoreIds(request.add);
    const remove = toStoreIds(request.remove);
    if (add === undefined || remove === undefined)
      return refusal(RefusalReason.INVALID, 'a store id is a positive number');
    const { expectedGeneration } = request;
    const { descriptor } = replica;
    const joins = this.changes.isUnderWay(replica.rangeId, { add, remove });
    if (expectedGeneration && expectedGeneration !== descriptor.generation && !joins)
      return {
        changeReplicas: {
          ok: false,
          message: `the range is at generation ${descriptor.generation}, not ${expectedGeneration}`,
          descriptor,
        },
      };
    const { admission, fail } = this.options.context;
    this.change(replica, { add, remove }).then((answer) => admission.send(caller, answer), fail);
    return undefined;
  }

  /** As an answer of the kv protocol. */
  async change(replica: Replica, goal: MembershipGoal): Promise<Answer> {
    const outcome = await this.changes.change(replica, goal);
    switch (outcome.kind) {
      case 'done':
        return { changeReplicas: { ok: true, message: '', descriptor: outcome.descriptor } };
      case 'failed':
        return {
          changeReplicas: { ok: false, message: outcome.reason, descriptor: outcome.descriptor },
        };
      case 'busy':
        return refusal(RefusalReason.BUSY, 'another change of members is under way', {
          retryAfterMs: 1000,
        });
      case 'notLeaseholder':
        return replica.notLeaseholder();
    }
  }
}
