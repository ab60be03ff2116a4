/**
 * One replica of a random cluster: a core, a driver that pipelines Readys, a disk whose writes take time, a register
 * as the state machine, a clock that drifts, and the ways to stop all this: crash, pause, stall. Owned by RaftCluster.
 */
import {
  assert,
  type LogIndex,
  type Prng,
  type ReplicaId,
  SeededPrng,
  toLogIndex,
} from '@flotilla/base';
import { createRaftCore, RaftMachine } from '../core/core.ts';
import { checkInvariants, checkTransition, type Moment, momentOf } from '../core/invariants.ts';
import { configurationOf } from '../core/membership.ts';
import type {
  ConfigurationChange,
  RaftCoreOptions,
  Ready,
  SnapshotSendResult,
} from '../core/raft-core.ts';
import type { Configuration, LogEntry, RaftMessage, SnapshotPoint } from '../messages.ts';
import { type ClusterChecks, payloadOf } from './cluster-checks.ts';
import type { EventQueue } from './event-queue.ts';
import { MemoryLogStorage } from './memory-log-storage.ts';

/** Ways to break the rules on purpose, to prove that the checks find it. Nothing of it exists in product code. */
export interface Sabotage {
  /** Acks and votes leave before what they promise is written. */
  readonly releaseBeforePersist?: boolean;
  /** A restarted replica campaigns and votes at once. */
  readonly restartForgetsPromise?: boolean;
  /** Changes what the disk keeps of a write. */
  readonly persist?: (ready: Ready) => Pick<Ready, 'hardState' | 'entries'>;
  /** Changes a message on its way in. */
  readonly deliver?: (message: RaftMessage, core: RaftMachine, now: number) => RaftMessage;
  /** Changes a snapshot on its way in; undefined = the product's rules refuse or take it. */
  readonly install?: (snapshot: SnapshotPoint, core: RaftMachine) => SnapshotPoint;
  /** Reaches into the replica after every step. */
  readonly afterStep?: (core: RaftMachine, now: number) => void;
}

export interface NodeContext {
  readonly queue: EventQueue;
  readonly prng: Prng;
  readonly checks: ClusterChecks;
  readonly sabotage: Sabotage;
  readonly coreOptions: Omit<
    RaftCoreOptions,
    'self' | 'now' | 'storage' | 'hardState' | 'appliedIndex' | 'freshGroup' | 'configuration'
  >;
  send(message: RaftMessage): void;
  /** The leader's snapshot for a member: `staged` comes back with what became of it, perhaps never. */
  sendSnapshot(
    to: ReplicaId,
    snapshot: SnapshotPoint,
    staged: (result: SnapshotSendResult) => void,
  ): void;
  /** Called after every step of any core. */
  afterStep(node: ClusterNode, core: RaftMachine): void;
}

interface WaitingRead {
  readonly floorAtInvoke: number;
  readIndex: number;
}

interface WaitingWrite {
  readonly term: number;
  readonly floorAtInvoke: number;
}

export class ClusterNode {
  readonly id: ReplicaId;
  readonly disk: MemoryLogStorage = new MemoryLogStorage();
  core: RaftMachine | undefined;
  appliedIndex = 0;
  /** At `appliedIndex`; undefined before there is a state. */
  appliedConfiguration: Configuration | undefined;
  snapshotsInstalled = 0;
  followerReads = 0;
  acknowledgedWrites = 0;
  servedReads = { lease: 0, readIndex: 0, refused: 0 };
  private readonly context: NodeContext;
  /** Set while the process is stopped (SIGSTOP): work that arrives meanwhile waits here. */
  private stopped: (() => void)[] | undefined;
  private life = 0;
  private clockOffsetMs = 0;
  private clockRate = 1;
  private persistQueue: Ready[] = [];
  private writing = false;
  private applyQueue: (LogEntry | SnapshotPoint)[] = [];
  private applying = false;
  private pumpScheduled = false;
  private tickAt = Infinity;
  private moment: Moment | undefined;
  /** What the state machine has flushed: replay starts after it. */
  private checkpoint: { readonly index: number; readonly configuration: Configuration | undefined };
  /** Who waits for a snapshot to become durable. */
  private staged: ((result: SnapshotSendResult) => void) | undefined;
  private readonly reads = new Map<number, WaitingRead>();
  private readonly writes = new Map<number, WaitingWrite>();
  private slowWritesUntil = 0;

