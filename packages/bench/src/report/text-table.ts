/** Results for a person at a terminal. */
import Table from 'cli-table3';
import type { RateSample, TimeSample } from '../measure/summary.ts';
import type { Row } from './report.ts';

const rateColumns: readonly (readonly [string, (sample: RateSample) => string])[] = [
  ['op/s', (sample) => Math.round(sample.operationsPerSecond).toLocaleString('en')],
  ['p50 ms', (sample) => ms(sample.p50)],
  ['p99 ms', (sample) => ms(sample.p99)],
  ['p99.9 ms', (sample) => ms(sample.p999)],
  ['cpu s/1k', (sample) => sample.cpuSecondsPerThousand.toFixed(3)],
  ['load cpu s/1k', (sample) => sample.loadCpuSecondsPerThousand.toFixed(3)],
  ['peak rss MiB', (sample) => mib(sample.residentBytes)],
  ['errors', (sample) => String(sample.errors)],
];
const timeColumns: readonly (readonly [string, (sample: TimeSample) => string])[] = [
  ['s', (sample) => (sample.milliseconds / 1000).toFixed(2)],
  ['peak rss MiB', (sample) => mib(sample.residentBytes)],
];

/** Headings, and one array of cells per row: what is common to the terminal's table and the page's. */
export interface Cells {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Rates and times apart; either may be empty. */
export function cellsOf(rows: readonly Row[]): { readonly rates: Cells; readonly times: Cells } {
  const [rates, times]: [string[][], string[][]] = [[], []];
  for (const { workload, system, sample, ratio } of rows) {
    const ofWhat = sample.kind === 'rate' && sample.offeredPerSecond !== undefined ? ' p99' : '';
    const head = [workload, system, ratio === undefined ? '' : `${ratio.toFixed(2)}x${ofWhat}`];
    if (sample.kind === 'rate') rates.push([...head, ...rateColumns.map(([, of]) => of(sample))]);
    else times.push([...head, ...timeColumns.map(([, of]) => of(sample))]);
  }
  const head = ['workload', 'system', 'ratio'];
  return {
    rates: { head: [...head, ...rateColumns.map(([name]) => name)], rows: rates },
    times: { head: [...head, ...timeColumns.map(([name]) => name)], rows: times },
  };
}

export function tableOf(rows: readonly Row[]): string {
  const { rates, times } = cellsOf(rows);
  return [rates, times]
    .filter((cells) => cells.rows.length > 0)
    .map((cells) => {
      const table = new Table({
        head: [...cells.head],
        style: { head: [], border: [] },
        colAligns: cells.head.map((_, i) => (i < 2 ? 'left' : 'right')),
      });
      for (const row of cells.rows) table.push([...row]);
      return table.toString();
    })
    .join('\n');
}

function ms(microseconds: number): string {
  return (microseconds / 1000).toFixed(2);
}

function mib(bytes: number): string {
  return String(Math.round(bytes / 1024 ** 2));
}
