/**
 * The cluster: machines with stores, hosts with routers, the network between them, and whoever hurts them. Founded
 * without faults; afterwards the schedule has its way until `heal`.
 */
import { MemoryNetwork } from '@flotilla/base';
import { bootstrapCluster, createRouter } from '@flotilla/router';
import { consensusOf } from '@flotilla/shard/testing';
import { Tiling } from '../check/tiling.ts';
import { SimFailure } from '../failure.ts';
import type { Fault } from '../faults.ts';
import { placementIn, type Swarm, storesMax, wallErrorMsMaxOf } from '../swarm.ts';
import { DirectClient } from '../workload/direct-client.ts';
import { Host } from '../world/host.ts';
import { HostTransport } from '../world/host-transport.ts';
import { Stream, type World } from '../world/world.ts';
import type { ClientHost } from './client-host.ts';
import { Coordinator } from './coordinator.ts';
import { Nemesis } from './nemesis.ts';
import { NetworkFaults } from './network-faults.ts';
import { Operator } from './operator.ts';
import { cutInto } from './ranges.ts';
import { StoreMachine } from './store-machine.ts';

/** Unit: ms. */
const foundingMsMax = 60_000;
/** Until a damaged store is replaced. Unit: ms. */
const replaceMs = 300;

export class SimCluster {
  readonly world: World;
  readonly swarm: Swarm;
  readonly network: MemoryNetwork;
  /** Grows when a damaged store is replaced. */
  readonly machines: StoreMachine[];
  readonly operator: Operator;
  readonly clients: readonly ClientHost[];
  readonly coordinators: readonly Coordinator[];
  failure: SimFailure | undefined;
  /** The ranges that there are. */
  readonly tiling: Tiling = new Tiling();
  /** One per client, once the cluster is founded. */
  direct: readonly DirectClient[] = [];
  /** Looks at a machine at the first and the last moment of its processes. */
  onLook: (machine: StoreMachine) => void = () => {};
  /** A store process sends a frame to the consensus of another. */
  onSend: (machine: StoreMachine, frame: Uint8Array) => void = () => {};
  /** A machine stays down: nothing is expected of its disk any more. */
  onDamage: (machine: StoreMachine) => void = () => {};
  private readonly networkFaults: NetworkFaults;
  private readonly nemesis: Nemesis;
  private healed = false;

  constructor(world: World, swarm: Swarm) {
    this.world = world;
    this.swarm = swarm;
    this.network = new MemoryNetwork({ clock: world.clock(), prng: world.stream(Stream.network) });
    const coordinators = swarm.transactions?.coordinators ?? 0;
    const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
    const hosts = [
      ...numbers(swarm.stores).map((n) => `store-${n}`),
      ...numbers(swarm.clients + coordinators).map((n) => `client-${n}`),
      'client-0',
    ];
    this.networkFaults = new NetworkFaults(this.network, swarm, hosts);
    this.machines = numbers(swarm.stores).map((number) => this.newMachine(number));
    const { machines } = this;
    const { replication } = swarm;
    const rangeIds = (): readonly number[] => this.tiling.rangeIds;
    this.operator = new Operator({
      world,
      machines,
      rangeIds,
      foundingRanges: swarm.ranges,
      replication,
    });
    // Client 0 founds the cluster and looks after it at the end.
    this.clients = [0, ...numbers(swarm.clients)].map((number) => this.client(number));
    this.coordinators = numbers(coordinators).map((n) => this.coordinator(swarm.clients + n));
    this.nemesis = new Nemesis({
      world,
      swarm,
      network: this.network,
      networkFaults: this.networkFaults,
      machines: this.machines,
      clients: this.clients,
      coordinators: this.coordinators,
      operator: this.operator,
      joinStore: () => {
        if (this.machines.length < storesMax) void this.addStore();
      },
    });
  }

