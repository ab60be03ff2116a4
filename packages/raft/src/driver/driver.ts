/**
 * The multi-group driver (contract and picture: `multi-raft.ts`). Decides when things happen, never what consensus
 * means. A turn runs at the end of a turn of the event loop and looks only at groups that something happened to. What a
 * turn sets in motion stands in the rooms beside this one: `log-line.ts`, `apply-line.ts`, `timekeeper.ts`, `reads.ts`.
 */
import {
  assert,
  type Clock,
  type Logger,
  type LogIndex,
  probe,
  type RangeId,
  type ReplicaId,
  type StoreId,
  silentLogger,
} from '@flotilla/base';
import type {
  ChangeResult,
  ConfigurationChange,
  ProposeResult,
  RaftStatus,
  Ready,
  TransferResult,
} from '../core/raft-core.ts';
import type { RaftMessage, SnapshotPoint } from '../messages.ts';
import { type HeardLog, isStoreMessage, type PeerMessage } from '../store-messages.ts';
import { ApplyLine } from './apply-line.ts';
import type { DriverOptions, DriverShell } from './driver-options.ts';
import type { Group } from './group.ts';
import { Groups } from './groups.ts';
import { Inbox } from './inbox.ts';
import { StoreLiveness } from './liveness/store-liveness.ts';
import { Load } from './load.ts';
import { LogLine } from './log-line.ts';
import type {
  DriverHealth,
  GroupOptions,
  InstallResult,
  LogPoint,
  MultiRaft,
  Overload,
  ReadGrant,
} from './multi-raft.ts';
import { Reads } from './reads.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import { handOver } from './stop.ts';
import { Timekeeper } from './timekeeper.ts';

export class Driver implements MultiRaft, DriverShell {
  readonly options: DriverOptions;
  readonly clock: Clock;
  readonly logger: Logger;

  private readonly groups: Groups;
  private readonly log: LogLine;
  private readonly applying: ApplyLine;
  private readonly time: Timekeeper<Group>;
  private readonly liveness: StoreLiveness;
  private readonly reads: Reads;
  private readonly snapshots: SnapshotSender;
  private readonly inbox: Inbox;
  private readonly load: Load;
  private readonly startedMs: number;
  private dirty: Group[] = [];

  private turnScheduled = false;
  private readonly runTurn = (): void => {
    this.turnScheduled = false;
    this.guarded(() => this.turn());
  };
  private state: 'running' | 'draining' | 'stopped' | 'failed' = 'running';
  private idleWaiters: (() => void)[] = [];

  constructor(options: DriverOptions) {
    this.options = options;
    this.clock = options.clock;
    this.startedMs = options.clock.nowMs();
    this.logger = options.logger ?? silentLogger;
    this.groups = new Groups(this);
    this.log = new LogLine({
      shell: this,
      groupOf: (rangeId) => this.groups.get(rangeId),
      settle: (group, ready, now) => this.settle(group, ready, now),
    });
    this.applying = new ApplyLine(this);
    this.inbox = new Inbox(options.driverLimits.inboxBytesPerStoreMax, this.logger);
    this.load = new Load(this, () => this.log.pendingBytes + this.applying.pendingBytes);
    const onLate = (lateMs: number): void => this.load.loop.onLateTimer(lateMs);
    this.time = new Timekeeper(this, onLate);
    this.liveness = new StoreLiveness({
      shell: this,
      groupOf: (rangeId) => this.groups.get(rangeId),
      maySend: () => !this.log.isStalled,
      onLate,
    });
    this.reads = new Reads(this, this.log, this.liveness);
    this.snapshots = new SnapshotSender(this);
  }

  // ---- the door ---------------------------------------------------------------------------------------------------

  addGroup(options: GroupOptions): void {
    this.touch(this.groups.add(options));
  }

  hasGroup(rangeId: RangeId): boolean {
    return this.groups.get(rangeId) !== undefined;
  }

