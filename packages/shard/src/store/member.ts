/**
 * What a store has once it is part of a cluster: consensus over the shared log, its replicas, reads, checkpoints and the
 * services that run beside them. Made by `running-store.ts` after opening or founding; ends with the process.
 */
import {
  type Span,
  type StoreId,
  spansOverlap,
  timestampFromWallMs,
  toLogIndex,
  toReplicaId,
  toTimestamp,
} from '@flotilla/base';
import {
  createMultiRaft,
  decodeRaftMessage,
  defaultTimings,
  encodeRaftMessage,
  type MultiRaft,
  type PeerMessage,
} from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import { ClosedTimestamps } from '../closed/closed-timestamps.ts';
import { maxClockOffsetMs } from '../limits.ts';
import { configurationOf } from '../membership/configuration.ts';
import { Membership } from '../membership/membership.ts';
import type { EventFacts } from '../placement/event-post.ts';
import { splitEvent } from '../placement/sentences.ts';
import type { RangeConfigurations } from '../protocol/range-configuration.ts';
import type { ProtectedSnapshots } from '../protocol/snapshot-protection.ts';
import { checkDescriptor } from '../range-descriptor.ts';
import { FollowerReads } from '../reads/follower-reads.ts';
import { Reads, type ReadsOptions } from '../reads/reads.ts';
import { TransactionChecks } from '../reads/transaction-checks.ts';
import { TransactionReads } from '../reads/transaction-reads.ts';
import type { Answer, Caller, rangeInfo } from '../replica/answers.ts';
import { Replica } from '../replica/replica.ts';
import { countForgotten } from '../split/forgotten.ts';
import { RangeLoad } from '../split/range-load.ts';
import { SplitTriggers } from '../split/split-triggers.ts';
import { Splits } from '../split/splits.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { AbandonedTransactions } from '../transaction/abandoned.ts';
import { Contention } from '../transaction/contention.ts';
import { LiveTransactions } from '../transaction/live-transactions.ts';
import { WaitingClock, WaitingRoom } from '../transaction/waiting-room.ts';
import { Checkpointer } from './checkpointer.ts';
import type { StoreContext } from './context.ts';
import type { StoreFoundation } from './foundation.ts';
import { HistorySweeper } from './history-sweeper.ts';
import { inspectStore } from './inspection.ts';
import { LeaseBalancer } from './lease-balancer.ts';
import type { MetaLink } from './meta-link.ts';
import { OneAtATime } from './one-at-a-time.ts';
import { PeerChannel } from './peer-channel.ts';
import { Proposer } from './proposer.ts';
import { RangeReporter } from './range-reports.ts';
import { StoreStateMachine } from './store-state-machine.ts';
import { TransactionRequests } from './transaction-requests.ts';
import { transferRefusal } from './transfer-refusals.ts';

export interface MemberOptions {
  readonly context: StoreContext;
  readonly states: readonly RangeState[];
  /** True only right after founding: these groups never ran. */
  readonly fresh: boolean;
  /** What recovery found beside the states. */
  readonly leftovers: Pick<
    StoreFoundation,
    'checkpointed' | 'replayed' | 'obsoleteRows' | 'unusedStorage' | 'nextStorageId' | 'tombstones'
  >;
  readonly meta: MetaLink;
  /** What is wanted of the key space. */
  readonly configurations: () => RangeConfigurations;
  /** Snapshots that are read for long. Undefined: not known. */
  readonly protectedSnapshots: () => ProtectedSnapshots | undefined;
  /** Every replica knows a leader. May be called again. */
  readonly onReady: () => void;
}

/** Intents of a range that is calm: more belong to a large transaction. */
const calmIntentsMax = 1000;

export class Member {
  readonly raft: MultiRaft;
  /** Since the process began: how often a range came to be led here, and was cut here. */
  leasesTaken = 0;
  splitsDone = 0;
  readonly reads: Reads;
  readonly transactions: TransactionRequests;
  readonly followerReads: FollowerReads;
  readonly closed: ClosedTimestamps;
  readonly checkpointer: Checkpointer;
  readonly membership: Membership;
  readonly splits: Splits;
  /** What its ranges are asked. */
  readonly load: RangeLoad;
  private readonly options: MemberOptions;
  private readonly context: StoreContext;
  readonly live: LiveTransactions;
  readonly contention: Contention = new Contention();
  private readonly abandoned: AbandonedTransactions;
  private readonly proposer: Proposer;
  private readonly waitingClock: WaitingClock;
  private readonly takeOverWaitMs: number;
  private readonly reporter: RangeReporter;
  private readonly services: readonly { start(): void; stop(): void }[];
  private readonly raftChannel: PeerChannel<PeerMessage>;
  private appliedBytes = 0;
  private isReady = false;

