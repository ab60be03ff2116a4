/**
 * A machine with a disk and a store process on it, and the supervisor that starts the process again. The store is the
 * real one; the disk and the engine are twins that lose what they may lose.
 */
import {
  ExitCode,
  FatalError,
  type MemoryNetwork,
  type Prng,
  type StoreId,
  toStoreId,
} from '@flotilla/base';
import { MemoryDisk } from '@flotilla/base/testing';
import { defaultLimits as defaultRaftLimits } from '@flotilla/raft';
import { createRouter } from '@flotilla/router';
import { openStore, type PlacementSettings, type Store } from '@flotilla/shard';
import { MemoryEngine } from '@flotilla/shard/testing';
import { createStorePrograms } from '@flotilla/sql';
import { SimFailure } from '../failure.ts';
import { placementIn, type Swarm, wallErrorMsMaxOf } from '../swarm.ts';
import { withGrowth } from '../workload/transactions/growth.ts';
import { Host } from '../world/host.ts';
import { HostTransport, type ReplayFaults } from '../world/host-transport.ts';
import { SlowEngine } from '../world/slow-engine.ts';
import { Stream, type World } from '../world/world.ts';

export interface MachineOptions {
  readonly world: World;
  readonly swarm: Swarm;
  readonly number: number;
  readonly network: MemoryNetwork;
  readonly replay: () => ReplayFaults | undefined;
  /** A store process has begun: faults of its connection are still in force. */
  readonly onStart: (machine: StoreMachine) => void;
  /** The store has just opened, or its process ends now: `store` is there, and nothing has happened to it since. */
  readonly onLook: (machine: StoreMachine) => void;
  /** The process sends a frame to the consensus of another store. */
  readonly onSend: (machine: StoreMachine, frame: Uint8Array) => void;
  /** The store has found its disk damaged, has ended and stays down. */
  readonly onDamage: (machine: StoreMachine) => void;
  readonly onFailure: (failure: SimFailure) => void;
}

/** A value in the engine, and what it was. */
export interface RottenRow {
  readonly key: Buffer;
  readonly sound: Buffer;
  readonly rotten: Buffer;
}

/** A change of members without progress is given up after this. Unit: ms. */
const strayLearnerMs = 3000;
/** Where placement asks for changes: before it asks again, which it does every 3 s, so that it hears of it. */
const strayLearnerPlacedMs = 2000;
/** Stores write their rows into the first range all the time: a snapshot that takes seconds must find its log again. */
const retainedLogBytesPlaced = 20_000;

function settingsOf(swarm: Swarm): PlacementSettings | undefined {
  const placement = placementIn(swarm);
  if (placement === undefined) return undefined;
  const { reportEveryMs, deadAfterMs } = placement;
  return { replicationFactor: swarm.replication, reportEveryMs, deadAfterMs };
}

/** How long the supervisor waits after a process ended by itself. Unit: ms. */
const restartMs = 300;

export class StoreMachine {
  readonly storeId: StoreId;
  /** Of the machine that it says it is on: no two replicas of a range should be there. */
  readonly label: string;
  readonly host: Host;
  readonly disk: MemoryDisk;
  engine: MemoryEngine = new MemoryEngine();
  /** Undefined while the process is down or opening. */
  store: Store | undefined;
  transport: HostTransport | undefined;
  /** Ends of the process by its own decision, by exit code. */
  readonly exits: Map<number, number> = new Map();
  private readonly options: MachineOptions;
  private readonly fates: Prng;
  /** Disk or engine were made to fail in this life: it may end. */
  private excused = false;
  /** The machine starts anew when the process ends by itself. */
  private reboots = false;
  private ending = false;
  /** Something on its disk or in its engine is damaged: it may end for that, and then stays down. */
  private rotten = false;
  private readonly rottenRows: RottenRow[] = [];
  /** It has ended for damage. */
  isDamaged = false;
  /** It belongs to the cluster: replicas may be put there. */
  isMember = true;