  async beginGroup(rangeId: RangeId, point: LogPoint): Promise<{ readonly fresh: boolean }> {
    assert(this.isAlive(), 'groups begin in a running driver', { range: rangeId });
    const group = this.groups.get(rangeId);
    if (group !== undefined) {
      assert(group.core.configuration === undefined, 'a group with a state does not begin', {
        range: rangeId,
      });
      this.detach(group);
      this.log.drop(group);
    }
    const begun = this.log.begin(rangeId, point);
    this.schedule();
    await begun;
    // An earlier life of this store may have followed a leader, and promised it so, without a state.
    const { electionTimeoutMs } = this.options.timings;
    const livedLong = this.clock.nowMs() - this.startedMs >= electionTimeoutMs;
    return { fresh: group === undefined && livedLong };
  }

  async removeGroup(rangeId: RangeId): Promise<void> {
    const group = this.groups.get(rangeId);
    if (group === undefined) return;
    assert(this.isAlive(), 'groups are removed from a running driver', { range: rangeId });
    this.detach(group);
    const forgotten = this.log.remove(group);
    const applied = this.applying.remove(group);
    this.schedule();
    await Promise.all([forgotten, applied]);
    probe('replicaRemoved');
  }

  closeGroup(rangeId: RangeId): void {
    const group = this.groups.get(rangeId);
    if (group === undefined) return;
    assert(group.core.configuration === undefined, 'a group with a state stays', {
      range: rangeId,
    });
    this.detach(group);
  }

  /** Nothing reaches the group any more, and nothing comes of it. */
  private detach(group: Group): void {
    group.isRemoved = true;
    this.groups.delete(group);
    group.deadline = Number.POSITIVE_INFINITY;
    this.liveness.remove(group);
    group.failWaiters('noSuchGroup');
  }

  changeConfiguration(rangeId: RangeId, change: ConfigurationChange): ChangeResult {
    const group = this.groups.get(rangeId);
    if (group === undefined || this.state !== 'running')
      return { ok: false, reason: 'notLeader', leader: undefined };
    const result = group.core.changeConfiguration(change, this.clock.nowMs());
    if (result.ok) this.touch(group);
    return result;
  }

  installSnapshot(rangeId: RangeId, snapshot: SnapshotPoint): Promise<InstallResult> {
    const group = this.groups.get(rangeId);
    const refuse = (reason: 'stale' | 'noSuchGroup' | 'stopped' | 'unsafe') =>
      Promise.resolve<InstallResult>({ ok: false, reason });
    if (this.state !== 'running') return refuse('stopped');
    if (group === undefined) return refuse('noSuchGroup');
    if (!snapshot.configuration.storeOf.has(group.core.self)) return refuse('unsafe');
    // What its leader's store said counts up to here: the snapshot may bring another term.
    this.liveness.sync(group);
    if (!group.core.installSnapshot(snapshot, this.clock.nowMs())) return refuse('stale');
    this.touch(group);
    return group.whenInstalled(snapshot.lastIncludedIndex);
  }

  status(rangeId: RangeId): RaftStatus | undefined {
    const group = this.groups.get(rangeId);
    return group === undefined ? undefined : this.statusOf(group);
  }

  statuses(): readonly RaftStatus[] {
    const statuses = Array.from(this.groups.all(), (group) => this.statusOf(group));
    return statuses.sort((a, b) => a.rangeId - b.rangeId);
  }

  receive(from: StoreId, messages: readonly PeerMessage[]): void {
    if (this.state !== 'running') return;
    this.inbox.add(from, messages);
    this.schedule();
  }

  propose(rangeId: RangeId, data: Uint8Array): ProposeResult {
    const group = this.groups.get(rangeId);
    if (group === undefined || this.state !== 'running')
      return { ok: false, reason: 'notLeader', leader: undefined };
    const result = group.core.propose(data, this.clock.nowMs());
    if (result.ok) this.touch(group);
    return result;
  }

  leaseValid(rangeId: RangeId): boolean {
    const now = this.clock.nowMs();
    if (!this.reads.mayTrustLeases(now)) return false;
    if (now < this.groups.leasedUntil(rangeId)) return true;
    const group = this.groups.get(rangeId);
    return group !== undefined && this.reads.renewedLease(group, now);
  }