  constructor(options: MemberOptions) {
    this.options = options;
    this.context = options.context;
    const { storeId, limits, engine, turns, wal, hlc, replicas, admission, fail, logger } =
      this.context;
    const { turnEnd } = this.context;
    const { clock, prng, timings, raftLimits, driverLimits } = this.context.options;
    this.proposer = new Proposer({
      clock: turnEnd.clockOf('propose'),
      hasFailed: this.context.hasFailed,
      onFatal: fail,
    });
    this.waitingClock = new WaitingClock(clock, fail);
    this.live = new LiveTransactions({
      clock,
      ttlMs: limits.transactionTtlMs,
      transactionsMax: limits.requestsInFlightMax,
      edgesMax: 64,
      onFatal: fail,
    });
    this.abandoned = new AbandonedTransactions({
      clock,
      logger,
      live: this.live,
      replicas,
      afterMs: limits.transactionTtlMs,
      finish: this.context.options.finishTransaction,
      onFatal: fail,
    });
    // What surely lies between the last read under the old lease and the election, with 1 % of drift on either side.
    const { electionTimeoutMs, leaseDurationMs } = timings ?? defaultTimings;
    const gapMs = electionTimeoutMs - leaseDurationMs - 0.02 * electionTimeoutMs;
    this.takeOverWaitMs = Math.max(0, maxClockOffsetMs - Math.max(0, gapMs));
    const oneAtATime = new OneAtATime();
    this.membership = new Membership({
      ...options.leftovers,
      context: this.context,
      raft: () => this.raft,
      checkpointer: () => this.checkpointer,
      oneAtATime,
      createReplica: (state) => this.addReplica(state),
      metaDescriptor: () => options.meta.descriptor(),
      index: options.meta.index,
    });
    this.load = new RangeLoad(prng);
    this.splits = new Splits({
      logger,
      rangeIds: options.meta.rangeIds,
      raft: { status: (rangeId) => this.raft.status(rangeId) },
      isChanging: (rangeId) => this.membership.changes.isChanging(rangeId),
      splitsMax: limits.splitsMax,
    });
    for (const state of options.states) this.addReplica(state);
    const { membership } = this;
    const { lifecycle, births } = membership;
    const stateMachine = new StoreStateMachine(turns, {
      replica: (rangeId) => lifecycle.replica(rangeId),
      flip: (rangeId, snapshot) => lifecycle.flip(rangeId, snapshot),
      prepareSplit: (left, right) => births.prepare(left, right),
      completeSplit: (left, state, birth) => births.complete(left, state, birth),
      onApplied: (bytes) => this.onApplied(bytes),
      onSoftState: (rangeId, state) => {
        const replicaHere = lifecycle.replica(rangeId);
        const before = replicaHere?.leaseholder;
        lifecycle.onSoftState(rangeId, state);
        const after = replicaHere?.leaseholder;
        if (after !== undefined && after !== before) this.leasesTaken++;
        this.reporter.onChange();
      },
      onDescriptor: (replica, before) => {
        membership.inquiry.onMembers(replica, before);
        this.reporter.onChange();
      },
      sendSnapshot: (request) => membership.sendSnapshot(request),
      onUnknownGroup: (from, message) => lifecycle.onUnknownGroup(from, message),
    });
    this.raft = createMultiRaft({
      storeId,
      incarnation: this.context.identity().incarnation,
      clock: turnEnd.clockOf('consensus'),
      prng,
      wal,
      send: (to, message) => {
        const bytes = encodeRaftMessage(message);
        this.context.outbox.enqueue({ kind: 'store', storeId: to, channel: 'raft' }, bytes);
      },
      stateMachine,
      ...(timings === undefined ? {} : { timings }),
      ...(raftLimits === undefined ? {} : { limits: raftLimits }),
      ...(driverLimits === undefined ? {} : { driverLimits }),
      logger,
      onFatal: fail,
    });
    const { raft } = this;
    this.reporter = new RangeReporter({
      clock,
      prng,
      replicas,
      rangesPerReport: limits.reportRangesMax,
      send: (ranges) => options.meta.report(ranges),
    });
    this.closed = new ClosedTimestamps(this.context);
    this.services = [
      this.reporter,
      this.closed,
      this.abandoned,
      // With placement, leases are placed by whoever leads the first range.
      ...(this.context.options.placement === undefined
        ? [
            new LeaseBalancer({
              clock,
              storeId,
              replicas,
              status: (rangeId) => raft.status(rangeId),
              transfer: (rangeId, target) => raft.transferLeadership(rangeId, target),
              isChanging: (rangeId) =>
                membership.changes.isChanging(rangeId) || this.splits.isSplitting(rangeId),
            }),
          ]
        : []),
      membership,
      new SplitTriggers({
        clock,
        logger,
        engine,
        replicas,
        load: this.load,
        split: async (replica, key, because) => {
          const result = await this.splits.split(replica, key);
          if (result.kind === 'done') this.onCut(splitEvent(result.left, result.right, because));
          return result;
        },
        configurations: options.configurations,
        bytesMax: limits.splitBytes,
        requestsPerSecondMax: limits.splitRequestsPerSecond,
        onFatal: fail,
      }),
      new HistorySweeper({
        engine,
        turns,
        clock,
        horizon: () => this.historyHorizon(),
        rowsPerStep: limits.historySweepRows,
        onForgotten: (rows) => countForgotten(rows, replicas.values()),
        onFatal: fail,
      }),
    ];
    const readsOptions: ReadsOptions = {
      engine,
      consensus: raft,
      clock,
      answers: admission,
      limits,
      programs: this.context.options.programs,
      load: this.load,
      protectedSnapshots: () => this.options.protectedSnapshots(),
      onFatal: fail,
    };
    this.reads = new Reads(readsOptions);
    const { reads, closed } = this;
    this.followerReads = new FollowerReads(readsOptions, { reads, hlc, closed });
    this.transactions = new TransactionRequests(
      {
        reads: new TransactionReads(readsOptions, reads),
        checks: new TransactionChecks(admission, reads.barriers),
      },
      this.live,
      (request) =>
        inspectStore(request, {
          replicas,
          live: this.live,
          contention: this.contention,
          nowMs: clock.nowMs(),
        }),
    );
    this.checkpointer = new Checkpointer({
      engine,
      turns,
      replicas: lifecycle,
      hlc,
      commit: (applied, bound) => raft.checkpoint(applied, bound),
      remember: (bound) => this.context.saveIdentity({ checkpointHlc: bound }),
      applied: stateMachine,
      onTaken: (applied) => births.onCheckpoint(applied),
      checkpointed: options.leftovers.checkpointed,
      oneAtATime,
    });
    for (const state of options.states) this.addGroup(state);
    this.raftChannel = new PeerChannel(this.context, {
      channel: 'raft',
      decode: (bytes) => {
        const decoded = decodeRaftMessage(bytes);
        return decoded.ok ? decoded.message : undefined;
      },
      receive: (from, messages) => raft.receive(from, messages),
    });
  }

