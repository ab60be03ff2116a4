/**
 * The network inside one process: what the demo uses where there is no nats-server, and what tests use to break things.
 * Behaves as core NATS does: at most once, asynchronous (frames arrive at the end of the turn), in order per sender
 * unless a fault delays them, hints for addresses where nobody listens. Frames are copied at the boundary, so that no
 * two processes share memory. Faults are decided by a `Prng`, so that a seed replays them.
 */
import { assert } from './assert.ts';
import type { Clock } from './clock.ts';
import type { Prng } from './prng.ts';
import type { Transport } from './transport.ts';
import { type Address, addressKey, type FrameHandler, type Listener } from './transport.ts';

/** What may happen to frames on the way from one process to another. Probabilities in [0, 1], independent. */
export interface LinkFaults {
  readonly dropProbability?: number;
  readonly duplicateProbability?: number;
  /** Uniform extra delay per copy of a frame; frames with different delays overtake each other. */
  readonly delayMsMin?: number;
  readonly delayMsMax?: number;
}

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /** Needed as soon as a fault with a probability or a delay is set. */
  readonly prng?: Prng;
}

/** Sees every frame before any fault; false drops it. For tests that lose exactly one message. */
export type FrameFilter = (from: string, to: Address, frame: Uint8Array) => boolean;

interface InFlight {
  readonly from: MemoryTransport;
  readonly to: Address;
  readonly frame: Uint8Array;
}

export class MemoryNetwork {
  private readonly clock: Clock;
  private readonly prng: Prng | undefined;
  private readonly transports = new Map<string, MemoryTransport>();
  private readonly listeners = new Map<string, Map<MemoryTransport, FrameHandler>>();
  private readonly cuts = new Set<string>();
  private readonly linkFaults = new Map<string, LinkFaults>();
  private defaultFaults: LinkFaults = {};
  private filter: FrameFilter | undefined;
  private queue: InFlight[] = [];
  private scheduled = false;
  private readonly deliverDue = (): void => this.deliverQueue();

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock;
    this.prng = options.prng;
  }

  /** The transport of one process. Names are unique among those that are open; a closed one's may be used again. */
  connect(process: string): MemoryTransport {
    assert(!this.transports.has(process), 'process name is free', { process });
    const transport = new MemoryTransport(process, this);
    this.transports.set(process, transport);
    return transport;
  }

  /** Faults of every link that has none of its own. */
  setFaults(faults: LinkFaults): void {
    this.requirePrng(faults);
    this.defaultFaults = faults;
  }

  /** Faults of one direction between two processes; undefined: the default again. */
  setLinkFaults(from: string, to: string, faults: LinkFaults | undefined): void {
    if (faults === undefined) this.linkFaults.delete(linkKey(from, to));
    else {
      this.requirePrng(faults);
      this.linkFaults.set(linkKey(from, to), faults);
    }
  }

  setFilter(filter: FrameFilter | undefined): void {
    this.filter = filter;
  }

  /** Loses every frame from one process to the other, one way, from now on. Nobody is told. */
  cut(from: string, to: string): void {
    this.cuts.add(linkKey(from, to));
  }

  /** Cuts a process off from all others that are connected now, both ways. */
  isolate(process: string): void {
    for (const other of this.transports.keys()) {
      if (other === process) continue;
      this.cut(process, other);
      this.cut(other, process);
    }
  }

  /** Mends every cut and ends every fault and filter. */
  heal(): void {
    this.cuts.clear();
    this.linkFaults.clear();
    this.defaultFaults = {};
    this.filter = undefined;
  }

  /** Takes a process's connection away, or gives it back: `Transport.connected`. */
  setConnected(process: string, connected: boolean): void {
    const transport = this.transports.get(process);
    assert(transport !== undefined, 'process is on the network', { process });
    transport.becomeConnected(connected);
  }

  /** For `MemoryTransport` alone. */
  sendFrom(from: MemoryTransport, to: Address, frame: Uint8Array): void {
    if (this.filter !== undefined && !this.filter(from.process, to, frame)) return;
    this.queue.push({ from, to, frame });
    if (this.scheduled) return;
    this.scheduled = true;
    this.clock.afterTurn(this.deliverDue);
  }

  /** For `MemoryTransport` alone. */
  addListener(key: string, transport: MemoryTransport, handler: FrameHandler): Listener {
    let there = this.listeners.get(key);
    if (there === undefined) {
      there = new Map();
      this.listeners.set(key, there);
    }
    const handlers = there;
    assert(!handlers.has(transport), 'one listener per address and process', { key });
    handlers.set(transport, handler);
    return {
      close: () => {
        if (handlers.get(transport) !== handler) return;
        handlers.delete(transport);
        if (handlers.size === 0 && this.listeners.get(key) === handlers) this.listeners.delete(key);
      },
    };
  }

  /** For `MemoryTransport` alone. */
  forget(transport: MemoryTransport): void {
    this.transports.delete(transport.process);
  }

  private deliverQueue(): void {
    this.scheduled = false;
    const due = this.queue;
    this.queue = [];
    let next = 0;
    try {
      while (next < due.length) {
        const inFlight = due[next++];
        if (inFlight !== undefined) this.route(inFlight);
      }
    } finally {
      // A handler threw, which is a bug that must surface; the frames behind it are still delivered.
      if (next < due.length) {
        this.queue = [...due.slice(next), ...this.queue];
        if (!this.scheduled) {
          this.scheduled = true;
          this.clock.afterTurn(this.deliverDue);
        }
      }
    }
  }

  private route({ from, to, frame }: InFlight): void {
    const key = addressKey(to);
    let listening = false;
    for (const [transport, handler] of [...(this.listeners.get(key) ?? [])]) {
      if (!transport.connected) continue;
      listening = true;
      const link = linkKey(from.process, transport.process);
      if (this.cuts.has(link)) continue;
      const faults = this.linkFaults.get(link) ?? this.defaultFaults;
      if (this.happens(faults.dropProbability)) continue;
      this.arrive(key, transport, handler, frame, this.delayOf(faults));
      if (this.happens(faults.duplicateProbability))
        this.arrive(key, transport, handler, frame, this.delayOf(faults));
    }
    if (!listening) from.hearUnreachable(to);
  }

  private arrive(
    key: string,
    transport: MemoryTransport,
    handler: FrameHandler,
    frame: Uint8Array,
    delayMs: number,
  ): void {
    const stillListens = (): boolean =>
      transport.connected && this.listeners.get(key)?.get(transport) === handler;
    if (delayMs <= 0) {
      if (stillListens()) handler(new Uint8Array(frame));
      return;
    }
    this.clock.setTimer(delayMs, () => {
      if (stillListens()) handler(new Uint8Array(frame));
    });
  }

  private happens(probability: number | undefined): boolean {
    if (probability === undefined || probability <= 0) return false;
    return (this.prng?.nextFloat() ?? 1) < probability;
  }

  private delayOf(faults: LinkFaults): number {
    const least = faults.delayMsMin ?? 0;
    const most = Math.max(least, faults.delayMsMax ?? 0);
    if (most <= 0) return 0;
    return least + (this.prng?.nextFloat() ?? 0) * (most - least);
  }

  private requirePrng(faults: LinkFaults): void {
    const chance =
      (faults.dropProbability ?? 0) > 0 ||
      (faults.duplicateProbability ?? 0) > 0 ||
      (faults.delayMsMax ?? 0) > 0;
    assert(!chance || this.prng !== undefined, 'faults by chance need a prng');
  }
}

