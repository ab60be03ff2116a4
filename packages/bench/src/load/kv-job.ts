/** What a load process is told to do, and what it says of it: plain data, as JSON between processes. */
import type { YcsbName } from './ycsb.ts';

export interface KvJob {
  readonly clients: number;
  readonly seconds: number;
  /** Not measured, before the measurement. */
  readonly warmUpSeconds: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** How many different keys are written before the load begins. */
  readonly keys: number;
  readonly operation: KvOperation;
  /**
   * Operations begin at this rate, whatever becomes of those before, as long as a client is free. Without it each client
   * begins the next as soon as it has the answer. Unit: 1/s.
   */
  readonly rate?: number;
  /** Keys and choices follow from it. */
  readonly seed: number;
}

export type KvOperation =
  /** Single keys, all as likely; the share of reads is in [0, 1]. */
  | { readonly kind: 'mix'; readonly readShare: number }
  /** Keys that nobody has written before, in order. */
  | { readonly kind: 'load' }
  /** So many entries from a key on, all keys as likely. */
  | { readonly kind: 'scan'; readonly entries: number }
  | { readonly kind: 'ycsb'; readonly name: YcsbName };

export interface LoadResult {
  readonly operations: number;
  readonly errors: number;
  /** What the last failure said. */
  readonly lastError?: string;
  readonly seconds: number;
  /** From the beginning of an operation; at a rate, from when it should have begun. Microseconds. */
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

export function keyOf(job: Pick<KvJob, 'keyBytes'>, number: number): Buffer {
  return Buffer.from(`k${String(number).padStart(job.keyBytes - 1, '0')}`);
}
