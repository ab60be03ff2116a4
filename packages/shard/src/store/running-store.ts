/**
 * A store at work: one process on one log, one engine, one outbox. This file makes the parts that exist from the first
 * moment and owns the store's life; what it has once it is founded is in `member.ts`. Before that it answers only
 * discover, status and bootstrap.
 */
import {
  equalBytes,
  type FrameHeader,
  type HybridLogicalClock,
  type Listener,
  noClusterId,
  Outbox,
  present,
  type StoreId,
  silentLogger,
  TurnEnd,
} from '@flotilla/base';
import type { MultiRaft } from '@flotilla/raft';
import { EngineTurns } from '../engine/engine-turns.ts';
import { defaultStoreLimits } from '../limits.ts';
import type { Membership } from '../membership/membership.ts';
import { Placement } from '../placement/placement.ts';
import type { StoreFigures, WriteHealth } from '../placement/settings.ts';
import { noConfigurations } from '../protocol/range-configuration.ts';
import { ServedRanges } from '../reads/served-ranges.ts';
import type { Replica } from '../replica/replica.ts';
import { noteRequest } from '../split/request-work.ts';
import type { Splits } from '../split/splits.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { Admission } from './admission.ts';
import type { StoreContext } from './context.ts';
import { DiskCheck, storesBeside } from './disk-check.ts';
import type { StoreFoundation } from './foundation.ts';
import { handOver } from './hand-over.ts';
import { type Identity, writeIdentity } from './identity.ts';
import { Member, type MemberOptions } from './member.ts';
import { MetaLink } from './meta-link.ts';
import { OneAtATime } from './one-at-a-time.ts';
import { RequestServer } from './request-server.ts';
import type { Store, StoreOptions } from './store-api.ts';
import { figuresOf } from './store-figures.ts';
import { StoreRequests } from './store-requests.ts';

export class RunningStore implements Store {
  readonly storeId: StoreId;
  readonly ready: Promise<void>;
  private readonly foundation: StoreFoundation;
  private readonly hlc: HybridLogicalClock;
  private readonly context: StoreContext;
  private readonly server: RequestServer;
  private readonly requests: StoreRequests;
  private readonly diskCheck: DiskCheck;
  private readonly meta: MetaLink;
  private readonly placement: Placement | undefined;
  private readonly identityWrites = new OneAtATime();
  private readonly kvListeners: Listener[] = [];
  private identity: Identity;
  private clusterId: Buffer | undefined;
  private member: Member | undefined;
  private failed = false;
  private stopped: Promise<void> | undefined;
  private markReady: () => void = () => {};
  /** Peers' timestamps too far ahead to be followed. */
  private farAheadFrames = 0;

  constructor(options: StoreOptions, foundation: StoreFoundation) {
    this.foundation = foundation;
    this.identity = foundation.identity;
    this.storeId = foundation.identity.storeId;
    this.hlc = foundation.hlc;
    const { clusterId } = foundation.identity;
    this.clusterId = clusterId === undefined ? undefined : Buffer.from(clusterId, 'hex');
    this.ready = new Promise((resolve) => {
      this.markReady = resolve;
    });
    this.context = this.makeContext(options);
    this.diskCheck = new DiskCheck(this.context, () => this.clusterId);
    this.meta = new MetaLink(this.context);
    this.requests = new StoreRequests({
      context: this.context,
      meta: this.meta,
      clusterId: () => this.clusterId,
      raft: () => this.member?.raft,
      writeHealth: () => this.writeHealth,
      rateOf: (rangeId) => this.member?.load.rate(rangeId) ?? 0,
      onFounded: (founded, states) => {
        this.clusterId = founded;
        this.becomeMember(states, true);
      },
    });
    this.server = new RequestServer({
      clock: options.clock,
      limits: this.context.limits,
      admission: this.context.admission,
      logger: this.context.logger,
      replicas: this.context.replicas,
      served: this.context.served,
      reads: () => this.member?.reads,
      transactions: () => this.member?.transactions,
      followerReads: () => this.member?.followerReads,
      isOurs: this.context.isOurs,
      observeHeader: this.context.observeHeader,
      discover: (request) => this.requests.discover(request),
      status: (request) => this.requests.status(request),
      bootstrap: (request) => this.requests.bootstrap(request),
      transferLease: (replica, request) =>
        present(this.member, 'membership').transferLease(replica, request),
      changeReplicas: (caller, replica, request) =>
        present(this.member, 'membership').membership.changeReplicas(caller, replica, request),
      onRequest: (request, clientId) => {
        if (this.member !== undefined) noteRequest(this.member.load, request, clientId);
      },
      split: (caller, replica, request) =>
        present(this.member, 'membership').split(caller, replica, request),
      onPeerRequest: (from, request) => this.member?.onPeerRequest(from, request),
      onFatal: (error) => this.fail(error),
    });
    this.placement =
      options.placement === undefined
        ? undefined
        : new Placement({
            context: this.context,
            settings: options.placement,
            clusterId: () => this.clusterId,
            disk: this.diskCheck,
            metaDescriptor: () => this.meta.descriptor(),
            figures: this.meta.figures,
            requestRate: (rangeId) => this.member?.load.steadyRate(rangeId) ?? 0,
            asker: (rangeId) => this.member?.load.asker(rangeId) ?? 0,
            tellFigures: (figures, events) => this.meta.tellFigures(figures, events),
            events: this.meta.events,
            join: (clusterId, meta) => this.requests.join(clusterId, meta),
          });
    const onFrame = (frame: Uint8Array): void => this.server.onFrame(frame);
    const { transport } = options;
    this.kvListeners.push(
      transport.listen({ kind: 'store', storeId: this.storeId, channel: 'kv' }, onFrame),
      transport.listen({ kind: 'all-stores' }, onFrame),
    );
    if (this.clusterId === undefined) this.placement?.lookForCluster();
    else this.returnAsMember(foundation.ranges);
  }

