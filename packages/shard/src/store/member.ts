/**
 * What a store has once it is part of a cluster: consensus over the shared log, its replicas, reads, checkpoints and the
 * services that run beside them. Made by `running-store.ts` after opening or founding; ends with the process.
 */
import {
  present,
  type RangeId,
  type Span,
  type StoreId,
  spansOverlap,
  toLogIndex,
  toTimestamp,
} from '@flotilla/base';
import {
  createMultiRaft,
  decodeRaftMessage,
  encodeRaftMessage,
  type MultiRaft,
  type PeerMessage,
} from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import { metaRangeId } from '../initial-ranges.ts';
import { kv } from '../protocol/index.ts';
import type { Answer, rangeInfo } from '../replica/answers.ts';
import { Replica } from '../replica/replica.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { Checkpointer } from './checkpointer.ts';
import type { StoreContext } from './context.ts';
import { HistorySweeper } from './history-sweeper.ts';
import { LeaseBalancer } from './lease-balancer.ts';
import { PeerChannel } from './peer-channel.ts';
import { Proposer } from './proposer.ts';
import { absorbReport, RangeReporter } from './range-reports.ts';
import { Reads } from './reads.ts';
import { StoreStateMachine } from './store-state-machine.ts';

type RangeInfo = flotilla.kv.RangeInfo.$Properties;

export interface MemberOptions {
  readonly context: StoreContext;
  readonly states: readonly RangeState[];
  /** True only right after founding: these groups never ran. */
  readonly fresh: boolean;
  /** Rows that nothing refers to any more. */
  readonly obsoleteRows: readonly Buffer[];
  readonly metaDescriptor: () => RangeInfo['descriptor'];
  /** Every replica knows a leader. May be called again. */
  readonly onReady: () => void;
}

