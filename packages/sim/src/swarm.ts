/**
 * What kind of world a seed makes: how many of everything, which faults may happen at all, how fast and how tight. Every
 * fault class is on in about half of the seeds, so that most pairs of classes meet, also without the others; one seed in
 * eight has none. All numbers are drawn here, up front; a run prints them.
 */
import { type Prng, SeededPrng } from '@flotilla/base';
import { defaultTimings, type RaftLimits, type RaftTimings } from '@flotilla/raft';
import { Stream } from './world/world.ts';

export const faultClasses = [
  'crash',
  'powerLoss',
  'crashAll',
  'leaseWindow',
  'stop',
  'pause',
  'isolate',
  'oneWay',
  'slowLink',
  'partition',
  'disconnect',
  'storm',
  'replay',
  'clockStep',
  'clockRate',
  'restartClock',
  'lateTimers',
  'diskStall',
  'slowDisk',
  'diskError',
  'diskFull',
  'engineError',
  'bitFlip',
  'engineFlip',
  'transfer',
  'transferStorm',
  'moveReplica',
  'churn',
  'growRange',
  'shrinkRange',
  'crashInChange',
  'checkpoint',
  'bridge',
  'lateEchoes',
  'splitRange',
  'crashInSplit',
  'joinStore',
  'drainStore',
  'loseStore',
  'crashCoordinator',
  'stragglers',
] as const;
export type FaultClass = (typeof faultClasses)[number];

/** On where they are asked for only: seeds that do not ask keep their worlds. */
export const onRequest: readonly FaultClass[] = ['bridge', 'lateEchoes', 'stragglers'];

/** In worlds alone in which stores place replicas and leases themselves. */
export const placementClasses: readonly FaultClass[] = ['joinStore', 'drainStore', 'loseStore'];

/** Drawn by chances of their own: worlds without them are what they were before there were such classes. */
const laterClasses: readonly FaultClass[] = ['splitRange', 'crashInSplit'];

/** In worlds with transactions alone. */
const transactionClasses: readonly FaultClass[] = ['crashCoordinator'];

/** What transactions do, see `workload/transactions/`. */
export const transactionWorkloads = [
  'lists',
  'bank',
  'registers',
  'skew',
  'predicate',
  'ring',
] as const;
export type TransactionWorkload = (typeof transactionWorkloads)[number];

/** Of worlds in which clients run transactions. The wall clocks of all hosts are then kept as close as is promised. */
export interface TransactionSwarm {
  /** Hosts with a coordinator, beside the other clients, and transactions at a time on each. */
  readonly coordinators: number;
  readonly workers: number;
  readonly workloads: readonly TransactionWorkload[];
  /** Lists, accounts and members of the ring. */
  readonly keys: number;
  /** Share of transactions under READ COMMITTED; the others are SERIALIZABLE. */
  readonly readCommittedShare: number;
  /** Share of reads that lock, where a workload does not depend on it. */
  readonly lockShare: number;
  /** Pause before a transaction, and now and then between its steps, uniform up to this. Unit: ms. */
  readonly thinkMsMax: number;
  /** After so many transactions workers go slowly. */
  readonly brisk: number;
  /** Undefined: stores close what they close by themselves, and nobody reads the past. */
  readonly closing?: ClosingSwarm;
}

/** Closed timestamps, and reads of the past at any replica. Unit: ms. */
export interface ClosingSwarm {
  /** As in `StoreLimits`. */
  readonly lagMs: number;
  readonly holdMs: number;
  readonly intervalMs: number;
  /** As in `RouterTimings`: small, so that replicas are asked for what they have only just heard of, or not yet. */
  readonly followerReadLagMs: number;
}

/** Of worlds in which stores place replicas and leases themselves. They look and judge quickly: a run is short. */
export interface PlacementSwarm {
  /** Stores have the labels of so many machines, in turns. */
  readonly machines: number;
  /** As in `PlacementSettings`. Unit: ms. */
  readonly reportEveryMs: number;
  readonly deadAfterMs: number;
}

/** How much more likely than usual a class is, to be on and to happen when it is. 1 where nothing is said. */
export type Weights = Readonly<Partial<Record<FaultClass, number>>>;

