/**
 * One group of cores where nothing happens by itself: a test moves time, takes Readys, completes writes and delivers
 * messages one by one. Everything that happens is also written down as lines, for golden scripts. Every step is
 * followed by `checkInvariants` and `checkTransition`.
 */
import {
  assert,
  type Prng,
  present,
  type ReplicaId,
  type Term,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTerm,
} from '@flotilla/base';
import { createRaftCore, RaftMachine } from '../core/core.ts';
import { checkInvariants, checkTransition, type Moment, momentOf } from '../core/invariants.ts';
import { defaultLimits, defaultTimings } from '../core/limits.ts';
import { configurationOf } from '../core/membership.ts';
import type {
  ChangeResult,
  ConfigurationChange,
  RaftLimits,
  RaftTimings,
  Ready,
  SnapshotSendResult,
} from '../core/raft-core.ts';
import type { Configuration, RaftMessage, SnapshotPoint } from '../messages.ts';
import { formatMessage, formatReady } from './format.ts';
import { MemoryLogStorage } from './memory-log-storage.ts';

export interface ManualGroupOptions {
  /** 1..n. 3 unless told. */
  readonly voters?: number;
  readonly learners?: number;
  /** Voters of the outgoing configuration: joint consensus. */
  readonly votersOutgoing?: readonly number[];
  /** Replicas that are no members. They have no state: a leader's messages call them into being. */
  readonly spares?: number;
  /** False: every replica behaves as after a restart. */
  readonly freshGroup?: boolean;
  readonly limits?: Partial<RaftLimits>;
  readonly timings?: Partial<RaftTimings>;
}

export interface ManualReplica {
  readonly id: ReplicaId;
  readonly disk: MemoryLogStorage;
  core: RaftMachine | undefined;
  /** Taken and not synced, oldest first. */
  unsynced: Ready[];
  applied: number;
  /** The state machine's configuration at `applied`. */
  configuration: Configuration | undefined;
  moment: Moment | undefined;
}

/** Which messages: undefined = any. */
export interface MessageFilter {
  readonly from?: number;
  readonly to?: number;
  readonly kind?: RaftMessage['kind'];
}

type WithoutEnvelope<M> = M extends RaftMessage ? Omit<M, 'rangeId' | 'from' | 'to'> : never;
/** A message without its envelope. */
export type MessageBody = WithoutEnvelope<RaftMessage>;

/** Draws the same fraction for ever: replica 1 times out first, then 2, … */
function constantPrng(fraction: number): Prng {
  return {
    nextUint32: () => 0,
    nextFloat: () => fraction,
    nextBelow: (bound) => Math.floor(fraction * bound),
  };
}

export class ManualGroup {
  now = 10_000;
  /** Sent and not delivered, in order. */
  network: RaftMessage[] = [];
  /** What happened since somebody last emptied it. */
  events: string[] = [];
  readonly replicas: readonly ManualReplica[];
  private readonly options: ManualGroupOptions;

  constructor(options: ManualGroupOptions = {}) {
    this.options = options;
    const founders = (options.voters ?? 3) + (options.learners ?? 0);
    const count = founders + (options.spares ?? 0);
    const configuration = this.founding(founders);
    this.replicas = Array.from({ length: count }, (_, i) => ({
      id: toReplicaId(i + 1),
      disk: new MemoryLogStorage(),
      core: undefined,
      unsynced: [],
      applied: 0,
      configuration: i < founders ? configuration : undefined,
      moment: undefined,
    }));
  }

  /** Sets what a replica's disk holds before it starts: the terms of its entries from index 1. */
  setLog(id: number, terms: readonly number[], hard: { term?: number; vote?: number } = {}): void {
    const { disk, core } = this.replica(id);
    assert(core === undefined, 'the replica has not started');
    const last = terms[terms.length - 1] ?? 0;
    disk.write({
      hardState: {
        currentTerm: toTerm(hard.term ?? last),
        votedFor: hard.vote === undefined ? undefined : toReplicaId(hard.vote),
        commitIndex: toLogIndex(0),
      },
      entries: terms.map((term, i) => ({
        index: toLogIndex(i + 1),
        term: toTerm(term),
        kind: 'command' as const,
        data: Buffer.from(`${term}.${i + 1}`, 'latin1'),
      })),
    });
  }

  private get founders(): readonly number[] {
    const { voters = 3, learners = 0 } = this.options;
    return Array.from({ length: voters + learners }, (_, i) => i + 1);
  }

  /** Ids of the replicas that run. */
  private get running(): readonly number[] {
    return this.replicas.filter((each) => each.core !== undefined).map((each) => each.id);
  }

  /** Starts founders. */
  start(ids: readonly number[] = this.founders): this {
    const { freshGroup = true } = this.options;
    for (const id of ids) this.startOne(this.replica(id), freshGroup);
    return this;
  }

