import { expect, it } from 'vitest';
import type { RateSample, TimeSample } from '../measure/summary.ts';
import { htmlOf } from './html-page.ts';
import { parseReport, type Report, type Result, rowsOf } from './report.ts';
import { tableOf } from './text-table.ts';

const rate = (operationsPerSecond: number): RateSample => ({
  ...{ kind: 'rate', operationsPerSecond, errors: 0, p50: 900, p99: 4200, p999: 12_000 },
  ...{ cpuSecondsPerThousand: 0.5, loadCpuSecondsPerThousand: 0.1, residentBytes: 200 * 2 ** 20 },
});
const time = (milliseconds: number): TimeSample => ({
  ...{ kind: 'time', milliseconds, residentBytes: 2 ** 20 },
});
const puts = (clients: number, factor: number): Result => ({
  ...{ workload: `kv-put-${clients}`, group: 'Puts & gets', point: String(clients) },
  systems: [
    { name: 'etcd', samples: [rate(1000 * factor), rate(3000 * factor), rate(2000 * factor)] },
    { name: 'flotilla', samples: [rate(4321 * factor)] },
  ],
});
const report: Report = {
  ...{ version: 1, date: '2026-01-02T03:04:05.000Z', rounds: 3, seconds: 5, warmUpSeconds: 2 },
  machine: { processors: 2, model: 'CPU <fast>', memoryGib: 24, kernel: '6.1', node: 'v20.20.2' },
  stolenShare: 0.12,
  results: [
    puts(1, 1),
    puts(16, 2),
    {
      ...{ workload: 'failover', group: 'Pauses', point: 'kill -9' },
      systems: [
        { name: 'etcd', samples: [time(1500)] },
        { name: 'flotilla', samples: [time(1000)] },
      ],
    },
    // Nobody could do it.
    { workload: 'none', group: 'Nothing', point: '1', systems: [{ name: 'etcd', samples: [] }] },
  ],
};

it('makes one row per workload and system, better than the first or worse', () => {
  const rows = rowsOf(report);
  expect(rows.map(({ workload, system, ratio }) => [workload, system, ratio])).toEqual([
    ['kv-put-1', 'etcd', undefined],
    ['kv-put-1', 'flotilla', 2.1605],
    ['kv-put-16', 'etcd', undefined],
    ['kv-put-16', 'flotilla', 2.1605],
    ['failover', 'etcd', undefined],
    ['failover', 'flotilla', 1.5],
  ]);
  const table = tableOf(rows);
  expect(table).toMatch(/kv-put-1 .*flotilla .*2\.16x .*4,321 .*0\.90 .*4\.20 .*12\.00 .*200/);
  expect(table).toMatch(/failover .*flotilla .*1\.50x .*1\.00/);
});

it('draws a page that needs nothing from elsewhere and can be read in the dark', () => {
  const page = htmlOf(report);
  // Ratios; two pictures of the puts; one of the pauses.
  expect(page.match(/<svg/g)).toHaveLength(4);
  expect(page.match(/<svg role="img" aria-label="Puts &#38; gets" /g)).toHaveLength(2);
  expect(page).toContain('Puts &#38; gets');
  expect(page).toContain('CPU &#60;fast&#62;');
  expect(page).toContain('<td>4,321</td>');
  expect(page).not.toContain('Nothing');
  expect(page).toContain('kept 12 % of the processor time');
  expect(page).toMatch(/fill="var\(--flotilla\)"/);
  expect(page).not.toMatch(/<script|NaN|undefined|(src|href)=|url\(http|@import/);
  // Text of the pictures has the page's ink.
  const texts = page.match(/<text [^>]*>/g) ?? [];
  expect(texts.length).toBeGreaterThan(20);
  expect(texts.filter((each) => !each.includes('fill="var(--ink)"'))).toEqual([]);
});

it('says how quiet the machine was', () => {
  expect(htmlOf({ ...report, stolenShare: 0.01 })).not.toContain('class="warning"');
});

it('reads back what it wrote, and refuses what is no report', () => {
  expect(parseReport(JSON.stringify(report))).toEqual(report);
  for (const text of ['{}', 'null', '{"version":2,"results":[]}'])
    expect(() => parseReport(text)).toThrow(/no report/);
});
