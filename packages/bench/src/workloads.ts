/** What is measured, as data. */
import type { KvJob } from './load/kv-job.ts';
import { type YcsbName, ycsbMixes } from './load/ycsb.ts';

export type Workload = KvWorkload | SqlWorkload | SysbenchWorkload | TimeWorkload;

interface Named {
  /** As it is chosen and reported. */
  readonly name: string;
  /** Workloads that are shown in one figure. */
  readonly group: string;
  /** Where in that figure. */
  readonly point: string;
  /** What a system must speak. */
  readonly over: 'kv' | 'sql';
}

export interface KvWorkload extends Named {
  readonly kind: 'kv';
  readonly job: Omit<KvJob, 'seconds' | 'warmUpSeconds' | 'seed'>;
}

export interface SqlWorkload extends Named {
  readonly kind: 'sql';
  readonly clients: number;
  /** pgbench's TPC-B, its select-only, 1,000 rows by primary key, or all clients at one row. */
  readonly script: 'tpcb' | 'select' | 'scan' | 'increment';
}

export interface SysbenchWorkload extends Named {
  readonly kind: 'sysbench';
  readonly clients: number;
  readonly script: string;
}

/** Measured once per turn, and less is better. */
export interface TimeWorkload extends Named {
  readonly kind: 'time';
  readonly measure: 'failover' | 'restart' | 'copy';
}

const clientCounts = [1, 16, 64, 256];
const valueSizes = [64, 1024];
const shares = { put: 0, get: 1, mixed: 0.9 };
const keys = 10_000;
const keyBytes = 64;

/** `kv-put-256-64B`: operation, clients, bytes of a value. Keys have 64 bytes. */
const kvMixes: readonly KvWorkload[] = valueSizes.flatMap((valueBytes) =>
  clientCounts.flatMap((clients) =>
    Object.entries(shares).map(([operation, readShare]) => ({
      kind: 'kv' as const,
      over: 'kv' as const,
      name: `kv-${operation}-${clients}-${valueBytes}B`,
      group: `Key-value ${operation}, values of ${valueBytes} B, by clients`,
      point: String(clients),
      job: { clients, keyBytes, valueBytes, keys, operation: { kind: 'mix' as const, readShare } },
    })),
  ),
);

/** `kv-put-256-64B@1000`: the same at an offered rate, which the clients share. @param perSecond each > 0 */
export function pacedWorkloads(perSecond: readonly number[]): readonly KvWorkload[] {
  const most = Math.max(...clientCounts);
  return kvMixes
    .filter(({ job }) => job.clients === most)
    .flatMap((workload) =>
      perSecond.map((rate) => ({
        ...workload,
        name: `${workload.name}@${rate}`,
        group: workload.group.replace(
          'by clients',
          `${most} clients, by operations offered per second`,
        ),
        point: String(rate),
        job: { ...workload.job, rate },
      })),
    );
}

const loadClients = 128;
/** `kv-load-128-1024B`: new keys only. */
const kvLoads: readonly KvWorkload[] = valueSizes.map((valueBytes) => ({
  kind: 'kv',
  over: 'kv',
  name: `kv-load-${loadClients}-${valueBytes}B`,
  group: `Key-value load of new keys, ${loadClients} clients, by size of a value`,
  point: `${valueBytes} B`,
  job: { clients: loadClients, keyBytes, valueBytes, keys: 0, operation: { kind: 'load' } },
}));

const scanClients = 16;
/** `kv-scan-16-1000`: clients, entries of a scan. */
const kvScans: readonly KvWorkload[] = [10, 100, 1000].map((entries) => ({
  kind: 'kv',
  over: 'kv',
  name: `kv-scan-${scanClients}-${entries}`,
  group: `Key-value scans, ${scanClients} clients, by entries of a scan`,
  point: String(entries),
  job: {
    ...{ clients: scanClients, keyBytes, valueBytes: 64, keys },
    operation: { kind: 'scan', entries },
  },
}));

const ycsbClients = 64;
/** `ycsb-a`: 10,000 records of 1,000 bytes, 64 clients. */
const ycsb: readonly KvWorkload[] = (Object.keys(ycsbMixes) as YcsbName[]).map((name) => ({
  kind: 'kv',
  over: 'kv',
  name: `ycsb-${name}`,
  group: `YCSB, ${ycsbClients} clients, by workload`,
  point: name.toUpperCase(),
  job: {
    ...{ clients: ycsbClients, keyBytes: 24, valueBytes: 1000, keys },
    operation: { kind: 'ycsb', name },
  },
}));

const sqlClientCounts = [1, 8, 32, 64];
const sqlScripts = {
  tpcb: 'pgbench TPC-B, by clients',
  select: 'pgbench select-only, by clients',
  scan: 'Sum over 1,000 rows by primary key, by clients',
};

/** `pg-tpcb-32`: script and clients. */
const sql: readonly SqlWorkload[] = [
  ...Object.entries(sqlScripts).flatMap(([script, group]) =>
    sqlClientCounts.map((clients) => ({
      kind: 'sql' as const,
      over: 'sql' as const,
      name: `pg-${script}-${clients}`,
      ...{ group, point: String(clients), clients },
      script: script as keyof typeof sqlScripts,
    })),
  ),
  {
    ...{ kind: 'sql', over: 'sql', name: 'pg-increment-64', clients: 64, script: 'increment' },
    ...{ group: 'All clients at one row, by clients', point: '64' },
  },
];

/** `sysbench-oltp_read_write-8`: script and threads. */
const sysbench: readonly SysbenchWorkload[] = [1, 8, 32].map((clients) => ({
  ...{ kind: 'sysbench', over: 'sql', script: 'oltp_read_write', clients },
  name: `sysbench-oltp_read_write-${clients}`,
  ...{ group: 'sysbench oltp_read_write, by threads', point: String(clients) },
}));

const times: readonly TimeWorkload[] = [
  {
    ...{ kind: 'time', over: 'kv', name: 'failover', measure: 'failover' },
    ...{ group: 'Longest pause of writes when a member dies', point: 'kill -9' },
  },
  {
    ...{ kind: 'time', over: 'kv', name: 'restart-kv', measure: 'restart' },
    ...{ group: 'From the start of all processes to the first write', point: 'key-value' },
  },
  {
    ...{ kind: 'time', over: 'sql', name: 'restart-sql', measure: 'restart' },
    ...{ group: 'From the start of all processes to the first write', point: 'SQL' },
  },
  {
    ...{ kind: 'time', over: 'sql', name: 'pg-copy', measure: 'copy' },
    ...{ group: 'Bulk load by COPY', point: 'COPY' },
  },
];

/** All but those at a rate. */
export const workloads: readonly Workload[] = [
  ...kvMixes,
  ...kvLoads,
  ...kvScans,
  ...ycsb,
  ...sql,
  ...sysbench,
  ...times,
];