  private founding(founders: number): Configuration {
    const { voters = 3, votersOutgoing = [] } = this.options;
    const ids = Array.from({ length: founders }, (_, i) => toReplicaId(i + 1));
    return {
      voters: ids.slice(0, voters),
      votersOutgoing: votersOutgoing.map(toReplicaId),
      learners: ids.slice(voters),
      storeOf: new Map(ids.map((id) => [id, toStoreId(id)])),
    };
  }

  private startOne(replica: ManualReplica, freshGroup: boolean): void {
    const core = createRaftCore(
      {
        rangeId: toRangeId(1),
        self: replica.id,
        configuration: replica.configuration,
        hardState: replica.disk.hardState,
        storage: replica.disk,
        appliedIndex: toLogIndex(replica.applied),
        now: this.now,
        freshGroup: freshGroup && replica.configuration !== undefined,
        timings: { ...defaultTimings, ...this.options.timings },
        limits: { ...defaultLimits, ...this.options.limits },
      },
      constantPrng(((replica.id - 1) * 0.3) % 1),
    );
    assert(core instanceof RaftMachine, 'the core is the one of this package');
    replica.core = core;
    replica.moment = momentOf(core);
    this.check(replica);
  }

  replica(id: number): ManualReplica {
    return present(this.replicas[id - 1], `replica ${id}`);
  }

  core(id: number): RaftMachine {
    return present(this.replica(id).core, `core of replica ${id}`);
  }

  /** Hands `action` to a core and checks it afterwards. */
  act<Result>(id: number, action: (core: RaftMachine, now: number) => Result): Result {
    const result = action(this.core(id), this.now);
    this.check(this.replica(id));
    return result;
  }

  /** Gives a replica a message as if `from` had sent it. */
  step(from: number, to: number, body: MessageBody): void {
    const message = {
      rangeId: toRangeId(1),
      from: toReplicaId(from),
      to: toReplicaId(to),
      ...body,
    } as RaftMessage;
    this.act(to, (core, now) => core.step(message, now));
  }

  propose(id: number, text: string): ReturnType<RaftMachine['propose']> {
    return this.act(id, (core, now) => core.propose(Buffer.from(text, 'latin1'), now));
  }

  /** Takes one Ready; its first messages enter the network at once. */
  take(id: number): Ready | undefined {
    const replica = this.replica(id);
    const ready = this.act(id, (core, now) => core.takeReady(now));
    if (ready === undefined) return undefined;
    for (const line of formatReady(ready)) this.note(id, line);
    for (const message of ready.messages) this.send(message);
    replica.unsynced.push(ready);
    return ready;
  }

  /** Completes the oldest write, releases what waited for it, applies what was committed. */
  sync(id: number): void {
    const replica = this.replica(id);
    const ready = replica.unsynced.shift();
    if (ready === undefined) return;
    replica.disk.write(ready);
    if (ready.snapshot !== undefined) this.flip(replica, ready.snapshot);
    for (const message of ready.messagesAfterPersist) this.send(message);
    if (ready.mustSync) this.act(id, (core, now) => core.advance(ready, now));
    if (ready.snapshot !== undefined)
      this.act(id, (core, now) => core.appliedTo(toLogIndex(replica.applied), now));
    for (const entry of ready.committed)
      if (entry.kind === 'configuration') replica.configuration = configurationOf(entry);
    const last = ready.committed[ready.committed.length - 1];
    if (last === undefined) return;
    replica.applied = last.index;
    this.act(id, (core, now) => core.appliedTo(last.index, now));
  }

  /** The state machine changes over to a staged snapshot. */
  private flip(replica: ManualReplica, snapshot: SnapshotPoint): void {
    replica.applied = snapshot.lastIncludedIndex;
    replica.configuration = snapshot.configuration;
  }

  /** A spare comes into being. */
  create(id: number): void {
    this.startOne(this.replica(id), false);
  }

  change(id: number, change: ConfigurationChange): ChangeResult {
    return this.act(id, (core, now) => core.changeConfiguration(change, now));
  }

  addLearner(id: number, learner: number): ChangeResult {
    const replicaId = toReplicaId(learner);
    return this.change(id, { kind: 'addLearner', replicaId, storeId: toStoreId(learner) });
  }

  removeLearner(id: number, learner: number): ChangeResult {
    return this.change(id, { kind: 'removeLearner', replicaId: toReplicaId(learner) });
  }

  changeVoters(id: number, promote: readonly number[], demote: readonly number[]): ChangeResult {
    return this.change(id, {
      kind: 'changeVoters',
      promote: promote.map(toReplicaId),
      demote: demote.map(toReplicaId),
    });
  }

