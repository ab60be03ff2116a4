/**
 * What goes wrong and when, as data: generated up front from the seed, handed to the cluster, cut down by the shrinker.
 * Stores are numbered from 1, clients from 1; a number beyond what the world has is taken modulo it.
 */
import { type Prng, SeededPrng } from '@flotilla/base';
import { type FaultClass, pick, placementClasses, type Swarm } from './swarm.ts';
import { Stream } from './world/world.ts';

interface At {
  /** Since the faults began. Unit: ms. */
  readonly atMs: number;
  /** The class that it belongs to: the shrinker drops whole classes first. */
  readonly class: FaultClass;
}

interface Lasting {
  readonly lastsMs: number;
}

export type Fault = At &
  (
    | {
        readonly kind: 'crash';
        readonly store: number;
        readonly powerLoss: boolean;
        readonly downMs: number;
        /** Its wall clock while it is down. Unit: ms. */
        readonly stepMs: number;
      }
    | { readonly kind: 'crashAll'; readonly powerLoss: boolean; readonly downMs: readonly number[] }
    /**
     * The leaseholder of a range is cut off from the other stores, which start anew: whoever votes now must not end a
     * lease that the old leader still counts on.
     */
    | ({
        readonly kind: 'leaseWindow';
        readonly range: number;
        readonly downMs: readonly number[];
      } & Lasting)
    | { readonly kind: 'stop'; readonly store: number; readonly downMs: number }
    | ({ readonly kind: 'pause'; readonly host: HostName; readonly timersFirst: boolean } & Lasting)
    | ({ readonly kind: 'isolate'; readonly host: HostName } & Lasting)
    | ({
        readonly kind: 'slowLink';
        readonly from: HostName;
        readonly to: HostName;
        readonly delayMs: number;
      } & Lasting)
    | ({ readonly kind: 'cut'; readonly from: HostName; readonly to: HostName } & Lasting)
    /** The leaseholder and one other store hear nothing of each other; both hear everybody else. */
    | ({ readonly kind: 'bridge'; readonly range: number; readonly store: number } & Lasting)
    /**
     * What other stores say to the leaseholder comes late. Some time later another one is to lead, while what was said before
     * is still under way: it hands over, or the other stores hear no more of it. Every second client loses sight of it and
     * looks for its successor; the others reach it as ever.
     */
    | ({
        readonly kind: 'lateEchoes';
        readonly range: number;
        readonly delayMs: number;
        readonly replacedAfterMs: number;
        readonly replacedBy: 'transfer' | 'silence';
        readonly target: number;
      } & Lasting)
    | ({ readonly kind: 'partition'; readonly side: readonly HostName[] } & Lasting)
    | ({ readonly kind: 'disconnect'; readonly host: HostName; readonly keeps: boolean } & Lasting)
    | ({
        readonly kind: 'storm';
        readonly drop: number;
        readonly duplicate: number;
        readonly delayMs: readonly [number, number];
      } & Lasting)
    | ({
        readonly kind: 'replay';
        readonly probability: number;
        readonly delayMsMax: number;
      } & Lasting)
    | { readonly kind: 'clockStep'; readonly host: HostName; readonly deltaMs: number }
    /** @param rate of the monotonic and the wall clock from now on */
    | { readonly kind: 'clockRate'; readonly host: HostName; readonly rate: number }
    | ({
        readonly kind: 'lateTimers';
        readonly host: HostName;
        readonly lateMsMax: number;
      } & Lasting)
    | ({ readonly kind: 'diskStall'; readonly store: number } & Lasting)
    | ({
        readonly kind: 'slowDisk';
        readonly store: number;
        readonly syncMs: readonly [number, number];
      } & Lasting)
    | {
        readonly kind: 'diskError';
        readonly store: number;
        readonly call: 'write' | 'sync';
        /**
         * The machine starts anew after the process has ended. Otherwise the next process reads from the page cache what
         * a failed sync has lost: it looks durable and is not.
         */
        readonly reboots: boolean;
      }
    | ({ readonly kind: 'diskFull'; readonly store: number } & Lasting)
    | { readonly kind: 'engineError'; readonly store: number }
    /**
     * Bits of the log rot while its process is down: in the older half of what is written, because what only the newest
     * batch says may be lost with it. `at` is in [0, 1).
     */
    | {
        readonly kind: 'bitFlip';
        readonly store: number;
        readonly at: number;
        readonly mask: number;
        readonly downMs: number;
      }
    /** A value of the engine rots. */
    | {
        readonly kind: 'engineFlip';
        readonly store: number;
        readonly at: number;
        readonly mask: number;
      }
    | { readonly kind: 'transfer'; readonly range: number; readonly target: number }
    | {
        readonly kind: 'transferStorm';
        readonly everyMs: number;
        readonly transfers: readonly { readonly range: number; readonly target: number }[];
      }
    /** A voter of the range, by its place among them, is replaced by another store, by its place among those without. */
    | {
        readonly kind: 'moveReplica';
        readonly range: number;
        readonly from: number;
        readonly to: number;
      }
    /** Members change all the time. */
    | ({
        readonly kind: 'churn';
        readonly everyMs: number;
        readonly moves: readonly {
          readonly range: number;
          readonly from: number;
          readonly to: number;
        }[];
      } & Lasting)
    /** The next leader that is seen to change its members loses its process, or its machine, a moment later. */
    | ({
        readonly kind: 'crashInChange';
        readonly powerLoss: boolean;
        readonly afterMs: number;
        readonly downMs: number;
        /** What it must be doing: joint consensus, or anything that is not committed. */
        readonly joint: boolean;
      } & Lasting)
    | { readonly kind: 'growRange'; readonly range: number; readonly to: number }
    | { readonly kind: 'shrinkRange'; readonly range: number; readonly from: number }
    /** A range, by its place among those that there are, is cut at a key that begins with `0x08 ‖ at`. */
    | { readonly kind: 'splitRange'; readonly range: number; readonly at: number }
    /** The same, and the leader that cuts it, or every store, loses its process or its machine a moment later. */
    | {
        readonly kind: 'crashInSplit';
        readonly range: number;
        readonly at: number;
        readonly powerLoss: boolean;
        readonly everybody: boolean;
        readonly afterMs: number;
        readonly downMs: number;
      }
    | { readonly kind: 'checkpoint'; readonly store: number }
    /** An empty store under a new number is started, and nothing else is done for it. */
    | { readonly kind: 'joinStore' }
    /** An operator wants a store empty of leases for a while, or of everything for good. */
    | ({
        readonly kind: 'drainStore';
        readonly store: number;
        readonly forGood: boolean;
      } & Lasting)
    /** The machine never comes back, and nobody says so. At most one. */
    | { readonly kind: 'loseStore'; readonly store: number }
    /** A process that coordinates transactions dies, at once or a moment after the next commit there has come so far. */
    | {
        readonly kind: 'crashCoordinator';
        readonly coordinator: number;
        readonly step: CommitStep | 'now';
        readonly afterMs: number;
        readonly downMs: number;
      }
    /**
     * Of the next commit of a coordinator one store gets its promise late, and another hears late of everything that comes
     * after the promise: both may be there when somebody else settles the transaction.
     */
    | ({
        readonly kind: 'stragglers';
        readonly coordinator: number;
        readonly promise: { readonly store: number; readonly delayMs: number };
        readonly silence: { readonly store: number; readonly delayMs: number };
      } & Lasting)
  );