  private guarded(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.fail(
        error instanceof SimFailure ? error : new SimFailure('simulator', String(error), error),
      );
    }
  }

  fail(failure: SimFailure): void {
    this.failure ??= failure;
  }

  /** Runs the world until the promise settles. */
  async until<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    await this.world.run(this.world.nowMs() + ms, () => settled || this.failure !== undefined);
    if (this.failure !== undefined) throw this.failure;
    if (!settled) throw new SimFailure('liveness', `${what}: not within ${ms} ms`);
    return promise;
  }

  async found(): Promise<void> {
    for (const machine of this.machines) machine.start();
    const [first] = this.clients;
    if (first === undefined) throw new SimFailure('simulator', 'there is a client');
    const { clusterId } = await this.until(
      bootstrapCluster({
        transport: first.transport,
        clock: first.host.clock(),
        prng: this.world.stream(Stream.founding),
        expectedStores: this.swarm.stores,
        ranges: cutInto(this.swarm.ranges),
        timeoutMs: foundingMsMax,
      }),
      foundingMsMax + 1000,
      'the cluster is founded',
    );
    const storeIds = this.machines.map(({ storeId }) => storeId);
    this.direct = this.clients.map(
      ({ host, transport }) =>
        new DirectClient({
          host,
          transport,
          clusterId,
          ranges: cutInto(this.swarm.ranges)(storeIds),
          attemptMs: this.swarm.operationTimeoutMs,
        }),
    );
  }

  /** Puts the whole schedule into the world, from now on. */
  schedule(faults: readonly Fault[]): void {
    for (const fault of faults)
      this.world.after(fault.atMs, {
        kind: 'world',
        run: () => {
          if (!this.healed) this.nemesis.inflict(fault);
        },
      });
  }

  /** What operators wished for stores for a while is over. Resolves when the cluster knows. */
  endDrains(): Promise<void> {
    return this.nemesis.endDrains();
  }

  /** Everything that was done to the cluster ends; every process is started, but for those whose disks are damaged. */
  heal(): void {
    this.healed = true;
    this.nemesis.endAll();
    for (const { host } of [...this.clients, ...this.coordinators])
      if (host.isPaused) host.resume(false);
    for (const coordinator of this.coordinators) coordinator.start();
    for (const machine of this.machines) {
      const { disk, host } = machine;
      disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
      disk.faults.syncDelayMs = this.swarm.syncMs;
      disk.resume();
      if (host.isPaused) host.resume(false);
      machine.start();
    }
  }

  private newMachine(number: number): StoreMachine {
    return new StoreMachine({
      world: this.world,
      swarm: this.swarm,
      number,
      network: this.network,
      replay: () => this.networkFaults.replay(),
      onStart: (machine) => this.nemesis.onStart(machine),
      onLook: (machine) => this.guarded(() => this.onLook(machine)),
      onSend: (machine, frame) => this.guarded(() => this.onSend(machine, frame)),
      onDamage: (damaged) => {
        this.onDamage(damaged);
        void this.replaceSoon();
      },
      onFailure: (failure) => this.fail(failure),
    });
  }

  /** An empty store under a new identity takes the place of a damaged one: operators move its replicas there. */
  private async replaceSoon(): Promise<void> {
    await this.pause(replaceMs);
    const machine = await this.addStore();
    if (placementIn(this.swarm) !== undefined) return;
    while (!machine.isMember) {
      await this.pause(replaceMs);
      machine.isMember = (await this.direct[0]?.found(machine.storeId)) ?? false;
    }
    for (const rangeId of this.tiling.rangeIds) this.operator.repair(rangeId);
  }

  /** Starts an empty store under the next number. Resolves when it is a member, where that is its own business. */
  private async addStore(): Promise<StoreMachine> {
    const machine = this.newMachine(this.machines.length + 1);
    machine.isMember = false;
    this.machines.push(machine);
    machine.start();
    while (placementIn(this.swarm) !== undefined && !machine.isMember) {
      await this.pause(replaceMs);
      machine.isMember = machine.store !== undefined && consensusOf(machine.store) !== undefined;
    }
    return machine;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.world.after(ms, { kind: 'world', run: resolve }));
  }

  private coordinator(number: number): Coordinator {
    return new Coordinator({
      world: this.world,
      swarm: this.swarm,
      number,
      network: this.network,
      replay: () => this.networkFaults.replay(),
      onStart: (coordinator) => this.nemesis.onStart(coordinator),
    });
  }

  private client(number: number): ClientHost {
    const { world, swarm } = this;
    const prng = world.stream(Stream.fates + 10_000 + number);
    const spread = (): number => prng.nextFloat() * 2 - 1;
    const host = new Host(world, `client-${number}`, 500 + number, {
      rate: 1 + spread() * swarm.drift,
      wallOffsetMs: Math.round(spread() * swarm.wallOffsetMsMax),
      timerLateMsMax: swarm.timerLateMsMax,
      wallErrorMsMax: wallErrorMsMaxOf(swarm),
    });
    host.start();
    const transport = new HostTransport({
      host,
      network: this.network,
      prng: world.stream(Stream.processes + 300_000 + number),
      replay: () => this.networkFaults.replay(),
    });
    const router = createRouter({
      transport,
      clock: host.clock(),
      prng: world.stream(Stream.processes + 400_000 + number),
    });
    return { host, transport, router };
  }
}
