/** Clients that ask again as soon as they are answered, for a time; how many answers, how long each took. */
import { build, type Histogram } from 'hdr-histogram-js';
import type { KvClient } from './kv-client.ts';

export interface KvJob {
  readonly clients: number;
  readonly seconds: number;
  /** Not measured, before the measurement. */
  readonly warmUpSeconds: number;
  /** Share of reads, in [0, 1]. */
  readonly readShare: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** How many different keys. */
  readonly keys: number;
  /** Keys and choices follow from it. */
  readonly seed: number;
}

export interface LoadResult {
  readonly operations: number;
  readonly errors: number;
  readonly seconds: number;
  /** Microseconds. */
  readonly latency: {
    readonly p50: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
    readonly mean: number;
  };
  /** Of the process that made the load. */
  readonly loadCpuSeconds: number;
}

/** xorshift32: cheap, and the same for every system. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}

export function keyOf(job: Pick<KvJob, 'keyBytes'>, number: number): Buffer {
  return Buffer.from(`k${String(number).padStart(job.keyBytes - 1, '0')}`);
}

/** Writes every key once, so that reads find something. */
export async function fill(client: KvClient, job: KvJob, parallel: number): Promise<void> {
  const value = Buffer.alloc(job.valueBytes, 'v');
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < job.keys) await client.put(keyOf(job, next++), value);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

export async function runClosedLoop(client: KvClient, job: KvJob): Promise<LoadResult> {
  const value = Buffer.alloc(job.valueBytes, 'w');
  let histogram = newHistogram();
  let operations = 0;
  let errors = 0;
  let measuring = false;
  let stopped = false;
  const worker = async (number: number): Promise<void> => {
    const next = random(job.seed * 1_000_003 + number * 7919);
    while (!stopped) {
      const key = keyOf(job, Math.floor(next() * job.keys));
      const reads = next() < job.readShare;
      const startedAt = performance.now();
      try {
        if (reads) await client.get(key);
        else await client.put(key, value);
        if (!measuring || stopped) continue;
        operations++;
        histogram.recordValue(Math.max(1, Math.round((performance.now() - startedAt) * 1000)));
      } catch {
        errors++;
      }
    }
  };
  const workers = Array.from({ length: job.clients }, (_, i) => worker(i));
  await sleep(job.warmUpSeconds * 1000);
  histogram = newHistogram();
  measuring = true;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  await sleep(job.seconds * 1000);
  stopped = true;
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  await Promise.all(workers);
  return {
    operations,
    errors,
    seconds,
    latency: {
      p50: histogram.getValueAtPercentile(50),
      p99: histogram.getValueAtPercentile(99),
      p999: histogram.getValueAtPercentile(99.9),
      max: histogram.maxValue,
      mean: histogram.mean,
    },
    loadCpuSeconds: (cpu.user + cpu.system) / 1e6,
  };
}

function newHistogram(): Histogram {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: 60e6, bitBucketSize: 32 });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
