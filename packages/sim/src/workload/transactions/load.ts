/**
 * All transactions of a run: sets up what they work on, keeps every living coordinator busy, and ends what a dead one has
 * left open. Knows what each client was told; judges nothing.
 */
import { DbError, type Prng } from '@flotilla/base';
import type { IsolationLevel } from '@flotilla/sql/protocol';
import type { Coordinator, CoordinatorProcess } from '../../cluster/coordinator.ts';
import { SimFailure } from '../../failure.ts';
import type { Swarm, TransactionSwarm, TransactionWorkload } from '../../swarm.ts';
import { Stream, type World } from '../../world/world.ts';
import type { Record } from '../record.ts';
import { Bank } from './bank.ts';
import { Lists } from './lists.ts';
import { Past } from './past.ts';
import { Predicate } from './predicate.ts';
import { Registers } from './registers.ts';
import { Ring } from './ring.ts';
import { Session } from './session.ts';
import { Skew } from './skew.ts';
import { TransactionTrace } from './trace.ts';
import type { Workload } from './workload.ts';

export interface TransactionLoadOptions {
  readonly world: World;
  readonly swarm: Swarm;
  readonly transactions: TransactionSwarm;
  readonly coordinators: readonly Coordinator[];
  readonly record: Record;
  readonly onFailure: (failure: SimFailure) => void;
}

/** Unit: ms. */
const slowThinkMsMax = 150;
/** Of which one ends with the transaction done. */
const setupAttemptsMax = 20;

export class TransactionLoad {
  readonly traces: TransactionTrace[] = [];
  readonly lists: Lists;
  private readonly options: TransactionLoadOptions;
  private readonly workloads: ReadonlyMap<TransactionWorkload, Workload>;
  /** Per process: what is under way there, and what hears of its end. */
  private readonly underWay = new Map<CoordinatorProcess, Map<TransactionTrace, () => void>>();
  private readonly working = new Map<CoordinatorProcess, Promise<unknown>>();
  private readonly prngs: readonly Prng[];
  private readonly pastPrngs: readonly Prng[];
  private readonly past: Past | undefined;
  private ended = 0;
  private stopped = false;

  constructor(options: TransactionLoadOptions) {
    this.options = options;
    const { world, swarm, transactions, coordinators, record } = options;
    const { keys, workloads } = transactions;
    this.lists = new Lists(keys);
    const all: { readonly [Name in TransactionWorkload]: Workload } = {
      lists: this.lists,
      bank: new Bank(keys),
      registers: new Registers(record, swarm.keys),
      skew: new Skew(keys),
      predicate: new Predicate(swarm.ranges),
      ring: new Ring(keys),
    };
    this.workloads = new Map(workloads.map((name) => [name, all[name]]));
    this.prngs = coordinators.map((_, i) => world.stream(Stream.workloads + 500 + i));
    this.pastPrngs = coordinators.map((_, i) => world.stream(Stream.workloads + 600 + i));
    const { closing } = transactions;
    this.past = closing && new Past(closing);
  }

  /** The state that all workloads begin with. */
  async setUp(): Promise<void> {
    for (const [name, workload] of this.workloads)
      await this.untilCommitted(name, (session) => workload.setUp(session), 'setup');
  }

  /** From now on every coordinator works, and whatever process comes after one that dies. */
  begin(): void {
    const { coordinators } = this.options;
    for (const [i, coordinator] of coordinators.entries()) {
      coordinator.onProcess = (process) => this.occupy(coordinator, process, i);
      coordinator.onDeath = (process) => this.bury(process);
      if (coordinator.process !== undefined) this.occupy(coordinator, coordinator.process, i);
    }
  }

