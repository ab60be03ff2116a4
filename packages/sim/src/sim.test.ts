import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { scheduleOf } from './faults.ts';
import { runSeed } from './run-seed.ts';
import { faultClasses, swarmOf } from './swarm.ts';

const seeds = readFileSync(new URL('../seeds.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => /^\d/.test(line))
  .map((line): [number, string] => [Number.parseInt(line, 10), line.replace(/^\d+ /, '')]);

it.each(seeds)('seed %i holds: %s', { timeout: 60_000 }, async (seed) => {
  const { failure, operations, leaders } = await runSeed(seed);
  expect(failure?.message).toBeUndefined();
  // A run in which nothing happens shows nothing.
  expect(operations.ok).toBeGreaterThan(30);
  expect(leaders).toBeGreaterThan(0);
});

it('a seed is the same twice, and another one is another', { timeout: 60_000 }, async () => {
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
  expect([...tried].sort()).toEqual([...faultClasses].sort());
});

it('clients that are cut off from all stores hear of nothing, and of everything afterwards', {
  timeout: 60_000,
}, async () => {
  const swarm = { ...swarmOf(1001), faultsMs: 3000, operationTimeoutMs: 500 };
  const side = Array.from({ length: swarm.stores }, (_, i) => `store-${i + 1}`);
  const { failure, operations } = await runSeed(1001, {
    swarm,
    faults: [{ atMs: 0, class: 'partition', kind: 'partition', side, lastsMs: 3000 }],
  });
  expect(failure?.message).toBeUndefined();
  expect(operations.failed + operations.unknown).toBeGreaterThan(operations.ok);
});
