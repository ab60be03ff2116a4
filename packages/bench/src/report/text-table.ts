/** Results for a person at a terminal. */
import Table from 'cli-table3';
import type { Sample } from '../measure/summary.ts';

export interface Row {
  readonly workload: string;
  readonly system: string;
  readonly sample: Sample;
  /** Throughput compared with the first system's in the same run; undefined for that one. */
  readonly ratio: number | undefined;
}

export function tableOf(rows: readonly Row[]): string {
  const table = new Table({
    head: [
      ...['workload', 'system', 'op/s', 'ratio', 'p50 ms', 'p99 ms', 'p99.9 ms'],
      ...['cpu s/1k', 'load cpu s/1k', 'rss MiB', 'errors'],
    ],
    style: { head: [], border: [] },
    colAligns: ['left', 'left', ...Array.from({ length: 9 }, () => 'right' as const)],
  });
  for (const { workload, system, sample, ratio } of rows)
    table.push([
      workload,
      system,
      Math.round(sample.operationsPerSecond).toLocaleString('en'),
      ratio === undefined ? '' : `${ratio.toFixed(2)}x`,
      ms(sample.p50),
      ms(sample.p99),
      ms(sample.p999),
      sample.cpuSecondsPerThousand.toFixed(3),
      sample.loadCpuSecondsPerThousand.toFixed(3),
      Math.round(sample.residentBytes / 1024 ** 2),
      sample.errors,
    ]);
  return table.toString();
}

function ms(microseconds: number): string {
  return (microseconds / 1000).toFixed(2);
}
