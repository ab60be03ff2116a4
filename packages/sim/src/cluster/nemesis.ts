/**
 * Whoever hurts the cluster: does what a schedule says, when it says so, and ends it again. Knows how each fault is
 * inflicted; decides nothing.
 */
import type { MemoryNetwork } from '@flotilla/base';
import type { RaftStatus } from '@flotilla/raft';
import { encodeIntent, intentKey } from '@flotilla/shard';
import { consensusOf } from '@flotilla/shard/testing';
import { SimFailure } from '../failure.ts';
import type { Fault } from '../faults.ts';
import type { Swarm } from '../swarm.ts';
import type { Host } from '../world/host.ts';
import type { HostTransport } from '../world/host-transport.ts';
import type { World } from '../world/world.ts';
import type { ClientHost } from './client-host.ts';
import type { Coordinator } from './coordinator.ts';
import type { NetworkFaults } from './network-faults.ts';
import type { Operator } from './operator.ts';
import { Rot } from './rot.ts';
import type { StoreMachine } from './store-machine.ts';

/** How often a change of members is looked for. Unit: ms. */
const changeLookMs = 1;

export interface NemesisOptions {
  readonly world: World;
  readonly swarm: Swarm;
  readonly network: MemoryNetwork;
  readonly networkFaults: NetworkFaults;
  readonly machines: readonly StoreMachine[];
  readonly clients: readonly ClientHost[];
  readonly coordinators: readonly Coordinator[];
  readonly operator: Operator;
  /** Starts an empty store under the next number. */
  readonly joinStore: () => void;
}

export class Nemesis {
  private readonly world: World;
  private readonly swarm: Swarm;
  private readonly network: MemoryNetwork;
  private readonly networkFaults: NetworkFaults;
  private readonly machines: readonly StoreMachine[];
  private readonly clients: readonly ClientHost[];
  private readonly coordinators: readonly Coordinator[];
  private readonly operator: Operator;
  private readonly joinStore: () => void;
  private readonly rot: Rot;
  private readonly disconnected = new Set<Fault & { readonly kind: 'disconnect' }>();
  private ended = false;
  /** Stores that were to drain for a while. */
  private readonly drained = new Set<number>();

  constructor(options: NemesisOptions) {
    this.world = options.world;
    this.swarm = options.swarm;
    this.network = options.network;
    this.networkFaults = options.networkFaults;
    this.machines = options.machines;
    this.clients = options.clients;
    this.coordinators = options.coordinators;
    this.operator = options.operator;
    this.joinStore = options.joinStore;
    this.rot = new Rot(options.swarm);
  }

