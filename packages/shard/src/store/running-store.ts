/**
 * A store at work: every replica of the process, one log, one engine, one outbox. This file wires the parts and owns
 * their lives; what they do stands in their own files. Before it is founded it answers only discover, status and
 * bootstrap.
 */
import {
  asBuffer,
  equalBytes,
  type FrameHeader,
  FrameReader,
  type HybridLogicalClock,
  type Listener,
  type Logger,
  noClusterId,
  Outbox,
  present,
  type Span,
  type StoreId,
  silentLogger,
  spansOverlap,
  toLogIndex,
  toTimestamp,
} from '@flotilla/base';
import {
  createMultiRaft,
  decodeRaftMessage,
  encodeRaftMessage,
  type MultiRaft,
  type RaftMessage,
} from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import type { Engine } from '../engine/engine.ts';
import { EngineTurns } from '../engine/engine-turns.ts';
import { metaRangeId } from '../initial-ranges.ts';
import { defaultStoreLimits, type StoreLimits } from '../limits.ts';
import { kv } from '../protocol/index.ts';
import { type Answer, rangeInfo } from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import { Replica } from '../replica/replica.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { Admission } from './admission.ts';
import {
  checkFounding,
  type Founding,
  foundingPositions,
  foundingStates,
  writeFoundingState,
} from './bootstrap.ts';
import { Checkpointer } from './checkpointer.ts';
import type { StoreFoundation } from './foundation.ts';
import { HistorySweeper } from './history-sweeper.ts';
import { type Identity, writeIdentity } from './identity.ts';
import { LeaseBalancer } from './lease-balancer.ts';
import { absorbReport, RangeReporter } from './range-reports.ts';
import { Reads } from './reads.ts';
import { RequestServer } from './request-server.ts';
import { statusOf } from './status.ts';
import type { Store, StoreOptions } from './store-api.ts';
import { StoreStateMachine } from './store-state-machine.ts';

/** What exists only once the store is founded. */
interface Member {
  readonly raft: MultiRaft;
  readonly reads: Reads;
  readonly checkpointer: Checkpointer;
  readonly services: readonly { start(): void; stop(): void }[];
  readonly reporter: RangeReporter;
}

/** How often unproposed commands are tried again when nothing else stirs. Unit: ms. */
const proposeRetryMs = 20;
const stopPollMs = 10;

export class RunningStore implements Store {
  readonly storeId: StoreId;
  readonly ready: Promise<void>;
  private readonly options: StoreOptions;
  private readonly foundation: StoreFoundation;
  private readonly limits: StoreLimits;
  private readonly logger: Logger;
  private readonly engine: Engine;
  private readonly turns: EngineTurns;
  private readonly hlc: HybridLogicalClock;
  private readonly outbox: Outbox;
  private readonly admission: Admission;
  private readonly server: RequestServer;
  private readonly replicas = new Map<number, Replica>();
  private readonly dirty = new Set<Leaseholder>();
  private readonly startedAtMs: number;
  private identity: Identity;
  private clusterId: Buffer | undefined;
  private member: Member | undefined;
  private founding: Promise<Answer> | undefined;
  private readonly kvListeners: Listener[];
  private raftListener: Listener | undefined;
  private proposing = false;
  private retryArmed = false;
  private appliedBytes = 0;
  private failed = false;
  private stopped: Promise<void> | undefined;
  private markReady: () => void = () => {};
  /** Peers' timestamps too far ahead to be followed, and raft frames that were dropped. */
  farAheadFrames = 0;
  droppedRaftFrames = 0;

