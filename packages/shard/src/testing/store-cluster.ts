/**
 * Several stores in one process on a clock moved by hand: network, disks and engines in memory, everything decided by a
 * seed. Crashes drop what was not synced, with holes. For tests of stores and of everything above them.
 */
import {
  assert,
  MemoryNetwork,
  type MemoryTransport,
  present,
  SeededPrng,
  type StoreId,
  toStoreId,
} from '@flotilla/base';
import { ManualClock, MemoryDisk } from '@flotilla/base/testing';
import type { DriverLimits, RaftTimings } from '@flotilla/raft';
import { initialRanges } from '../initial-ranges.ts';
import type { StoreLimits } from '../limits.ts';
import type { PlacementSettings } from '../placement/settings.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { openStore } from '../store/open-store.ts';
import type { Store, StoreOptions } from '../store/store-api.ts';
import type { FinishTransaction } from '../transaction/abandoned.ts';
import { MemoryEngine } from './memory-engine.ts';
import { MortalClock } from './mortal-clock.ts';
import { TestClient } from './test-client.ts';

export interface StoreClusterOptions {
  readonly seed: number;
  /** Default 3. */
  readonly stores?: number;
  /** Stores of these that the cluster is founded on; the others are not started. Default: all. */
  readonly founding?: number;
  /** Default: no store takes part in placement. */
  readonly placement?: PlacementSettings;
  /** By store. Default: each has its own. */
  readonly machineOf?: (storeId: StoreId) => string;
  /** Default: the founding cut. */
  readonly ranges?: readonly RangeDescriptor[];
  readonly timings?: RaftTimings;
  readonly limits?: Partial<StoreLimits>;
  readonly driverLimits?: Partial<DriverLimits>;
  /** For each store, over a connection of its own. */
  readonly finishTransaction?: (storeId: StoreId) => FinishTransaction;
  /** For each store: what it runs programs of scans with. Default: nothing. */
  readonly programs?: (storeId: StoreId) => Pick<StoreOptions, 'programs'>;
  /** Milliseconds a sync takes, uniform. Default [0, 0]. */
  readonly syncDelayMs?: readonly [number, number];
}

/** Belongs to the store that it is put back to. */
export interface DiskCopy {
  readonly disk: MemoryDisk;
  readonly engine: MemoryEngine;
}

interface Machine {
  readonly storeId: StoreId;
  disk: MemoryDisk;
  engine: MemoryEngine;
  running: Running | undefined;
}

interface Running {
  readonly clock: MortalClock;
  readonly transport: MemoryTransport;
  readonly store: Store;
}

export class StoreCluster {
  readonly clock: ManualClock = new ManualClock();
  readonly network: MemoryNetwork;
  readonly prng: SeededPrng;
  readonly clusterId: Buffer;
  readonly ranges: readonly RangeDescriptor[];
  /** Errors of stores that were alive, by store id: a test that expects none asserts on it. */
  readonly fatal: { readonly storeId: number; readonly error: Error }[] = [];
  private readonly options: StoreClusterOptions;
  private readonly machines: readonly Machine[];
  private clients = 0;
  private lives = 0;

  constructor(options: StoreClusterOptions) {
    this.options = options;
    this.prng = new SeededPrng(options.seed);
    this.network = new MemoryNetwork({ clock: this.clock, prng: new SeededPrng(options.seed, 1) });
    this.clusterId = Buffer.alloc(16, 0xc1);
    const storeIds = Array.from({ length: options.stores ?? 3 }, (_, i) => toStoreId(i + 1));
    this.ranges = options.ranges ?? initialRanges(storeIds.slice(0, options.founding));
    this.machines = storeIds.map((storeId) => ({
      storeId,
      disk: this.newDisk(100 + storeId),
      engine: new MemoryEngine(),
      running: undefined,
    }));
  }

  get storeIds(): readonly StoreId[] {
    return this.machines.map((machine) => machine.storeId);
  }