  /** Called once, right after construction. */
  start(): void {
    for (const service of this.services) service.start();
    const { leftovers, states } = this.options;
    const { obsoleteRows } = leftovers;
    if (obsoleteRows.length > 0)
      this.context.turns
        .write(() => obsoleteRows.map((key) => ({ type: 'del', key })))
        .catch((error: unknown) => this.context.fail(error));
    const { incarnation } = this.context.identity();
    this.context.logger.info({ ranges: states.length, incarnation }, 'store_up');
    this.maybeReady();
  }

  /** No background work begins any more. */
  stopServices(): void {
    for (const service of this.services) service.stop();
    this.live.stop();
  }

  /** Nothing is heard of peers any more. */
  close(): void {
    this.raftChannel.close();
    this.membership.close();
  }

  /** A last checkpoint, and the log is closed. */
  async finish(): Promise<void> {
    const { turns } = this.context;
    await turns.settled();
    await this.checkpointer.run();
    await this.raft.stop({ transferTimeoutMs: 0 });
    await turns.settled();
  }

  /** Begins to hand `replica`'s range, which this store leads, to another of its stores. */
  transferLease(
    replica: Replica,
    { targetStoreId, ifCalm }: flotilla.kv.TransferLeaseRequest.$Properties,
  ): Answer {
    const { rangeId, descriptor } = replica;
    const target = descriptor.replicas.find(({ storeId }) => storeId === (targetStoreId ?? 0));
    let reason = '';
    if (target === undefined) reason = `r${rangeId} has no replica on s${targetStoreId}`;
    else if (ifCalm === true && replica.transactions.intents.size > calmIntentsMax)
      reason = `r${rangeId} is in the middle of a large transaction`;
    else if (target.storeId !== this.context.storeId) {
      const result = this.raft.transferLeadership(rangeId, target.replicaId);
      if (!result.ok) reason = transferRefusal(result.reason, target.storeId);
    }
    return { transferLease: { ok: reason === '', message: reason } };
  }