  constructor(options: StoreOptions, foundation: StoreFoundation) {
    const { transport, clock } = options;
    this.options = options;
    this.foundation = foundation;
    this.limits = { ...defaultStoreLimits, ...options.limits };
    this.logger = (options.logger ?? silentLogger).child({ store: foundation.identity.storeId });
    this.identity = foundation.identity;
    this.storeId = foundation.identity.storeId;
    this.engine = foundation.engine;
    this.turns = new EngineTurns(foundation.engine);
    this.hlc = foundation.hlc;
    this.startedAtMs = clock.nowMs();
    this.ready = new Promise((resolve) => {
      this.markReady = resolve;
    });
    const { clusterId } = foundation.identity;
    this.clusterId = clusterId === undefined ? undefined : Buffer.from(clusterId, 'hex');
    this.outbox = new Outbox({ transport, clock, header: () => this.header() });
    this.admission = new Admission(this.outbox, this.limits);
    this.server = new RequestServer({
      clock,
      limits: this.limits,
      admission: this.admission,
      logger: this.logger,
      replicas: this.replicas,
      reads: () => this.member?.reads,
      clusterId: () => this.clusterId,
      observeHeader: (header) => this.observeHeader(header),
      discover: () => this.discover(),
      status: () => this.status(),
      bootstrap: (request) => this.bootstrap(request),
      onReport: (ranges) => this.absorb(ranges),
      onFatal: (error) => this.fail(error),
    });
    if (this.clusterId !== undefined) this.becomeMember(foundation.ranges, false);
    const onFrame = (frame: Uint8Array): void => this.server.onFrame(frame);
    this.kvListeners = [
      transport.listen({ kind: 'store', storeId: this.storeId, channel: 'kv' }, onFrame),
      transport.listen({ kind: 'all-stores' }, onFrame),
    ];
  }

  async checkpoint(): Promise<void> {
    await this.member?.checkpointer.run();
  }

  stop(options: { readonly timeoutMs: number }): Promise<void> {
    this.stopped ??= this.shutDown(options.timeoutMs);
    return this.stopped;
  }

  /** For `testing/inspect.ts` alone, which shows it to the simulator. */
  inside(): {
    readonly raft: MultiRaft | undefined;
    readonly replicas: ReadonlyMap<number, Replica>;
  } {
    return { raft: this.member?.raft, replicas: this.replicas };
  }

  // ---- life ---------------------------------------------------------------------------------------------------------

  /** @param fresh true only right after founding: these groups never ran */
  private becomeMember(states: readonly RangeState[], fresh: boolean): void {
    const { clock, prng, transport, timings, raftLimits } = this.options;
    for (const state of states) this.addReplica(state);
    const stateMachine = new StoreStateMachine(this.replicas, this.turns, {
      onApplied: (bytes) => this.onApplied(bytes),
      onRoleChange: () => this.member?.reporter.onChange(),
    });
    const raft = createMultiRaft({
      storeId: this.storeId,
      clock,
      prng,
      wal: this.foundation.wal,
      send: (to, message) => this.sendRaft(to, message),
      stateMachine,
      ...(timings === undefined ? {} : { timings }),
      ...(raftLimits === undefined ? {} : { limits: raftLimits }),
      logger: this.logger,
      onFatal: (error) => this.fail(error),
    });
    const reporter = new RangeReporter({
      clock,
      prng,
      replicas: this.replicas,
      rangesPerReport: this.limits.reportRangesMax,
      send: (ranges) => this.sendReport(ranges),
    });
    const services = [
      reporter,
      new LeaseBalancer({
        clock,
        storeId: this.storeId,
        replicas: this.replicas,
        status: (rangeId) => raft.status(rangeId),
        transfer: (rangeId, target) => raft.transferLeadership(rangeId, target),
      }),
      new HistorySweeper({
        engine: this.engine,
        turns: this.turns,
        clock,
        ttlMs: this.limits.historyTtlMs,
        rowsPerStep: this.limits.historySweepRows,
        onFatal: (error) => this.fail(error),
      }),
    ];
    this.member = {
      raft,
      reporter,
      services,
      reads: new Reads({
        engine: this.engine,
        consensus: raft,
        clock,
        answers: this.admission,
        limits: this.limits,
        onFatal: (error) => this.fail(error),
      }),
      checkpointer: new Checkpointer({
        engine: this.engine,
        turns: this.turns,
        replicas: this.replicas,
        hlc: this.hlc,
        commit: (applied, bound) => raft.checkpoint(applied, bound),
        remember: (bound) => this.saveIdentity({ checkpointHlc: bound }),
        checkpointed: new Map(
          states.map((state) => [state.descriptor.rangeId, state.appliedIndex]),
        ),
      }),
    };
    for (const state of states) this.addGroup(raft, state, fresh);
    this.raftListener = transport.listen(
      { kind: 'store', storeId: this.storeId, channel: 'raft' },
      this.raftHandler(),
    );
    for (const service of services) service.start();
    const { obsoleteRows } = this.foundation;
    if (!fresh && obsoleteRows.length > 0)
      this.turns
        .write(() => obsoleteRows.map((key) => ({ type: 'del', key })))
        .catch((error: unknown) => this.fail(error));
    this.logger.info({ ranges: states.length, incarnation: this.identity.incarnation }, 'store up');
    this.maybeReady();
  }