  /** @param configuration that the group was founded with; undefined = a replica without a state */
  constructor(id: ReplicaId, configuration: Configuration | undefined, context: NodeContext) {
    this.id = id;
    this.checkpoint = { index: 0, configuration };
    this.context = context;
  }

  /** False: nobody has spoken to it yet. */
  get hasStarted(): boolean {
    return this.life > 0;
  }
  get isUp(): boolean {
    return this.core !== undefined;
  }
  get isStopped(): boolean {
    return this.stopped !== undefined;
  }
  get unansweredReads(): number {
    return this.reads.size;
  }

  localNow(): number {
    return this.clockOffsetMs + this.clockRate * this.context.queue.nowMs();
  }

  start(freshGroup: boolean): void {
    assert(this.core === undefined, 'a node starts once');
    const { prng, coreOptions, queue } = this.context;
    this.life++;
    // Each life has a monotonic clock of its own origin, at most 1 % off true speed.
    this.clockRate = 0.99 + prng.nextFloat() * 0.02;
    this.clockOffsetMs = prng.nextFloat() * 100_000 - this.clockRate * queue.nowMs() + 100_000;
    this.appliedIndex = this.checkpoint.index;
    this.appliedConfiguration = this.checkpoint.configuration;
    const core = createRaftCore(
      {
        ...coreOptions,
        configuration: this.appliedConfiguration,
        self: this.id,
        storage: this.disk,
        hardState: this.disk.hardState,
        appliedIndex: toLogIndex(this.appliedIndex),
        now: this.localNow(),
        freshGroup: freshGroup || this.context.sabotage.restartForgetsPromise === true,
      },
      new SeededPrng(prng.nextUint32()),
    );
    assert(core instanceof RaftMachine, 'the core is the one of this package');
    this.core = core;
    this.moment = momentOf(core);
    this.context.checks.onStart(core);
    this.armTick();
  }

  /** Power cut: of the writes under way, some first part may have reached the disk. */
  crash(): void {
    if (this.core === undefined) return;
    const landed = this.context.prng.nextBelow(this.persistQueue.length + 1);
    for (const ready of this.persistQueue.slice(0, landed)) this.writeToDisk(ready);
    this.core = undefined;
    this.life++;
    this.stopped = undefined;
    this.persistQueue = [];
    this.applyQueue = [];
    this.writing = false;
    this.applying = false;
    this.pumpScheduled = false;
    this.tickAt = Infinity;
    this.reads.clear();
    this.writes.clear();
    this.staged = undefined;
  }

  /** SIGSTOP. Time goes on; on `resume` timers run before what the network brought, or after. */
  stop(): void {
    if (this.core !== undefined && this.stopped === undefined) this.stopped = [];
  }

  resume(): void {
    const waiting = this.stopped;
    if (waiting === undefined) return;
    this.stopped = undefined;
    if (this.context.prng.nextBelow(2) === 0) this.tickNow();
    for (const work of waiting) work();
    this.armTick();
  }

  /** Writes take long for a while. */
  stallDisk(untilMs: number): void {
    this.slowWritesUntil = untilMs;
  }

  receive(message: RaftMessage): void {
    this.run((core) => {
      const { deliver } = this.context.sabotage;
      const now = this.localNow();
      core.step(deliver === undefined ? message : deliver(message, core, now), now);
    });
  }

  propose(data: Uint8Array): boolean {
    if (this.core === undefined || this.isStopped) return false;
    const floorAtInvoke = this.context.checks.invoke();
    let accepted = false;
    this.run((core) => {
      const result = core.propose(data, this.localNow());
      accepted = result.ok;
      if (result.ok) this.writes.set(result.index, { term: result.term, floorAtInvoke });
    });
    return accepted;
  }