  get writeHealth(): WriteHealth | undefined {
    return this.placement?.health;
  }

  figures(): StoreFigures {
    const wanted = (startKey: Uint8Array): number => this.placement?.replicasWanted(startKey) ?? 0;
    return figuresOf(this.context, this.server, this.member, wanted);
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
    readonly membership: Membership | undefined;
    readonly splits: Splits | undefined;
    readonly placement: Placement | undefined;
  } {
    const { member } = this;
    return {
      raft: member?.raft,
      replicas: this.context.replicas,
      membership: member?.membership,
      splits: member?.splits,
      placement: this.placement,
    };
  }

  private makeContext(options: StoreOptions): StoreContext {
    const { transport, clock, directory, disk } = options;
    const { engine, wal, hlc } = this.foundation;
    const limits = { ...defaultStoreLimits, ...options.limits };
    const turnEnd = new TurnEnd(clock, ['propose', 'consensus', 'send'] as const);
    const sending = turnEnd.clockOf('send');
    const outbox = new Outbox({ transport, clock: sending, header: () => this.header() });
    return {
      options,
      storeId: this.storeId,
      limits,
      logger: (options.logger ?? silentLogger).child({ store: this.storeId }),
      engine,
      turns: new EngineTurns(engine),
      turnEnd,
      wal,
      hlc,
      outbox,
      admission: new Admission(
        clock,
        outbox,
        limits,
        () => this.member?.raft.overload() === 'busy',
      ),
      replicas: new Map(),
      served: new ServedRanges(),
      identity: () => this.identity,
      saveIdentity: (changes) => {
        this.identity = { ...this.identity, ...changes };
        return this.identityWrites.run(() => writeIdentity(disk, directory, this.identity));
      },
      isOurs: (header) =>
        this.clusterId !== undefined && equalBytes(header.clusterId, this.clusterId),
      observeHeader: (header) => this.observeHeader(header),
      isStopping: () => this.failed || this.stopped !== undefined,
      hasFailed: () => this.failed,
      fail: (cause) => this.fail(cause),
    };
  }

  /** Asks the stores that it shares ranges with whether this disk is the newest; where there are none, begins at once. */
  private returnAsMember(states: readonly RangeState[]): void {
    // One without replicas may have had some since an old copy: those that it found the cluster by are waited for.
    const descriptors =
      states.length > 0
        ? states.map(({ descriptor }) => descriptor)
        : [this.identity.metaDescriptor];
    const peers = storesBeside(this.storeId, descriptors);
    if (peers.size === 0) {
      this.diskCheck.beginAlone();
      this.becomeMember(states, false);
      return;
    }
    this.diskCheck.askBeforeStart(peers).then(
      () => {
        if (!this.context.isStopping()) this.becomeMember(states, false);
      },
      (error: unknown) => {
        if (!this.context.isStopping()) this.fail(error);
      },
    );
  }

  private becomeMember(states: readonly RangeState[], fresh: boolean): void {
    this.member = new Member({
      context: this.context,
      states,
      fresh,
      leftovers: fresh ? nothingLeft(states) : this.foundation,
      meta: this.meta,
      configurations: () => this.placement?.configurations ?? noConfigurations,
      protectedSnapshots: () => this.placement?.protectedSnapshots,
      onReady: () => this.markReady(),
    });
    this.member.start();
    this.placement?.start();
  }

  private fail(cause: unknown): void {
    if (this.failed) return;
    this.failed = true;
    const error = cause instanceof Error ? cause : new Error(String(cause));
    this.closeListeners();
    this.placement?.stop();
    this.member?.stopServices();
    this.context.logger.error({ error: error.message }, 'store_failed');
    this.context.options.onFatal(error);
  }

  private closeListeners(): void {
    for (const listener of this.kvListeners) listener.close();
    this.member?.close();
  }

  private async shutDown(timeoutMs: number): Promise<void> {
    const { options, admission, outbox, engine, wal, logger, replicas } = this.context;
    const { clock } = options;
    const deadlineMs = clock.nowMs() + timeoutMs;
    this.server.refuseNewWork();
    this.placement?.stop();
    this.member?.stopServices();
    // It writes to what is about to be closed.
    await this.requests.settled();
    const pause = new Promise<void>((resolve) => void clock.setTimer(timeoutMs / 2, resolve));
    await Promise.race([admission.whenIdle(), pause]);
    const { member } = this;
    if (member !== undefined)
      await handOver({
        clock,
        raft: member.raft,
        replicas,
        deadlineMs,
        failed: () => this.failed,
      });
    outbox.flush();
    this.closeListeners();
    if (!this.failed) await (member === undefined ? wal.close() : member.finish());
    outbox.flush();
    await engine.close();
    await this.foundation.lock.release();
    logger.info({}, 'store_stopped');
  }

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
      this.context.logger.warn(
        { aheadMs: observed.aheadMs, sender: header.sender },
        'clock_too_far_ahead',
      );
  }
}

/** A store that was just founded has what its founding gave it. */
function nothingLeft(states: readonly RangeState[]): MemberOptions['leftovers'] {
  const nextStorageId = Math.max(0, ...states.map((state) => state.storageId)) + 1;
  return {
    checkpointed: new Map(states.map((state) => [state.descriptor.rangeId, state.appliedIndex])),
    replayed: [],
    obsoleteRows: [],
    unusedStorage: [],
    nextStorageId,
    tombstones: new Map(),
  };
}