  private addReplica(state: RangeState): void {
    const { rangeId } = state.descriptor;
    const raft = (): MultiRaft => present(this.member, 'membership').raft;
    const replica: Replica = new Replica(state, {
      covering: (span) => this.covering(span),
      observe: (timestamp) => this.observe(timestamp),
      leaseholder: {
        engine: this.engine,
        hlc: this.hlc,
        limits: this.limits,
        answers: this.admission,
        nowMs: () => this.options.clock.nowMs(),
        propose: (data) => raft().propose(rangeId, data),
        leaseValid: () => raft().leaseValid(rangeId),
        readBarrier: () => raft().readBarrier(rangeId),
        onDirty: () => this.onDirty(replica),
        onFatal: (error) => this.fail(error),
      },
    });
    this.replicas.set(rangeId, replica);
  }

  private addGroup(raft: MultiRaft, state: RangeState, fresh: boolean): void {
    const { descriptor } = state;
    const replica = present(this.replicas.get(descriptor.rangeId), 'replica');
    raft.addGroup({
      rangeId: descriptor.rangeId,
      self: replica.replicaId,
      configuration: {
        voters: descriptor.replicas.map((member) => member.replicaId),
        votersOutgoing: [],
        learners: [],
      },
      storeOf: new Map(descriptor.replicas.map((member) => [member.replicaId, member.storeId])),
      appliedIndex: toLogIndex(state.appliedIndex),
      freshGroup: fresh,
    });
  }

  private fail(cause: unknown): void {
    if (this.failed) return;
    this.failed = true;
    const error = cause instanceof Error ? cause : new Error(String(cause));
    this.closeListeners();
    for (const service of this.member?.services ?? []) service.stop();
    this.logger.error({ error: error.message }, 'store failed');
    this.options.onFatal(error);
  }

  private closeListeners(): void {
    for (const listener of this.kvListeners ?? []) listener.close();
    this.raftListener?.close();
  }

  private async shutDown(timeoutMs: number): Promise<void> {
    const { clock } = this.options;
    const deadline = clock.nowMs() + timeoutMs;
    this.server.refuseNewWork();
    for (const service of this.member?.services ?? []) service.stop();
    const drained = this.admission.whenIdle();
    await Promise.race([drained, this.pause(timeoutMs / 2)]);
    await this.handOver(deadline);
    this.outbox.flush();
    this.closeListeners();
    if (this.member !== undefined && !this.failed) {
      const { raft, checkpointer } = this.member;
      await this.turns.settled();
      await checkpointer.run();
      await raft.stop({ transferTimeoutMs: 0 });
      await this.turns.settled();
    } else if (!this.failed) await this.foundation.wal.close();
    this.outbox.flush();
    await this.engine.close();
    await this.foundation.lock.release();
    this.logger.info({}, 'store stopped');
  }

  /** Asks the best follower of each led range to take over, and waits until they have. */
  private async handOver(deadline: number): Promise<void> {
    const { clock } = this.options;
    const member = this.member;
    if (member === undefined || this.failed) return;
    const asked = new Set<number>();
    for (;;) {
      let left = 0;
      for (const replica of this.replicas.values()) {
        if (replica.role !== 'leader') continue;
        const target = member.raft
          .status(replica.rangeId)
          ?.progress.filter(
            (each) =>
              each.replicaId !== replica.replicaId && clock.nowMs() - each.lastHeardMs < 1000,
          )
          .sort((a, b) => b.matchIndex - a.matchIndex)[0];
        if (target === undefined) continue;
        left++;
        if (asked.has(replica.rangeId)) continue;
        asked.add(replica.rangeId);
        member.raft.transferLeadership(replica.rangeId, target.replicaId);
      }
      if (left === 0 || clock.nowMs() >= deadline || this.failed) return;
      await this.pause(stopPollMs);
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.options.clock.setTimer(ms, resolve));
  }

