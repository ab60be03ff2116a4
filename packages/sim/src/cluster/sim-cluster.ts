/**
 * The cluster: machines with stores, hosts with routers, the network between them, and whoever hurts them. Founded
 * without faults; afterwards the schedule has its way until `heal`.
 */
import { MemoryNetwork } from '@flotilla/base';
import { bootstrapCluster, createRouter, type Router } from '@flotilla/router';
import { consensusOf } from '@flotilla/shard/testing';
import { SimFailure } from '../failure.ts';
import type { Fault } from '../faults.ts';
import type { Swarm } from '../swarm.ts';
import { Host } from '../world/host.ts';
import { HostTransport } from '../world/host-transport.ts';
import { Stream, type World } from '../world/world.ts';
import { NetworkFaults } from './network-faults.ts';
import { cutInto } from './ranges.ts';
import { StoreMachine } from './store-machine.ts';

export interface ClientHost {
  readonly host: Host;
  readonly transport: HostTransport;
  readonly router: Router;
}

/** Unit: ms. */
const foundingMsMax = 60_000;

export class SimCluster {
  readonly world: World;
  readonly swarm: Swarm;
  readonly network: MemoryNetwork;
  readonly machines: readonly StoreMachine[];
  readonly clients: readonly ClientHost[];
  failure: SimFailure | undefined;
  /** Looks at a machine at the first and the last moment of its processes. */
  onLook: (machine: StoreMachine) => void = () => {};
  private readonly networkFaults: NetworkFaults;
  private readonly disconnected = new Set<Fault & { readonly kind: 'disconnect' }>();
  private healed = false;