export interface Swarm {
  readonly seed: number;
  readonly stores: number;
  /** Voters of every range at the beginning and at the end. */
  readonly replication: number;
  readonly ranges: number;
  readonly clients: number;
  readonly keys: number;
  readonly faultClasses: readonly FaultClass[];
  readonly weights: Weights;
  /** Time under faults. Unit: ms. */
  readonly faultsMs: number;
  /** Mean time between two faults. Unit: ms. */
  readonly faultEveryMs: number;
  /** Pause of a client between two operations, uniform up to this. Unit: ms. */
  readonly thinkMsMax: number;
  /** Share of single reads that ask any replica. */
  readonly followerReadShare: number;
  /** After so many operations clients go slowly: what was not found by then needs other faults, not more load. */
  readonly briskOperations: number;
  readonly operationTimeoutMs: number;
  /** Of every frame, uniform. Unit: ms. */
  readonly delayMs: readonly [number, number];
  readonly syncMs: readonly [number, number];
  readonly engineMsMax: number;
  readonly timerLateMsMax: number;
  /** Clocks run at 1 ± this. Leases are promised up to 0.01. */
  readonly drift: number;
  readonly wallOffsetMsMax: number;
  readonly timings: RaftTimings;
  readonly raftLimits: Partial<RaftLimits>;
  readonly checkpointBytes: number;
  /** Small: whoever lags needs a snapshot. */
  readonly retainedLogBytesMax: number;
  readonly snapshotChunkBytes: number;
  readonly entryBytesTarget: number;
  readonly sessionsMax: number;
  readonly walSegmentBytes: number;
  /** Ranges with more than this split by themselves. */
  readonly splitBytes: number;
  /** So do ranges that are asked more often. */
  readonly splitRequestsPerSecond: number;
  /** Undefined: nobody runs any. */
  readonly transactions?: TransactionSwarm | undefined;
  /** Undefined: an operator does what faults ask for, unless a class of faults needs placement. */
  readonly placement?: PlacementSwarm | undefined;
}

/** More than a run writes, and asks. */
const manyBytes = 64 * 1024 * 1024;
const manyRequests = 20_000;

export function swarmOf(seed: number, weights: Weights = {}): Swarm {
  const prng = new SeededPrng(seed, Stream.swarm);
  const later = new SeededPrng(seed, Stream.laterClasses);
  const transactional = new SeededPrng(seed, Stream.transactions);
  const splits = new SeededPrng(seed, Stream.splits);
  const placing = new SeededPrng(seed, Stream.placement);
  const isPlaced = placing.nextFloat() < placementChance(weights);
  const transactions =
    transactional.nextBelow(seedsPerTransactional) === 0
      ? transactionsOf(transactional)
      : undefined;
  const calm = prng.nextBelow(8) === 0;
  const classes = faultClasses.filter((name) => {
    if (onRequest.includes(name) && weights[name] === undefined) return false;
    if (transactionClasses.includes(name) && transactions === undefined) return false;
    if (placementClasses.includes(name) && !isPlaced) return false;
    const chance = transactionClasses.includes(name)
      ? transactional
      : placementClasses.includes(name)
        ? placing
        : laterClasses.includes(name)
          ? later
          : prng;
    return chance.nextFloat() < 1 - 0.5 ** (weights[name] ?? 1);
  });
  const stores = pick(prng, [3, 3, 3, 4, 4, 4, 5, 5, 2, 1]);
  const delayMost = pick(prng, [0, 0.2, 1, 5, 20]);
  const fast = prng.nextBelow(3) === 0;
  const timings: RaftTimings = fast
    ? {
        electionTimeoutMs: 300,
        electionJitterMs: 100,
        heartbeatIntervalMs: 60,
        // As the defaults are made: E less 2 % of drift, less what clocks cannot resolve.
        leaseDurationMs: 270,
      }
    : defaultTimings;
  const cruel = prng.nextBelow(3) === 0;
  const swarm: Swarm = {
    seed,
    stores,
    replication: Math.min(3, stores),
    ranges: pick(prng, [2, 3, 4, 6]),
    clients: pick(prng, [2, 3, 4, 6]),
    keys: pick(prng, [2, 4, 8, 16]),
    faultClasses: calm ? [] : classes,
    weights,
    faultsMs: pick(prng, [1500, 3000, 6000]),
    faultEveryMs: pick(prng, [150, 400, 1000]),
    thinkMsMax: pick(prng, [2, 10, 50, 150]),
    followerReadShare: pick(prng, [0, 0.2, 0.6]),
    briskOperations: pick(prng, [50, 150, 400]),
    operationTimeoutMs: pick(prng, [300, 1500, 5000, 10_000]),
    delayMs: [delayMost / pick(prng, [2, 10]), delayMost],
    syncMs: pick(prng, [
      [0, 0],
      [0.1, 2],
      [1, 20],
    ]),
    engineMsMax: pick(prng, [0, 0.5, 5, 30]),
    timerLateMsMax: pick(prng, [0, 1, 8]),
    drift: pick(prng, [0, 0.001, 0.01]),
    wallOffsetMsMax: pick(prng, [0, 50, 1000, 60_000]),
    timings,
    raftLimits: cruel ? cruelLimits(prng) : {},
    checkpointBytes: pick(prng, [2_000, 20_000, 32 * 1024 * 1024]),
    retainedLogBytesMax: pick(prng, [0, 1_000, 16 * 1024 * 1024]),
    snapshotChunkBytes: pick(prng, [200, 4_000, 240 * 1024]),
    entryBytesTarget: pick(prng, [1, 1000, 1024 * 1024]),
    // Below the number of clients sessions are evicted and expire.
    sessionsMax: pick(prng, [2, 4096, 4096, 4096]),
    walSegmentBytes: pick(prng, [64 * 1024, 256 * 1024]),
    splitBytes: pick(splits, [manyBytes, manyBytes, manyBytes, 300]),
    splitRequestsPerSecond: pick(splits, [manyRequests, manyRequests, manyRequests, 30]),
  };
  const placement = isPlaced ? placementOf(placing, stores) : undefined;
  const placed = placement === undefined ? swarm : { ...swarm, placement };
  if (transactions === undefined) return placed;
  const closing = closingOf(new SeededPrng(seed, Stream.closing), swarm);
  return { ...placed, transactions: { ...transactions, closing } };
}

