/** The command line: `pnpm sim:mutations --help`. */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutants } from './catalogue.ts';
import { TestBench } from './directed.ts';
import { Control, type HuntOptions, hunt, type Outcome } from './hunt.ts';
import { isDirected, isHunted, type Mutant } from './mutant.ts';
import { lineOf, listLine, pageOf } from './report.ts';
import { Workshop } from './workshop.ts';

const usage = `Usage: pnpm sim:mutations [--only NAME,NAME] [--seconds T] [--report FILE]

  Plants one bug after the other in a copy of the built tree and runs seeds until one shows it.
  Exit code 1 if a bug is not found, or if a seed fails without it.

  --list            what there is to plant; what no seed shows is hunted only by name
  --only A,B        these; a part of a name is enough
  --seconds T       processor time for each; default 60
  --seeds N         at most for each
  --from S          the first seed; default 1000
  --seed S          exactly this seed
  --seed-seconds T  a seed that takes longer does not end; default 120, by the clock
  --processes P     at the same time; default: one per processor
  --report FILE     writes what was found as markdown
`;

const write = (line: string): void => void process.stdout.write(`${line}\n`);

function chosen(names: string | undefined): readonly Mutant[] {
  if (names === undefined) return mutants.filter(isHunted);
  return names.split(',').flatMap((part) => {
    const exact = mutants.filter(({ name }) => name === part);
    const found = exact.length > 0 ? exact : mutants.filter(({ name }) => name.includes(part));
    if (found.length === 0) throw new Error(`${part}: no such bug`);
    return found;
  });
}

/** Hunts all, as many at a time as there are processes; the outcomes are in the order of the list. */
async function campaign(
  all: readonly Mutant[],
  workshop: Workshop,
  options: HuntOptions,
): Promise<readonly Outcome[]> {
  const lanes = Math.min(options.processes, all.length);
  const each = { ...options, processes: Math.floor(options.processes / lanes) };
  const control = new Control(workshop.worker, options);
  const bench = new TestBench(workshop);
  const outcomes: Outcome[] = [];
  let next = 0;
  let done = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < all.length; at = next++) {
      const mutant = all[at] as Mutant;
      const { hunt: how } = mutant;
      const outcome = isDirected(how)
        ? await bench.run(mutant, how)
        : await hunt({ ...mutant, hunt: how }, { mutated: workshop.plant(mutant), control }, each);
      workshop.clear(mutant);
      outcomes[at] = outcome;
      write(`[${++done}/${all.length}] ${lineOf(outcome)}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: lanes }, lane));
  } finally {
    control.close();
  }
  return outcomes;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      list: { type: 'boolean', default: false },
      only: { type: 'string' },
      seconds: { type: 'string', default: '60' },
      seeds: { type: 'string' },
      from: { type: 'string', default: '1000' },
      seed: { type: 'string' },
      'seed-seconds': { type: 'string', default: '120' },
      processes: { type: 'string' },
      report: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const all = chosen(values.only);
  if (values.list) {
    for (const mutant of all) write(listLine(mutant));
    return 0;
  }
  const options: HuntOptions = {
    from: Number(values.seed ?? values.from),
    seeds: values.seed === undefined ? Number(values.seeds ?? Number.POSITIVE_INFINITY) : 1,
    seconds: Number(values.seconds),
    seedSeconds: Number(values['seed-seconds']),
    processes: Number(values.processes ?? availableParallelism()),
  };
  const startedAt = process.hrtime.bigint();
  const workshop = new Workshop(fileURLToPath(new URL('../../../..', import.meta.url)), all);
  let outcomes: readonly Outcome[];
  try {
    outcomes = await campaign(all, workshop, options);
  } finally {
    workshop.close();
  }
  const wallSeconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const bad = outcomes.filter((each) => each.result !== 'killed' || each.falseAlarms.length > 0);
  write(
    `${outcomes.length} planted, ${outcomes.length - bad.length} killed, ${wallSeconds.toFixed(0)} s`,
  );
  for (const outcome of bad) write(lineOf(outcome));
  if (values.report !== undefined)
    writeFileSync(
      values.report,
      pageOf(outcomes, mutants, { wallSeconds, processes: options.processes }),
    );
  return bad.length === 0 ? 0 : 1;
}

process.exitCode = await main();
