/** A run's results as data: what JSON files hold, and what tables and pages are made of. Pure. */
import type { MachineFacts } from '../measure/machine.ts';
import { medianSample, ratioOf, type Sample } from '../measure/summary.ts';

export interface Report {
  readonly version: 1;
  /** ISO 8601, of its beginning. */
  readonly date: string;
  readonly machine: MachineFacts;
  /** Of the time that somebody wanted a processor, what the hypervisor kept; in [0, 1]. */
  readonly stolenShare: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly results: readonly Result[];
}

/** One workload, all systems that serve it. */
export interface Result {
  readonly workload: string;
  readonly group: string;
  readonly point: string;
  /** One sample per round of each system, in the order in which systems were asked for. */
  readonly systems: readonly { readonly name: string; readonly samples: readonly Sample[] }[];
}

export interface Row {
  readonly workload: string;
  readonly system: string;
  readonly sample: Sample;
  /** How many times better than the first system of the same workload; undefined for that one. */
  readonly ratio: number | undefined;
}

/** Medians, one row per workload and system that has samples. */
export function rowsOf(report: Report): readonly Row[] {
  return report.results.flatMap(({ workload, systems }) => {
    const measured = systems.filter(({ samples }) => samples.length > 0);
    const medians = measured.map(({ samples }) => medianSample(samples));
    return measured.flatMap(({ name }, i) => {
      const [sample, first] = [medians[i], medians[0]];
      if (sample === undefined || first === undefined) return [];
      return [
        { workload, system: name, sample, ratio: i === 0 ? undefined : ratioOf(sample, first) },
      ];
    });
  });
}

/** @throws Error if the text is no report of this version */
export function parseReport(text: string): Report {
  const report = JSON.parse(text) as Partial<Report> | null;
  if (report?.version !== 1 || !Array.isArray(report.results))
    throw new Error('this is no report of version 1');
  return report as Report;
}
