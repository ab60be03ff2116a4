/** The command line: `pnpm sim --help`. */
import { parseArgs } from 'node:util';
import { scheduleOf } from './faults.ts';
import { runSeed, type SeedResult } from './run-seed.ts';
import { shrink } from './shrink.ts';
import { type FaultClass, faultClasses, type Swarm, swarmOf } from './swarm.ts';
import { armTripWires } from './world/trip-wires.ts';

const usage = `Usage: pnpm sim --seed N [--trace] [--shrink]
       pnpm sim --seeds N [--from S] [--seconds T] [--once] [--shrink]

  --seed N      runs one seed twice and compares the trace hashes
  --seeds N     runs N seeds, from S (default 1) on; each twice, unless --once
  --seconds T   stops after the seed during which T seconds have passed
  --trace       prints every event; one run
  --shrink      takes from a failing seed all faults that it does not need
  --keep-going  goes on after a failing seed
  --only A,B    these classes of faults instead of the seed's own: ${faultClasses.join(' ')}
`;

const write = (line: string): void => void process.stdout.write(`${line}\n`);
const startedAt = process.hrtime.bigint();
const seconds = (): number => Number(process.hrtime.bigint() - startedAt) / 1e9;

function describe(result: SeedResult): string {
  const { seed, operations, faults, leaders, events, virtualMs, traceHash, exits } = result;
  const ended = Object.keys(exits).length === 0 ? '' : ` exits ${JSON.stringify(exits)}`;
  return (
    `seed ${seed}: ${result.failure === undefined ? 'ok' : `FAILED (${result.failure.kind})`} ${traceHash} ` +
    `events ${events} virtual ${virtualMs} ms faults ${faults.length} leaders ${leaders} ` +
    `ok ${operations.ok} failed ${operations.failed} unknown ${operations.unknown}${ended}`
  );
}

function describeSwarm(swarm: Swarm): string {
  return JSON.stringify(swarm);
}

interface Options {
  readonly once: boolean;
  readonly trace: boolean;
  readonly only: readonly FaultClass[] | undefined;
}

function chosenSwarm(seed: number, only: readonly FaultClass[] | undefined): Swarm {
  const swarm = swarmOf(seed);
  return only === undefined ? swarm : { ...swarm, faultClasses: only };
}

async function runOne(seed: number, options: Options): Promise<boolean> {
  const swarm = chosenSwarm(seed, options.only);
  const result = await runSeed(seed, {
    swarm,
    ...(options.trace
      ? {
          onEvent: (at, host, what, digest) =>
            write(
              `${at.toFixed(3).padStart(10)} ${host} ${what} ${digest === 0 ? '' : digest.toString(16)}`,
            ),
        }
      : {}),
  });
  write(describe(result));
  let good = result.failure === undefined;
  if (result.failure !== undefined) {
    write(describeSwarm(result.swarm));
    write(result.failure.message);
  }
  if (!options.once && !options.trace) {
    const again = await runSeed(seed, { swarm });
    if (again.traceHash !== result.traceHash) {
      write(`seed ${seed}: NOT REPEATABLE: ${result.traceHash} and then ${again.traceHash}`);
      good = false;
    }
  }
  if (!good)
    write(`replay: pnpm sim --seed ${seed}${options.only ? ` --only ${options.only}` : ''}`);
  return good;
}

async function shrinkSeed(swarm: Swarm): Promise<void> {
  const { seed } = swarm;
  const { faults, runs, kind } = await shrink(swarm, scheduleOf(swarm), (line) => write(line));
  write(`seed ${seed} fails (${kind}) with ${faults.length} faults, found in ${runs} runs:`);
  for (const fault of faults) write(`  ${JSON.stringify(fault)}`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      from: { type: 'string', default: '1' },
      seconds: { type: 'string' },
      once: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      shrink: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      only: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help || (values.seed === undefined && values.seeds === undefined)) {
    process.stdout.write(usage);
    return values.help ? 0 : 64;
  }
  const single = values.seed !== undefined;
  const from = Number(values.seed ?? values.from);
  const count = single ? 1 : Number(values.seeds);
  const secondsMax =
    values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds);
  const only = values.only?.split(',').map((name) => {
    const found = faultClasses.find((each) => each === name);
    if (found === undefined) throw new Error(`${name}: no such class of faults`);
    return found;
  });
  const failed: number[] = [];
  let ran = 0;
  for (let seed = from; seed < from + count && seconds() < secondsMax; seed++) {
    ran++;
    if (await runOne(seed, { once: values.once, trace: values.trace, only })) continue;
    failed.push(seed);
    if (values.shrink) await shrinkSeed(chosenSwarm(seed, only));
    if (!values['keep-going']) break;
  }
  if (!single)
    write(
      `${ran} seeds, ${failed.length} failed${failed.length > 0 ? ` (${failed.join(' ')})` : ''}, ` +
        `${((60 * ran) / seconds()).toFixed(1)} seeds per minute`,
    );
  return failed.length === 0 ? 0 : 1;
}

armTripWires();
process.exitCode = await main();
