/** The command line: `pnpm sim --help`. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { describe, type Job, jobSwarm, type Report, replayLine, runJob } from './campaign/job.ts';
import { Pool } from './campaign/pool.ts';
import { Totals } from './campaign/totals.ts';
import { scheduleOf } from './faults.ts';
import { shrink } from './shrink.ts';
import { type FaultClass, faultClasses, type Weights } from './swarm.ts';
import { armTripWires } from './world/trip-wires.ts';

const usage = `Usage: pnpm sim --seed N [--trace] [--shrink]
       pnpm sim --seeds N [--from S] [--seconds T] [--once] [--processes P] [--report FILE]

  --seed N        runs one seed twice and compares the trace hashes
  --seeds N       runs N seeds, from S (default 1) on; each twice, unless --once
  --seconds T     begins no seed after T seconds
  --processes P   at the same time; default: one per processor. Results do not depend on it
  --report FILE   writes what all seeds did together as JSON
  --quiet         prints failing seeds and the end only
  --trace         prints every event; one run
  --shrink        takes from a failing seed all faults that it does not need
  --keep-going    goes on after a failing seed
  --only A,B      these classes of faults instead of the seed's own: ${faultClasses.join(' ')}
  --swarm JSON    sizes, timings and limits instead of the seed's own, as replay lines say them
  --weights A=2   makes classes more or less likely than 1, as a nightly run's replay lines do
`;

const write = (line: string): void => void process.stdout.write(`${line}\n`);
const startedAt = process.hrtime.bigint();
const seconds = (): number => Number(process.hrtime.bigint() - startedAt) / 1e9;

function print(report: Report): void {
  write(describe(report));
  if (report.failure === undefined) return;
  write(JSON.stringify(report.swarm));
  write(report.failure.message);
  write(`replay: ${replayLine(report.job)}`);
}

function printEvent(at: number, host: string, what: string, digest: number): void {
  const content = digest === 0 ? '' : digest.toString(16);
  write(`${at.toFixed(3).padStart(10)} ${host} ${what} ${content}`);
}

async function shrinkJob(job: Job): Promise<void> {
  armTripWires();
  const swarm = jobSwarm(job);
  const { faults, runs, kind } = await shrink(swarm, scheduleOf(swarm), (line) => write(line));
  write(`seed ${job.seed} fails (${kind}) with ${faults.length} faults, found in ${runs} runs:`);
  for (const fault of faults) write(`  ${JSON.stringify(fault)}`);
}

function classOf(name: string): FaultClass {
  const found = faultClasses.find((each) => each === name);
  if (found === undefined) throw new Error(`${name}: no such class of faults`);
  return found;
}

function weightsOf(text: string): Weights {
  return Object.fromEntries(
    text.split(',').map((part) => {
      const [name, weight] = part.split('=');
      return [classOf(name ?? ''), Number(weight)];
    }),
  );
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      from: { type: 'string', default: '1' },
      seconds: { type: 'string' },
      processes: { type: 'string' },
      report: { type: 'string' },
      quiet: { type: 'boolean', default: false },
      once: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      shrink: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      only: { type: 'string' },
      weights: { type: 'string' },
      swarm: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help || (values.seed === undefined && values.seeds === undefined)) {
    process.stdout.write(usage);
    return values.help ? 0 : 64;
  }
  const { once } = values;
  const only = values.only?.split(',').map(classOf);
  const weights = values.weights === undefined ? undefined : weightsOf(values.weights);
  const swarm = values.swarm === undefined ? undefined : (JSON.parse(values.swarm) as Job['swarm']);
  const jobOf = (seed: number): Job => ({
    seed,
    once,
    ...(only && { only }),
    ...(weights && { weights }),
    ...(swarm && { swarm }),
  });
  if (values.seed !== undefined) {
    const job = jobOf(Number(values.seed));
    // In this process, so that it can be profiled and debugged.
    armTripWires();
    const report = await runJob(job, values.trace ? printEvent : undefined);
    print(report);
    if (report.failure !== undefined && values.shrink) await shrinkJob(job);
    return report.failure === undefined ? 0 : 1;
  }
  const from = Number(values.from);
  const secondsMax = Number(values.seconds ?? Number.POSITIVE_INFINITY);
  function* jobs(): Iterator<Job> {
    for (let seed = from; seed < from + Number(values.seeds); seed++)
      if (seconds() < secondsMax) yield jobOf(seed);
  }
  const totals = new Totals();
  const pool = new Pool(
    values.processes === undefined ? {} : { processes: Number(values.processes) },
  );
  for await (const report of pool.run(jobs())) {
    totals.add(report);
    if (!values.quiet || report.failure !== undefined) print(report);
    if (report.failure !== undefined && !values['keep-going']) break;
  }
  for (const line of totals.probeTable()) write(line);
  const { failed } = totals;
  write(
    `${totals.seeds} seeds, ${failed.length} failed${failed.map(({ seed }) => ` ${seed}`).join('')}, ` +
      `${totals.perMinute(seconds())} seeds per minute on ${pool.processes} processes`,
  );
  if (values.report !== undefined)
    writeFileSync(values.report, `${JSON.stringify(totals.toJson(seconds()), undefined, 2)}\n`);
  const [first] = failed;
  if (first !== undefined && values.shrink) await shrinkJob(jobOf(first.seed));
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await main();