/** Of a commit over several ranges: its promise is sent; has been made; its decision is sent; what is left is resolved. */
export type CommitStep = 'promises' | 'promised' | 'decides' | 'resolves';

/** `store-1`, `client-2`: as on the network. `*` where a fault takes it: everybody. */
export type HostName = string;

export function scheduleOf(swarm: Swarm): readonly Fault[] {
  if (swarm.faultClasses.length === 0) return [];
  const prng = new SeededPrng(swarm.seed, Stream.faults);
  const faults: Fault[] = [];
  let atMs = 0;
  for (;;) {
    // Exponential gaps: bursts and lulls.
    atMs += -Math.log(1 - prng.nextFloat()) * swarm.faultEveryMs;
    if (atMs >= swarm.faultsMs) return faults;
    faults.push(faultOf(chooseClass(swarm, prng), round(atMs), swarm, prng));
  }
}

const splitsPerFault = 4;
const placementsPerFault = 3;

function chooseClass({ faultClasses, weights }: Swarm, prng: Prng): FaultClass {
  const weightOf = (name: FaultClass): number => weights[name] ?? usualWeight(name);
  let total = 0;
  for (const name of faultClasses) total += weightOf(name);
  let at = prng.nextFloat() * total;
  for (const name of faultClasses) {
    at -= weightOf(name);
    if (at < 0) return name;
  }
  return faultClasses[faultClasses.length - 1] as FaultClass;
}

/** Ranges of a cluster that grows are cut more often than anything breaks; and few worlds have stores that come and go. */
function usualWeight(name: FaultClass): number {
  if (name === 'splitRange') return splitsPerFault;
  return placementClasses.includes(name) ? placementsPerFault : 1;
}