  constructor(world: World, swarm: Swarm) {
    this.world = world;
    this.swarm = swarm;
    this.network = new MemoryNetwork({ clock: world.clock(), prng: world.stream(Stream.network) });
    const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
    const hosts = [
      ...numbers(swarm.stores).map((n) => `store-${n}`),
      ...numbers(swarm.clients).map((n) => `client-${n}`),
      'client-0',
    ];
    this.networkFaults = new NetworkFaults(this.network, swarm, hosts);
    this.machines = numbers(swarm.stores).map(
      (number) =>
        new StoreMachine({
          world,
          swarm,
          number,
          network: this.network,
          replay: () => this.networkFaults.replay(),
          onStart: (machine) => this.onStart(machine),
          onLook: (machine) => this.guarded(() => this.onLook(machine)),
          onFailure: (failure) => this.fail(failure),
        }),
    );
    // Client 0 founds the cluster and looks after it at the end.
    this.clients = [0, ...numbers(swarm.clients)].map((number) => this.client(number));
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
    await this.until(
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
  }

  /** Puts the whole schedule into the world, from now on. */
  schedule(faults: readonly Fault[]): void {
    for (const fault of faults)
      this.world.after(fault.atMs, {
        kind: 'world',
        run: () => {
          if (!this.healed) this.inflict(fault);
        },
      });
  }

  /** Everything that was done to the cluster ends; every process is started. */
  heal(): void {
    this.healed = true;
    this.networkFaults.endAll();
    for (const fault of [...this.disconnected]) this.reconnect(fault);
    for (const { host } of this.clients) if (host.isPaused) host.resume(false);
    for (const machine of this.machines) {
      const { disk, host } = machine;
      disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
      disk.faults.syncDelayMs = this.swarm.syncMs;
      disk.resume();
      if (host.isPaused) host.resume(false);
      machine.start();
    }
  }

  private inflict(fault: Fault): void {
    const { world } = this;
    world.trace.note(world.nowMs(), '-', `fault ${fault.kind}`);
    switch (fault.kind) {
      case 'crash':
        this.machine(fault.store).crash(fault.powerLoss, fault.downMs);
        break;
      case 'crashAll':
        for (const [i, machine] of this.machines.entries())
          machine.crash(fault.powerLoss, fault.downMs[i] ?? 0);
        break;
      case 'stop':
        this.machine(fault.store).stop(fault.downMs);
        break;
      case 'pause': {
        const host = this.host(fault.host);
        if (host === undefined) break;
        host.pause();
        this.later(fault.lastsMs, () => host.isPaused && host.resume(fault.timersFirst));
        break;
      }
      case 'isolate':
      case 'cut':
      case 'slowLink':
      case 'partition':
      case 'storm':
      case 'replay':
        this.networkFaults.begin(fault);
        this.later(fault.lastsMs, () => this.networkFaults.end(fault));
        break;
      case 'disconnect':
        this.disconnected.add(fault);
        this.disconnect(fault);
        this.later(fault.lastsMs, () => this.reconnect(fault));
        break;
      case 'clockStep':
        this.host(fault.host)?.stepWall(fault.deltaMs);
        break;
      case 'diskStall': {
        const { disk } = this.machine(fault.store);
        disk.stall();
        this.later(fault.lastsMs, () => disk.resume());
        break;
      }
      case 'slowDisk': {
        const { disk } = this.machine(fault.store);
        disk.faults.syncDelayMs = fault.syncMs;
        this.later(fault.lastsMs, () => {
          disk.faults.syncDelayMs = this.swarm.syncMs;
        });
        break;
      }
      case 'diskError': {
        const machine = this.machine(fault.store);
        machine.excuse({ reboots: fault.reboots });
        machine.disk.failNext(fault.call, 'EIO');
        break;
      }
      case 'diskFull': {
        const machine = this.machine(fault.store);
        machine.excuse();
        machine.disk.faults.capacityBytes = machine.disk.usedBytes();
        this.later(fault.lastsMs, () => {
          machine.disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
        });
        break;
      }
      case 'engineError': {
        const machine = this.machine(fault.store);
        machine.excuse();
        machine.engine.failWith(Object.assign(new Error('EIO: engine write'), { code: 'EIO' }));
        break;
      }
      case 'transfer': {
        for (const { store } of this.machines) {
          const raft = store && consensusOf(store);
          const status = raft?.statuses().find((each) => each.rangeId === fault.range);
          if (raft === undefined || status?.role !== 'leader') continue;
          const voters = status.configuration?.voters ?? [];
          const target = voters[fault.target % voters.length];
          if (target !== undefined) raft.transferLeadership(status.rangeId, target);
        }
        break;
      }
      case 'checkpoint': {
        const machine = this.machine(fault.store);
        // A rejection is fatal for the store too, which says so itself.
        machine.store?.checkpoint().catch(() => {});
        break;
      }
    }
  }

  private later(ms: number, run: () => unknown): void {
    this.world.after(ms, { kind: 'world', run: () => void run() });
  }

  private onStart(machine: StoreMachine): void {
    for (const fault of this.disconnected)
      if (fault.host === machine.host.name) this.disconnect(fault);
  }

  private disconnect(fault: Fault & { readonly kind: 'disconnect' }): void {
    const transport = this.transport(fault.host);
    if (transport === undefined) return;
    this.network.setConnected(fault.host, false);
    if (fault.keeps) transport.keepWhileDisconnected();
  }

  private reconnect(fault: Fault & { readonly kind: 'disconnect' }): void {
    if (!this.disconnected.delete(fault)) return;
    for (const other of this.disconnected) if (other.host === fault.host) return;
    const transport = this.transport(fault.host);
    if (transport === undefined) return;
    this.network.setConnected(fault.host, true);
    transport.releaseKept();
  }

  private machine(number: number): StoreMachine {
    const machine = this.machines[(number - 1) % this.machines.length];
    if (machine === undefined) throw new SimFailure('simulator', `store ${number} exists`);
    return machine;
  }

  private host(name: string): Host | undefined {
    return [...this.machines, ...this.clients].find(({ host }) => host.name === name)?.host;
  }

  private transport(name: string): HostTransport | undefined {
    return [...this.machines, ...this.clients].find(({ host }) => host.name === name)?.transport;
  }

  private client(number: number): ClientHost {
    const { world, swarm } = this;
    const prng = world.stream(Stream.fates + 10_000 + number);
    const spread = (): number => prng.nextFloat() * 2 - 1;
    const host = new Host(world, `client-${number}`, 500 + number, {
      rate: 1 + spread() * swarm.drift,
      wallOffsetMs: Math.round(spread() * swarm.wallOffsetMsMax),
      timerLateMsMax: swarm.timerLateMsMax,
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
