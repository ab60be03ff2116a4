/** One of sysbench's OLTP scripts against one system that speaks PostgreSQL's protocol, once. Prepared statements. */
import { childrenCpuSeconds } from '../measure/process-tree.ts';
import type { RateSample } from '../measure/summary.ts';
import { sysbenchFigures } from '../measure/sysbench-output.ts';
import { watchUsage } from '../measure/usage-watch.ts';
import type { TurnOptions } from '../run-kv.ts';
import type { System } from '../systems/system.ts';
import type { SysbenchWorkload } from '../workloads.ts';
import { psql, run, sqlUrl } from './programs.ts';

const tables = 4;
const rowsPerTable = 10_000;

function sysbench(
  system: System,
  script: string,
  command: string,
  ...rest: readonly string[]
): Promise<string> {
  const { hostname, port, username, pathname } = new URL(sqlUrl(system));
  return run('sysbench', [
    ...[script, '--db-driver=pgsql', `--pgsql-host=${hostname}`, `--pgsql-port=${port}`],
    ...[`--pgsql-user=${username}`, `--pgsql-db=${pathname.slice(1)}`],
    ...[`--tables=${tables}`, `--table-size=${rowsPerTable}`, ...rest, command],
  ]);
}

export async function fillSysbenchTables(system: System): Promise<void> {
  const names = Array.from({ length: tables }, (_, i) => `sbtest${i + 1}`);
  await psql(sqlUrl(system), `DROP TABLE IF EXISTS ${names.join(', ')};`);
  await sysbench(system, 'oltp_read_write', 'prepare');
}

export async function sampleSysbench(
  system: System,
  { script, clients }: SysbenchWorkload,
  { seconds, warmUpSeconds }: TurnOptions,
): Promise<RateSample> {
  const forSeconds = (time: number): Promise<string> =>
    sysbench(
      ...([system, script, 'run', `--threads=${clients}`, `--time=${time}`] as const),
      ...['--events=0', '--histogram=on'],
    );
  if (warmUpSeconds > 0) await forSeconds(warmUpSeconds);
  const loadCpuBefore = childrenCpuSeconds();
  const { result, used } = await watchUsage(system, () => forSeconds(seconds));
  const { transactions, perSecond, errors, p50, p99, p999 } = sysbenchFigures(result);
  const loadCpuSeconds = childrenCpuSeconds() - loadCpuBefore;
  return {
    kind: 'rate',
    operationsPerSecond: perSecond,
    ...{ errors, p50, p99, p999 },
    cpuSecondsPerThousand: (used.cpuSeconds / transactions) * 1000,
    loadCpuSecondsPerThousand: (loadCpuSeconds / transactions) * 1000,
    residentBytes: used.peakResidentBytes,
  };
}