  /** Starts and founds all stores, and waits until every range has a leader. */
  async start(): Promise<void> {
    const founding = this.storeIds.slice(0, this.options.founding);
    await Promise.all(founding.map((storeId) => this.startStore(storeId)));
    const client = this.client();
    const founded = founding.map((storeId) =>
      client.request(storeId, {
        bootstrap: { clusterId: this.clusterId, storeId, ranges: [...this.ranges] },
      }),
    );
    await this.run(100);
    for (const response of await Promise.all(founded))
      assert(response?.bootstrap?.ok === true, 'a store is founded', {
        message: response?.bootstrap?.message,
      });
    await this.until(Promise.all(founding.map((storeId) => this.store(storeId).ready)), 20_000);
    // Writes no longer wait for what others may have read, and nothing of an earlier life is promised: an election timeout.
    await this.run(1000);
  }

  /** Starts a store that does not run, on what its machine's disk and engine hold. */
  async startStore(storeId: StoreId): Promise<Store> {
    const machine = this.machine(storeId);
    assert(machine.running === undefined, 'the store is down', { storeId });
    const clock = new MortalClock(this.clock);
    const transport = this.network.connect(`store-${storeId}`);
    const life = ++this.lives;
    const opening = openStore({
      directory: 'data',
      storeId,
      machine: this.options.machineOf?.(storeId) ?? `machine-${storeId}`,
      version: 'test',
      transport,
      clock,
      prng: new SeededPrng(this.options.seed, 1000 + life),
      disk: machine.disk.session(),
      openEngine: async () => machine.engine,
      onFatal: (error) => {
        if (clock.isAlive) this.fatal.push({ storeId, error });
      },
      walSegmentBytes: 256 * 1024,
      pid: life,
      ...(this.options.finishTransaction === undefined
        ? {}
        : { finishTransaction: this.options.finishTransaction(storeId) }),
      ...(this.options.programs === undefined ? {} : this.options.programs(storeId)),
      ...(this.options.placement === undefined ? {} : { placement: this.options.placement }),
      ...(this.options.timings === undefined ? {} : { timings: this.options.timings }),
      ...(this.options.limits === undefined ? {} : { limits: this.options.limits }),
      ...(this.options.driverLimits === undefined
        ? {}
        : { driverLimits: this.options.driverLimits }),
    });
    let store: Store;
    try {
      store = await this.until(opening, 10_000);
    } catch (error) {
      clock.kill();
      await transport.close();
      machine.engine = machine.engine.reopen();
      throw error;
    }
    machine.running = { clock, transport, store };
    return store;
  }

  /** The process dies. With `powerLoss` its machine too: unsynced data is lost in part, with holes. */
  crash(storeId: StoreId, options: { readonly powerLoss: boolean } = { powerLoss: true }): void {
    const machine = this.machine(storeId);
    const { clock, transport } = present(machine.running, 'running store');
    machine.running = undefined;
    clock.kill();
    void transport.close();
    if (options.powerLoss) machine.disk.crash();
    else machine.disk.kill();
    machine.engine = options.powerLoss ? machine.engine.crash(this.prng) : machine.engine.reopen();
  }

  /** A clean stop. */
  async stop(storeId: StoreId, timeoutMs = 2000): Promise<void> {
    const machine = this.machine(storeId);
    const { clock, transport, store } = present(machine.running, 'running store');
    await this.until(store.stop({ timeoutMs }), timeoutMs + 10_000);
    machine.running = undefined;
    clock.kill();
    await transport.close();
    machine.engine = machine.engine.reopen();
  }

  async stopAll(): Promise<void> {
    for (const machine of this.machines)
      if (machine.running !== undefined) this.crash(machine.storeId, { powerLoss: false });
    await this.run(1);
  }

  isRunning(storeId: StoreId): boolean {
    return this.machine(storeId).running !== undefined;
  }

