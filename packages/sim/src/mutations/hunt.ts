/**
 * Hunts one mutant: seed after seed in processes that run its tree, until one shows it. A seed counts only if the tree
 * without the mutant passes it, in the same world.
 */
import type { Job, Report } from '../campaign/job.ts';
import { Pool } from '../campaign/pool.ts';
import type { Hunt, Mutant } from './mutant.ts';
import { type Death, firstLine, verdictOf } from './verdict.ts';

export interface HuntOptions {
  /** The first seed. */
  readonly from: number;
  /** Only this many. */
  readonly seeds: number;
  /** No seed is begun when the mutant has cost this. Unit: s of processor time. */
  readonly seconds: number;
  /** A seed that takes longer does not end. Unit: s of the wall clock. */
  readonly seedSeconds: number;
  readonly processes: number;
}

export interface Outcome {
  readonly mutant: Mutant;
  readonly result: 'killed' | 'survived' | 'broken';
  readonly seed: number;
  readonly death: Death | undefined;
  readonly reported: string;
  readonly seeds: number;
  /** Processor time. */
  readonly seconds: number;
  /** Seeds that the tree fails without the mutant too. */
  readonly falseAlarms: readonly string[];
}

/** What the tree says to a job without any mutant: many mutants are hunted in the same worlds, so it remembers. */
export class Control {
  private readonly pool: Pool;
  private readonly reports = new Map<string, Promise<Report>>();

  /** @param program of the tree as it is */
  constructor(
    program: string,
    { seedSeconds, processes }: Pick<HuntOptions, 'seedSeconds' | 'processes'>,
  ) {
    this.pool = new Pool({ processes, program, seedMsMax: seedSeconds * 1000 });
  }

  run(job: Job): Promise<Report> {
    const name = JSON.stringify(job);
    const report = this.reports.get(name) ?? this.pool.one(job);
    this.reports.set(name, report);
    return report;
  }

  close(): void {
    this.pool.close();
  }
}

/** @param mutated the program of the tree with the mutant */
export async function hunt(
  mutant: Mutant & { readonly hunt: Hunt },
  { mutated, control }: { readonly mutated: string; readonly control: Control },
  options: HuntOptions,
): Promise<Outcome> {
  const { processes, seedSeconds } = options;
  // Nothing runs on while a seed that fails is tried without the mutant.
  const pool = new Pool({ processes, program: mutated, seedMsMax: seedSeconds * 1000, ahead: 1 });
  let cpuMs = 0;
  let seeds = 0;
  const falseAlarms: string[] = [];
  function* jobs(): Iterator<Job> {
    for (let seed = options.from; seed < options.from + options.seeds; seed++) {
      if (cpuMs >= options.seconds * 1000) return;
      yield jobOf(mutant, seed);
    }
  }
  const outcome = (result: Outcome['result'], more: Partial<Outcome> = {}): Outcome => ({
    mutant,
    result,
    seed: 0,
    death: undefined,
    reported: '',
    seeds,
    seconds: cpuMs / 1000,
    falseAlarms,
    ...more,
  });
  for await (const report of pool.run(jobs())) {
    seeds++;
    cpuMs += report.cpuMs;
    const verdict = verdictOf(report);
    if (verdict.kind === 'lives') continue;
    const { seed } = report.job;
    if (verdict.kind === 'broken') return outcome('broken', { seed, reported: verdict.reported });
    const { failure } = await control.run(report.job);
    if (failure === undefined)
      return outcome('killed', { seed, death: verdict.death, reported: verdict.reported });
    const { kind, message } = failure;
    falseAlarms.push(`seed ${seed}: ${kind}: ${firstLine(message)}`);
  }
  return outcome('survived');
}

export function jobOf(
  { hunt: { only: classes, weights, swarm } }: { readonly hunt: Hunt },
  seed: number,
): Job {
  return {
    seed,
    once: true,
    ...(classes && { only: classes }),
    ...(weights && { weights }),
    ...(swarm && { swarm }),
  };
}