export class Member {
  readonly raft: MultiRaft;
  readonly reads: Reads;
  readonly checkpointer: Checkpointer;
  private readonly options: MemberOptions;
  private readonly context: StoreContext;
  private readonly proposer: Proposer;
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
    const { clock, prng, timings, raftLimits } = this.context.options;
    this.proposer = new Proposer({ clock, hasFailed: this.context.hasFailed, onFatal: fail });
    for (const state of options.states) this.addReplica(state);
    this.raft = createMultiRaft({
      storeId,
      incarnation: this.context.identity().incarnation,
      clock,
      prng,
      wal,
      send: (to, message) => {
        const bytes = encodeRaftMessage(message);
        this.context.outbox.enqueue({ kind: 'store', storeId: to, channel: 'raft' }, bytes);
      },
      stateMachine: new StoreStateMachine(replicas, turns, {
        onApplied: (bytes) => this.onApplied(bytes),
        onRoleChange: () => this.reporter.onChange(),
      }),
      ...(timings === undefined ? {} : { timings }),
      ...(raftLimits === undefined ? {} : { limits: raftLimits }),
      logger,
      onFatal: fail,
    });
    const { raft } = this;
    this.reporter = new RangeReporter({
      clock,
      prng,
      replicas,
      rangesPerReport: limits.reportRangesMax,
      send: (ranges) => this.sendReport(ranges),
    });
    this.services = [
      this.reporter,
      new LeaseBalancer({
        clock,
        storeId,
        replicas,
        status: (rangeId) => raft.status(rangeId),
        transfer: (rangeId, target) => raft.transferLeadership(rangeId, target),
      }),
      new HistorySweeper({
        engine,
        turns,
        clock,
        ttlMs: limits.historyTtlMs,
        rowsPerStep: limits.historySweepRows,
        onFatal: fail,
      }),
    ];
    this.reads = new Reads({
      engine,
      consensus: raft,
      clock,
      answers: admission,
      limits,
      onFatal: fail,
    });
    this.checkpointer = new Checkpointer({
      engine,
      turns,
      replicas,
      hlc,
      commit: (applied, bound) => raft.checkpoint(applied, bound),
      remember: (bound) => this.context.saveIdentity({ checkpointHlc: bound }),
      checkpointed: new Map(
        options.states.map((state) => [state.descriptor.rangeId, state.appliedIndex]),
      ),
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
    const { obsoleteRows, states } = this.options;
    if (obsoleteRows.length > 0)
      this.context.turns
        .write(() => obsoleteRows.map((key) => ({ type: 'del', key })))
        .catch((error: unknown) => this.context.fail(error));
    const { incarnation } = this.context.identity();
    this.context.logger.info({ ranges: states.length, incarnation }, 'store up');
    this.maybeReady();
  }

  /** No background work begins any more. */
  stopServices(): void {
    for (const service of this.services) service.stop();
  }

  /** Nothing is heard of peers any more. */
  close(): void {
    this.raftChannel.close();
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
  transferLease(replica: Replica, targetStoreId: number): Answer {
    const { rangeId, descriptor } = replica;
    const target = descriptor.replicas.find(({ storeId }) => storeId === targetStoreId);
    let reason = '';
    if (target === undefined) reason = `r${rangeId} has no replica on s${targetStoreId}`;
    else if (target.storeId !== this.context.storeId) {
      const result = this.raft.transferLeadership(rangeId, target.replicaId);
      if (!result.ok) reason = result.reason;
    }
    return { transferLease: { ok: reason === '', message: reason } };
  }

  /** Somebody leads these ranges: if the meta range is led here, its rows follow. */
  absorb(ranges: readonly RangeInfo[]): void {
    const meta = this.context.replicas.get(metaRangeId);
    if (meta === undefined || this.context.isStopping()) return;
    try {
      absorbReport(meta, ranges);
    } catch (error) {
      this.context.fail(error);
    }
  }

  private addReplica(state: RangeState): void {
    const { rangeId } = state.descriptor;
    const { engine, hlc, limits, admission, replicas, fail, options } = this.context;
    const replica: Replica = new Replica(state, {
      covering: (span) => this.covering(span),
      // A committed timestamp is passed whatever the wall clock says: the range's own order keeps above it.
      observe: (timestamp) => void hlc.observe(toTimestamp(timestamp)),
      leaseholder: {
        engine,
        hlc,
        limits,
        answers: admission,
        nowMs: () => options.clock.nowMs(),
        propose: (data) => this.raft.propose(rangeId, data),
        leaseValid: () => this.raft.leaseValid(rangeId),
        readBarrier: () => this.raft.readBarrier(rangeId),
        onDirty: () => {
          if (replica.leaseholder !== undefined) this.proposer.onDirty(replica.leaseholder);
        },
        onFatal: fail,
      },
    });
    replicas.set(rangeId, replica);
  }

  private addGroup(state: RangeState): void {
    const { descriptor, appliedIndex } = state;
    this.raft.addGroup({
      rangeId: descriptor.rangeId,
      self: this.replicaOf(descriptor.rangeId).replicaId,
      configuration: {
        voters: descriptor.replicas.map((member) => member.replicaId),
        votersOutgoing: [],
        learners: [],
        storeOf: new Map(descriptor.replicas.map((member) => [member.replicaId, member.storeId])),
      },
      appliedIndex: toLogIndex(appliedIndex),
      freshGroup: this.options.fresh,
    });
  }

  private replicaOf(rangeId: RangeId): Replica {
    return present(this.context.replicas.get(rangeId), 'replica');
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

  private sendReport(ranges: RangeInfo[]): void {
    const meta = this.options.metaDescriptor();
    if (!meta) return;
    const { storeId, outbox } = this.context;
    const report = kv.Request.encode({ requestId: 0, rangeReport: { ranges } }).finish();
    for (const member of meta.replicas ?? []) {
      if (member.storeId === storeId) this.absorb(ranges);
      else
        outbox.enqueue(
          { kind: 'store', storeId: member.storeId as StoreId, channel: 'kv' },
          report,
        );
    }
  }
}