  store(storeId: StoreId): Store {
    return present(this.machine(storeId).running, 'running store').store;
  }

  disk(storeId: StoreId): MemoryDisk {
    return this.machine(storeId).disk;
  }

  engine(storeId: StoreId): MemoryEngine {
    return this.machine(storeId).engine;
  }

  /** Replaces what the store will find as its engine. The store must be down. */
  setEngine(storeId: StoreId, engine: MemoryEngine): void {
    const machine = this.machine(storeId);
    assert(machine.running === undefined, 'the store is down', { storeId });
    machine.engine = engine;
  }

  /** What a backup of the machine's disk holds. The store may be running. */
  copyOf(storeId: StoreId): DiskCopy {
    const { disk, engine } = this.machine(storeId);
    const options = { prng: new SeededPrng(this.options.seed, 300 + storeId), clock: this.clock };
    return { disk: disk.clone(options), engine: engine.copy() };
  }

  /** The backup is put back. The store must be down. */
  putBack(storeId: StoreId, copy: DiskCopy): void {
    const machine = this.machine(storeId);
    assert(machine.running === undefined, 'the store is down', { storeId });
    machine.disk = copy.disk;
    machine.engine = copy.engine;
  }

  /** The machine gets a new, empty disk. The store must be down. */
  replaceDisk(storeId: StoreId): void {
    const machine = this.machine(storeId);
    assert(machine.running === undefined, 'the store is down', { storeId });
    machine.disk = this.newDisk(200 + storeId);
    machine.engine = new MemoryEngine();
  }

  /** Cuts a store off from everybody, both ways. `network.heal` ends it. */
  isolate(storeId: StoreId): void {
    this.network.isolate(`store-${storeId}`);
  }

  client(
    options: { readonly attemptMs?: number; readonly clusterId?: Uint8Array } = {},
  ): TestClient {
    const clientId = `client-${++this.clients}`;
    return new TestClient({
      clientId,
      transport: this.network.connect(clientId),
      clock: this.clock,
      clusterId: this.clusterId,
      ranges: this.ranges,
      storeIds: this.storeIds,
      ...options,
    });
  }

  /** Moves time on by `ms`, from event to event, letting all promises settle in between. */
  async run(ms: number): Promise<void> {
    const until = this.clock.nowMs() + ms;
    for (;;) {
      await this.settle();
      const now = this.clock.nowMs();
      const next = this.clock.nextTimerAt() ?? Number.POSITIVE_INFINITY;
      if (now >= until) return;
      this.clock.advance(Math.max(0.01, Math.min(next, until) - now));
    }
  }

  /** Moves time on until `promise` settles; fails after `ms`. */
  async until<T>(promise: Promise<T>, ms = 30_000): Promise<T> {
    let settled = false;
    const watched = promise.finally(() => {
      settled = true;
    });
    // Whoever awaits `watched` below hears of a rejection.
    watched.catch(() => {});
    const deadline = this.clock.nowMs() + ms;
    await this.settle();
    while (!settled) {
      assert(this.clock.nowMs() < deadline, 'the promise settles in time', {
        ms,
        fatal: this.fatal.map(({ storeId, error }) => `${storeId}: ${error.stack}`),
      });
      await this.run(5);
    }
    return watched;
  }

  /** Runs everything that is due without moving time. */
  private async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet++) {
      this.clock.runTurn();
      // All promise jobs run before the next macrotask.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  private newDisk(stream: number): MemoryDisk {
    return new MemoryDisk({
      prng: new SeededPrng(this.options.seed, stream),
      clock: this.clock,
      faults: { syncDelayMs: this.options.syncDelayMs ?? [0, 0] },
    });
  }

  private machine(storeId: StoreId): Machine {
    return present(
      this.machines.find((machine) => machine.storeId === storeId),
      `store ${storeId}`,
    );
  }
}
