/**
 * Changes of members that this store's leaseholders carry out: one at a time per range, step by step (`next-step.ts`),
 * each step decided anew from what is applied. Also takes away what an earlier leaseholder left behind: voters that were
 * demoted at once, learners that nobody promotes after a while. Joint configurations are left by consensus itself.
 */
import type { Clock, Logger, RangeId, StoreId, Timer } from '@flotilla/base';
import type { ChangeResult, ConfigurationChange, MultiRaft } from '@flotilla/raft';
import { type RangeDescriptor, ReplicaRole } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { isJoint } from './configuration.ts';
import { type MembershipGoal, type MembershipStep, nextStep } from './next-step.ts';

export type ChangeOutcome =
  | { readonly kind: 'done'; readonly descriptor: RangeDescriptor }
  /** Asked again at the leaseholder it goes on. */
  | { readonly kind: 'notLeaseholder' }
  /** Another change is under way. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'failed'; readonly reason: string; readonly descriptor: RangeDescriptor };

export interface MembershipChangesOptions {
  readonly storeId: StoreId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly raft: Pick<MultiRaft, 'status' | 'changeConfiguration' | 'transferLeadership'>;
  /** A snapshot of the range is on its way to somebody. */
  readonly isSending: (rangeId: RangeId) => boolean;
  /** Snapshots of the range that failed half-way, since the last that arrived. */
  readonly failedSends: (rangeId: RangeId) => FailedSends | undefined;
  readonly strayLearnerMs: number;
}

export interface FailedSends {
  readonly count: number;
  /** Of the last. */
  readonly reason: string;
}

interface UnderWay {
  readonly goal: MembershipGoal;
  readonly outcome: Promise<ChangeOutcome>;
}

/** Unit: ms. */
const pollMs = 50;
const sweepMs = 1000;
/** A change whose snapshots fail so often half-way is given up: what is sent again and again is no progress. */
const failedSendsMax = 5;