/** One seed in four, unless one of its classes is more or less likely than usual. */
function placementChance(weights: Weights): number {
  const weight = Math.max(...placementClasses.map((name) => weights[name] ?? 1));
  return 1 - 0.75 ** weight;
}

function placementOf(prng: Prng, stores: number): PlacementSwarm {
  return {
    machines: pick(prng, [storesMax, storesMax, stores, Math.min(3, stores)]),
    reportEveryMs: pick(prng, [150, 400]),
    // Below what some faults last: a store is given up for dead, and comes back.
    deadAfterMs: pick(prng, [1000, 4000]),
  };
}

/** One seed in so many runs transactions. */
const seedsPerTransactional = 3;

/** A promise that takes longer than the lag comes too late, again and again: it is made above what is closed then. */
function closingOf(
  prng: Prng,
  slow: Pick<Swarm, 'delayMs' | 'syncMs' | 'engineMsMax'>,
): ClosingSwarm {
  const stepMsMax = 10 + 2 * (slow.delayMs[1] + slow.syncMs[1] + slow.engineMsMax);
  const lagMs = stepMsMax * pick(prng, [2, 4, 20]);
  return {
    lagMs,
    holdMs: pick(prng, [0, 0, 100, 1000]),
    intervalMs: pick(prng, [10, 50, 300]),
    followerReadLagMs: lagMs * pick(prng, [0, 0.5, 1]),
  };
}

function transactionsOf(prng: Prng): TransactionSwarm {
  const few = 1 + prng.nextBelow(3);
  const chosen = new Set<TransactionWorkload>();
  while (chosen.size < few) chosen.add(pick(prng, transactionWorkloads));
  return {
    coordinators: pick(prng, [2, 3]),
    workers: pick(prng, [1, 2, 3]),
    workloads: transactionWorkloads.filter((name) => chosen.has(name)),
    keys: pick(prng, [3, 5, 8]),
    readCommittedShare: pick(prng, [0, 0.2, 0.5]),
    lockShare: pick(prng, [0, 0.1, 0.4]),
    thinkMsMax: pick(prng, [2, 10, 40]),
    brisk: pick(prng, [40, 100, 200]),
  };
}

function cruelLimits(prng: Prng): Partial<RaftLimits> {
  return {
    appendBytesMax: pick(prng, [1, 200, 128 * 1024]),
    inflightMessagesMax: pick(prng, [1, 2, 128]),
    inflightBytesMax: pick(prng, [1, 1000, 1024 * 1024]),
    uncommittedBytesMax: pick(prng, [1, 1000, 4 * 1024 * 1024]),
    cachedBytesMax: pick(prng, [0, 1000]),
    applyBytesMax: pick(prng, [1, 500, 1024 * 1024]),
    pendingReadsMax: pick(prng, [1, 4096]),
  };
}

export function pick<T>(prng: Prng, choices: readonly [T, ...T[]]): T {
  return choices[prng.nextBelow(choices.length)] ?? choices[0];
}

/** No more stores than these join, lost ones included. Those that take the place of a damaged one always do. */
export const storesMax = 8;

/** Where a class needs placement and the seed has drawn none. */
const usualPlacement: PlacementSwarm = {
  machines: storesMax,
  reportEveryMs: 400,
  deadAfterMs: 4000,
};

/** How stores place replicas and leases themselves. Undefined: an operator does what faults ask for. */
export function placementIn({ faultClasses, placement }: Swarm): PlacementSwarm | undefined {
  if (placement !== undefined) return placement;
  return faultClasses.some((name) => placementClasses.includes(name)) ? usualPlacement : undefined;
}

/** Clocks of any two hosts are then less than 250 ms apart, which transactions rely on. Unit: ms. */
export const wallErrorMsMax = 120;

/** Undefined: wall clocks go where they like. */
export function wallErrorMsMaxOf({ transactions }: Swarm): number | undefined {
  return transactions === undefined ? undefined : wallErrorMsMax;
}
