/** What is measured, as data. */
import type { KvJob } from './load/closed-loop.ts';

export type Workload = KvWorkload | SqlWorkload;

export interface KvWorkload {
  readonly kind: 'kv';
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
      kind: 'kv' as const,
      name: `kv-${operation}-${clients}-${valueBytes}B`,
      job: { clients, readShare, keyBytes: 64, valueBytes, keys },
    })),
  ),
);

export interface SqlWorkload {
  readonly kind: 'sql';
  readonly name: string;
  readonly clients: number;
  /** pgbench's TPC-B, its select-only, or all clients at one row. */
  readonly script: 'tpcb' | 'select' | 'increment';
}

const sqlClientCounts = [1, 8, 32];

/** `pg-tpcb-32`: script and clients. */
export const sqlWorkloads: readonly SqlWorkload[] = [
  ...(['tpcb', 'select'] as const).flatMap((script) =>
    sqlClientCounts.map((clients) => ({
      kind: 'sql' as const,
      name: `pg-${script}-${clients}`,
      clients,
      script,
    })),
  ),
  { kind: 'sql', name: 'pg-increment-64', clients: 64, script: 'increment' },
];
