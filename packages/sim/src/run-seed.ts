/**
 * One seed, from an empty disk to the verdict: found, work under faults, heal, serve, converge, judge. Everything that
 * happens follows from the seed and the schedule; `overrides` is how the shrinker takes faults away.
 */
import {
  type Prng,
  type ProbeName,
  present,
  probeCounts,
  resetProbes,
  systemPrefix,
} from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { inspectStore, stopPlacement } from '@flotilla/shard/testing';
import { checkSameState, notConverged } from './check/convergence.ts';
import { Ghosts } from './check/ghosts.ts';
import { Invariants } from './check/invariants.ts';
import { metaFault } from './check/meta-rows.ts';
import { fleetPicture, placementFault } from './check/placed.ts';
import { judgeTransactions, leavesNothing } from './check/transactions/judge.ts';
import { keyOf } from './cluster/ranges.ts';
import { SimCluster } from './cluster/sim-cluster.ts';
import { SimFailure } from './failure.ts';
import { type Fault, scheduleOf } from './faults.ts';
import { placementIn, type Swarm, swarmOf } from './swarm.ts';
import { Client, nameToKey } from './workload/client.ts';
import { Record } from './workload/record.ts';
import { TransactionLoad } from './workload/transactions/load.ts';
import type { TraceListener } from './world/trace.ts';
import { Stream, World } from './world/world.ts';

export interface SeedOptions {
  /** Instead of what the seed says. */
  readonly swarm?: Swarm;
  readonly faults?: readonly Fault[];
  readonly onEvent?: TraceListener;
}

export interface SeedResult {
  readonly seed: number;
  readonly swarm: Swarm;
  readonly faults: readonly Fault[];
  /** Undefined: everything held. */
  readonly failure: SimFailure | undefined;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly operations: { readonly ok: number; readonly unknown: number; readonly failed: number };
  /** Distinct (range, term) with a leader. */
  readonly leaders: number;
  /** Processes that ended by their own decision, by exit code. */
  readonly exits: Readonly<{ [code: string]: number }>;
  /** How often each rare path was taken; only those that were. */
  readonly probes: { readonly [Name in ProbeName]?: number };
}

/** How often the invariants are looked at. Unit: ms. */
const lookEveryMs = 5;
/** Unit: ms. */
const setUpMsMax = 20_000;
/** After the faults every range must serve within this. Unit: ms. */
const serveMsMax = 15_000;
/** And then have its members, all of them in one state, within this: a stray learner and a ghost take some seconds. */
const settleMsMax = 40_000;

export async function runSeed(seed: number, options: SeedOptions = {}): Promise<SeedResult> {
  const swarm = options.swarm ?? swarmOf(seed);
  const faults = options.faults ?? scheduleOf(swarm);
  const world = new World(seed, options.onEvent);
  const cluster = new SimCluster(world, swarm);
  const invariants = new Invariants(cluster.machines);
  const ghosts = new Ghosts();
  cluster.onLook = (machine) => {
    invariants.observe(machine);
    ghosts.observe(machine);
  };
  cluster.onSend = (machine, frame) => invariants.hear(machine, frame);
  cluster.onDamage = (machine) => invariants.forget(machine);
  const record = new Record();
  let failure: SimFailure | undefined;
  resetProbes();
  try {
    let lookedAt = 0;
    let founded = false;
    world.watch(() => {
      if (cluster.failure !== undefined) throw cluster.failure;
      if (world.nowMs() - lookedAt < lookEveryMs) return;
      lookedAt = world.nowMs();
      invariants.check();
      for (const machine of cluster.machines) {
        ghosts.observe(machine);
        cluster.tiling.observe(machine);
      }
      if (founded) cluster.tiling.check();
    });
    await cluster.found();
    founded = true;
    const load = transactionsOf(cluster, record);
    if (load !== undefined)
      await cluster.until(load.setUp(), setUpMsMax, 'transactions without faults are committed');
    await underFaults(cluster, faults, record, load);
    await recover(cluster, record, load);
    if (load !== undefined) judgeTransactions(load, cluster);
    record.checkKeys();
  } catch (error) {
    failure =
      error instanceof SimFailure
        ? error
        : new SimFailure('simulator', error instanceof Error ? (error.stack ?? '') : String(error));
  }
  const exits: { [code: string]: number } = {};
  for (const machine of cluster.machines)
    for (const [code, count] of machine.exits) exits[code] = (exits[code] ?? 0) + count;
  return {
    seed,
    swarm,
    faults,
    failure,
    traceHash: world.trace.hash,
    events: world.trace.events,
    virtualMs: Math.round(world.nowMs()),
    operations: { ok: record.ok, unknown: record.unknown, failed: record.failed },
    leaders: invariants.leaders,
    exits,
    probes: Object.fromEntries([...probeCounts()].filter(([, count]) => count > 0)),
  };
}