/** One process's end of a `MemoryNetwork`. Made by `MemoryNetwork.connect`. */
export class MemoryTransport implements Transport {
  readonly process: string;
  private readonly network: MemoryNetwork;
  private readonly own = new Set<Listener>();
  private readonly unreachableHandlers = new Set<(to: Address) => void>();
  private readonly connectionHandlers = new Set<(connected: boolean) => void>();
  private isConnected = true;
  private isClosed = false;

  constructor(process: string, network: MemoryNetwork) {
    this.process = process;
    this.network = network;
  }

  get connected(): boolean {
    return this.isConnected;
  }

  send(to: Address, frame: Uint8Array): void {
    if (this.isConnected) this.network.sendFrom(this, to, frame);
  }

  listen(at: Address, handler: FrameHandler): Listener {
    assert(!this.isClosed, 'transport is open');
    const inner = this.network.addListener(addressKey(at), this, handler);
    const listener: Listener = {
      close: () => {
        inner.close();
        this.own.delete(listener);
      },
    };
    this.own.add(listener);
    return listener;
  }

  onUnreachable(handler: (to: Address) => void): Listener {
    return register(this.unreachableHandlers, handler);
  }

  onConnection(handler: (connected: boolean) => void): Listener {
    return register(this.connectionHandlers, handler);
  }

  /** Frames sent before are still delivered; nothing arrives here any more. */
  close(): Promise<void> {
    if (!this.isClosed) {
      this.isClosed = true;
      for (const listener of [...this.own]) listener.close();
      this.becomeConnected(false);
      this.unreachableHandlers.clear();
      this.connectionHandlers.clear();
      this.network.forget(this);
    }
    return Promise.resolve();
  }

  /** For `MemoryNetwork` alone. */
  becomeConnected(connected: boolean): void {
    if (this.isConnected === connected || (connected && this.isClosed)) return;
    this.isConnected = connected;
    for (const handler of [...this.connectionHandlers]) handler(connected);
  }

  /** For `MemoryNetwork` alone. */
  hearUnreachable(to: Address): void {
    if (!this.isConnected) return;
    for (const handler of [...this.unreachableHandlers]) handler(to);
  }
}

function register<Handler>(handlers: Set<Handler>, handler: Handler): Listener {
  handlers.add(handler);
  return { close: () => void handlers.delete(handler) };
}

function linkKey(from: string, to: string): string {
  return `${from}>${to}`;
}
