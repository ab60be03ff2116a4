/** A run's results as one HTML page: no scripts, nothing from elsewhere, dark or light as its reader has it. Pure. */
import { latencyChart, ratioChart, throughputChart, timeChart } from './charts.ts';
import { type Report, type Result, rowsOf } from './report.ts';
import { type Cells, cellsOf } from './text-table.ts';

const style = `
:root { color-scheme: light dark; --page: #fff; --ink: #1f2430; --faint: #d9dde5;
  --flotilla: #0b6fb8; --etcd: #d9822b; --postgres: #3f9b6c; --other: #8a5bb5; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15181e; --ink: #e3e7ee; --faint: #363c48;
    --flotilla: #58b2f0; --etcd: #f0a658; --postgres: #6fcf9c; --other: #bd96e3; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 980px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
figure { margin: 0; display: flex; flex-wrap: wrap; gap: 1rem; }
svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--faint); text-align: right; white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
.warning { border-left: 4px solid var(--etcd); padding-left: .8rem; }
`;

/** Above this share of stolen time figures say more about the machine than about the systems. */
const stolenShareToWarn = 0.05;

export function htmlOf(report: Report): string {
  const rows = rowsOf(report);
  const { rates, times } = cellsOf(rows);
  const groups = new Map<string, Result[]>();
  for (const result of report.results) {
    if (result.systems.every(({ samples }) => samples.length === 0)) continue;
    groups.set(result.group, [...(groups.get(result.group) ?? []), result]);
  }
  const figures = [...groups].map(([name, results]) => section(name, figureOf(results)));
  const ratios = rows.some(({ ratio }) => ratio !== undefined)
    ? [section('Side by side', `<figure>${ratioChart(rows)}</figure>`)]
    : [];
  const tables = [
    ...(rates.rows.length > 0 ? [section('Rates', tableOf(rates))] : []),
    ...(times.rows.length > 0 ? [section('Times', tableOf(times))] : []),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Databases side by side</title>
<style>${style}</style>
</head>
<body>
<h1>Databases side by side</h1>
${introduction(report)}
${[...ratios, ...figures, ...tables].join('\n')}
</body>
</html>
`;
}

function introduction(report: Report): string {
  const { machine, rounds, seconds, warmUpSeconds, date, stolenShare } = report;
  const percent = (stolenShare * 100).toFixed(stolenShare < 0.1 ? 1 : 0);
  const where =
    `${date.slice(0, 10)}, ${machine.processors} processors (${machine.model}), ` +
    `${machine.memoryGib} GiB, Linux ${machine.kernel}, Node.js ${machine.node}.`;
  const how =
    `Three members of each system on this machine, every write on disk before it is answered. ` +
    `Medians of ${rounds} rounds of ${seconds} s after ${warmUpSeconds} s of warming up, the systems in turns. ` +
    `Latencies at an offered rate count from when an operation should have begun.`;
  const stolen =
    stolenShare > stolenShareToWarn
      ? `<p class="warning">The hypervisor kept ${percent} % of the processor time that was wanted: ratios between ` +
        `systems of one run still mean something, absolute figures and tails of latencies do not.</p>`
      : `<p>The hypervisor kept ${percent} % of the processor time that was wanted.</p>`;
  return `<p>${escaped(where)}</p>\n<p>${escaped(how)}</p>\n${stolen}`;
}

function figureOf(results: readonly Result[]): string {
  const isTime = results.some(({ systems }) =>
    systems.some(({ samples }) => samples[0]?.kind === 'time'),
  );
  const charts = isTime ? timeChart(results) : throughputChart(results) + latencyChart(results);
  return `<figure>${charts}</figure>`;
}

/** Plots are read out by the heading above them. */
function section(title: string, body: string): string {
  const named = body.replaceAll('<svg ', `<svg role="img" aria-label="${escaped(title)}" `);
  return `<h2>${escaped(title)}</h2>\n${named}`;
}

function tableOf({ head, rows }: Cells): string {
  const line = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  const body = rows.map((cells) => line('td', cells)).join('\n');
  return `<div class="scroll"><table><thead>${line('th', head)}</thead><tbody>\n${body}\n</tbody></table></div>`;
}

const entities = new Map([...'&<>"'].map((sign) => [sign, `&#${sign.codePointAt(0)};`]));

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => entities.get(sign) ?? '');
}