  changeConfiguration(change: ConfigurationChange): void {
    this.run((core) => void core.changeConfiguration(change, this.localNow()));
  }

  /** A leader's state arrives and is staged. */
  receiveSnapshot(offered: SnapshotPoint, staged: (result: SnapshotSendResult) => void): void {
    this.run((core) => {
      const snapshot = this.context.sabotage.install?.(offered, core) ?? offered;
      if (core.installSnapshot(snapshot, this.localNow())) this.staged = staged;
      else staged({ ok: false, index: toLogIndex(0) });
    });
  }

  transfer(target: ReplicaId): void {
    this.run((core) => void core.transferLeadership(target, this.localNow()));
  }

  /**
   * Rule L4: takes the value as a leader that has applied an entry of its term, waits a while (in a process: a pause
   * between two instructions), and only then asks for the lease, of the same term.
   */
  readByLease(pauseMs: number): void {
    if (this.core === undefined || this.isStopped) return;
    const { checks } = this.context;
    const { role, currentTerm, lastApplied } = this.core.state;
    if (role.kind !== 'leader' || lastApplied < role.termStartIndex) return;
    const floorAtInvoke = checks.invoke();
    const appliedIndex = this.appliedIndex;
    this.later(pauseMs, (core) => {
      if (core.state.currentTerm !== currentTerm || !core.leaseValid(this.localNow())) {
        this.servedReads.refused++;
        return;
      }
      this.servedReads.lease++;
      checks.onRead({ appliedIndex, floorAtInvoke, how: 'lease', at: this.id });
    });
  }

  readByIndex(): void {
    if (this.core === undefined || this.isStopped) return;
    const floorAtInvoke = this.context.checks.invoke();
    this.run((core) => {
      const result = core.readIndex(this.localNow());
      if (result.ok) this.reads.set(result.context, { floorAtInvoke, readIndex: Infinity });
    });
  }

  /** Flushes the state machine and compacts what everyone has, or everything. */
  flush(): void {
    this.run((core) => {
      if (this.disk.firstIndex() > this.appliedIndex + 1) return; // a snapshot is on its way
      this.checkpoint = { index: this.appliedIndex, configuration: this.appliedConfiguration };
      const needed = core.status(this.localNow()).compactableIndex;
      const index = toLogIndex(
        this.context.prng.nextBelow(2) === 0
          ? this.appliedIndex
          : Math.min(needed, this.appliedIndex),
      );
      if (index < core.state.log.firstIndex) return;
      const term = core.compact(index);
      this.disk.compact(index);
      assert(this.disk.term(index) === term, 'core and disk compact the same entry');
    });
  }

  /** Hands `action` to the core and checks everything; at the end of a pause if there is one. */
  private run(action: (core: RaftMachine) => void): void {
    if (this.stopped !== undefined) {
      this.stopped.push(() => this.run(action));
      return;
    }
    const { core } = this;
    if (core === undefined) return;
    action(core);
    this.context.sabotage.afterStep?.(core, this.localNow());
    this.check(core);
    this.schedulePump();
    this.armTick();
  }

  private check(core: RaftMachine): void {
    checkInvariants(core);
    const moment = momentOf(core);
    if (this.moment !== undefined) checkTransition(this.moment, moment);
    this.moment = moment;
    this.context.afterStep(this, core);
  }

  private later(delayMs: number, action: (core: RaftMachine) => void): void {
    const { life } = this;
    this.context.queue.schedule(delayMs, () => {
      if (life === this.life) this.run(action);
    });
  }

  private tickNow(): void {
    this.run((core) => core.tick(this.localNow()));
  }

