/**
 * A machine whose process coordinates transactions: the real coordinator over the real router. The process may die at any
 * step of a commit and comes back as another one, which knows nothing of what its predecessor had begun.
 */
import type { MemoryNetwork, Prng } from '@flotilla/base';
import { TransactionDatabase } from '@flotilla/client/testing';
import { createRouter, type Router } from '@flotilla/router';
import type { CommitStep } from '../faults.ts';
import { type Swarm, wallErrorMsMaxOf } from '../swarm.ts';
import { IdPrng } from '../workload/transactions/id-prng.ts';
import { overlaid, Witness } from '../workload/transactions/witness.ts';
import { Host } from '../world/host.ts';
import { HostTransport, type ReplayFaults } from '../world/host-transport.ts';
import { Stream, type World } from '../world/world.ts';

export interface CoordinatorOptions {
  readonly world: World;
  readonly swarm: Swarm;
  readonly number: number;
  readonly network: MemoryNetwork;
  readonly replay: () => ReplayFaults | undefined;
  /** A process has begun: faults of its connection are still in force. */
  readonly onStart: (coordinator: Coordinator) => void;
}

/** What a process has, for as long as it lives. */
export interface CoordinatorProcess {
  readonly life: number;
  readonly router: Router;
  readonly witness: Witness;
  readonly database: TransactionDatabase;
  /** Ids of the transactions that `database` begins. */
  readonly ids: IdPrng;
}

export class Coordinator {
  readonly host: Host;
  readonly number: number;
  transport: HostTransport | undefined;
  /** Undefined while it is down. */
  process: CoordinatorProcess | undefined;
  /** A process has begun; what it works at is put into it. */
  onProcess: (process: CoordinatorProcess) => void = () => {};
  /** A process has died in the middle of whatever it did. */
  onDeath: (process: CoordinatorProcess) => void = () => {};
  private readonly options: CoordinatorOptions;
  private awaited: { readonly step: CommitStep; readonly run: () => void } | undefined;

  constructor(options: CoordinatorOptions) {
    const { world, swarm, number } = options;
    this.options = options;
    this.number = number;
    const prng = world.stream(Stream.fates + 10_000 + number);
    const spread = (): number => prng.nextFloat() * 2 - 1;
    this.host = new Host(world, `client-${number}`, 500 + number, {
      rate: 1 + spread() * swarm.drift,
      wallOffsetMs: Math.round(spread() * swarm.wallOffsetMsMax),
      timerLateMsMax: swarm.timerLateMsMax,
      wallErrorMsMax: wallErrorMsMaxOf(swarm),
    });
  }

  start(): void {
    if (this.host.alive) return;
    const { host, number } = this;
    const { world, network, replay, swarm } = this.options;
    host.start();
    const { life } = host;
    const stream = (purpose: number): Prng =>
      world.stream(Stream.processes + purpose + number + 100 * life);
    this.transport = new HostTransport({ host, network, prng: stream(500_000), replay });
    this.options.onStart(this);
    const clock = host.clock();
    const { closing } = swarm.transactions ?? {};
    const router = createRouter({
      transport: this.transport,
      clock,
      prng: stream(600_000),
      ...(closing && { timings: { followerReadLagMs: closing.followerReadLagMs } }),
    });
    const witness = new Witness(() => world.nowMs());
    const transactions = witness.watch(router.transactions, (step) => this.onStep(step));
    const ids = new IdPrng(stream(700_000));
    const database = new TransactionDatabase({
      router: overlaid(router, { transactions }),
      clock,
      prng: ids,
      commitTimeoutMs: Math.max(swarm.operationTimeoutMs, leastMs(swarm)),
    });
    this.process = { life, router, witness, database, ids };
    this.onProcess(this.process);
  }

  /** The process is killed. */
  crash(downMs: number): void {
    const { process, host } = this;
    if (process === undefined) return;
    host.die();
    void this.transport?.close();
    this.transport = undefined;
    this.process = undefined;
    this.onDeath(process);
    const { life } = host;
    this.options.world.after(downMs, {
      kind: 'world',
      run: () => {
        if (host.life === life) this.start();
      },
    });
  }

  /** `run` is called when a commit here takes this step next; the last wish counts. */
  onNext(step: CommitStep, run: () => void): void {
    this.awaited = { step, run };
  }

  private onStep(step: CommitStep): void {
    if (this.awaited?.step !== step) return;
    const { run } = this.awaited;
    this.awaited = undefined;
    run();
  }
}

/** In less a commit over several ranges is never known to have ended where the network and the engine are slow. Unit: ms. */
function leastMs({ delayMs: [, delayMost], engineMsMax }: Swarm): number {
  return 20 * (delayMost + engineMsMax);
}