export class MembershipChanges {
  private readonly options: MembershipChangesOptions;
  private readonly underWay = new Map<RangeId, UnderWay>();
  /** When learners that nobody is about to promote were seen first, by range and replica. */
  private strays = new Map<string, number>();
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: MembershipChangesOptions) {
    this.options = options;
  }

  start(): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(sweepMs, () => {
      this.sweep();
      this.start();
    });
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** Members of this range are changing: its lease should stay where it is. */
  isChanging(rangeId: RangeId): boolean {
    return this.underWay.has(rangeId);
  }

  /** Exactly this change is being made. */
  isUnderWay(rangeId: RangeId, goal: MembershipGoal): boolean {
    const other = this.underWay.get(rangeId);
    return other !== undefined && sameGoal(other.goal, goal);
  }

  /** Resolves when the range has the members asked for, or it is over otherwise. The same goal joins. */
  change(replica: Replica, goal: MembershipGoal): Promise<ChangeOutcome> {
    const { rangeId } = replica;
    const other = this.underWay.get(rangeId);
    if (other !== undefined)
      return sameGoal(other.goal, goal) ? other.outcome : Promise.resolve({ kind: 'busy' });
    const outcome = this.run(replica, goal).finally(() => this.underWay.delete(rangeId));
    this.underWay.set(rangeId, { goal, outcome });
    return outcome;
  }

  private async run(replica: Replica, goal: MembershipGoal): Promise<ChangeOutcome> {
    const { clock, storeId, logger, strayLearnerMs } = this.options;
    const { rangeId } = replica;
    const log = logger.child({ rangeId });
    log.info({ add: goal.add, remove: goal.remove }, 'change of members begins');
    let lastProgressMs = clock.nowMs();
    const failedBefore = this.options.failedSends(rangeId)?.count ?? 0;
    let position = '';
    let said = '';
    while (!this.stopped && replica.leaseholder !== undefined) {
      const { descriptor } = replica;
      const step = nextStep(descriptor, goal, storeId);
      if (step.kind === 'done') {
        log.info({ generation: descriptor.generation }, 'change of members done');
        return { kind: 'done', descriptor };
      }
      if (step.kind === 'impossible') return this.giveUp(replica, step.reason);
      const answer = this.take(replica, step);
      const line = JSON.stringify([step, answer]);
      if (line !== said) log.info({ step, answer }, 'change of members');
      said = line;
      if (answer === 'handedOver') break;
      const now = this.positionOf(replica);
      if (now !== position || this.options.isSending(rangeId)) lastProgressMs = clock.nowMs();
      position = now;
      if (clock.nowMs() - lastProgressMs >= strayLearnerMs)
        return this.giveUp(replica, `no progress: ${answer}`);
      const failed = this.options.failedSends(rangeId);
      if (failed !== undefined && failed.count - failedBefore >= failedSendsMax)
        return this.giveUp(replica, `snapshots fail, the last because ${failed.reason}`);
      await new Promise<void>((resolve) => void clock.setTimer(pollMs, resolve));
    }
    return { kind: 'notLeaseholder' };
  }

  /** @returns what became of it, for the log */
  private take(replica: Replica, step: MembershipStep): string {
    const { raft } = this.options;
    const { rangeId } = replica;
    switch (step.kind) {
      case 'change':
        return this.propose(rangeId, step.change);
      case 'handOver': {
        const heirs = raft
          .status(rangeId)
          ?.progress.filter(({ replicaId }) => step.to.includes(replicaId))
          .sort((a, b) => b.matchIndex - a.matchIndex);
        let answer = 'nobody to lead';
        for (const { replicaId } of heirs ?? []) {
          // Whoever has the longest log may be silent, or wait for a snapshot.
          const result = raft.transferLeadership(rangeId, replicaId);
          if (result.ok) return 'handedOver';
          answer = result.reason;
        }
        return answer;
      }
      case 'wait':
      case 'done':
      case 'impossible':
        return step.kind;
    }
  }

  private propose(rangeId: RangeId, change: ConfigurationChange): string {
    const result: ChangeResult = this.options.raft.changeConfiguration(rangeId, change);
    return result.ok ? `proposed at ${result.index}` : result.reason;
  }

  /** Moves whenever anything does: the members, or how far they are. */
  private positionOf(replica: Replica): string {
    const learners = replica.descriptor.replicas
      .filter(({ role }) => role === ReplicaRole.LEARNER)
      .map(({ replicaId }) => replicaId);
    const progress = this.options.raft
      .status(replica.rangeId)
      ?.progress.filter(({ replicaId }) => learners.includes(replicaId))
      .map(({ matchIndex }) => matchIndex);
    return `${replica.descriptor.generation} ${progress?.join(' ')}`;
  }

  /** Learners that were to be promoted are taken back by the sweep, in time. */
  private giveUp(replica: Replica, reason: string): ChangeOutcome {
    const { rangeId, descriptor } = replica;
    this.options.logger.warn({ rangeId, reason }, 'member_change_given_up');
    return { kind: 'failed', reason, descriptor };
  }

  private sweep(): void {
    const { replicas, clock, logger, strayLearnerMs } = this.options;
    const before = this.strays;
    this.strays = new Map();
    for (const replica of replicas.values()) {
      const { descriptor, rangeId } = replica;
      if (replica.leaseholder?.isReady !== true || this.underWay.has(rangeId)) continue;
      if (isJoint(descriptor)) continue;
      for (const { replicaId, role } of descriptor.replicas) {
        if (role !== ReplicaRole.LEARNER && role !== ReplicaRole.LEARNER_OUTGOING) continue;
        const name = `${rangeId}/${replicaId}`;
        const since = before.get(name) ?? clock.nowMs();
        this.strays.set(name, since);
        if (role === ReplicaRole.LEARNER && clock.nowMs() - since < strayLearnerMs) continue;
        const answer = this.propose(rangeId, { kind: 'removeLearner', replicaId });
        logger.info({ rangeId, replicaId, role, answer }, 'stray_learner_removed');
        break;
      }
    }
  }
}

function sameGoal(one: MembershipGoal, other: MembershipGoal): boolean {
  return one.add.join() === other.add.join() && one.remove.join() === other.remove.join();
}