  /** No further transactions. @returns when those that are under way have ended */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.working.values());
  }

  /** Everything that workloads can see is looked at once more. */
  async look(): Promise<void> {
    for (const [name, workload] of this.workloads)
      await this.untilCommitted(name, (session) => workload.look(session), 'last');
  }

  private occupy(coordinator: Coordinator, process: CoordinatorProcess, index: number): void {
    const { transactions, onFailure } = this.options;
    this.underWay.set(process, new Map());
    const workers = Array.from({ length: transactions.workers }, (_, i) =>
      this.work(coordinator, process, index, i),
    );
    const { past } = this;
    if (past !== undefined) workers.push(this.lookBack(coordinator, process, index, past));
    const working = Promise.all(workers);
    this.working.set(process, working);
    working.catch((error: unknown) =>
      onFailure(
        error instanceof SimFailure ? error : new SimFailure('clientError', String(error), error),
      ),
    );
  }

  /** Nobody will hear of what it had begun. */
  private bury(process: CoordinatorProcess): void {
    this.working.delete(process);
    for (const [trace, ended] of this.underWay.get(process) ?? []) {
      trace.fate = trace.committing ? 'unknown' : 'open';
      ended();
    }
    this.underWay.delete(process);
  }

  private async work(
    coordinator: Coordinator,
    process: CoordinatorProcess,
    index: number,
    worker: number,
  ): Promise<void> {
    const { transactions } = this.options;
    const prng = this.prngs[index] as Prng;
    const names = [...this.workloads.keys()];
    for (let n = 1; !this.stopped; n++) {
      const name = names[prng.nextBelow(names.length)] as TransactionWorkload;
      const workload = this.workloads.get(name) as Workload;
      const isolation: IsolationLevel =
        prng.nextFloat() < transactions.readCommittedShare ? 'read committed' : 'serializable';
      await this.run(coordinator, process, {
        name: `x${index + 1}.${process.life}.${worker + 1}.${n}`,
        workload: name,
        isolation,
        prng,
        step: (session) => workload.step(session),
        ended: (session) => workload.ended?.(session),
      });
      const brisk = this.ended < transactions.brisk;
      const thinkMsMax = brisk ? transactions.thinkMsMax : slowThinkMsMax;
      await pause(coordinator, prng.nextFloat() * thinkMsMax + 0.1);
    }
  }

  /** One of each process reads the past, all the time. */
  private async lookBack(
    coordinator: Coordinator,
    process: CoordinatorProcess,
    index: number,
    past: Past,
  ): Promise<void> {
    const prng = this.pastPrngs[index] as Prng;
    const clock = coordinator.host.clock();
    for (let n = 1; !this.stopped; n++) {
      await this.run(coordinator, process, {
        name: `x${index + 1}.${process.life}.p.${n}`,
        workload: 'past',
        isolation: 'serializable',
        asOf: clock.wallMs() - past.ago(prng),
        prng,
        step: (session) => past.step(session),
      });
      await pause(coordinator, prng.nextFloat() * slowThinkMsMax + 0.1);
    }
  }

  private async run(
    coordinator: Coordinator,
    process: CoordinatorProcess,
    what: {
      readonly name: string;
      readonly workload: TransactionWorkload | 'past';
      readonly isolation: IsolationLevel;
      /** Since 1970. Unit: ms. Undefined: it reads now, and writes. */
      readonly asOf?: number;
      readonly prng: Prng;
      readonly step: (session: Session) => Promise<void>;
      readonly ended?: (session: Session) => void;
    },
  ): Promise<TransactionTrace> {
    const { world, transactions: swarm, record } = this.options;
    const now = (): number => world.nowMs();
    const { name, workload, isolation, prng, asOf } = what;
    const client = `x${coordinator.number}`;
    const trace = new TransactionTrace({ name, client, workload, isolation, beganAt: now() });
    this.traces.push(trace);
    const under = this.underWay.get(process);
    const transaction = process.database.begin(
      asOf === undefined ? { isolation } : { isolation, asOf, readOnly: true },
    );
    process.witness.follow(process.ids.lastId, trace);
    const session = new Session({
      transaction,
      trace,
      swarm,
      prng,
      now,
      pause: (ms) => pause(coordinator, ms),
    });
    const ended = (): void => what.ended?.(session);
    under?.set(trace, ended);
    try {
      await what.step(session);
      if (!session.hasCommitted) {
        trace.committing = true;
        await transaction.commit();
      }
      trace.end('committed', now());
      record.ok++;
    } catch (error) {
      transaction.rollback();
      if (error instanceof SimFailure) throw error;
      if (!(error instanceof DbError) || !expectedCodes.has(error.code))
        throw new SimFailure('clientError', `${trace}: ${String(error)}`, error);
      const isUnknown = error.outcome === 'unknown';
      trace.end(isUnknown ? 'unknown' : 'aborted', now());
      if (isUnknown) record.unknown++;
      else record.failed++;
    }
    under?.delete(trace);
    if (asOf === undefined) this.ended++;
    ended();
    return trace;
  }

  /** Nothing is in its way for long: again until it has been. */
  private async untilCommitted(
    workload: TransactionWorkload,
    step: (session: Session) => Promise<void>,
    why: string,
  ): Promise<void> {
    const [coordinator] = this.options.coordinators;
    const prng = this.prngs[0] as Prng;
    for (let n = 1; ; n++) {
      const process = coordinator?.process;
      if (coordinator === undefined || process === undefined)
        throw new SimFailure('simulator', 'a coordinator lives');
      const name = `${why}.${workload}.${n}`;
      const what = { name, workload, isolation: 'serializable' as const, prng, step };
      const { fate } = await this.run(coordinator, process, what);
      if (fate === 'committed') return;
      // Slow stores and short timeouts are enough for that.
      if (fate === 'unknown' && why === 'setup' && n >= setupAttemptsMax)
        throw new SimFailure('liveness', `${name}: unknown again and again, without a fault`);
      await pause(coordinator, 5);
    }
  }
}

function pause(coordinator: Coordinator, ms: number): Promise<void> {
  const clock = coordinator.host.clock();
  return new Promise((resolve) => void clock.setTimer(ms, resolve));
}

const expectedCodes = new Set<string>([
  'TIMEOUT',
  'UNAVAILABLE',
  'BUSY',
  'OUTCOME_UNKNOWN',
  'CONFLICT',
  'DEADLOCK',
  'LOCK_NOT_AVAILABLE',
  'KEY_EXISTS',
]);