  constructor(options: MachineOptions) {
    const { world, swarm, number } = options;
    this.options = options;
    this.storeId = toStoreId(number);
    const machines = placementIn(swarm)?.machines ?? number;
    this.label = `machine-${1 + ((number - 1) % machines)}`;
    const prng = world.stream(Stream.fates + 10 * number);
    this.fates = prng;
    const spread = (): number => prng.nextFloat() * 2 - 1;
    this.host = new Host(world, `store-${number}`, number, {
      rate: 1 + spread() * swarm.drift,
      wallOffsetMs: Math.round(spread() * swarm.wallOffsetMsMax),
      timerLateMsMax: swarm.timerLateMsMax,
      wallErrorMsMax: wallErrorMsMaxOf(swarm),
    });
    this.disk = new MemoryDisk({
      prng: world.stream(Stream.disks + number),
      clock: this.host.deviceClock(),
      faults: { syncDelayMs: swarm.syncMs },
    });
  }

  start(): void {
    if (this.host.alive || this.isDamaged) return;
    const { world, swarm, network, replay } = this.options;
    const { host, storeId } = this;
    host.start();
    const { life } = host;
    this.ending = false;
    const stream =
      Stream.processes + 100 * storeId + (life % 100) + 100_000 * Math.floor(life / 100);
    this.transport = new HostTransport({
      host,
      network,
      prng: world.stream(stream + 50_000),
      replay,
      onSend: (to, frame) => {
        if (to.kind === 'store' && to.channel === 'raft') this.options.onSend(this, frame);
      },
    });
    this.options.onStart(this);
    const placement = settingsOf(swarm);
    const retainedLogBytesMax = Math.max(
      swarm.retainedLogBytesMax,
      placement === undefined ? 0 : retainedLogBytesPlaced,
    );
    const router = createRouter({
      transport: this.transport,
      clock: host.clock(),
      prng: world.stream(stream + 800_000),
    });
    openStore({
      finishTransaction: (transaction) => router.transactions.finish(transaction),
      programs: withGrowth(createStorePrograms()),
      directory: 'data',
      storeId,
      machine: this.label,
      version: 'sim',
      transport: this.transport,
      clock: host.clock(),
      prng: world.stream(stream),
      disk: this.disk.session(),
      openEngine: async () =>
        new SlowEngine({
          inner: this.engine,
          host,
          prng: world.stream(Stream.engines + 100 * storeId + life),
          delayMsMax: swarm.engineMsMax,
        }),
      onFatal: (error) => this.endSoon(life, error),
      timings: swarm.timings,
      ...(placement && { placement }),
      raftLimits: { ...defaultRaftLimits, ...swarm.raftLimits },
      driverLimits: {
        retainedLogBytesMax,
        // 0: whoever lags needs a snapshot, and one that is slow is overtaken.
        heldLogBytesMax: 1000 * retainedLogBytesMax,
      },
      limits: {
        snapshotChunkBytes: swarm.snapshotChunkBytes,
        snapshotIdleMs: 2000,
        leaderlessMs: 2 * swarm.timings.electionTimeoutMs,
        strayLearnerMs: placement === undefined ? strayLearnerMs : strayLearnerPlacedMs,
        checkpointBytes: swarm.checkpointBytes,
        entryBytesTarget: swarm.entryBytesTarget,
        sessionsMax: swarm.sessionsMax,
        ...(swarm.transactions?.closing && {
          closedTimestampLagMs: swarm.transactions.closing.lagMs,
          closedTimestampHoldMs: swarm.transactions.closing.holdMs,
          closedTimestampIntervalMs: swarm.transactions.closing.intervalMs,
          // Of some ranges, so that it takes several messages.
          closedChangesPerMessage: 2,
        }),
        splitBytes: swarm.splitBytes,
        splitRequestsPerSecond: swarm.splitRequestsPerSecond,
      },
      walSegmentBytes: swarm.walSegmentBytes,
      pid: life,
    }).then(
      (store) => {
        if (life !== host.life) return;
        this.store = store;
        this.options.onLook(this);
      },
      (error: unknown) => this.endSoon(life, error),
    );
  }

  /** Its process is about to end by itself: when it has, nobody can look into its log any more. */
  get isStopping(): boolean {
    return this.ending;
  }

  /** By the clock of its host. Unit: ms. */
  nowMs(): number {
    return this.host.nowMs();
  }

