/**
 * A random cluster of 1 to 7 cores in one process on virtual time. A seed decides everything: the network drops, doubles,
 * delays, reorders and cuts messages, also one way; replicas crash, restart, pause and stall; members come, are promoted,
 * demoted and go, logs are compacted under slow ones, snapshots are lost; clients write, read by lease and by ReadIndex,
 * also at followers, and move leadership. Every step is checked by `ClusterChecks` and `checkInvariants`. At the end the
 * faults stop and the group must heal and serve.
 */
import {
  assert,
  InvariantViolation,
  type Prng,
  type ReplicaId,
  SeededPrng,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import { decodeRaftMessage, encodeRaftMessage } from '../codec.ts';
import type { RaftMachine } from '../core/core.ts';
import { defaultTimings } from '../core/limits.ts';
import type { RaftLimits, SnapshotSendResult } from '../core/raft-core.ts';
import type { Configuration, RaftMessage, SnapshotPoint } from '../messages.ts';
import { isStoreMessage } from '../store-messages.ts';
import { ClusterChecks } from './cluster-checks.ts';
import { ClusterNode, type NodeContext, type Sabotage } from './cluster-node.ts';
import { EventQueue } from './event-queue.ts';
import type { MemoryLogStorage } from './memory-log-storage.ts';

export interface RaftClusterOptions {
  readonly seed: number;
  /** 3 unless told. */
  readonly voters?: number;
  /** Length of the phase with faults, virtual. 12,000 unless told. */
  readonly faultsMs?: number;
  /** Mean pause between a client's operations, virtual. 40 unless told. */
  readonly clientPauseMs?: number;
  /** 5 or 300 unless told: with hardly any jitter, votes split. */
  readonly electionJitterMs?: number;
  /** How often a voter loses power right after its vote has left. 12 unless told. */
  readonly crashAfterVotePercent?: number;
  /** True unless told: members come and go. */
  readonly membership?: boolean;
  /** Every message passes through the codec. */
  readonly encode?: boolean;
  readonly sabotage?: Sabotage;
}

/** What a run has seen: proof that it was not idle. */
export interface ClusterReport {
  readonly seed: number;
  readonly steps: number;
  readonly terms: number;
  readonly committed: number;
  readonly acknowledgedWrites: number;
  readonly leaseReads: number;
  readonly indexReads: number;
  readonly refusedLeaseReads: number;
  readonly crashes: number;
  readonly transfers: number;
  readonly configurations: number;
  readonly snapshots: number;
  readonly followerReads: number;
  /** A digest of every step, to prove that a seed replays. */
  readonly digest: number;
}

/** Many times what a run needs. */
const stepsMax = 1_000_000;

/** Replicas that a run may have, one after the other and at the same time. */
const replicasMax = 40;
const membersMax = 7;

/** A directed link. */
function linkOf(from: ReplicaId, to: ReplicaId): number {
  return from * (replicasMax + 1) + to;
}

export class RaftCluster {
  private readonly seed: number;
  private readonly queue = new EventQueue();
  private readonly checks = new ClusterChecks();
  private readonly prng: Prng;
  /** nodes[i] is replica i + 1; members that were removed stay, and may disturb. */
  private readonly nodes: ClusterNode[] = [];
  private readonly disks = new Map<ReplicaId, MemoryLogStorage>();
  private readonly context: NodeContext;
  private readonly membership: boolean;
  private readonly encode: boolean;
  private readonly faultsMs: number;
  private readonly clientPauseMs: number;
  private readonly crashAfterVotePercent: number;
  /** Links that are cut. */
  private readonly cuts = new Set<number>();
  /** Added delay of links. */
  private readonly slowLinks = new Map<number, number>();
  private lossPercent = 0;
  private slowPercent = 0;
  private faulty = true;
  private steps = 0;
  private crashes = 0;
  private transfers = 0;
  private digest = 0;
  private nextPayload = 1;

  constructor(options: RaftClusterOptions) {
    this.seed = options.seed;
    this.prng = new SeededPrng(options.seed, 1);
    this.encode = options.encode ?? false;
    this.faultsMs = options.faultsMs ?? 12_000;
    this.clientPauseMs = options.clientPauseMs ?? 40;
    this.crashAfterVotePercent = options.crashAfterVotePercent ?? 12;
    const electionJitterMs = options.electionJitterMs ?? (this.prng.nextBelow(3) === 0 ? 5 : 300);
    const voters = Array.from({ length: options.voters ?? 3 }, (_, i) => toReplicaId(i + 1));
    assert(voters.length <= 7, 'a cluster has at most 7 voters');
    this.membership = options.membership ?? true;
    this.context = {
      queue: this.queue,
      prng: this.prng,
      checks: this.checks,
      sabotage: options.sabotage ?? {},
      coreOptions: {
        rangeId: toRangeId(1),
        timings: { ...defaultTimings, electionJitterMs },
        limits: this.chooseLimits(),
      },
      send: (message: RaftMessage): void => this.send(message),
      sendSnapshot: (to, snapshot, staged): void => this.sendSnapshot(to, snapshot, staged),
      afterStep: (node: ClusterNode, core: RaftMachine): void => this.afterStep(node, core),
    };
    const storeOf = new Map(voters.map((id) => [id, toStoreId(id)]));
    for (let i = 0; i < voters.length; i++)
      this.addNode({ voters, votersOutgoing: [], learners: [], storeOf });
  }

  /** @param configuration undefined = a replica without a state */
  private addNode(configuration: Configuration | undefined): ClusterNode {
    const node = new ClusterNode(toReplicaId(this.nodes.length + 1), configuration, this.context);
    this.nodes.push(node);
    this.disks.set(node.id, node.disk);
    return node;
  }

  /** Runs both phases. Throws InvariantViolation, naming the seed, at the first breach. */
  run(): ClusterReport {
    try {
      for (const node of this.nodes) node.start(true);
      this.scheduleClient();
      this.scheduleNemesis();
      this.runUntil(this.faultsMs);
      this.heal();
      this.awaitService();
    } catch (error) {
      if (error instanceof InvariantViolation)
        error.message += ` (seed ${this.seed}, at ${this.queue.nowMs().toFixed(1)} ms)`;
      throw error;
    }
    return this.report();
  }

  private report(): ClusterReport {
    const sum = (measure: (node: ClusterNode) => number): number =>
      this.nodes.reduce((total, node) => total + measure(node), 0);
    return {
      seed: this.seed,
      steps: this.steps,
      terms: Math.max(...this.nodes.map((node) => node.disk.hardState.currentTerm)),
      committed: this.checks.committedIndex,
      acknowledgedWrites: sum((node) => node.acknowledgedWrites),
      leaseReads: sum((node) => node.servedReads.lease),
      indexReads: sum((node) => node.servedReads.readIndex),
      refusedLeaseReads: sum((node) => node.servedReads.refused),
      crashes: this.crashes,
      transfers: this.transfers,
      configurations: this.checks.changes,
      snapshots: sum((node) => node.snapshotsInstalled),
      followerReads: sum((node) => node.followerReads),
      digest: this.digest,
    };
  }

  /** Cruel limits in some runs. */
  private chooseLimits(): RaftLimits {
    const cruel = (): boolean => this.prng.nextBelow(3) === 0;
    return {
      appendBytesMax: cruel() ? 1 : 200,
      inflightMessagesMax: cruel() ? 1 : 16,
      inflightBytesMax: cruel() ? 1 : 1000,
      uncommittedBytesMax: cruel() ? 30 : 2000,
      cachedBytesMax: cruel() ? 0 : 100,
      applyBytesMax: cruel() ? 1 : 500,
      pendingReadsMax: cruel() ? 2 : 64,
    };
  }

  private runUntil(untilMs: number): void {
    while (this.queue.runNext(untilMs));
  }

  private afterStep(node: ClusterNode, core: RaftMachine): void {
    this.steps++;
    assert(this.steps < stepsMax, 'a run does not spin', { steps: this.steps });
    const { state } = core;
    this.digest =
      (Math.imul(this.digest, 31) +
        node.id +
        state.currentTerm * 7 +
        state.commitIndex * 13 +
        state.log.lastIndex) |
      0;
    this.checks.afterStep(core, this.disks);
    let holder: ReplicaId | undefined;
    for (const each of this.nodes) {
      if (each.core?.leaseValid(each.localNow()) !== true) continue;
      this.checks.checkLeases(holder, each.id);
      holder = each.id;
    }
  }

  private send(message: RaftMessage): void {
    if (message.kind === 'requestVoteResponse') this.checks.onVote(message);
    if (this.cuts.has(linkOf(message.from, message.to))) return;
    const { prng } = this;
    if (prng.nextBelow(100) < this.lossPercent) return;
    if (this.faulty && this.crashesAfter(message))
      this.queue.schedule(0, () => this.crash(this.nodeOf(message.from), 0.1));
    const copies = this.faulty && prng.nextBelow(30) === 0 ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const addedMs = this.slowLinks.get(linkOf(message.from, message.to)) ?? 0;
      let delayMs = 0.2 + prng.nextFloat() * 2 + addedMs * prng.nextFloat();
      if (prng.nextBelow(100) < this.slowPercent) delayMs += prng.nextFloat() ** 3 * 3000;
      this.queue.schedule(delayMs, () => this.deliver(message));
    }
  }

  private deliver(message: RaftMessage): void {
    const node = this.nodes[message.to - 1];
    if (node === undefined) return;
    // A leader's word calls a replica into being.
    if (!node.isUp && !node.hasStarted && message.kind === 'appendEntriesRequest')
      node.start(false);
    if (!this.encode) {
      node.receive(message);
      return;
    }
    const decoded = decodeRaftMessage(encodeRaftMessage(message));
    assert(decoded.ok, 'the codec reads what it writes', { kind: message.kind });
    assert(!isStoreMessage(decoded.message), 'a message of a group stays one');
    node.receive(decoded.message);
  }

  private crashesAfter(message: RaftMessage): boolean {
    return (
      message.kind === 'requestVoteResponse' &&
      this.prng.nextBelow(100) < this.crashAfterVotePercent
    );
  }

  private nodeOf(replica: ReplicaId): ClusterNode {
    const node = this.nodes[replica - 1];
    assert(node !== undefined, 'only replicas send');
    return node;
  }

  private leaders(): ClusterNode[] {
    return this.nodes.filter((node) => node.core?.state.role.kind === 'leader');
  }

  private jointLeaders(): ClusterNode[] {
    return this.leaders().filter((node) => node.core?.status(node.localNow()).configurationPending);
  }

  private pick<T>(items: readonly T[]): T | undefined {
    return items[this.prng.nextBelow(Math.max(1, items.length))];
  }

  private scheduleClient(): void {
    this.queue.schedule(this.prng.nextFloat() * 2 * this.clientPauseMs, () => {
      this.clientOperation();
      if (this.queue.nowMs() < this.faultsMs) this.scheduleClient();
    });
  }

  private clientOperation(): void {
    const { prng } = this;
    const node = prng.nextBelow(8) === 0 ? this.pick(this.nodes) : this.pick(this.leaders());
    if (node === undefined) return;
    for (let burst = prng.nextBelow(3); burst >= 0; burst--) {
      if (this.membership && prng.nextBelow(12) === 0) {
        this.changeMembers();
        continue;
      }
      switch (prng.nextBelow(4)) {
        case 0:
          node.readByLease(prng.nextBelow(4) === 0 ? prng.nextFloat() * 1500 : 0);
          break;
        case 1:
          (prng.nextBelow(3) === 0 ? this.pick(this.nodes) : node)?.readByIndex();
          break;
        default:
          node.propose(this.command());
      }
    }
  }

  private command(): Uint8Array {
    const data = new Uint8Array(4 + this.prng.nextBelow(30));
    new DataView(data.buffer).setUint32(0, this.nextPayload++);
    return data;
  }

  /** Asks a leader for some change that may make sense. */
  private changeMembers(): void {
    const { prng } = this;
    const leader = this.pick(this.leaders());
    const configuration = leader?.core?.configuration;
    if (leader === undefined || configuration === undefined) return;
    const { voters, learners, storeOf } = configuration;
    const some = (replicas: readonly ReplicaId[]): ReplicaId[] =>
      replicas.filter(() => prng.nextBelow(3) === 0);
    switch (prng.nextBelow(4)) {
      case 0: {
        if (storeOf.size >= membersMax || this.nodes.length >= replicasMax) return;
        if (leader.core?.status(leader.localNow()).configurationPending !== false) return;
        const { id } = this.addNode(undefined);
        leader.changeConfiguration({ kind: 'addLearner', replicaId: id, storeId: toStoreId(id) });
        return;
      }
      case 1: {
        const replicaId = this.pick(learners);
        if (replicaId !== undefined && prng.nextBelow(2) === 0)
          leader.changeConfiguration({ kind: 'removeLearner', replicaId });
        return;
      }
      default:
        leader.changeConfiguration({
          kind: 'changeVoters',
          promote: prng.nextBelow(4) > 0 ? learners : some(learners),
          demote: prng.nextBelow(2) === 0 ? some(voters) : [],
        });
    }
  }

  /** The state travels, arrives late, or does not arrive; and so does the news of it. */
  private sendSnapshot(
    to: ReplicaId,
    snapshot: SnapshotPoint,
    staged: (result: SnapshotSendResult) => void,
  ): void {
    const { prng } = this;
    const failed = { ok: false, index: toLogIndex(0) };
    const failSoon = (): void => this.queue.schedule(prng.nextFloat() * 500, () => staged(failed));
    if (this.faulty && prng.nextBelow(5) === 0) {
      failSoon();
      return;
    }
    const delayMs = this.faulty && prng.nextBelow(4) === 0 ? prng.nextFloat() * 4000 : 20;
    this.queue.schedule(prng.nextFloat() * delayMs, () => {
      const node = this.nodes[to - 1];
      if (node === undefined || !node.isUp || this.cuts.has(linkOf(snapshot.from, to))) {
        failSoon();
        return;
      }
      let told = false;
      const tell = (result: SnapshotSendResult): void => {
        if (told) return;
        told = true;
        staged(this.faulty && prng.nextBelow(5) === 0 ? failed : result);
      };
      node.receiveSnapshot(snapshot, tell);
      this.queue.schedule(5000, () => tell(failed)); // its process died, or the way back is cut
    });
  }

  private scheduleNemesis(): void {
    this.queue.schedule(50 + this.prng.nextFloat() * 700, () => {
      if (!this.faulty) return;
      this.nemesis();
      if (this.queue.nowMs() < this.faultsMs) this.scheduleNemesis();
    });
  }

  private nemesis(): void {
    const { prng } = this;
    const victim = prng.nextBelow(2) === 0 ? this.pick(this.leaders()) : this.pick(this.nodes);
    if (victim === undefined) return;
    switch (prng.nextBelow(14)) {
      case 0:
        this.partition();
        return;
      case 1:
        this.cutOneWay(victim);
        return;
      case 2:
      case 3:
        this.cuts.clear();
        this.slowLinks.clear();
        return;
      case 4:
      case 5:
        this.crash(prng.nextBelow(3) === 0 ? (this.pick(this.jointLeaders()) ?? victim) : victim);
        return;
      case 6:
        this.pause(victim);
        return;
      case 7:
        this.transfers++;
        victim.transfer(this.pick(victim.core?.state.members ?? []) ?? victim.id);
        if (prng.nextBelow(2) === 0)
          this.queue.schedule(prng.nextFloat() * 8, () => this.pause(victim));
        return;
      case 8:
        victim.stallDisk(this.queue.nowMs() + prng.nextFloat() * 3000);
        return;
      case 9:
        this.lossPercent = prng.nextBelow(4) === 0 ? 30 : prng.nextBelow(5);
        this.slowPercent = prng.nextBelow(3) === 0 ? 20 : prng.nextBelow(3);
        return;
      case 10: // all that stays of the old promises is on disk
        for (const node of this.nodes) {
          if (node === victim && prng.nextBelow(2) === 0) this.isolate(victim);
          else this.crash(node);
        }
        return;
      case 11: // hears the past for a while, and is not heard
        for (const other of this.nodes) this.slowLinks.set(linkOf(other.id, victim.id), 4000);
        this.queue.schedule(prng.nextFloat() * 1500, () => {
          if (!this.faulty) return;
          for (const other of this.nodes) this.cuts.add(linkOf(victim.id, other.id));
        });
        return;
      case 12:
        for (const other of this.nodes) this.slowLinks.set(linkOf(victim.id, other.id), 4000);
        return;
      default:
        victim.flush();
    }
  }

  private pause(node: ClusterNode): void {
    node.stop();
    this.queue.schedule(this.prng.nextFloat() * 2500, () => node.resume());
  }

  /** The victim speaks and hears nothing, or the reverse, link by link. */
  private cutOneWay(victim: ClusterNode): void {
    for (const other of this.nodes) {
      const deaf = this.prng.nextBelow(2) === 0;
      this.cuts.add(deaf ? linkOf(other.id, victim.id) : linkOf(victim.id, other.id));
    }
  }

  private isolate(victim: ClusterNode): void {
    for (const other of this.nodes) {
      this.cuts.add(linkOf(other.id, victim.id));
      this.cuts.add(linkOf(victim.id, other.id));
    }
  }

  private partition(): void {
    this.cuts.clear();
    const side = this.nodes.map(() => this.prng.nextBelow(2));
    for (const [i, from] of this.nodes.entries())
      for (const [j, to] of this.nodes.entries())
        if (side[i] !== side[j]) this.cuts.add(linkOf(from.id, to.id));
  }

  private crash(node: ClusterNode, downMs: number = this.prng.nextFloat() ** 4 * 3000): void {
    if (!node.isUp) return;
    node.crash();
    this.crashes++;
    this.queue.schedule(downMs, () => {
      if (!node.isUp) node.start(false);
    });
  }

  private heal(): void {
    this.faulty = false;
    this.cuts.clear();
    this.slowLinks.clear();
    this.lossPercent = 0;
    this.slowPercent = 0;
    for (const node of this.nodes) {
      if (!node.isUp && node.hasStarted) node.start(false);
      node.resume();
      node.stallDisk(0);
    }
  }

  /**
   * Within 10 s of peace: one leader, no change under way, new writes applied by every member, a lease, and an answer to
   * every read.
   */
  private awaitService(): void {
    const untilMs = this.queue.nowMs() + 10_000;
    let written: number | undefined;
    while (this.queue.nowMs() < untilMs) {
      this.runUntil(this.queue.nowMs() + 100);
      const leader = this.leaders().find((node) => node.core?.leaseValid(node.localNow()));
      if (leader === undefined) continue;
      const status = leader.core?.status(leader.localNow());
      if (status === undefined || status.configurationPending) continue;
      if (written === undefined || leader.commitIndex < written) {
        if (leader.propose(this.command()))
          written = leader.core?.state.log.lastIndex ?? Number.NaN;
        leader.readByIndex();
        continue;
      }
      const wanted = written;
      const members = this.nodes.filter((node) => status.configuration?.storeOf.has(node.id));
      if (members.some((node) => node.appliedIndex < wanted)) continue;
      // A replica that was removed may wait for ever for what it will not get.
      if (members.every((node) => node.unansweredReads === 0)) return;
    }
    assert(false, 'liveness: a healed group serves within 10 s', {
      nodes: this.nodes.map((node) => ({
        role: node.core?.state.role.kind,
        term: node.core?.state.currentTerm,
        last: node.core?.state.log.lastIndex,
        commit: node.commitIndex,
        applied: node.appliedIndex,
        configuration: node.core?.configuration,
        progress: node.core?.status(node.localNow()).progress,
        unanswered: node.unansweredReads,
      })),
    });
  }
}