function faultOf(kind: FaultClass, atMs: number, swarm: Swarm, prng: Prng): Fault {
  const store = 1 + prng.nextBelow(swarm.stores);
  const storeName = `store-${store}`;
  const coordinators = swarm.transactions?.coordinators ?? 0;
  const clients = swarm.clients + coordinators;
  const anyHost = prng.nextBelow(4) === 0 ? `client-${1 + prng.nextBelow(clients)}` : storeName;
  const at = { atMs, class: kind };
  // Inside the lease, about an election, or long.
  const { electionTimeoutMs } = swarm.timings;
  const scale = pick(prng, [0.1, 0.8, 2, 4]) * electionTimeoutMs;
  const lastsMs = round(prng.nextFloat() * scale);
  const downMs = round(prng.nextFloat() * pick(prng, [0.3, 1, 4]) * electionTimeoutMs);
  switch (kind) {
    case 'crash':
      return { ...at, kind, store, powerLoss: false, downMs, stepMs: 0 };
    case 'powerLoss':
      return { ...at, kind: 'crash', store, powerLoss: true, downMs, stepMs: 0 };
    case 'restartClock': {
      const powerLoss = prng.nextBelow(2) === 0;
      const most = pick(prng, [300, 5000, 3_600_000]);
      const stepMs = round((prng.nextFloat() * 2 - 1) * most);
      return { ...at, kind: 'crash', store, powerLoss, downMs, stepMs };
    }
    case 'leaseWindow': {
      const range = 1 + prng.nextBelow(swarm.ranges);
      const most = pick(prng, [0.05, 0.3]) * electionTimeoutMs;
      const each = Array.from({ length: swarm.stores }, () => round(prng.nextFloat() * most));
      return { ...at, kind, range, downMs: each, lastsMs: round(1.5 * electionTimeoutMs) };
    }
    case 'crashAll': {
      const each = Array.from({ length: swarm.stores }, () => round(prng.nextFloat() * downMs));
      return { ...at, kind, powerLoss: prng.nextBelow(2) === 0, downMs: each };
    }
    case 'stop':
      return { ...at, kind, store, downMs };
    case 'pause':
      return { ...at, kind, host: anyHost, timersFirst: prng.nextBelow(2) === 0, lastsMs };
    case 'isolate':
      return { ...at, kind, host: anyHost, lastsMs };
    case 'oneWay': {
      const others = pick(prng, ['*', `store-${1 + prng.nextBelow(swarm.stores)}`]);
      const [from, to] = prng.nextBelow(2) === 0 ? [others, anyHost] : [anyHost, others];
      return { ...at, kind: 'cut', from, to, lastsMs };
    }
    case 'slowLink': {
      const [from, to] = prng.nextBelow(2) === 0 ? ['*', storeName] : [storeName, '*'];
      const delayMs = round(prng.nextFloat() * electionTimeoutMs);
      return { ...at, kind, from, to, delayMs, lastsMs };
    }
    case 'stragglers': {
      // About when whoever meets the promise takes its coordinator for dead: a second after it was made.
      const promiseMs = round(900 + prng.nextFloat() * 300);
      const silentMs = round(1000 + prng.nextFloat() * pick(prng, [120, 2000]));
      return {
        ...at,
        kind,
        coordinator: prng.nextBelow(Math.max(1, coordinators)),
        promise: { store, delayMs: promiseMs },
        silence: { store: 1 + prng.nextBelow(swarm.stores), delayMs: silentMs },
        lastsMs: round(pick(prng, [100, 1500])),
      };
    }
    case 'partition': {
      const side: string[] = [];
      for (let i = 1; i <= swarm.stores; i++) if (prng.nextBelow(2) === 0) side.push(`store-${i}`);
      for (let i = 1; i <= clients; i++) if (prng.nextBelow(2) === 0) side.push(`client-${i}`);
      return { ...at, kind, side, lastsMs };
    }
    case 'disconnect':
      return { ...at, kind, host: anyHost, keeps: prng.nextBelow(2) === 0, lastsMs };
    case 'storm': {
      const drop = pick(prng, [0, 0.02, 0.1, 0.3]);
      const duplicate = pick(prng, [0, 0.02, 0.1, 0.3]);
      const most = pick(prng, [1, 20, 100, 500]);
      return { ...at, kind, drop, duplicate, delayMs: [0, most], lastsMs };
    }
    case 'replay':
      return {
        ...at,
        kind,
        probability: pick(prng, [0.01, 0.05, 0.2]),
        delayMsMax: pick(prng, [50, 1000, 5000]),
        lastsMs,
      };
    case 'clockStep': {
      const size = pick(prng, [40, 300, 5000, 3_600_000]);
      return { ...at, kind, host: anyHost, deltaMs: round((prng.nextFloat() * 2 - 1) * size) };
    }
    case 'clockRate':
      return { ...at, kind, host: anyHost, rate: 1 + (prng.nextFloat() * 2 - 1) * swarm.drift };
    case 'lateTimers':
      return { ...at, kind, host: anyHost, lateMsMax: pick(prng, [30, 200, 1000]), lastsMs };
    case 'diskStall':
      return { ...at, kind, store, lastsMs };
    case 'slowDisk': {
      const most = pick(prng, [10, 100, 800]);
      return { ...at, kind, store, syncMs: [most / 10, most], lastsMs };
    }
    case 'diskError':
      return {
        ...at,
        kind,
        store,
        call: pick(prng, ['write', 'sync']),
        reboots: prng.nextBelow(2) === 0,
      };
    case 'diskFull':
      return { ...at, kind, store, lastsMs };
    case 'engineError':
      return { ...at, kind, store };
    case 'bitFlip':
      return { ...at, kind, store, at: prng.nextFloat(), mask: 1 << prng.nextBelow(8), downMs };
    case 'engineFlip':
      return { ...at, kind, store, at: prng.nextFloat(), mask: 1 << prng.nextBelow(8) };
    case 'transferStorm': {
      const transfers = Array.from({ length: 4 + prng.nextBelow(12) }, () => ({
        range: 1 + prng.nextBelow(swarm.ranges),
        target: prng.nextBelow(3),
      }));
      return { ...at, kind, everyMs: pick(prng, [5, 40, 200]), transfers };
    }
    case 'transfer':
      return { ...at, kind, range: 1 + prng.nextBelow(swarm.ranges), target: store };
    case 'churn': {
      const everyMs = pick(prng, [30, 150, 500]);
      const moves = Array.from({ length: 4 + prng.nextBelow(12) }, () => ({
        range: 1 + prng.nextBelow(swarm.ranges),
        from: prng.nextBelow(5),
        to: prng.nextBelow(5),
      }));
      return { ...at, kind, everyMs, moves, lastsMs };
    }
    case 'crashInChange':
      return {
        ...at,
        kind,
        powerLoss: prng.nextBelow(2) === 0,
        afterMs: round(prng.nextFloat() * pick(prng, [0, 2, 30])),
        downMs,
        joint: prng.nextBelow(2) === 0,
        lastsMs: 2 * electionTimeoutMs,
      };
    case 'moveReplica':
    case 'growRange':
    case 'shrinkRange': {
      const [from, to] = [prng.nextBelow(5), prng.nextBelow(5)];
      return { ...at, kind, range: 1 + prng.nextBelow(swarm.ranges), from, to };
    }
    case 'splitRange':
      return { ...at, kind, range: prng.nextBelow(64), at: prng.nextBelow(256) };
    case 'crashInSplit':
      return {
        ...at,
        kind,
        range: prng.nextBelow(64),
        at: prng.nextBelow(256),
        powerLoss: prng.nextBelow(2) === 0,
        everybody: prng.nextBelow(3) === 0,
        afterMs: round(prng.nextFloat() * pick(prng, [1, 8, 60])),
        downMs,
      };
    case 'bridge':
      return { ...at, kind, range: 1 + prng.nextBelow(swarm.ranges), store, lastsMs };
    case 'lateEchoes': {
      // Clients read none of the first range.
      const range = 2 + prng.nextBelow(swarm.ranges - 1);
      const replacedBy = pick(prng, ['transfer', 'silence'] as const);
      const target = prng.nextBelow(3);
      // Below E, or the leader gives up when it begins.
      const delayMs = round(prng.nextFloat() * 0.9 * electionTimeoutMs);
      const replacedAfterMs = round(prng.nextFloat() * electionTimeoutMs);
      const late = round(replacedAfterMs + delayMs + 1.5 * electionTimeoutMs);
      return { ...at, kind, range, delayMs, replacedAfterMs, replacedBy, target, lastsMs: late };
    }
    case 'checkpoint':
    case 'loseStore':
      return { ...at, kind, store };
    case 'crashCoordinator':
      return {
        ...at,
        kind,
        coordinator: prng.nextBelow(Math.max(1, coordinators)),
        step: pick(prng, ['now', 'promises', 'promised', 'decides', 'resolves']),
        afterMs: round(prng.nextFloat() * pick(prng, [0, 1, 20])),
        downMs,
      };
    case 'joinStore':
      return { ...at, kind };
    case 'drainStore': {
      const forGood = swarm.stores > swarm.replication && prng.nextBelow(4) === 0;
      return { ...at, kind, store, forGood, lastsMs };
    }
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
