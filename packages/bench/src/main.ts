/** `pnpm bench`: several databases side by side on this machine, the same load in turns. See the package's README. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command, Option } from 'commander';
import {
  endOnSignals,
  namesAmong,
  numberFrom,
  numbersFrom,
  pattern,
  wholeNumberFrom,
} from './command-line.ts';
import { contest } from './contest.ts';
import { machineFacts, processorTimes, stolenShare } from './measure/machine.ts';
import { htmlOf } from './report/html-page.ts';
import { parseReport, type Report, type Result, rowsOf } from './report/report.ts';
import { tableOf } from './report/text-table.ts';
import {
  contenderNames,
  ensureLoadPrograms,
  serves,
  startContender,
} from './systems/contenders.ts';
import type { System } from './systems/system.ts';
import { pacedWorkloads, type Workload, workloads } from './workloads.ts';

interface Options {
  readonly systems: readonly string[];
  readonly workloads: RegExp;
  readonly rates: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly scale: number;
  readonly gigabytes: number;
  readonly copyRows: number;
  readonly json?: string;
  readonly html?: string;
  readonly from?: string;
  readonly list?: true;
}

const program = new Command('bench')
  .description('Measures databases side by side: three members each, durable writes, loopback.')
  .option(
    '--systems <list>',
    'which, as far as they serve the workload; the first is what ratios refer to',
    namesAmong(contenderNames),
    contenderNames,
  )
  .addOption(
    new Option(
      '--workloads <pattern>',
      'only those whose name matches this regular expression; --list names all',
    )
      .argParser(pattern)
      .default(/256-64B$/, '256-64B$'),
  )
  .option(
    '--rates <list>',
    'operations per second offered by the workloads whose names end in @RATE',
    numbersFrom(1),
    [500, 1000, 2000],
  )
  .option('--rounds <n>', 'each system has its turn in each round', wholeNumberFrom(1), 3)
  .option('--seconds <n>', 'measured time of one turn', wholeNumberFrom(1), 5)
  .option('--warm-up <n>', 'seconds before it', wholeNumberFrom(0), 2)
  .option('--scale <n>', "of pgbench's tables, 100,000 accounts each", wholeNumberFrom(1), 10)
  .option('--gigabytes <n>', 'on disk when a restart is measured', numberFrom(0.001), 1)
  .option('--copy-rows <n>', 'rows of the bulk load', wholeNumberFrom(1), 100_000)
  .option('--json <file>', 'write all samples there')
  .option('--html <file>', 'write a page with plots and tables there')
  .option('--from <file>', 'measure nothing: show samples that --json wrote')
  .option('--list', 'print the names of all workloads')
  .parse();
const options = program.opts<Options>();
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const all: readonly Workload[] = [...workloads, ...pacedWorkloads(options.rates)];
if (options.list) process.stdout.write(`${all.map(({ name }) => name).join('\n')}\n`);
else await show(options.from === undefined ? await measure() : await readReport(options.from));

async function show(report: Report): Promise<void> {
  process.stdout.write(`${tableOf(rowsOf(report))}\n`);
  if (options.json !== undefined)
    await writeFile(options.json, `${JSON.stringify(report, null, 1)}\n`);
  if (options.html !== undefined) await writeFile(options.html, htmlOf(report));
}

async function readReport(file: string): Promise<Report> {
  return parseReport(await readFile(file, 'utf8'));
}

async function measure(): Promise<Report> {
  const { rounds, seconds, warmUp: warmUpSeconds } = options;
  const chosen = all.filter(({ name }) => options.workloads.test(name));
  if (chosen.length === 0)
    program.error(`no workload matches ${options.workloads}; --list names them all`);
  const names = options.systems.filter((name) => chosen.some((each) => serves(name, each)));
  if (names.length === 0) program.error('none of these systems serves one of these workloads');
  ensureLoadPrograms(chosen);
  // Before anything is measured that could not be written down.
  for (const file of [options.json, options.html])
    if (file !== undefined) await mkdir(dirname(file), { recursive: true });
  const [date, before] = [new Date().toISOString(), processorTimes()];
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
  const systems: System[] = [];
  const end = async (): Promise<void> => {
    for (const system of systems) await system.stop().catch((error: unknown) => say(String(error)));
    await rm(directory, { recursive: true, force: true });
  };
  endOnSignals(end);
  let results: readonly Result[];
  try {
    for (const name of names) {
      say(`starting ${name}`);
      systems.push(await startContender(name, directory));
    }
    results = await contest(systems, chosen, {
      ...options,
      warmUpSeconds,
      say,
      failed: (line) => {
        process.exitCode = 1;
        say(`failed: ${line}`);
      },
    });
  } finally {
    await end();
  }
  return {
    ...{ version: 1, date, machine: machineFacts(), rounds, seconds, warmUpSeconds, results },
    stolenShare: stolenShare(before, processorTimes()),
  };
}
