/**
 * The multi-group driver (contract and picture: `multi-raft.ts`). Decides when things happen, never what consensus
 * means. A turn runs at the end of a turn of the event loop and looks only at groups that something happened to.
 */
import {
  assert,
  type Clock,
  ExitCode,
  FatalError,
  type Logger,
  type LogIndex,
  type Prng,
  probe,
  type RangeId,
  type ReplicaId,
  type StoreId,
  silentLogger,
  type Timer,
  toLogIndex,
} from '@flotilla/base';
import { createRaftCore } from '../core/core.ts';
import type {
  ProposeResult,
  RaftLimits,
  RaftStatus,
  RaftTimings,
  Ready,
  TransferResult,
} from '../core/raft-core.ts';
import type { RaftMessage } from '../messages.ts';
import type { GroupCompaction, GroupWrite, WriteAheadLog } from '../wal/write-ahead-log.ts';
import { Deadlines } from './deadlines.ts';
import { Group } from './group.ts';
import { ClockGuard } from './guards.ts';
import type { DriverLimits } from './limits.ts';
import type {
  CommittedEntries,
  GroupOptions,
  MultiRaft,
  ReadGrant,
  StateMachine,
} from './multi-raft.ts';
import { handOver } from './stop.ts';

export interface DriverOptions {
  readonly storeId: StoreId;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly wal: WriteAheadLog;
  /** Queues a message for a peer's store; the sender coalesces per store and turn. */
  readonly send: (to: StoreId, message: RaftMessage) => void;
  readonly stateMachine: StateMachine;
  readonly timings: RaftTimings;
  readonly limits: RaftLimits;
  readonly driverLimits: DriverLimits;
  readonly logger?: Logger;
  /** The process must end: the log or the state machine failed, or an invariant broke. Called once. */
  readonly onFatal: (error: Error) => void;
}

/** A Ready on its way to disk, with its group. */
interface PendingWrite {
  readonly group: Group;
  readonly ready: Ready;
}