  /** The process is killed. With `powerLoss` its machine too. */
  crash(powerLoss: boolean, downMs: number | undefined): void {
    if (this.host.alive || powerLoss) this.kill(powerLoss);
    if (downMs !== undefined) this.startAfter(downMs);
  }

  /** The machine is gone for good. */
  lose(): void {
    this.crash(true, undefined);
    this.isDamaged = true;
    this.options.onDamage(this);
  }

  /** A clean stop, as by SIGTERM; SIGKILL follows if it takes too long. */
  stop(downMs: number): void {
    const { store, host } = this;
    const { world } = this.options;
    if (store === undefined || this.ending) return;
    // What it has acknowledged since the last look is on its disk.
    this.options.onLook(this);
    this.ending = true;
    const { life } = host;
    const end = (): void => {
      if (host.life === life) this.crash(false, downMs);
    };
    store.stop({ timeoutMs: 1000 }).then(
      () => {
        // Its log is closed: there is nothing left to look at.
        if (host.life === life) this.store = undefined;
        world.after(0, { kind: 'world', run: end });
      },
      (error: unknown) => this.endSoon(life, error),
    );
    world.after(8000, { kind: 'world', run: end });
  }

  /** From now on the process may end for a reason of its disk. */
  excuse(options: { readonly reboots: boolean } = { reboots: false }): void {
    this.excused = true;
    this.reboots ||= options.reboots;
  }

  /** What is stored here has been damaged. */
  rotted(row?: RottenRow): void {
    this.rotten = true;
    if (row !== undefined) this.rottenRows.push(row);
  }

  /** Damaged values that nobody looked at and nothing replaced become sound again, for comparing states. Newest damage
   *  first: what was sound before the second flip of a value is the first one. */
  mendRows(): void {
    for (const { key, sound, rotten } of this.rottenRows.toReversed())
      if (this.engine.get(key)?.equals(rotten) === true) this.engine.tamper(key, sound);
  }

  startAfter(ms: number): void {
    const { life } = this.host;
    this.options.world.after(ms, {
      kind: 'world',
      run: () => {
        if (this.host.life === life) this.start();
      },
    });
  }

  /** The process found a reason to end: it does so at the end of what it does now. */
  private endSoon(life: number, error: unknown): void {
    const { world, onFailure } = this.options;
    if (life !== this.host.life) return;
    const code = error instanceof FatalError ? error.exitCode : ExitCode.failure;
    this.exits.set(code, (this.exits.get(code) ?? 0) + 1);
    if (!this.mayEndWith(error)) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      onFailure(new SimFailure('exit', `${this.host.name} ended with ${code}: ${text}`, error));
      return;
    }
    const damaged = isDamage(error);
    this.isDamaged ||= damaged;
    world.after(0, {
      kind: 'world',
      run: () => {
        const downMs = damaged ? undefined : restartMs + this.fates.nextFloat() * restartMs;
        if (life === this.host.life) this.crash(this.reboots, downMs);
        if (damaged) this.options.onDamage(this);
      },
    });
  }

  private mayEndWith(error: unknown): boolean {
    if (this.rotten && isDamage(error)) return true;
    if (!this.excused) return false;
    if (!(error instanceof FatalError)) return String(error).includes('EIO');
    const { exitCode } = error;
    return (
      exitCode === ExitCode.diskFull ||
      exitCode === ExitCode.diskFailed ||
      exitCode === ExitCode.diskStalled
    );
  }

  private kill(powerLoss: boolean): void {
    this.options.onLook(this);
    this.host.die();
    this.store = undefined;
    void this.transport?.close();
    this.transport = undefined;
    this.reboots = false;
    this.excused = Number.isFinite(this.disk.faults.capacityBytes);
    if (powerLoss) this.disk.crash();
    else this.disk.kill();
    this.engine = powerLoss ? this.engine.crash(this.fates) : this.engine.reopen();
  }
}

function isDamage(error: unknown): boolean {
  if (!(error instanceof FatalError)) return false;
  return error.exitCode === ExitCode.walCorrupt || error.exitCode === ExitCode.engineCorrupt;
}
