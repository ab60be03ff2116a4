/**
 * `pnpm bench:quick`: a guard against getting slower. Measures Flotilla for about a minute and compares what it does in
 * the time of a fixed piece of work with what is committed. See the package's README.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { Command } from 'commander';
import { endOnSignals, numberFrom, wholeNumberFrom } from '../command-line.ts';
import { machineFacts, othersShare, processorTimes, stolenShare } from '../measure/machine.ts';
import { sumOf, usageOf } from '../measure/process-tree.ts';
import { startContender } from '../systems/contenders.ts';
import type { System } from '../systems/system.ts';
import { Calibration } from './calibration.ts';
import {
  type Committed,
  disturbance,
  judge,
  type Measured,
  parseCommitted,
  ratiosOf,
  type Turn,
} from './judgement.ts';
import { fillQuick, quickWorkloads } from './quick-workloads.ts';

const exitCodes = { held: 0, fell: 1, 'not judged': 2 };
const failureExitCode = 3;
const errorShareMost = 0.01;
const committedFile = join(
  dirname(fileURLToPath(import.meta.url)),
  '../../../../docs/performance/quick.json',
);

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly tolerance: number;
  readonly file: string;
  readonly update?: true;
}

const program = new Command('bench:quick')
  .description('Compares how fast Flotilla is with what is committed. Takes a minute or so.')
  .option('--rounds <n>', 'each workload has its turn in each round', wholeNumberFrom(1), 3)
  .option('--seconds <n>', 'measured time of one turn', wholeNumberFrom(1), 3)
  .option('--tolerance <share>', 'a ratio may fall by this much', numberFrom(0), 0.2)
  .option('--file <file>', 'what is committed', committedFile)
  .option('--update', 'write down what was measured, and judge nothing')
  .addHelpText(
    'after',
    `
Exit codes: 0 nothing fell by more than the tolerance; 1 something did; 2 not judged, because the hypervisor or other
programs had too much of the processors, or nothing is committed to compare with; 3 it could not be measured.`,
  )
  .parse();
const options = program.opts<Options>();
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function main(): Promise<number> {
  // First: what cannot be compared need not be measured.
  const committed = options.update ? undefined : await readCommitted();
  if (committed === 'none') {
    process.stdout.write(`not judged: there is no ${options.file}; --update writes one\n`);
    return exitCodes['not judged'];
  }
  const measured = await measure();
  process.stdout.write(`${tableOf(measured, committed)}\n`);
  if (committed === undefined) {
    await writeFile(options.file, `${JSON.stringify(toCommit(measured), null, 2)}\n`);
    const disturbed = disturbance(measured);
    if (disturbed !== undefined) say(`Written down, but nothing to rely on: ${disturbed}.`);
    return exitCodes.held;
  }
  const { verdict, reason } = judge(measured, committed, options.tolerance);
  process.stdout.write(`${verdict}: ${reason}\n`);
  return exitCodes[verdict];
}

async function readCommitted(): Promise<Committed | 'none'> {
  if (!existsSync(options.file)) return 'none';
  return parseCommitted(await readFile(options.file, 'utf8'));
}

async function measure(): Promise<Measured> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-quick-'));
  let system: System | undefined;
  let calibration: Calibration | undefined;
  const end = async (): Promise<void> => {
    await calibration?.close();
    await system?.stop();
    await rm(directory, { recursive: true, force: true });
  };
  endOnSignals(end);
  try {
    say('starting flotilla');
    system = await startContender('flotilla', directory);
    calibration = await Calibration.start();
    say('filling');
    await fillQuick(system);
    return await measureWith(system, calibration);
  } finally {
    await end();
  }
}

async function measureWith(system: System, calibration: Calibration): Promise<Measured> {
  const own = (): number =>
    sumOf(usageOf([process.pid, ...system.processes.map(({ pid }) => pid)])).cpuSeconds;
  const [times, ownBefore] = [processorTimes(), own()];
  const turns = new Map<string, Turn[]>(quickWorkloads.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round++)
    for (const workload of quickWorkloads) {
      const before = await calibration.seconds();
      // Code is compiled as it is used: the first turn comes after a longer run.
      const warmUpSeconds = round === 0 ? 3 : 1;
      const turn = { seconds: options.seconds, warmUpSeconds, round };
      const { operationsPerSecond, errors } = await workload.sample(system, turn);
      const after = await calibration.seconds();
      // What fails may be quick.
      if (errors > errorShareMost * operationsPerSecond * options.seconds)
        throw new Error(`${workload.name}: ${errors} operations failed`);
      turns.get(workload.name)?.push({ operationsPerSecond, loopSeconds: [before, after] });
      const loops = `${(before * 1000).toFixed(0)} and ${(after * 1000).toFixed(0)} ms`;
      const rate = Math.round(operationsPerSecond).toLocaleString('en');
      say(`${workload.name} round ${round + 1}: ${rate} op/s, the loop took ${loops}`);
    }
  const now = processorTimes();
  return {
    turns: Object.fromEntries(turns),
    stolenShare: stolenShare(times, now),
    othersShare: othersShare(times, now, own() - ownBefore),
  };
}

function toCommit(measured: Measured): Committed {
  const rounded = (value: number): number => Number(value.toPrecision(4));
  return {
    version: 1,
    date: new Date().toISOString(),
    machine: machineFacts(),
    stolenShare: rounded(measured.stolenShare),
    othersShare: rounded(measured.othersShare),
    ratios: Object.fromEntries(
      Object.entries(ratiosOf(measured)).map(([name, ratio]) => [name, rounded(ratio)]),
    ),
  };
}

function tableOf(measured: Measured, committed: Committed | undefined): string {
  const table = new Table({
    head: ['workload', 'operations per loop', 'committed', 'change'],
    style: { head: [], border: [] },
    colAligns: ['left', 'right', 'right', 'right'],
  });
  for (const [name, ratio] of Object.entries(ratiosOf(measured))) {
    const before = committed?.ratios[name];
    const change = before === undefined ? '' : `${((ratio / before - 1) * 100).toFixed(0)} %`;
    table.push([name, ratio.toFixed(1), before?.toFixed(1) ?? '', change]);
  }
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
  const { stolenShare: stolen, othersShare: others } = measured;
  return `${table.toString()}\nstolen by the hypervisor: ${percent(stolen)}; used by other programs: ${percent(others)}`;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(`bench:quick: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = failureExitCode;
}