  /** Cuts `replica`'s range, which this store leads. Answers later. */
  split(caller: Caller, replica: Replica, request: flotilla.kv.SplitRequest.$Properties): void {
    const { admission, fail } = this.context;
    this.splits.serve(replica, request).then((answer) => {
      const { left, right } = answer.split?.ok === true ? answer.split : {};
      const [one, other] = [left, right].map((said) => checkDescriptor(said ?? {}));
      // Where a range begins already nothing is cut, and there is no left one.
      if (one?.ok === true && other?.ok === true)
        this.onCut(splitEvent(one.descriptor, other.descriptor, 'somebody asked for it'));
      admission.send(caller, answer);
    }, fail);
  }

  private onCut(event: EventFacts): void {
    this.splitsDone++;
    this.options.meta.events.say(event);
  }

  /** Another store says something that needs no answer, or is one. */
  onPeerRequest(from: StoreId, request: flotilla.kv.Request): void {
    const { inquiry } = this.membership;
    const { meta } = this.options;
    if (request.rangeReport) {
      const { ranges, forwarded } = request.rangeReport;
      meta.takeFigures(request.rangeReport);
      meta.absorb(ranges ?? [], forwarded === true);
      this.reporter.onReport(ranges ?? []);
    } else if (request.rangeIdsRequest) meta.grantRangeIds(from);
    else if (request.rangeIdsGrant)
      meta.rangeIds.onGrant(request.rangeIdsGrant.first ?? 0, request.rangeIdsGrant.count ?? 0);
    else if (request.membershipQuery) inquiry.onQuery(from, request.membershipQuery);
    else if (request.membershipVerdict) inquiry.onVerdict(request.membershipVerdict);
    else this.closed.onPeerRequest(from, request);
  }

  /** Nobody may read what was replaced before. With placement: as far as is known of snapshots that are read for long. */
  private historyHorizon(): number {
    const { limits, options } = this.context;
    const { historyTtlMs } = limits;
    const known = this.options.protectedSnapshots();
    if (known !== undefined) return known.horizon(historyTtlMs);
    if (options.placement !== undefined) return 0;
    return timestampFromWallMs(options.clock.wallMs() - historyTtlMs);
  }

  private addReplica(state: RangeState): Replica {
    const { rangeId } = state.descriptor;
    const { engine, hlc, limits, admission, replicas, fail, options } = this.context;
    const guarded = (callback: () => void) => () => {
      try {
        callback();
      } catch (error) {
        fail(error);
      }
    };
    const replica: Replica = new Replica(state, {
      served: this.context.served,
      covering: (span) => this.covering(span),
      newWaitingRoom: () => new WaitingRoom(this.waitingClock, limits.parkedMax),
      // A committed timestamp is passed whatever the wall clock says: the range's own order keeps above it.
      observe: (timestamp) => void hlc.observe(toTimestamp(timestamp)),
      leaseholder: {
        engine,
        hlc,
        limits,
        programs: this.context.options.programs,
        answers: admission,
        live: this.live,
        contention: this.contention,
        waitingClock: this.waitingClock,
        nowMs: () => options.clock.nowMs(),
        after: (delayMs, callback) => void options.clock.setTimer(delayMs, guarded(callback)),
        takeOverWaitMs: this.takeOverWaitMs,
        propose: (data) => this.raft.propose(rangeId, data),
        onPromise: (inherited) => this.abandoned.watch(rangeId, inherited),
        leaseValid: () => this.raft.leaseValid(rangeId),
        readBarrier: () => this.raft.readBarrier(rangeId),
        onDirty: () => {
          if (replica.leaseholder !== undefined) this.proposer.onDirty(replica.leaseholder);
        },
        onFatal: fail,
      },
    });
    replicas.set(rangeId, replica);
    return replica;
  }

  private addGroup(state: RangeState): void {
    this.raft.addGroup({
      rangeId: state.descriptor.rangeId,
      self: toReplicaId(state.replicaId),
      configuration: configurationOf(state.descriptor),
      appliedIndex: toLogIndex(state.appliedIndex),
      freshGroup: this.options.fresh,
    });
  }

  private covering(span: Span): ReturnType<typeof rangeInfo>[] {
    const found: ReturnType<typeof rangeInfo>[] = [];
    for (const replica of this.context.replicas.values()) {
      if (found.length === 8) break;
      if (spansOverlap(replica.descriptor, span)) found.push(replica.info());
    }
    return found;
  }

  private onApplied(bytes: number): void {
    this.appliedBytes += bytes;
    this.proposer.onApplied();
    this.maybeReady();
    const { limits, isStopping, fail } = this.context;
    if (this.appliedBytes < limits.checkpointBytes || this.checkpointer.isRunning || isStopping())
      return;
    this.appliedBytes = 0;
    this.checkpointer.run().catch(fail);
  }

  private maybeReady(): void {
    if (this.isReady) return;
    for (const replica of this.context.replicas.values())
      if (replica.leaderStore() === undefined) return;
    this.isReady = true;
    this.options.onReady();
  }
}