  private armTick(): void {
    if (this.core === undefined) return;
    const deadline = this.core.nextDeadline();
    if (deadline === Infinity) return;
    const { queue, prng } = this.context;
    const inMs = Math.max(0, (deadline - this.localNow()) / this.clockRate) + 0.001;
    const at = queue.nowMs() + inMs;
    if (at >= this.tickAt && this.tickAt > queue.nowMs()) return; // an earlier one is armed
    this.tickAt = at;
    const { life } = this;
    const lateMs = prng.nextBelow(20) === 0 ? prng.nextFloat() * 30 : 0;
    queue.schedule(inMs + lateMs, () => {
      if (life !== this.life) return;
      if (this.tickAt === at) this.tickAt = Infinity;
      this.tickNow();
    });
  }

  /** Some turns take one message, others many. */
  private schedulePump(): void {
    if (this.pumpScheduled) return;
    this.pumpScheduled = true;
    const { prng } = this.context;
    const { life } = this;
    this.context.queue.schedule(prng.nextBelow(3) === 0 ? prng.nextFloat() : 0, () => {
      if (life === this.life) this.pump();
    });
  }

  private pump(): void {
    if (this.stopped !== undefined) {
      this.stopped.push(() => this.pump());
      return;
    }
    this.pumpScheduled = false;
    const { core } = this;
    if (core === undefined) return;
    for (;;) {
      const ready = core.takeReady(this.localNow());
      if (ready === undefined) break;
      this.check(core);
      this.handleReady(core, ready);
    }
    this.armTick();
  }

  private handleReady(core: RaftMachine, ready: Ready): void {
    const { checks, sabotage } = this.context;
    checks.onEntries(core, ready);
    for (const message of ready.messages) this.context.send(message);
    if (sabotage.releaseBeforePersist === true)
      for (const message of ready.messagesAfterPersist) this.context.send(message);
    this.persistQueue.push(ready);
    if (!this.writing) this.startWrite();
    for (const to of ready.snapshotsWanted) this.sendSnapshot(core, to);
    for (const entry of ready.committed) {
      const durable = this.disk.lastIndex() >= entry.index;
      assert(durable && this.disk.term(entry.index) === entry.term, 'what is applied is durable', {
        index: entry.index,
        at: this.id,
      });
      this.applyQueue.push(entry);
    }
    if (this.applyQueue.length > 0 && !this.applying) this.startApply();
    for (const read of ready.reads) {
      const waiting = this.reads.get(read.context);
      assert(waiting !== undefined, 'a read is answered once');
      if (read.ok) waiting.readIndex = read.index;
      else this.reads.delete(read.context);
    }
    this.serveReads();
  }

  private sendSnapshot(core: RaftMachine, to: ReplicaId): void {
    const { state } = core;
    const done = (result: SnapshotSendResult): void =>
      this.run((later) => later.snapshotSent(to, result, this.localNow()));
    const configuration = this.appliedConfiguration;
    if (configuration === undefined || this.appliedIndex < state.log.compactedIndex) {
      this.later(0, () => done({ ok: false, index: toLogIndex(0) }));
      return;
    }
    const snapshot: SnapshotPoint = {
      from: this.id,
      term: state.currentTerm,
      lastIncludedIndex: toLogIndex(this.appliedIndex),
      lastIncludedTerm: state.log.term(this.appliedIndex),
      configuration,
    };
    const { life } = this;
    this.context.sendSnapshot(to, snapshot, (result) => {
      if (life === this.life) done(result);
    });
  }

  private startWrite(): void {
    const { prng, queue } = this.context;
    const batch = this.persistQueue.length;
    if (!this.persistQueue.some((ready) => ready.mustSync)) {
      this.finishWrite(batch);
      return;
    }
    this.writing = true;
    const stalled = queue.nowMs() < this.slowWritesUntil;
    this.later(stalled ? 100 + prng.nextFloat() * 2000 : prng.nextFloat() * 4, (core) => {
      this.writing = false;
      this.finishWrite(batch, core);
      if (this.persistQueue.length > 0) this.startWrite();
    });
  }

