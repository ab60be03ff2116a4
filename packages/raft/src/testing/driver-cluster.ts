/**
 * Drivers in one process on a clock moved by hand, over a network that a test can cut, delay, double and replay, with
 * every message through the real codec. What is written, sent and applied when can be seen; nothing happens by itself.
 */
import {
  assert,
  type LogIndex,
  present,
  type RangeId,
  SeededPrng,
  type StoreId,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { decodeRaftMessage, encodeRaftMessage } from '../codec.ts';
import type { RaftLimits, SnapshotSendResult, SoftState } from '../core/raft-core.ts';
import { createMultiRaft } from '../driver/create-multi-raft.ts';
import type { DriverLimits } from '../driver/limits.ts';
import type {
  CommittedEntries,
  MultiRaft,
  SnapshotRequest,
  StateMachine,
} from '../driver/multi-raft.ts';
import type { Configuration, RaftMessage } from '../messages.ts';
import type { PeerMessage } from '../store-messages.ts';
import { MemoryLog } from './memory-log.ts';

interface Applied {
  index: LogIndex;
  commands: string[];
}

/** A state machine that notes what it is given, and can be held. */
export class NotingStateMachine implements StateMachine {
  readonly applied: Map<RangeId, Applied> = new Map();
  /** What `installSnapshot` will flip to. */
  readonly staged: Map<RangeId, Applied> = new Map();
  readonly softStates: Map<RangeId, SoftState> = new Map();
  readonly unknown: { readonly from: StoreId; readonly message: RaftMessage }[] = [];
  /** What becomes of a snapshot that is asked for. */
  onSnapshotWanted: (request: SnapshotRequest) => Promise<SnapshotSendResult> = () =>
    Promise.resolve({ ok: false, index: toLogIndex(0) });
  /** What a snapshot of any group is said to have. */
  stateSize = 0;
  batches = 0;
  /** Set: apply waits until `finish`. */
  hold = false;
  private finishApply: (() => void) | undefined;

  apply(batch: readonly CommittedEntries[]): Promise<void> {
    this.batches++;
    return new Promise((resolve) => {
      const done = (): void => {
        for (const entries of batch) this.take(entries);
        resolve();
      };
      if (this.hold) this.finishApply = done;
      else done();
    });
  }

  finish(): void {
    this.finishApply?.();
    this.finishApply = undefined;
  }

  onSoftState(rangeId: RangeId, state: SoftState): void {
    this.softStates.set(rangeId, state);
  }

  stateBytes(): number {
    return this.stateSize;
  }

  sendSnapshot(request: SnapshotRequest): Promise<SnapshotSendResult> {
    return this.onSnapshotWanted(request);
  }

  onUnknownGroup(from: StoreId, message: RaftMessage): void {
    this.unknown.push({ from, message });
  }

  of(rangeId: RangeId): Applied {
    let state = this.applied.get(rangeId);
    if (state === undefined) {
      state = { index: toLogIndex(0), commands: [] };
      this.applied.set(rangeId, state);
    }
    return state;
  }

  private take({ rangeId, snapshot, entries }: CommittedEntries): void {
    const state = this.of(rangeId);
    if (snapshot !== undefined) {
      const staged = this.staged.get(rangeId);
      assert(staged?.index === snapshot.lastIncludedIndex, 'what is flipped to is staged');
      this.applied.set(rangeId, { index: staged.index, commands: [...staged.commands] });
      return;
    }
    for (const entry of entries) {
      assert(entry.index === state.index + 1, 'entries come in order, once each');
      state.index = entry.index;
      if (entry.kind === 'command') state.commands.push(Buffer.from(entry.data).toString());
    }
  }
}

/** One life of a store. */
export class DriverNode {
  readonly storeId: StoreId;
  readonly incarnation: number;
  readonly machine: NotingStateMachine;
  readonly log: MemoryLog;
  readonly raft: MultiRaft;
  fatal: Error | undefined;
  /** Nothing of it leaves, nothing reaches it. */
  cut = false;
  sent = 0;

  constructor(cluster: DriverCluster, storeId: StoreId, before?: DriverNode) {
    this.storeId = storeId;
    this.incarnation = (before?.incarnation ?? 0) + 1;
    this.machine = new NotingStateMachine();
    this.log = before === undefined ? new MemoryLog(cluster.clock) : before.log.crash();
    this.raft = createMultiRaft({
      storeId,
      incarnation: this.incarnation,
      clock: cluster.clock,
      prng: new SeededPrng(storeId * 7919 + this.incarnation),
      wal: this.log,
      send: (to, message) => {
        this.sent++;
        if (cluster.node(storeId) === this && !this.cut) cluster.send(storeId, to, message);
      },
      stateMachine: this.machine,
      onFatal: (error) => {
        this.fatal = error;
      },
      limits: cluster.options.limits ?? {},
      driverLimits: cluster.options.driverLimits ?? {},
    });
    for (const rangeId of cluster.rangeIds)
      this.raft.addGroup({
        rangeId,
        self: toReplicaId(storeId),
        configuration: cluster.configuration,
        appliedIndex: toLogIndex(0),
        freshGroup: before === undefined,
      });
  }
}

export interface OnTheWire {
  readonly from: StoreId;
  readonly to: StoreId;
  readonly message: PeerMessage;
}

export interface DriverClusterOptions {
  readonly ranges: number;
  /** 3 unless told; every range has a voter on each. */
  readonly stores?: number;
  readonly limits?: Partial<RaftLimits>;
  readonly driverLimits?: Partial<DriverLimits>;
}

export class DriverCluster {
  readonly options: DriverClusterOptions;
  readonly clock: ManualClock = new ManualClock();
  readonly rangeIds: readonly RangeId[];
  readonly storeIds: readonly StoreId[];
  readonly configuration: Configuration;
  readonly nodes: DriverNode[] = [];
  /** Sent and not delivered. */
  wire: OnTheWire[] = [];
  /** False: the message is lost. Looked at when it is sent. */
  passes: (message: OnTheWire) => boolean = () => true;
  /** Everything that was sent since somebody last emptied it, lost or not. */
  history: OnTheWire[] = [];

  constructor(options: DriverClusterOptions) {
    this.options = options;
    this.rangeIds = Array.from({ length: options.ranges }, (_, i) => toRangeId(i + 1));
    this.storeIds = Array.from({ length: options.stores ?? 3 }, (_, i) => toStoreId(i + 1));
    const replicaIds = this.storeIds.map((id) => toReplicaId(id));
    this.configuration = {
      voters: replicaIds,
      votersOutgoing: [],
      learners: [],
      storeOf: new Map(this.storeIds.map((id) => [toReplicaId(id), id])),
    };
    for (const id of this.storeIds) this.nodes.push(new DriverNode(this, id));
  }

  node(id: number): DriverNode {
    return present(this.nodes[id - 1], `node ${id}`);
  }

  /** The process dies and starts again: what was not synced is gone, and so is everything in memory. */
  restart(id: number): DriverNode {
    const before = this.node(id);
    const node = new DriverNode(this, before.storeId, before);
    this.nodes[id - 1] = node;
    return node;
  }

  send(from: StoreId, to: StoreId, message: PeerMessage): void {
    const decoded = decodeRaftMessage(encodeRaftMessage(message));
    assert(decoded.ok, 'the codec reads what it writes', { kind: message.kind });
    const sent = { from, to, message: decoded.message };
    this.history.push(sent);
    if (this.passes(sent)) this.wire.push(sent);
  }

  /** Delivers a message, now, whatever became of it before. */
  deliver({ from, to, message }: OnTheWire): void {
    const target = this.node(to);
    if (!target.cut) target.raft.receive(from, [message]);
  }

  /** Lets everything happen that can happen without time passing. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      this.clock.runTurn();
      const wire = this.wire;
      this.wire = [];
      for (const message of wire) this.deliver(message);
      await new Promise((resolve) => setImmediate(resolve));
      this.clock.runTurn();
      quiet = wire.length === 0 && this.wire.length === 0 ? quiet + 1 : 0;
    }
  }

  async run(ms: number, stepMs = 10): Promise<void> {
    for (let at = 0; at < ms; at += stepMs) {
      this.clock.advance(stepMs);
      await this.settle();
    }
  }

  /** Of the newest term, among stores that are not cut off. */
  leader(rangeId: RangeId = toRangeId(1)): DriverNode | undefined {
    let best: DriverNode | undefined;
    let bestTerm = -1;
    for (const node of this.nodes) {
      const state = node.machine.softStates.get(rangeId);
      if (node.cut || state?.role !== 'leader' || state.term <= bestTerm) continue;
      best = node;
      bestTerm = state.term;
    }
    return best;
  }

  async elected(): Promise<void> {
    for (let i = 0; i < 400 && this.rangeIds.some((id) => this.leader(id) === undefined); i++)
      await this.run(10);
    for (const id of this.rangeIds)
      assert(this.leader(id) !== undefined, 'a leader', { range: id });
    await this.run(50);
  }

  propose(rangeId: RangeId, command: string): void {
    const result = this.leader(rangeId)?.raft.propose(rangeId, Buffer.from(command));
    assert(result?.ok === true, 'the leader takes a command', { range: rangeId });
  }

  commands(id: number, rangeId: RangeId): readonly string[] {
    return this.node(id).machine.applied.get(rangeId)?.commands ?? [];
  }
}