  /** What `id` has applied, as a snapshot of the term it is in. */
  snapshotOf(id: number): SnapshotPoint {
    const { applied, configuration } = this.replica(id);
    const { state } = this.core(id);
    return {
      from: toReplicaId(id),
      term: state.currentTerm,
      lastIncludedIndex: toLogIndex(applied),
      lastIncludedTerm: state.log.term(applied),
      configuration: present(configuration, 'configuration'),
    };
  }

  /** The staged state of `from` is offered to `to`'s core. */
  install(from: number, to: number, snapshot: SnapshotPoint = this.snapshotOf(from)): boolean {
    return this.act(to, (core, now) => core.installSnapshot(snapshot, now));
  }

  /** The leader hears what became of its snapshot. */
  sent(id: number, to: number, result: SnapshotSendResult): void {
    this.act(id, (core, now) => core.snapshotSent(toReplicaId(to), result, now));
  }

  compact(id: number, index: number): void {
    const at = toLogIndex(index);
    this.act(id, (core) => core.compact(at));
    this.replica(id).disk.compact(at);
  }

  /** Takes and syncs until the replica has nothing more to do. */
  run(id: number): void {
    if (this.replica(id).core === undefined) return;
    for (let turn = 0; ; turn++) {
      assert(turn < 1000, 'a replica comes to rest');
      while (this.replica(id).unsynced.length > 0) this.sync(id);
      if (this.take(id) === undefined) return;
    }
  }

  /** Delivers the messages that are there now and match. */
  deliver(filter: MessageFilter = {}): number {
    const chosen = this.network.filter((message) => matches(message, filter));
    this.network = this.network.filter((message) => !matches(message, filter));
    for (const message of chosen) {
      const { core } = this.replica(message.to);
      if (core !== undefined) this.act(message.to, () => core.step(message, this.now));
    }
    return chosen.length;
  }

  /** Removes messages from the network. */
  drop(filter: MessageFilter = {}): readonly RaftMessage[] {
    const dropped = this.network.filter((message) => matches(message, filter));
    this.network = this.network.filter((message) => !matches(message, filter));
    return dropped;
  }

  /** Runs and delivers among `ids` until nothing moves. Messages to others stay in the network. */
  settle(ids: readonly number[] = this.running): void {
    for (let turn = 0; ; turn++) {
      assert(turn < 1000, 'a group comes to rest');
      for (const id of ids) this.run(id);
      let moved = 0;
      for (const to of ids) for (const from of ids) moved += this.deliver({ from, to });
      if (moved === 0) return;
    }
  }

  wait(ms: number): void {
    this.now += ms;
  }

  tick(id: number): void {
    this.act(id, (core, now) => core.tick(now));
  }

  /** Makes `id` leader of a group that knows none yet: waits for its deadline and lets `ids` answer. */
  elect(id: number, ids: readonly number[] = this.running): Term {
    for (let turn = 0; this.core(id).state.role.kind !== 'leader'; turn++) {
      assert(turn < 10, 'an election comes to an end');
      const until = Math.max(...ids.map((each) => this.core(each).state.promisedUntilMs));
      this.now = Math.max(this.now, until, this.core(id).nextDeadline());
      this.tick(id);
      this.settle(ids);
    }
    return this.core(id).state.currentTerm;
  }

  /** A heartbeat interval passes for a leader; `ids` hear of it. */
  beat(id: number, ids?: readonly number[]): void {
    this.now = Math.max(this.now, this.core(id).nextDeadline());
    this.tick(id);
    this.settle(ids);
  }

  /** Loses everything that was not synced. */
  crash(id: number): void {
    const replica = this.replica(id);
    replica.core = undefined;
    replica.unsynced = [];
  }

  restart(id: number): void {
    this.startOne(this.replica(id), false);
  }

  /** Terms of a replica's log from index 1, for comparison with the paper's figures. */
  terms(id: number): number[] {
    const { log } = this.core(id).state;
    const terms: number[] = [];
    for (let i = 1; i <= log.lastIndex; i++) terms.push(log.term(i));
    return terms;
  }

  private send(message: RaftMessage): void {
    this.network.push(message);
    this.events.push(formatMessage(message));
  }

  private note(id: number, line: string): void {
    this.events.push(`r1/${id} ${line}`);
  }

  private check(replica: ManualReplica): void {
    const { core } = replica;
    if (core === undefined) return;
    checkInvariants(core);
    const moment = momentOf(core);
    if (replica.moment !== undefined) checkTransition(replica.moment, moment);
    replica.moment = moment;
  }
}

function matches(message: RaftMessage, filter: MessageFilter): boolean {
  return (
    (filter.from === undefined || message.from === filter.from) &&
    (filter.to === undefined || message.to === filter.to) &&
    (filter.kind === undefined || message.kind === filter.kind)
  );
}
