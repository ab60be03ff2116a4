/** `pnpm sim:nightly`: a long campaign that looks for rare paths. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Adaptation } from './campaign/adaptation.ts';
import { describe, type Job, type Report, replayLine } from './campaign/job.ts';
import { Pool } from './campaign/pool.ts';
import { requiredProbes } from './campaign/required-probes.ts';
import { Totals } from './campaign/totals.ts';

const usage = `Usage: pnpm sim:nightly [--seconds T] [--processes P] [--from S] [--report FILE] [--any-probes]

  --seconds T     how long; default 3600
  --processes P   at the same time; default: one per processor
  --from S        the first seed; default: a thousand million for each day since 2020, so that every night is new
  --report FILE   where the report goes, as markdown; default sim-nightly.md
  --any-probes    a rare path that was never reached is no failure: for short campaigns

Exit code 1 if a seed failed or a rare path was never reached.
`;

/** Of so many seeds one runs twice, to compare the traces. */
const twiceEvery = 10;
/** Of so many seeds one runs without adapted weights, so that nothing is given up for good. */
const plainEvery = 2;
const progressSeconds = 60;

const write = (line: string): void => void process.stdout.write(`${line}\n`);
const startedAt = process.hrtime.bigint();
const seconds = (): number => Number(process.hrtime.bigint() - startedAt) / 1e9;

function firstSeedOfToday(): number {
  const days = Math.floor((Date.now() - Date.UTC(2020, 0, 1)) / 86_400_000);
  return days * 1_000_000_000;
}

function reportText(totals: Totals, never: readonly string[], processes: number): string {
  const hours = (seconds() / 3600).toFixed(2);
  return [
    '# Nightly simulation',
    '',
    `${totals.seeds} seeds in ${hours} h on ${processes} processes (${totals.perMinute(seconds())} per minute), ` +
      `${totals.virtualHours} h of virtual time, ${totals.events} events.`,
    '',
    `Operations: ${totals.operations.ok} answered, ${totals.operations.failed} failed, ${totals.operations.unknown} of unknown outcome.`,
    '',
    totals.failed.length === 0 ? 'No seed failed.' : `## ${totals.failed.length} seeds failed`,
    '',
    ...totals.failed.flatMap(({ seed, kind, message, replay }) => [
      `### ${seed}: ${kind}`,
      '',
      `    ${replay}`,
      '',
      ...message.split('\n').map((line) => `    ${line}`),
      '',
    ]),
    '## Rare paths',
    '',
    never.length === 0
      ? 'All that are required were reached.'
      : `Never reached, and required: ${never.join(', ')}.`,
    '',
    ...totals.probeTable(),
    '',
    '## Faults',
    '',
    ...totals.faultTable(),
    '',
    `Processes that ended by themselves, by exit code: ${JSON.stringify(totals.exits)}.`,
    '',
  ].join('\n');
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '3600' },
      processes: { type: 'string' },
      from: { type: 'string' },
      report: { type: 'string', default: 'sim-nightly.md' },
      'any-probes': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const secondsMax = Number(values.seconds);
  const from = values.from === undefined ? firstSeedOfToday() : Number(values.from);
  const adaptation = new Adaptation();
  const totals = new Totals();
  const pool = new Pool(
    values.processes === undefined ? {} : { processes: Number(values.processes) },
  );
  function* jobs(): Iterator<Job> {
    for (let seed = from; seconds() < secondsMax; seed++) {
      const once = seed % twiceEvery !== 0;
      const weights = seed % plainEvery === 0 ? {} : adaptation.weights();
      yield { seed, once, weights };
    }
  }
  write(`seeds from ${from} on ${pool.processes} processes for ${secondsMax} s`);
  let told = 0;
  const tell = (report: Report): void => {
    if (report.failure !== undefined) {
      write(describe(report));
      write(report.failure.message);
      write(`replay: ${replayLine(report.job)}`);
    }
    if (seconds() < told + progressSeconds) return;
    told = seconds();
    const missing = totals.neverReached(requiredProbes);
    write(
      `${Math.round(told)} s: ${totals.seeds} seeds, ${totals.perMinute(told)} per minute, ` +
        `${totals.virtualHours} h virtual, ${totals.failed.length} failed, ` +
        `${requiredProbes.length - missing.length} of ${requiredProbes.length} rare paths` +
        (missing.length > 0 && missing.length <= 8 ? `, not yet ${missing.join(', ')}` : ''),
    );
  };
  for await (const report of pool.run(jobs())) {
    totals.add(report);
    adaptation.add(report);
    tell(report);
  }
  const never = totals.neverReached(requiredProbes);
  writeFileSync(values.report, reportText(totals, never, pool.processes));
  for (const line of totals.probeTable()) write(line);
  write(
    `${totals.seeds} seeds, ${totals.failed.length} failed, ${totals.perMinute(seconds())} seeds per minute, ` +
      `${totals.virtualHours} h virtual; report in ${values.report}`,
  );
  if (never.length > 0) write(`never reached: ${never.join(', ')}`);
  if (totals.failed.length > 0) return 1;
  return never.length > 0 && !values['any-probes'] ? 1 : 0;
}

process.exitCode = await main();