  private finishWrite(batch: number, core?: RaftMachine): void {
    const done = this.persistQueue.splice(0, batch);
    for (const ready of done) this.writeToDisk(ready);
    for (const ready of done) {
      if (this.context.sabotage.releaseBeforePersist !== true)
        for (const message of ready.messagesAfterPersist) this.context.send(message);
      if (ready.mustSync && core !== undefined) {
        this.checkNews(core, core.advance(ready, this.localNow()));
        this.check(core);
      }
      if (ready.snapshot !== undefined) this.onSnapshotDurable(ready.snapshot);
    }
  }

  /** Where a core says that there is nothing to look at, there is nothing: the driver does not look. */
  private checkNews(core: RaftMachine, news: boolean): void {
    if (news) return;
    const deadline = core.nextDeadline();
    assert(core.takeReady(this.localNow()) === undefined, 'no news are no Ready');
    assert(core.nextDeadline() === deadline, 'no news move no deadline');
  }

  private onSnapshotDurable(snapshot: SnapshotPoint): void {
    this.staged?.({ ok: true, index: snapshot.lastIncludedIndex });
    this.staged = undefined;
    this.applyQueue.push(snapshot);
    if (!this.applying) this.startApply();
  }

  private writeToDisk(ready: Ready): void {
    this.disk.write(this.context.sabotage.persist?.(ready) ?? ready);
    const { snapshot } = ready;
    if (snapshot === undefined) return;
    this.checkpoint = { index: snapshot.lastIncludedIndex, configuration: snapshot.configuration };
  }

  private startApply(): void {
    this.applying = true;
    const { prng } = this.context;
    const batch = this.applyQueue.length;
    this.later(prng.nextFloat() * 3, (core) => {
      const done = this.applyQueue.splice(0, batch);
      for (const each of done) {
        if ('index' in each) this.apply(each);
        else this.flip(each);
      }
      const news = core.appliedTo(toLogIndex(this.appliedIndex), this.localNow());
      this.checkNews(core, news);
      this.applying = false;
      if (this.applyQueue.length > 0) this.startApply();
      this.serveReads();
    });
  }

  /** The staged state of a snapshot replaces what is here. */
  private flip(snapshot: SnapshotPoint): void {
    const { lastIncludedIndex, lastIncludedTerm, configuration } = snapshot;
    assert(lastIncludedIndex > this.appliedIndex, 'a snapshot moves forward', {
      index: lastIncludedIndex,
      applied: this.appliedIndex,
    });
    this.context.checks.onSnapshotApplied(lastIncludedIndex, lastIncludedTerm, this.id);
    this.appliedIndex = lastIncludedIndex;
    this.appliedConfiguration = configuration;
    this.snapshotsInstalled++;
    // Whether these took effect is unknown: their clients hear nothing.
    for (const index of this.writes.keys())
      if (index <= lastIncludedIndex) this.writes.delete(index);
  }

  private apply(entry: LogEntry): void {
    assert(entry.index === this.appliedIndex + 1, 'entries are applied in order, once each');
    this.appliedIndex = entry.index;
    this.context.checks.onApplied(entry, this.id);
    if (entry.kind === 'configuration') this.appliedConfiguration = configurationOf(entry);
    const write = this.writes.get(entry.index);
    if (write === undefined) return;
    this.writes.delete(entry.index);
    if (write.term !== entry.term || payloadOf(entry) === 0) return; // another leader's entry
    this.acknowledgedWrites++;
    this.context.checks.onWriteAcknowledged(entry.index, write.floorAtInvoke);
  }

  private serveReads(): void {
    for (const [context, read] of this.reads) {
      if (read.readIndex > this.appliedIndex) continue;
      this.reads.delete(context);
      this.servedReads.readIndex++;
      if (this.core?.state.role.kind === 'follower') this.followerReads++;
      this.context.checks.onRead({
        appliedIndex: this.appliedIndex,
        floorAtInvoke: read.floorAtInvoke,
        how: 'readIndex',
        at: this.id,
      });
    }
  }

  /** For the liveness phase. */
  get commitIndex(): LogIndex {
    return this.core?.state.commitIndex ?? toLogIndex(0);
  }
}