  private async saveIdentity(changes: Partial<Identity>): Promise<void> {
    this.identity = { ...this.identity, ...changes };
    await writeIdentity(this.options.disk, this.options.directory, this.identity);
  }

  // ---- proposing and applying ---------------------------------------------------------------------------------------

  private onDirty(replica: Replica): void {
    if (replica.leaseholder === undefined) return;
    this.dirty.add(replica.leaseholder);
    if (this.proposing) return;
    this.proposing = true;
    this.options.clock.afterTurn(() => {
      this.proposing = false;
      this.proposeDirty();
    });
  }

  private proposeDirty(): void {
    if (this.failed) return;
    try {
      for (const leaseholder of this.dirty) {
        leaseholder.proposeOpen();
        if (!leaseholder.hasOpen) this.dirty.delete(leaseholder);
      }
    } catch (error) {
      this.fail(error);
      return;
    }
    if (this.dirty.size === 0 || this.retryArmed) return;
    this.retryArmed = true;
    this.options.clock.setTimer(proposeRetryMs, () => {
      this.retryArmed = false;
      this.proposeDirty();
    });
  }

  private onApplied(bytes: number): void {
    this.appliedBytes += bytes;
    if (this.dirty.size > 0) this.proposeDirty();
    this.maybeReady();
    const { member } = this;
    if (
      this.appliedBytes < this.limits.checkpointBytes ||
      member === undefined ||
      member.checkpointer.isRunning ||
      this.stopped !== undefined
    )
      return;
    this.appliedBytes = 0;
    member.checkpointer.run().catch((error: unknown) => this.fail(error));
  }

  private maybeReady(): void {
    for (const replica of this.replicas.values()) if (replica.leaderStore() === undefined) return;
    if (this.member !== undefined) this.markReady();
  }

  // ---- network ------------------------------------------------------------------------------------------------------

  private header(): FrameHeader {
    return {
      clusterId: this.clusterId ?? noClusterId,
      timestamp: this.hlc.peek(),
      sender: { kind: 'store', storeId: this.storeId },
    };
  }

  private observeHeader(header: FrameHeader): void {
    const observed = this.hlc.observe(header.timestamp);
    if (observed.ok) return;
    // One warning for the first and then for every thousandth: a wrong clock shows in every frame.
    if (this.farAheadFrames++ % 1000 === 0)
      this.logger.warn({ aheadMs: observed.aheadMs, sender: header.sender }, 'clock too far ahead');
  }

  private observe(timestamp: number): void {
    // A committed timestamp is passed whatever the wall clock says: the range's own order keeps above it.
    void this.hlc.observe(toTimestamp(timestamp));
  }

  private sendRaft(to: StoreId, message: RaftMessage): void {
    this.outbox.enqueue(
      { kind: 'store', storeId: to, channel: 'raft' },
      encodeRaftMessage(message),
    );
  }

  private raftHandler(): (frame: Uint8Array) => void {
    const reader = new FrameReader({ clock: this.options.clock });
    return (frame) => {
      const read = reader.read(asBuffer(frame));
      if (!read.ok || read.header.sender.kind !== 'store' || !this.isOurs(read.header)) {
        this.droppedRaftFrames++;
        return;
      }
      this.observeHeader(read.header);
      const messages: RaftMessage[] = [];
      for (const bytes of read.messages) {
        const decoded = decodeRaftMessage(bytes);
        if (decoded.ok) messages.push(decoded.message);
        else this.droppedRaftFrames++;
      }
      if (messages.length === 0) return;
      try {
        this.member?.raft.receive(read.header.sender.storeId, messages);
      } catch (error) {
        this.fail(error);
      }
    };
  }

  private isOurs(header: FrameHeader): boolean {
    return this.clusterId !== undefined && equalBytes(header.clusterId, this.clusterId);
  }

