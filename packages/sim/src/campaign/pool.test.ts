import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Job, jobSwarm, replayLine } from './job.ts';
import { Pool } from './pool.ts';

/** Stands in for `worker.ts`: odd seeds are slow, seed 3 ends its process, seed 5 never answers. */
const program = `
process.on('message', (job) => {
  if (job.seed === 3) process.exit(9);
  if (job.seed === 5) return;
  const answer = { job, events: job.seed, probes: {}, faults: {}, exits: {}, operations: {} };
  setTimeout(() => process.send(answer), job.seed % 2 === 1 ? 60 : 0);
});
process.on('disconnect', () => process.exit(0));
`;

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sim-pool-'));
  writeFileSync(join(directory, 'worker.mjs'), program);
});
afterEach(() => rmSync(directory, { recursive: true }));

function* jobs(first: number, last: number): Iterator<Job> {
  for (let seed = first; seed <= last; seed++) yield { seed, once: true };
}

it.each([1, 3])('reports come in the order of the jobs, with %i processes', async (processes) => {
  const pool = new Pool({ processes, program: join(directory, 'worker.mjs') });
  const seen: [number, string | undefined][] = [];
  for await (const { job, failure } of pool.run(jobs(1, 4)))
    seen.push([job.seed, failure?.message]);
  expect(seen).toEqual([
    [1, undefined],
    [2, undefined],
    [3, 'the process ended with 9'],
    [4, undefined],
  ]);
});

it('a seed that does not end has failed', async () => {
  const pool = new Pool({ processes: 1, program: join(directory, 'worker.mjs'), seedMsMax: 300 });
  const failures: (string | undefined)[] = [];
  for await (const { failure } of pool.run(jobs(5, 5))) failures.push(failure?.message);
  expect(failures).toEqual(['the process ended with SIGKILL']);
});

it('ends its processes when nobody listens any more', async () => {
  const pool = new Pool({ processes: 2, program: join(directory, 'worker.mjs') });
  for await (const { job } of pool.run(jobs(1, 1_000_000))) if (job.seed === 2) break;
  expect(pool.busy).toBe(0);
});

it('a replay line names everything that a job is', () => {
  const job: Job = { seed: 7, once: true, only: ['crash', 'pause'], weights: { crash: 4 } };
  expect(replayLine(job)).toBe('pnpm sim --seed 7 --only crash,pause --weights crash=4');
  expect(jobSwarm(job).faultClasses).toEqual(['crash', 'pause']);
  expect(jobSwarm(job).weights).toEqual({ crash: 4 });
});
