import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { scheduleOf } from './faults.ts';
import { runSeed } from './run-seed.ts';
import {
  faultClasses,
  onRequest,
  placementClasses,
  placementIn,
  swarmOf,
  transactionWorkloads,
} from './swarm.ts';

const seeds = readFileSync(new URL('../seeds.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => /^\d/.test(line))
  .map((line): [number, string] => [Number.parseInt(line, 10), line.replace(/^\d+ /, '')]);

it.each(seeds)('seed %i holds: %s', async (seed) => {
  const { failure, operations, leaders } = await runSeed(seed);
  expect(failure?.message).toBeUndefined();
  // A run in which nothing happens shows nothing.
  expect(operations.ok).toBeGreaterThan(30);
  expect(leaders).toBeGreaterThan(0);
});

it('a store that dies is replaced, though it was to lead the first range', async () => {
  expect((await runSeed(824)).failure?.message).toBeUndefined();
});

it('a seed is the same twice, and another one is another', async () => {
  const first = await runSeed(1003);
  const again = await runSeed(1003);
  expect(again).toEqual(first);
  const lines: string[] = [];
  const listened = await runSeed(1003, {
    onEvent: (_at, host, what) => lines.push(`${host} ${what}`),
  });
  expect(listened.traceHash).toBe(first.traceHash);
  expect(lines).toHaveLength(first.events);
  expect((await runSeed(1006)).traceHash).not.toBe(first.traceHash);
});

it('seeds differ in what they try, and one in eight tries nothing', () => {
  const swarms = Array.from({ length: 400 }, (_, seed) => swarmOf(seed));
  const calm = swarms.filter((swarm) => swarm.faultClasses.length === 0);
  expect(calm.length).toBeGreaterThan(30);
  expect(calm.length).toBeLessThan(80);
  const tried = new Set(swarms.flatMap((swarm) => scheduleOf(swarm).map((fault) => fault.class)));
  expect([...tried, ...onRequest].sort()).toEqual([...faultClasses].sort());
  for (const name of onRequest)
    expect(swarmOf(1, { [name]: 20 }).faultClasses.filter((each) => each === name)).toEqual([name]);
});

it('one seed in four places replicas by itself, and there stores join, drain and are lost', () => {
  const placed = Array.from({ length: 400 }, (_, seed) => swarmOf(seed)).filter(
    (swarm) => placementIn(swarm) !== undefined,
  );
  expect(placed.length).toBeGreaterThan(70);
  expect(placed.length).toBeLessThan(130);
  for (const name of placementClasses) {
    const seeds = placed.filter((swarm) => scheduleOf(swarm).some((each) => each.class === name));
    expect(seeds.length).toBeGreaterThan(20);
  }
});

it('clients that are cut off from all stores hear of nothing, and of everything afterwards', async () => {
  const swarm = { ...swarmOf(1001), faultsMs: 3000, operationTimeoutMs: 500 };
  const side = Array.from({ length: swarm.stores }, (_, i) => `store-${i + 1}`);
  const { failure, operations } = await runSeed(1001, {
    swarm,
    faults: [{ atMs: 0, class: 'partition', kind: 'partition', side, lastsMs: 3000 }],
  });
  expect(failure?.message).toBeUndefined();
  expect(operations.failed + operations.unknown).toBeGreaterThan(operations.ok);
});

it('a store whose log rots stays down, and an empty one takes its place', async () => {
  const swarm = { ...swarmOf(1001), stores: 4, replication: 3, faultsMs: 1500 };
  const { failure, exits, probes } = await runSeed(1001, {
    swarm,
    faults: [
      { atMs: 900, class: 'bitFlip', kind: 'bitFlip', store: 1, at: 0.5, mask: 4, downMs: 20 },
    ],
  });
  expect(failure?.message).toBeUndefined();
  expect(exits).toEqual({ 71: 1 });
  expect(probes.snapshotInstalled).toBeGreaterThan(0);
  expect(probes.jointLeft).toBeGreaterThan(0);
});

it('a machine is lost for good: another store joins by itself, and every range has its voters again', async () => {
  const classes = ['loseStore', 'joinStore', 'drainStore'] as const;
  const swarm = { ...swarmOf(1001), stores: 4, replication: 3, faultClasses: classes };
  const { failure, probes } = await runSeed(1001, {
    swarm,
    faults: [
      {
        atMs: 300,
        class: 'drainStore',
        kind: 'drainStore',
        store: 2,
        forGood: false,
        lastsMs: 900,
      },
      { atMs: 500, class: 'loseStore', kind: 'loseStore', store: 1 },
      { atMs: 700, class: 'joinStore', kind: 'joinStore' },
    ],
  });
  expect(failure?.message).toBeUndefined();
  expect(probes.snapshotInstalled).toBeGreaterThan(0);
  expect(probes.jointLeft).toBeGreaterThan(0);
});

it('replicas move while their leaders die in the middle of it', async () => {
  const swarm = { ...swarmOf(1001), stores: 5, replication: 3, faultsMs: 2500 };
  const moves = [0, 1, 2, 3].map((n) => ({ range: 1 + (n % swarm.ranges), from: n, to: n }));
  const { failure, probes } = await runSeed(1001, {
    swarm,
    faults: [
      { atMs: 100, class: 'churn', kind: 'churn', everyMs: 200, moves, lastsMs: 800 },
      {
        atMs: 100,
        class: 'crashInChange',
        kind: 'crashInChange',
        powerLoss: true,
        joint: true,
        afterMs: 0,
        downMs: 300,
        lastsMs: 2000,
      },
    ],
  });
  expect(failure?.message).toBeUndefined();
  expect(probes.replicaRemoved).toBeGreaterThan(0);
  expect(probes.jointInterruptedByLeaderCrash).toBeGreaterThan(0);
});

it('coordinators die at every step of a commit, and whoever comes after them settles it', async () => {
  const steps = ['promises', 'promised', 'decides', 'resolves'] as const;
  const transactions = {
    coordinators: 2,
    workers: 2,
    workloads: transactionWorkloads,
    keys: 5,
    readCommittedShare: 0.2,
    lockShare: 0.2,
    thinkMsMax: 10,
    brisk: 200,
  };
  const swarm = { ...swarmOf(1006), ranges: 4, clients: 2, faultsMs: 3000, transactions };
  const { failure, probes } = await runSeed(1006, {
    swarm,
    faults: steps.map((step, i) => ({
      atMs: 200 + 500 * i,
      class: 'crashCoordinator',
      kind: 'crashCoordinator',
      coordinator: i % 2,
      step,
      afterMs: 0.3,
      downMs: 100,
    })),
  });
  expect(failure?.message).toBeUndefined();
  expect(probes.transactionCommitted).toBeGreaterThan(5);
  expect(probes.transactionAborted).toBeGreaterThan(0);
});