  private sendReport(ranges: flotilla.kv.RangeInfo.$Properties[]): void {
    const meta = this.metaDescriptor();
    if (meta === undefined) return;
    const report = kv.Request.encode({ requestId: 0, rangeReport: { ranges } }).finish();
    for (const { storeId } of meta.replicas) {
      if (storeId === this.storeId) this.absorb(ranges);
      else this.outbox.enqueue({ kind: 'store', storeId, channel: 'kv' }, report);
    }
  }

  private absorb(ranges: flotilla.kv.RangeInfo.$Properties[]): void {
    const meta = this.replicas.get(metaRangeId);
    if (meta === undefined || this.stopped !== undefined) return;
    try {
      absorbReport(meta, ranges);
    } catch (error) {
      this.fail(error);
    }
  }

  // ---- requests to the store ----------------------------------------------------------------------------------------

  private metaDescriptor(): Identity['metaDescriptor'] {
    return this.replicas.get(metaRangeId)?.descriptor ?? this.identity.metaDescriptor;
  }

  private covering(span: Span): ReturnType<typeof rangeInfo>[] {
    const found: ReturnType<typeof rangeInfo>[] = [];
    for (const replica of this.replicas.values()) {
      if (found.length === 8) break;
      if (spansOverlap(replica.descriptor, span)) found.push(replica.info());
    }
    return found;
  }

  private discover(): Answer {
    const meta = this.replicas.get(metaRangeId);
    const descriptor = this.metaDescriptor();
    const known = new Set<number>([this.storeId]);
    for (const replica of this.replicas.values())
      for (const { storeId } of replica.descriptor.replicas) known.add(storeId);
    return {
      discover: {
        storeId: this.storeId,
        clusterId: this.clusterId ?? new Uint8Array(0),
        meta: meta?.info() ?? (descriptor === undefined ? null : rangeInfo(descriptor, 0, 0)),
        knownStoreIds: [...known].sort((a, b) => a - b),
        version: this.options.version,
      },
    };
  }

  private status(): Answer {
    return {
      status: statusOf({
        storeId: this.storeId,
        machine: this.options.machine,
        version: this.options.version,
        uptimeMs: this.options.clock.nowMs() - this.startedAtMs,
        pid: this.options.pid ?? process.pid,
        walBytes: this.foundation.wal.sizeBytes(),
        replicas: this.replicas,
        raft: this.member?.raft,
      }),
    };
  }

  private async bootstrap(request: flotilla.kv.BootstrapRequest.$Properties): Promise<Answer> {
    // One founding at a time; a repeated request waits and then finds its cluster.
    while (this.founding !== undefined) await this.founding;
    if (this.failed || this.stopped !== undefined) return this.bootstrapped(false, 'stopping');
    if (this.clusterId !== undefined) {
      const same = equalBytes(asBuffer(request.clusterId ?? noClusterId), this.clusterId);
      return this.bootstrapped(same, same ? '' : 'this store belongs to another cluster');
    }
    const checked = checkFounding(request, this.storeId);
    if (!checked.ok) return this.bootstrapped(false, checked.reason);
    this.founding = this.found(checked.founding);
    try {
      return await this.founding;
    } finally {
      this.founding = undefined;
    }
  }

  private async found(founding: Founding): Promise<Answer> {
    const { wal } = this.foundation;
    const states = foundingStates(founding, this.storeId);
    await writeFoundingState(this.engine, this.turns, founding, states, this.identity.storeUuid);
    const bound = this.hlc.now();
    const positions = foundingPositions(states);
    for (const rangeId of positions.keys()) wal.group(rangeId);
    await wal.checkpoint(
      {
        applied: [...positions].map(([rangeId, appliedIndex]) => ({ rangeId, appliedIndex })),
        hlcUpperBound: bound,
      },
      [],
    );
    await this.saveIdentity({
      clusterId: founding.clusterId.toString('hex'),
      checkpointHlc: bound,
      metaDescriptor: founding.meta,
    });
    this.clusterId = founding.clusterId;
    this.becomeMember(states, true);
    return this.bootstrapped(true, '');
  }

  private bootstrapped(ok: boolean, message: string): Answer {
    return { bootstrap: { ok, clusterId: this.clusterId ?? new Uint8Array(0), message } };
  }
}
