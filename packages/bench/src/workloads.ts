/** What is measured, as data. */
import type { KvJob } from './load/closed-loop.ts';

export interface KvWorkload {
  readonly name: string;
  readonly job: Omit<KvJob, 'seconds' | 'warmUpSeconds' | 'seed'>;
}

const clientCounts = [1, 16, 64, 256];
const valueSizes = [64, 1024];
const shares = { put: 0, get: 1, mixed: 0.9 };
const keys = 10_000;

/** `kv-put-256-64B`: operation, clients, bytes of a value. Keys have 64 bytes. */
export const kvWorkloads: readonly KvWorkload[] = valueSizes.flatMap((valueBytes) =>
  clientCounts.flatMap((clients) =>
    Object.entries(shares).map(([operation, readShare]) => ({
      name: `kv-${operation}-${clients}-${valueBytes}B`,
      job: { clients, readShare, keyBytes: 64, valueBytes, keys },
    })),
  ),
);