  inflict(fault: Fault): void {
    const { world } = this;
    world.trace.note(world.nowMs(), '-', `fault ${fault.kind}`);
    switch (fault.kind) {
      case 'crash':
        this.machine(fault.store).crash(fault.powerLoss, fault.downMs);
        if (fault.stepMs !== 0) this.machine(fault.store).host.stepWall(fault.stepMs);
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
        this.during(fault.lastsMs, fault);
        break;
      case 'disconnect':
        this.disconnected.add(fault);
        this.disconnect(fault);
        this.later(fault.lastsMs, () => this.reconnect(fault));
        break;
      case 'clockStep':
        this.host(fault.host)?.stepWall(fault.deltaMs);
        break;
      case 'clockRate':
        this.host(fault.host)?.setRate(fault.rate);
        break;
      case 'lateTimers': {
        const host = this.host(fault.host);
        host?.setTimerLateness(fault.lateMsMax);
        this.later(fault.lastsMs, () => host?.setTimerLateness(undefined));
        break;
      }
      case 'leaseWindow': {
        const leader = this.machines.find((machine) => leaderStatus(machine, fault.range));
        if (leader === undefined) break;
        const others = this.machines.filter((machine) => machine !== leader);
        for (const { host } of others) this.separate(leader.host.name, host.name, fault);
        for (const [i, machine] of others.entries()) machine.crash(false, fault.downMs[i] ?? 0);
        break;
      }
      case 'bridge': {
        const leader = this.machines.find((machine) => leaderStatus(machine, fault.range));
        const other = this.machine(fault.store);
        if (leader === undefined || leader === other) break;
        this.separate(leader.host.name, other.host.name, fault);
        break;
      }
      case 'lateEchoes':
        this.delayEchoes(fault);
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
      case 'bitFlip':
        this.rot.flipLog(this.machine(fault.store), fault);
        break;
      case 'engineFlip':
        this.rot.flipValue(this.machine(fault.store), fault);
        break;
      case 'transfer':
        this.transfer(fault);
        break;
      case 'transferStorm':
        for (const [i, transfer] of fault.transfers.entries())
          this.later(i * fault.everyMs, () => this.transfer(transfer));
        break;
      case 'moveReplica':
        this.operator.move(fault.range, fault.from, fault.to);
        break;
      case 'churn':
        for (const [i, { range, from, to }] of fault.moves.entries())
          this.later(i * fault.everyMs, () => this.operator.move(range, from, to));
        break;
      case 'crashInChange':
        this.crashInChange(fault, world.nowMs() + fault.lastsMs);
        break;
      case 'growRange':
        this.operator.grow(fault.range, fault.to);
        break;
      case 'shrinkRange':
        this.operator.shrink(fault.range, fault.from);
        break;
      case 'splitRange':
        this.operator.split(fault.range, fault.at);
        break;
      case 'crashInSplit': {
        const leader = this.operator.split(fault.range, fault.at);
        const victims = fault.everybody ? this.machines : leader === undefined ? [] : [leader];
        this.later(fault.afterMs, () => {
          for (const machine of victims) machine.crash(fault.powerLoss, fault.downMs);
        });
        break;
      }
      case 'joinStore':
        this.joinStore();
        break;
      case 'drainStore':
        this.drain(fault.store, fault.forGood);
        if (!fault.forGood)
          this.later(fault.lastsMs, () => this.wish(fault.store, {}).catch(ignore));
        break;
      case 'loseStore': {
        const machine = this.machine(fault.store);
        if (!machine.isDamaged && this.rot.mayHurt(machine)) machine.lose();
        break;
      }
      case 'crashCoordinator': {
        const { coordinators } = this;
        const coordinator = coordinators[fault.coordinator % Math.max(1, coordinators.length)];
        const die = (): void => coordinator?.crash(fault.downMs);
        if (fault.step === 'now') die();
        else coordinator?.onNext(fault.step, () => this.later(fault.afterMs, die));
        break;
      }
      case 'stragglers': {
        const { coordinators } = this;
        const coordinator = coordinators[fault.coordinator % Math.max(1, coordinators.length)];
        coordinator?.onNext('promises', () => this.delayLegs(coordinator.host.name, fault));
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

  /** Whoever drains a store for a while ends it: a store that drains takes nobody's place. */
  async endDrains(): Promise<void> {
    for (const store of this.drained) await this.wish(store, {});
  }

  /** As the command of an operator, who does not look whether it came to pass. */
  private drain(store: number, forGood: boolean): void {
    if (forGood) this.drained.delete(store);
    else this.drained.add(store);
    this.wish(store, { draining: true, decommissioning: forGood }).catch(ignore);
  }

  private async wish(
    store: number,
    intent: { draining?: boolean; decommissioning?: boolean },
  ): Promise<void> {
    const { storeId } = this.machine(store);
    const key = intentKey(storeId);
    const put = { kind: 'put' as const, key, value: encodeIntent(intent) };
    const batch = { conditions: [], mutations: [put], deleteSpans: [] };
    await this.clients[0]?.router.write(batch);
  }

  /** Everything of the network, the clocks and the schedule ends; disks and processes are the caller's. */
  endAll(): void {
    this.ended = true;
    this.networkFaults.endAll();
    for (const fault of [...this.disconnected]) this.reconnect(fault);
    for (const { host } of this.everybody) host.setTimerLateness(undefined);
  }

  private later(ms: number, run: () => unknown): void {
    this.world.after(ms, {
      kind: 'world',
      run: () => {
        if (!this.ended) run();
      },
    });
  }

  /** Looks for its victim every now and then until it has found one. */
  private crashInChange(fault: Fault & { readonly kind: 'crashInChange' }, untilMs: number): void {
    for (const machine of this.machines) {
      const raft = machine.store && consensusOf(machine.store);
      const changing = raft?.statuses().some(({ role, configuration, configurationPending }) => {
        const joint = (configuration?.votersOutgoing.length ?? 0) > 0;
        return role === 'leader' && (fault.joint ? joint : configurationPending);
      });
      if (changing !== true) continue;
      this.later(fault.afterMs, () => machine.crash(fault.powerLoss, fault.downMs));
      return;
    }
    if (this.world.nowMs() < untilMs)
      this.later(changeLookMs, () => this.crashInChange(fault, untilMs));
  }

  private transfer(wanted: { readonly range: number; readonly target: number }): void {
    for (const machine of this.machines) {
      const status = leaderStatus(machine, wanted.range);
      const voters = status?.configuration?.voters ?? [];
      const target = voters[wanted.target % voters.length];
      const raft = machine.store && consensusOf(machine.store);
      if (status !== undefined && target !== undefined)
        raft?.transferLeadership(status.rangeId, target);
    }
  }

  /** For as long as the fault lasts, nothing passes between the two. */
  private separate(one: string, other: string, fault: Fault & { readonly lastsMs: number }): void {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const cut: Fault = { ...fault, kind: 'cut', from, to };
      this.during(fault.lastsMs, cut);
    }
  }

  private delayEchoes(fault: Fault & { readonly kind: 'lateEchoes' }): void {
    const leader = this.machines.find((machine) => leaderStatus(machine, fault.range))?.host.name;
    if (leader === undefined) return;
    const { atMs, class: name, delayMs, replacedAfterMs, replacedBy, lastsMs } = fault;
    const at = { atMs, class: name };
    const others = this.machines.map(({ host }) => host.name).filter((each) => each !== leader);
    for (const other of others)
      this.during(lastsMs, { ...at, kind: 'slowLink', from: other, to: leader, delayMs, lastsMs });
    for (const [i, { host }] of this.clients.entries())
      if (i % 2 === 0) this.separate(leader, host.name, fault);
    this.later(replacedAfterMs, () => {
      if (replacedBy === 'transfer') {
        this.transfer(fault);
        return;
      }
      const left = lastsMs - replacedAfterMs;
      for (const other of others)
        this.during(left, { ...at, kind: 'cut', from: leader, to: other, lastsMs: left });
    });
  }

  private delayLegs(from: string, fault: Fault & { readonly kind: 'stragglers' }): void {
    const { atMs, class: name, promise, silence, lastsMs } = fault;
    const slow = (store: number, delayMs: number, ms: number): void => {
      const to = this.machine(store).host.name;
      this.during(ms, {
        ...{ atMs, class: name, kind: 'slowLink', from, to, delayMs, lastsMs: ms },
      });
    };
    // What this step sends leaves within the turn.
    slow(promise.store, promise.delayMs, 1);
    this.later(1, () => slow(silence.store, silence.delayMs, lastsMs));
  }

  private during(ms: number, fault: Fault): void {
    // What waited for its moment until now would never end.
    if (this.ended) return;
    this.networkFaults.begin(fault);
    this.later(ms, () => this.networkFaults.end(fault));
  }

  /** A store process has begun: faults of its connection are still in force. */
  onStart(machine: StoreMachine | Coordinator): void {
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
    return this.everybody.find(({ host }) => host.name === name)?.host;
  }

  private transport(name: string): HostTransport | undefined {
    return this.everybody.find(({ host }) => host.name === name)?.transport;
  }

  private get everybody(): readonly (StoreMachine | ClientHost | Coordinator)[] {
    return [...this.machines, ...this.clients, ...this.coordinators];
  }
}

/** Of the range's replica there, if it leads. */
function leaderStatus({ store }: StoreMachine, range: number): RaftStatus | undefined {
  const raft = store && consensusOf(store);
  return raft?.statuses().find((each) => each.rangeId === range && each.role === 'leader');
}

function ignore(): void {}
