/** One key-value workload against one system, once. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LoadResult } from './load/closed-loop.ts';
import type { LoadOrder } from './load/load-process.ts';
import { sumOf, usageOf } from './measure/process-tree.ts';
import type { Sample } from './measure/summary.ts';
import type { System } from './systems/system.ts';
import type { KvWorkload } from './workloads.ts';

const run = promisify(execFile);
const loadProcess = fileURLToPath(new URL('./load/load-process.js', import.meta.url));

export interface RoundOptions {
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly round: number;
}

async function load(order: LoadOrder): Promise<LoadResult> {
  const { stdout } = await run(process.execPath, [loadProcess, JSON.stringify(order)], {
    timeout: 600_000,
  });
  return JSON.parse(stdout) as LoadResult;
}

function jobOf(workload: KvWorkload, options: RoundOptions): LoadOrder['job'] {
  const { seconds, warmUpSeconds, round } = options;
  return { ...workload.job, seconds, warmUpSeconds, seed: round + 1 };
}

/** Writes every key of the workload once. */
export async function fillKv(system: System, workload: KvWorkload): Promise<void> {
  const job = jobOf(workload, { seconds: 0, warmUpSeconds: 0, round: 0 });
  await load({ endpoints: kvEndpoints(system), job, fillOnly: true });
}

export async function sampleKv(
  system: System,
  workload: KvWorkload,
  options: RoundOptions,
): Promise<Sample> {
  const pids = system.processes.map(({ pid }) => pid);
  const before = sumOf(usageOf(pids));
  const job = jobOf(workload, options);
  const result = await load({ endpoints: kvEndpoints(system), job, fillOnly: false });
  const after = sumOf(usageOf(pids));
  // The system's CPU includes the warm-up: so do the operations that it is divided by, at the measured rate.
  const rate = result.operations / result.seconds;
  const all = rate * (options.seconds + options.warmUpSeconds);
  return {
    operationsPerSecond: rate,
    errors: result.errors,
    p50: result.latency.p50,
    p99: result.latency.p99,
    p999: result.latency.p999,
    cpuSecondsPerThousand: ((after.cpuSeconds - before.cpuSeconds) / all) * 1000,
    loadCpuSecondsPerThousand: (result.loadCpuSeconds / result.operations) * 1000,
    residentBytes: after.residentBytes,
  };
}

/** One way to talk to each system, the native one. */
function kvEndpoints({ endpoints }: System): System['endpoints'] {
  const { etcd, flotilla } = endpoints;
  if (etcd !== undefined) return { etcd };
  return flotilla === undefined ? {} : { flotilla };
}
