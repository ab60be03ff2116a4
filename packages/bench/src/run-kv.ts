/** One key-value workload against one system, once. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LoadResult } from './load/kv-job.ts';
import type { LoadOrder } from './load/load-process.ts';
import type { RateSample } from './measure/summary.ts';
import { watchUsage } from './measure/usage-watch.ts';
import type { System } from './systems/system.ts';
import type { KvWorkload } from './workloads.ts';

const loadProcess = fileURLToPath(new URL('./load/load-process.js', import.meta.url));

export interface TurnOptions {
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly round: number;
}

/** A process that makes a load; `result` rejects with what it said if it fails. */
export interface RunningLoad {
  /** Its standard error so far says this line. */
  said(line: string): Promise<void>;
  /** Ends its standard input: loads without an end of their own end then. */
  tellToEnd(): void;
  readonly result: Promise<unknown>;
}

export function startLoad(order: LoadOrder): RunningLoad {
  const child = spawn(process.execPath, [loadProcess, JSON.stringify(order)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (text) => {
    output += String(text);
  });
  child.stdin.on('error', () => undefined); // it has ended: its exit says why
  const result = new Promise<unknown>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(output));
      else reject(new Error(`the load ended with ${code}:\n${errors}`));
    });
  });
  const heard = new EventTarget();
  child.stderr.on('data', (text) => {
    errors = `${errors}${String(text)}`.slice(-10_000);
    heard.dispatchEvent(new Event('data'));
  });
  return {
    result,
    said: (line) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (errors.split('\n').includes(line)) resolve();
        };
        heard.addEventListener('data', look);
        result.catch(reject);
        look();
      }),
    tellToEnd: () => child.stdin.end(),
  };
}

/** Writes every key of the workload once. */
export async function fillKv(system: System, job: KvWorkload['job']): Promise<void> {
  if (job.keys === 0) return;
  const { endpoints } = system;
  const whole = { ...job, seconds: 0, warmUpSeconds: 0, seed: 0 };
  await startLoad({ kind: 'fill', endpoints, job: whole }).result;
}

export async function sampleKv(
  system: System,
  workload: KvWorkload,
  options: TurnOptions,
): Promise<RateSample> {
  const { endpoints } = system;
  const { seconds, warmUpSeconds, round } = options;
  const job = { ...workload.job, seconds, warmUpSeconds, seed: round + 1 };
  const { result, used } = await watchUsage(
    system,
    async () => (await startLoad({ kind: 'run', endpoints, job }).result) as LoadResult,
  );
  // The system's CPU includes the warm-up: so do the operations that it is divided by, at the measured rate.
  const rate = result.operations / result.seconds;
  const all = rate * (options.seconds + options.warmUpSeconds);
  return {
    kind: 'rate',
    operationsPerSecond: rate,
    ...(job.rate === undefined ? {} : { offeredPerSecond: job.rate }),
    errors: result.errors,
    ...(result.lastError === undefined ? {} : { lastError: result.lastError }),
    p50: result.latency.p50,
    p99: result.latency.p99,
    p999: result.latency.p999,
    cpuSecondsPerThousand: (used.cpuSeconds / all) * 1000,
    loadCpuSecondsPerThousand: (result.loadCpuSeconds / result.operations) * 1000,
    residentBytes: used.peakResidentBytes,
  };
}