  readBarrier(rangeId: RangeId): Promise<ReadGrant> {
    const group = this.groups.get(rangeId);
    if (group === undefined)
      return Promise.resolve({ ok: false, reason: 'noSuchGroup', leader: undefined });
    if (!this.isAlive())
      return Promise.resolve({ ok: false, reason: 'stopped', leader: undefined });
    return this.reads.barrier(group);
  }

  overload(): Overload {
    return this.load.overload();
  }

  health(): DriverHealth {
    const { loop } = this.load;
    return {
      overload: this.load.overload(),
      loopDelayP99Ms: loop.lastP99Ms,
      loopStalls: loop.stalls,
      longestLoopStallMs: loop.longestStallMs,
      bytesToWrite: this.log.pendingBytes,
      bytesToApply: this.applying.pendingBytes,
      droppedMessages: this.inbox.dropped,
      logWriteTimes: this.log.writeTimes,
      applyTimes: this.applying.times,
    };
  }

  heardOf(storeId: StoreId): HeardLog | undefined {
    return this.liveness.heardOf(storeId);
  }

  announceCommit(rangeId: RangeId): void {
    const group = this.groups.get(rangeId);
    if (group === undefined) return;
    group.core.announceCommit();
    this.touch(group);
  }

  transferLeadership(rangeId: RangeId, target: ReplicaId): TransferResult {
    const group = this.groups.get(rangeId);
    if (group === undefined) return { ok: false, reason: 'notLeader' };
    const result = group.core.transferLeadership(target, this.clock.nowMs());
    this.touch(group);
    return result;
  }

  checkpoint(applied: ReadonlyMap<RangeId, LogIndex>, hlcUpperBound: number): Promise<void> {
    const done = this.log.checkpoint(applied, hlcUpperBound);
    this.schedule();
    return done;
  }

  async stop(options: { readonly transferTimeoutMs: number }): Promise<void> {
    if (this.state === 'running') {
      await handOver({
        clock: this.clock,
        timeoutMs: options.transferTimeoutMs,
        recentMs: this.options.timings.electionTimeoutMs,
        statuses: () => this.statuses(),
        transfer: (rangeId, target) => this.transferLeadership(rangeId, target),
      });
      if (this.state === 'running') this.state = 'draining';
    }
    while (this.state === 'draining' && (this.isBusy() || this.hasWork())) {
      await new Promise<void>((resolve) => {
        this.idleWaiters.push(resolve);
        this.schedule();
      });
    }
    if (this.state !== 'draining') return;
    this.shutDown('stopped');
    await this.options.wal.close();
  }

  // ---- the loop -------------------------------------------------------------------------------------------------

  private turn(): void {
    if (!this.isAlive()) return;
    const now = this.clock.nowMs();
    this.reads.lookAtClocks(now);
    this.stepInbox(now);
    // What this store answers to another speaks for its groups as they are: they are looked at first.
    this.lookAtDirty(now);
    if (this.state === 'running') {
      this.liveness.turn(now);
      this.tickDue(now);
    }
    this.lookAtDirty(now);
    this.log.start();
    this.applying.start();
    this.time.arm();
    this.liveness.arm();
    if (this.idleWaiters.length > 0 && !this.isBusy()) {
      const waiters = this.idleWaiters;
      this.idleWaiters = [];
      for (const resolve of waiters) resolve();
    }
  }

  private stepInbox(now: number): void {
    for (const { from, message } of this.inbox.take()) {
      if (isStoreMessage(message)) {
        this.liveness.receive(from, message);
        continue;
      }
      const group = this.groups.get(message.rangeId);
      if (group === undefined || group.core.self !== message.to) {
        this.options.stateMachine.onUnknownGroup(from, message);
        continue;
      }
      group.onSpokenTo(message.from, from);
      this.liveness.sync(group);
      if (message.kind === 'timeoutNow')
        this.options.stateMachine.onHandOver?.(group.rangeId, message.term, message.handOver);
      group.core.step(message, now);
      this.touch(group);
    }
  }