function transactionsOf(cluster: SimCluster, record: Record): TransactionLoad | undefined {
  const { world, swarm, coordinators } = cluster;
  const { transactions } = swarm;
  if (transactions === undefined) return undefined;
  const onFailure = (failure: SimFailure): void => cluster.fail(failure);
  for (const coordinator of coordinators) coordinator.start();
  return new TransactionLoad({ world, swarm, transactions, coordinators, record, onFailure });
}

async function underFaults(
  cluster: SimCluster,
  faults: readonly Fault[],
  record: Record,
  load: TransactionLoad | undefined,
): Promise<void> {
  const { world, swarm } = cluster;
  let stopped = false;
  load?.begin();
  const working = cluster.clients.slice(1).map((client, i) => {
    const prng: Prng = world.stream(Stream.workloads + i);
    return new Client({
      number: i + 1,
      client,
      direct: present(cluster.direct[i + 1], 'a direct client'),
      storeIds: () => cluster.machines.map(({ storeId }) => storeId),
      swarm,
      prng,
      record,
      isCutBetween: (low, high) => {
        for (const machine of cluster.machines) cluster.tiling.observe(machine);
        return cluster.tiling.isCutBetween(low, high);
      },
      stopped: () => stopped,
    }).run();
  });
  const done = Promise.all(working);
  // A client's failure ends the run at once.
  done.catch((error: unknown) => cluster.fail(asFailure(error)));
  cluster.schedule(faults);
  await world.run(world.nowMs() + swarm.faultsMs, () => cluster.failure !== undefined);
  cluster.heal();
  if (placementIn(swarm) === undefined) cluster.operator.restore();
  else cluster.operator.rest();
  stopped = true;
  await cluster.until(
    done,
    2 * swarm.operationTimeoutMs + 20_000,
    'clients hear of every operation',
  );
  if (load !== undefined)
    await cluster.until(
      load.stop(),
      3 * swarm.operationTimeoutMs + 30_000,
      'clients hear of every transaction',
    );
}

function asFailure(error: unknown): SimFailure {
  if (error instanceof SimFailure) return error;
  return new SimFailure('clientError', String(error), error);
}

/** The world is well: within bounded time every range serves and replicas agree, and nothing was lost. */
async function recover(
  cluster: SimCluster,
  record: Record,
  load: TransactionLoad | undefined,
): Promise<void> {
  const router = cluster.clients[0]?.router;
  if (router === undefined) throw new SimFailure('simulator', 'there is a client');
  await cluster.until(servesEverywhere(router, cluster), serveMsMax + 1000, 'every range serves');
  await cluster.until(cluster.endDrains(), serveMsMax, 'wishes for stores are written');
  for (const list of record.lists()) {
    const read = router.get([nameToKey(list)], { timeoutMs: serveMsMax });
    const [found] = await cluster.until(read, serveMsMax + 1000, `${list} is read`);
    const text = found === undefined ? '' : Buffer.from(found.value).toString();
    record.checkList(list, text === '' ? [] : text.split(','));
  }
  if (load !== undefined) {
    await leavesNothing(cluster);
    await cluster.until(load.look(), serveMsMax, 'transactions are committed again');
    await leavesNothing(cluster);
  }
  await settles(cluster);
  checkSameState(cluster.machines);
}

