/** Which faults of the network are in force. They overlap; when one ends, what is left is set up anew. */
import type { MemoryNetwork } from '@flotilla/base';
import type { Fault } from '../faults.ts';
import type { Swarm } from '../swarm.ts';
import type { ReplayFaults } from '../world/host-transport.ts';

export class NetworkFaults {
  private readonly network: MemoryNetwork;
  private readonly swarm: Swarm;
  private readonly hosts: readonly string[];
  private readonly active = new Set<Fault>();

  constructor(network: MemoryNetwork, swarm: Swarm, hosts: readonly string[]) {
    this.network = network;
    this.swarm = swarm;
    this.hosts = hosts;
    this.apply();
  }

  begin(fault: Fault): void {
    this.active.add(fault);
    this.apply();
  }

  end(fault: Fault): void {
    if (this.active.delete(fault)) this.apply();
  }

  endAll(): void {
    this.active.clear();
    this.apply();
  }

  replay(): ReplayFaults | undefined {
    for (const fault of this.active) if (fault.kind === 'replay') return fault;
    return undefined;
  }

  private apply(): void {
    const { network, hosts } = this;
    network.heal();
    let faults = { drop: 0, duplicate: 0, delayMs: this.swarm.delayMs };
    for (const fault of this.active) {
      switch (fault.kind) {
        case 'storm':
          faults = {
            drop: Math.max(faults.drop, fault.drop),
            duplicate: Math.max(faults.duplicate, fault.duplicate),
            delayMs: [faults.delayMs[0], Math.max(faults.delayMs[1], fault.delayMs[1])],
          };
          break;
        case 'isolate':
          for (const other of hosts) if (other !== fault.host) this.cutBoth(fault.host, other);
          break;
        case 'cut':
          for (const [from, to] of this.links(fault)) network.cut(from, to);
          break;
        case 'partition':
          for (const one of fault.side)
            for (const other of hosts) if (!fault.side.includes(other)) this.cutBoth(one, other);
          break;
        default:
          break;
      }
    }
    for (const fault of this.active) {
      if (fault.kind !== 'slowLink') continue;
      for (const [from, to] of this.links(fault))
        network.setLinkFaults(from, to, {
          dropProbability: faults.drop,
          duplicateProbability: faults.duplicate,
          // Nearly in order: a queue rather than a storm.
          delayMsMin: fault.delayMs,
          delayMsMax: fault.delayMs + faults.delayMs[1],
        });
    }
    network.setFaults({
      dropProbability: faults.drop,
      duplicateProbability: faults.duplicate,
      delayMsMin: faults.delayMs[0],
      delayMsMax: faults.delayMs[1],
    });
  }

  private links(fault: { readonly from: string; readonly to: string }): [string, string][] {
    const named = (name: string): readonly string[] => (name === '*' ? this.hosts : [name]);
    return named(fault.from).flatMap((from) =>
      named(fault.to).flatMap((to): [string, string][] => (from === to ? [] : [[from, to]])),
    );
  }

  private cutBoth(one: string, other: string): void {
    this.network.cut(one, other);
    this.network.cut(other, one);
  }
}