  private tickDue(now: number): void {
    for (const group of this.time.takeDue(now, this.options.driverLimits.ticksPerTurnMax)) {
      this.liveness.sync(group);
      group.core.tick(now);
      this.touch(group);
    }
  }

  private lookAtDirty(now: number): void {
    const { dirty } = this;
    if (dirty.length === 0) return;
    this.dirty = [];
    for (const group of dirty) {
      group.dirty = false;
      if (group.isRemoved) continue;
      this.reads.ask(group, now);
      this.collect(group, now);
      if (this.liveness.review(group, now)) this.collect(group, now);
      group.deadline = this.liveness.deadlineOf(group);
      this.time.update(group);
    }
  }

  private collect(group: Group, now: number): void {
    for (let ready = group.core.takeReady(now); ready !== undefined; ) {
      if (ready.softState !== undefined) {
        group.softState = ready.softState;
        this.options.stateMachine.onSoftState(group.rangeId, ready.softState);
      }
      this.send(group, ready.messages);
      if (ready.mustSync) this.log.add(group, ready);
      // What may only leave after this or an earlier write waits in the group's line.
      if (ready.mustSync || group.unpersisted.length > 0) group.unpersisted.push(ready);
      else this.settle(group, ready, now);
      if (ready.committed.length > 0) this.applying.add(group, ready.committed);
      for (const point of ready.reads) this.reads.onPoint(group, point);
      if (ready.snapshotsWanted.length > 0) this.snapshots.send(group, ready.snapshotsWanted);
      // A replay must not load the whole log into memory: `onApplied` looks at the group again.
      if (group.committedBytes >= this.options.driverLimits.applyBatchBytesMax) return;
      ready = group.core.takeReady(now);
    }
  }

  /** What a Ready promised is on disk, or it promised nothing. False: there is nothing to look at for that. */
  private settle(group: Group, ready: Ready, now: number): boolean {
    if (ready.snapshot !== undefined) this.applying.addSnapshot(group, ready.snapshot);
    const news = ready.mustSync && group.core.advance(ready, now);
    this.send(group, ready.messagesAfterPersist);
    return news;
  }

  private send(group: Group, messages: readonly RaftMessage[]): void {
    // A leader whose disk hangs falls silent, so that its peers elect another (rule L8).
    if (this.log.isStalled) return;
    for (const message of messages) {
      const store = group.storeOfReplica(message.to);
      if (store === undefined) continue;
      if (message.kind !== 'timeoutNow') this.options.send(store, message);
      else {
        const handOver = this.options.stateMachine.handOver?.(group.rangeId) ?? 0;
        this.options.send(store, { ...message, handOver });
      }
    }
  }

  /** For `testing/inspect.ts` alone, which shows it to the simulator. */
  inside(): Iterable<Group> {
    return this.groups.all();
  }

  // ---- for the rooms ----------------------------------------------------------------------------------------------

  isAlive(): boolean {
    return this.state === 'running' || this.state === 'draining';
  }

  touch(group: Group): void {
    if (!group.dirty && !group.isRemoved) {
      group.dirty = true;
      this.dirty.push(group);
    }
    this.schedule();
  }

  schedule(): void {
    if (this.turnScheduled || !this.isAlive()) return;
    this.turnScheduled = true;
    this.clock.afterTurn(this.runTurn);
  }

  guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    if (!this.isAlive()) return;
    this.shutDown('failed');
    this.options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  private statusOf(group: Group): RaftStatus {
    this.liveness.sync(group);
    return group.core.status(this.clock.nowMs());
  }

  private isBusy(): boolean {
    return this.log.isBusy || this.applying.isBusy;
  }

  private hasWork(): boolean {
    return this.log.hasWork || this.applying.hasWork;
  }

  private shutDown(state: 'stopped' | 'failed'): void {
    this.state = state;
    this.time.stop();
    this.liveness.stop();
    this.log.stop();
    for (const group of this.groups.all()) group.failWaiters('stopped');
    for (const resolve of this.idleWaiters) resolve();
    this.idleWaiters = [];
  }
}