/**
 * Every range has its number of voters again, on stores that live, and no change is half done; the index says so, and
 * replicas and leases are where they should be; replicas agree.
 */
async function settles(cluster: SimCluster): Promise<void> {
  const { tiling, machines, operator, swarm } = cluster;
  const isPlaced = placementIn(swarm) !== undefined;
  const look = (atOnePosition: boolean): string | undefined => {
    for (const rangeId of tiling.rangeIds) {
      const left = operator.unfinished(rangeId);
      if (left !== undefined) return `r${rangeId}: ${left}`;
    }
    return notConverged(machines, tiling.rangeIds.length, atOnePosition);
  };
  await becomesWell(
    cluster,
    () =>
      look(!isPlaced) ??
      metaFault(machines, tiling.descriptors) ??
      (isPlaced ? placementFault(fleetPicture(machines, swarm.replication)) : undefined),
  );
  if (!isPlaced) return;
  // Stores write their rows into the first range for ever: its replicas come to one position when they cease to.
  for (const { store } of machines) if (store !== undefined) stopPlacement(store);
  await becomesWell(cluster, () => look(true));
}

/** @param look says what is missing */
async function becomesWell(cluster: SimCluster, look: () => string | undefined): Promise<void> {
  const { world } = cluster;
  const until = world.nowMs() + settleMsMax;
  let lookedAt = 0;
  let missing: string | undefined = 'nothing was looked at';
  await world.run(until, () => {
    if (cluster.failure !== undefined) return true;
    if (world.nowMs() - lookedAt < lookEveryMs) return missing === undefined;
    lookedAt = world.nowMs();
    missing = look();
    return missing === undefined;
  });
  if (cluster.failure !== undefined) throw cluster.failure;
  if (missing !== undefined)
    throw new SimFailure(
      'liveness',
      `not well after ${settleMsMax} ms: ${missing}\n${stateOf(cluster)}`,
    );
}

async function servesEverywhere(router: Router, cluster: SimCluster): Promise<void> {
  const keys: Buffer[] = [Buffer.of(...systemPrefix, 1)];
  for (let n = 0; n < 12; n++) keys.push(keyOf('z', n));
  await Promise.all(
    keys.map(async (key, n) => {
      const value = Buffer.from(`alive ${n}`);
      const batch = {
        conditions: [],
        mutations: [{ kind: 'put' as const, key, value }],
        deleteSpans: [],
      };
      const options = { timeoutMs: serveMsMax };
      try {
        await router.write(batch, options);
        const [found] = await router.get([key], options);
        if (found !== undefined && Buffer.from(found.value).equals(value)) return;
      } catch (error) {
        throw new SimFailure(
          'liveness',
          `${key.toString('hex')} is not served: ${error}\n${stateOf(cluster)}`,
        );
      }
      throw new SimFailure('linearizability', `${key.toString('hex')}: a write is not read`);
    }),
  );
}

function stateOf(cluster: SimCluster): string {
  const lines = cluster.machines.map(({ host, store }) => {
    if (store === undefined) return `${host.name} is down`;
    const views = inspectStore(store).map(({ raft: r }) => {
      const progress = r.progress
        .map((p) => `${p.replicaId}:${p.matchIndex}/${p.nextIndex}`)
        .join(' ');
      return `r${r.rangeId} ${r.role} t${r.term} last ${r.lastIndex} commit ${r.commitIndex} applied ${r.lastApplied} ${progress}`;
    });
    return `${host.name}: ${views.join('; ')}`;
  });
  return lines.join('\n');
}