interface CheckpointJob {
  readonly applied: ReadonlyMap<RangeId, LogIndex>;
  readonly hlcUpperBound: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Driver implements MultiRaft {
  private readonly options: DriverOptions;
  private readonly clock: Clock;
  private readonly wal: WriteAheadLog;
  private readonly logger: Logger;
  private readonly clockGuard: ClockGuard;

  private readonly groups = new Map<RangeId, Group>();
  private dirty: Group[] = [];
  private inbox: RaftMessage[] = [];
  private droppedMessages = 0;

  private readonly deadlines = new Deadlines<Group>();
  private timer: Timer | undefined;
  private timerAt = Number.POSITIVE_INFINITY;
  private ticksDue = false;

  private turnScheduled = false;
  private readonly runTurn = (): void => {
    this.turnScheduled = false;
    this.guarded(() => this.turn());
  };

  private writes: PendingWrite[] = [];
  /** The log is busy with an append or a checkpoint. */
  private logBusy = false;
  private readonly checkpoints: CheckpointJob[] = [];
  /** Groups with committed entries, in the order in which they became so. */
  private applyQueue: Group[] = [];
  private applying = false;
  private watchdog: Timer | undefined;
  private diskStalled = false;

  private state: 'running' | 'draining' | 'stopped' | 'failed' = 'running';
  private idleWaiters: (() => void)[] = [];

  constructor(options: DriverOptions) {
    this.options = options;
    this.clock = options.clock;
    this.wal = options.wal;
    this.logger = options.logger ?? silentLogger;
    this.clockGuard = new ClockGuard(
      this.clock.nowMs(),
      this.clock.wallMs(),
      options.timings.leaseDurationMs,
    );
  }

  // ---- groups ---------------------------------------------------------------------------------------------------

  addGroup(options: GroupOptions): void {
    assert(!this.groups.has(options.rangeId), 'a group is added once', { range: options.rangeId });
    assert(options.storeOf.get(options.self) === this.options.storeId, 'self lives on this store');
    const log = this.wal.group(options.rangeId);
    assert(
      options.appliedIndex >= log.firstIndex() - 1,
      'the log reaches back to what is applied',
      {
        range: options.rangeId,
        appliedIndex: options.appliedIndex,
        firstIndex: log.firstIndex(),
      },
    );
    const core = createRaftCore(
      {
        rangeId: options.rangeId,
        self: options.self,
        configuration: options.configuration,
        hardState: log.hardState(),
        storage: log,
        appliedIndex: options.appliedIndex,
        now: this.clock.nowMs(),
        freshGroup: options.freshGroup,
        timings: this.options.timings,
        limits: this.options.limits,
      },
      this.options.prng,
    );
    const group = new Group(core, options.storeOf, options.appliedIndex);
    this.groups.set(options.rangeId, group);
    this.touch(group);
  }

  hasGroup(rangeId: RangeId): boolean {
    return this.groups.has(rangeId);
  }

  status(rangeId: RangeId): RaftStatus | undefined {
    return this.groups.get(rangeId)?.core.status(this.clock.nowMs());
  }

  statuses(): readonly RaftStatus[] {
    const now = this.clock.nowMs();
    return [...this.groups.values()]
      .map((group) => group.core.status(now))
      .sort((a, b) => a.rangeId - b.rangeId);
  }

  // ---- inputs ---------------------------------------------------------------------------------------------------

  receive(_from: StoreId, messages: readonly RaftMessage[]): void {
    if (this.state !== 'running') return;
    for (const message of messages) {
      if (this.inbox.length >= this.options.driverLimits.inboxMessagesMax) {
        if (this.droppedMessages++ % 10_000 === 0)
          this.logger.warn({ dropped: this.droppedMessages }, 'raft_inbox_full');
        continue;
      }
      this.inbox.push(message);
    }
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
    const group = this.groups.get(rangeId);
    return group !== undefined && this.groupLeaseValid(group);
  }

  readBarrier(rangeId: RangeId): Promise<ReadGrant> {
    const group = this.groups.get(rangeId);
    if (group === undefined)
      return Promise.resolve({ ok: false, reason: 'noSuchGroup', leader: undefined });
    if (this.state === 'stopped' || this.state === 'failed')
      return Promise.resolve({ ok: false, reason: 'stopped', leader: undefined });
    if (this.groupLeaseValid(group)) return Promise.resolve({ ok: true });
    return new Promise((resolve) => {
      group.askingReads.push(resolve);
      this.touch(group);
    });
  }

  transferLeadership(rangeId: RangeId, target: ReplicaId): TransferResult {
    const group = this.groups.get(rangeId);
    if (group === undefined) return { ok: false, reason: 'notLeader' };
    const result = group.core.transferLeadership(target, this.clock.nowMs());
    this.touch(group);
    return result;
  }

  checkpoint(applied: ReadonlyMap<RangeId, LogIndex>, hlcUpperBound: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.checkpoints.push({ applied, hlcUpperBound, resolve, reject });
      this.schedule();
    });
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
    while (this.state === 'draining' && (this.logBusy || this.applying || this.hasWork())) {
      await new Promise<void>((resolve) => {
        this.idleWaiters.push(resolve);
        this.schedule();
      });
    }
    if (this.state !== 'draining') return;
    this.shutDown('stopped');
    await this.wal.close();
  }

  // ---- the loop -------------------------------------------------------------------------------------------------

  private turn(): void {
    if (this.state === 'stopped' || this.state === 'failed') return;
    const now = this.clock.nowMs();
    this.clockGuard.trusted(now, this.clock.wallMs());
    this.stepInbox(now);
    if (this.ticksDue && this.state === 'running') this.tickDue(now);
    const dirty = this.dirty;
    this.dirty = [];
    for (const group of dirty) {
      group.dirty = false;
      this.askForReads(group, now);
      this.collect(group, now);
      group.deadline = group.core.nextDeadline();
      this.deadlines.update(group);
    }
    this.startLogWork();
    this.startApply();
    this.armTimer();
    if (this.idleWaiters.length > 0 && !this.logBusy && !this.applying) {
      const waiters = this.idleWaiters;
      this.idleWaiters = [];
      for (const resolve of waiters) resolve();
    }
  }

  private stepInbox(now: number): void {
    const inbox = this.inbox;
    if (inbox.length === 0) return;
    this.inbox = [];
    for (const message of inbox) {
      const group = this.groups.get(message.rangeId);
      if (group === undefined) continue; // not here, or not here any more: as if lost
      group.core.step(message, now);
      this.touch(group);
    }
  }

  private tickDue(now: number): void {
    this.ticksDue = false;
    for (const group of this.deadlines.takeDue(now)) {
      group.core.tick(now);
      this.touch(group);
    }
  }

  private askForReads(group: Group, now: number): void {
    if (group.askingReads.length === 0) return;
    const waiters = group.askingReads;
    group.askingReads = [];
    const result = group.core.readIndex(now);
    if (result.ok) {
      const others = group.confirmingReads.get(result.context);
      group.confirmingReads.set(
        result.context,
        others === undefined ? waiters : [...others, ...waiters],
      );
      return;
    }
    const { reason, leader } = result;
    for (const resolve of waiters) resolve({ ok: false, reason, leader });
  }

  private collect(group: Group, now: number): void {
    for (let ready = group.core.takeReady(now); ready !== undefined; ) {
      if (ready.softState !== undefined) {
        group.softState = ready.softState;
        this.options.stateMachine.onSoftState(group.rangeId, ready.softState);
      }
      this.send(group, ready.messages);
      if (ready.mustSync) this.writes.push({ group, ready });
      // What may only leave after this or an earlier write waits in the group's line.
      if (ready.mustSync || group.unpersisted.length > 0) group.unpersisted.push(ready);
      else this.settle(group, ready, now);
      if (ready.committed.length > 0) {
        if (group.committed.length === 0) this.applyQueue.push(group);
        group.addCommitted(ready.committed);
      }
      for (const point of ready.reads) group.onReadPoint(point);
      // A replay must not load the whole log into memory: `onApplied` looks at the group again.
      if (group.committedBytes >= this.options.driverLimits.applyBatchBytesMax) return;
      ready = group.core.takeReady(now);
    }
  }

  /** What a Ready promised is on disk, or it promised nothing. */
  private settle(group: Group, ready: Ready, now: number): void {
    if (ready.mustSync) group.core.advance(ready, now);
    this.send(group, ready.messagesAfterPersist);
  }

  private send(group: Group, messages: readonly RaftMessage[]): void {
    // A leader whose disk hangs falls silent, so that its peers elect another (rule L8).
    if (this.diskStalled) return;
    for (const message of messages) {
      const store = group.storeOf.get(message.to);
      if (store !== undefined) this.options.send(store, message);
    }
  }

  // ---- the log --------------------------------------------------------------------------------------------------

  private startLogWork(): void {
    if (this.logBusy) return;
    const job = this.checkpoints.shift();
    if (job !== undefined) {
      this.logBusy = true;
      this.runCheckpoint(job);
      return;
    }
    if (this.writes.length === 0) return;
    const writes = this.writes;
    this.writes = [];
    const records: GroupWrite[] = writes.map(({ group, ready }) => ({
      rangeId: group.rangeId,
      hardState: ready.hardState,
      entries: ready.entries,
    }));
    this.logBusy = true;
    this.armWatchdog();
    this.wal.append(records).then(
      () => this.guarded(() => this.onPersisted(writes)),
      (error: unknown) => this.fail(error),
    );
  }

  private onPersisted(writes: readonly PendingWrite[]): void {
    this.logBusy = false;
    this.diskStalled = false;
    const now = this.clock.nowMs();
    for (const { group, ready } of writes) {
      const first = group.unpersisted.shift();
      assert(first === ready, 'Readys become durable in order', { range: group.rangeId });
      this.settle(group, ready, now);
      for (let next = group.unpersisted[0]; next !== undefined && !next.mustSync; ) {
        group.unpersisted.shift();
        this.settle(group, next, now);
        next = group.unpersisted[0];
      }
      this.touch(group);
    }
    this.schedule();
  }

  private runCheckpoint(job: CheckpointJob): void {
    const compactions: GroupCompaction[] = [];
    const applied: { rangeId: RangeId; appliedIndex: LogIndex }[] = [];
    const now = this.clock.nowMs();
    for (const [rangeId, appliedIndex] of job.applied) {
      const group = this.groups.get(rangeId);
      if (group === undefined) continue;
      applied.push({ rangeId, appliedIndex });
      const { compactableIndex, firstIndex } = group.core.status(now);
      const index = toLogIndex(Math.min(compactableIndex, appliedIndex));
      if (index < firstIndex) continue;
      compactions.push({ rangeId, index, term: group.core.compact(index) });
    }
    this.armWatchdog();
    this.wal.checkpoint({ applied, hlcUpperBound: job.hlcUpperBound }, compactions).then(
      () => {
        this.logBusy = false;
        job.resolve();
        this.schedule();
      },
      (error: unknown) => {
        job.reject(error);
        this.fail(error);
      },
    );
  }

  /** One timer that looks after a running sync; armed only while there is one. */
  private armWatchdog(): void {
    if (this.watchdog !== undefined) return;
    const { electionTimeoutMs } = this.options.timings;
    this.watchdog = this.clock.setTimer(electionTimeoutMs / 2, () => {
      this.watchdog = undefined;
      if (!this.logBusy || this.state === 'failed' || this.state === 'stopped') return;
      const pendingMs = this.wal.pendingSyncMs(this.clock.nowMs());
      if (pendingMs > this.options.driverLimits.diskStallMsMax) {
        this.fail(
          new FatalError(
            ExitCode.diskStalled,
            `the log's disk has made no progress for ${Math.round(pendingMs)} ms`,
            { pendingMs },
          ),
        );
        return;
      }
      if (pendingMs > electionTimeoutMs && !this.diskStalled) {
        this.diskStalled = true;
        probe('leaseDroppedByDisk');
        this.logger.error({ pendingMs }, 'disk_stalled_falling_silent');
      }
      this.armWatchdog();
    });
  }

  // ---- the state machine ------------------------------------------------------------------------------------------

  private startApply(): void {
    if (this.applying || this.applyQueue.length === 0) return;
    const batch: CommittedEntries[] = [];
    const taken: Group[] = [];
    let room = this.options.driverLimits.applyBatchBytesMax;
    const queue = this.applyQueue;
    let at = 0;
    while (at < queue.length && (room > 0 || batch.length === 0)) {
      const group = queue[at++];
      if (group === undefined) break;
      const { entries, bytes } = group.takeCommitted(room);
      room -= bytes;
      batch.push({ rangeId: group.rangeId, entries });
      taken.push(group);
    }
    const left = queue.slice(at);
    for (const group of taken) if (group.committed.length > 0) left.push(group);
    this.applyQueue = left;
    this.applying = true;
    this.options.stateMachine.apply(batch).then(
      () => this.guarded(() => this.onApplied(batch, taken)),
      (error: unknown) => this.fail(error),
    );
  }

  private onApplied(batch: readonly CommittedEntries[], groups: readonly Group[]): void {
    this.applying = false;
    const now = this.clock.nowMs();
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i];
      const entries = batch[i]?.entries;
      if (group === undefined || entries === undefined) continue;
      group.onApplied(entries);
      group.core.appliedTo(group.lastApplied, now);
      this.touch(group);
    }
    this.schedule();
  }

  // ---- time -----------------------------------------------------------------------------------------------------

  private armTimer(): void {
    const at = this.deadlines.next();
    if (at >= this.timerAt || at === Number.POSITIVE_INFINITY) return;
    this.timer?.cancel();
    this.timerAt = at;
    this.timer = this.clock.setTimer(Math.max(0, at - this.clock.nowMs()), () => {
      const lateMs = this.clock.nowMs() - this.timerAt;
      this.timer = undefined;
      this.timerAt = Number.POSITIVE_INFINITY;
      if (lateMs <= this.options.timings.heartbeatIntervalMs / 2) {
        this.tickAtEndOfTurn();
        return;
      }
      // The loop was held up (rule L7): heartbeats may be lying in the socket. They count before silence does.
      this.clock.afterTurn(() => this.clock.afterTurn(() => this.tickAtEndOfTurn()));
    });
  }

  private tickAtEndOfTurn(): void {
    this.ticksDue = true;
    this.schedule();
  }

  private groupLeaseValid(group: Group): boolean {
    const now = this.clock.nowMs();
    return (
      this.clockGuard.trusted(now, this.clock.wallMs()) &&
      !this.diskStalled &&
      this.wal.pendingSyncMs(now) <= this.options.timings.electionTimeoutMs &&
      group.core.leaseValid(now)
    );
  }

  // ---- plumbing -------------------------------------------------------------------------------------------------

  private touch(group: Group): void {
    if (!group.dirty) {
      group.dirty = true;
      this.dirty.push(group);
    }
    this.schedule();
  }

  private schedule(): void {
    if (this.turnScheduled || this.state === 'stopped' || this.state === 'failed') return;
    this.turnScheduled = true;
    this.clock.afterTurn(this.runTurn);
  }

  private hasWork(): boolean {
    return this.writes.length > 0 || this.applyQueue.length > 0 || this.checkpoints.length > 0;
  }

  private guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (this.state === 'failed' || this.state === 'stopped') return;
    this.shutDown('failed');
    this.options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  private shutDown(state: 'stopped' | 'failed'): void {
    this.state = state;
    this.timer?.cancel();
    this.watchdog?.cancel();
    for (const group of this.groups.values()) group.failReads();
    for (const resolve of this.idleWaiters) resolve();
    this.idleWaiters = [];
  }
}
