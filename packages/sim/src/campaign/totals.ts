/** What all seeds of a campaign did together, and how it is shown. Knows reports, runs nothing. */
import { type ProbeName, probeNames } from '@flotilla/base';
import { type FaultClass, faultClasses } from '../swarm.ts';
import { type Report, replayLine } from './job.ts';

interface Count {
  hits: number;
  seeds: number;
  firstSeed: number | undefined;
}

export interface Failed {
  readonly seed: number;
  readonly kind: string;
  readonly message: string;
  readonly replay: string;
}

export class Totals {
  seeds = 0;
  events = 0;
  virtualMs = 0;
  readonly operations = { ok: 0, failed: 0, unknown: 0 };
  readonly failed: Failed[] = [];
  readonly exits: { [code: string]: number } = {};
  readonly probes: ReadonlyMap<ProbeName, Count> = counts(probeNames);
  readonly faults: ReadonlyMap<FaultClass, Count> = counts(faultClasses);

  add(report: Report): void {
    const { seed } = report.job;
    this.seeds++;
    this.events += report.events;
    this.virtualMs += report.virtualMs;
    for (const kind of ['ok', 'failed', 'unknown'] as const)
      this.operations[kind] += report.operations[kind];
    for (const [code, count] of Object.entries(report.exits))
      this.exits[code] = (this.exits[code] ?? 0) + count;
    addTo(this.probes, report.probes, seed);
    addTo(this.faults, report.faults, seed);
    if (report.failure !== undefined)
      this.failed.push({ seed, ...report.failure, replay: replayLine(report.job) });
  }

  /** Of `names`, those that no seed reached. */
  neverReached(names: readonly ProbeName[]): readonly ProbeName[] {
    return names.filter((name) => this.probes.get(name)?.hits === 0);
  }

  /** For `--report`. */
  toJson(seconds: number): object {
    const table = (of: ReadonlyMap<string, Count>): object => Object.fromEntries(of);
    return {
      seeds: this.seeds,
      seconds: Math.round(seconds),
      seedsPerMinute: this.perMinute(seconds),
      virtualHours: this.virtualHours,
      events: this.events,
      operations: this.operations,
      exits: this.exits,
      failed: this.failed,
      faults: table(this.faults),
      probes: table(this.probes),
    };
  }

  perMinute(seconds: number): number {
    return Math.round((600 * this.seeds) / Math.max(seconds, 0.001)) / 10;
  }

  get virtualHours(): number {
    return Math.round(this.virtualMs / 36_000) / 100;
  }

  /** Lines of a table of probes, rarest first; markdown, and legible as it is. */
  probeTable(): readonly string[] {
    return tableOf('probe', this.probes);
  }

  faultTable(): readonly string[] {
    return tableOf('faults', this.faults);
  }
}

function counts<Name extends string>(names: readonly Name[]): Map<Name, Count> {
  return new Map(names.map((name) => [name, { hits: 0, seeds: 0, firstSeed: undefined }]));
}

function addTo<Name extends string>(
  totals: ReadonlyMap<Name, Count>,
  of: Readonly<Partial<Record<Name, number>>>,
  seed: number,
): void {
  for (const [name, count] of totals) {
    const hits = of[name] ?? 0;
    if (hits === 0) continue;
    count.hits += hits;
    count.seeds++;
    count.firstSeed ??= seed;
  }
}

function tableOf(title: string, of: ReadonlyMap<string, Count>): readonly string[] {
  const rows = [...of].sort((a, b) => a[1].seeds - b[1].seeds || a[1].hits - b[1].hits);
  const width = Math.max(...rows.map(([name]) => name.length), title.length);
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(10))).join(' | ')} |`;
  return [
    line([title, 'times', 'in seeds', 'first seed']),
    line(['---', '--:', '--:', '--:']),
    ...rows.map(([name, { hits, seeds, firstSeed }]) =>
      line([name, String(hits), String(seeds), firstSeed === undefined ? 'never' : `${firstSeed}`]),
    ),
  ];
}
