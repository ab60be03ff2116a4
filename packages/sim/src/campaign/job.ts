/**
 * One seed as it is handed to a process and what comes back: plain data, because it crosses process borders. What a seed
 * does depends on the job alone, so any process may run it.
 */
import type { ProbeName } from '@flotilla/base';
import type { FailureKind } from '../failure.ts';
import { runSeed, type SeedResult } from '../run-seed.ts';
import { type FaultClass, type Swarm, swarmOf, type Weights } from '../swarm.ts';
import type { TraceListener } from '../world/trace.ts';

export interface Job {
  readonly seed: number;
  /** Not run a second time to compare the traces. */
  readonly once: boolean;
  /** Instead of what the seed says. */
  readonly only?: readonly FaultClass[];
  /** How likely classes of faults are; 1 where it says nothing. */
  readonly weights?: Weights;
  /** Sizes, timings and limits instead of the seed's own. */
  readonly swarm?: Partial<Omit<Swarm, 'seed' | 'faultClasses' | 'weights'>>;
}

export interface Report {
  readonly job: Job;
  readonly failure: { readonly kind: FailureKind; readonly message: string } | undefined;
  readonly swarm: Swarm;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly operations: SeedResult['operations'];
  readonly leaders: number;
  readonly exits: SeedResult['exits'];
  /** Faults of the schedule, by class. */
  readonly faults: Readonly<Partial<Record<FaultClass, number>>>;
  /** Those that were reached. */
  readonly probes: Readonly<Partial<Record<ProbeName, number>>>;
  /** Processor time. No part of what a seed does. */
  readonly cpuMs: number;
}

export function jobSwarm({ seed, only, weights, swarm: instead }: Job): Swarm {
  const swarm = { ...swarmOf(seed, weights), ...instead };
  return only === undefined ? swarm : { ...swarm, faultClasses: only };
}

/** @param onEvent hears of every event; the seed then runs once */
export async function runJob(job: Job, onEvent?: TraceListener): Promise<Report> {
  const swarm = jobSwarm(job);
  const before = process.cpuUsage();
  const result = await runSeed(job.seed, onEvent === undefined ? { swarm } : { swarm, onEvent });
  const { user, system } = process.cpuUsage(before);
  const report = reportOf(job, result, (user + system) / 1000);
  if (job.once || onEvent !== undefined || report.failure !== undefined) return report;
  const again = await runSeed(job.seed, { swarm });
  if (again.traceHash === result.traceHash) return report;
  const message = `not repeatable: ${result.traceHash} and then ${again.traceHash}`;
  return { ...report, failure: { kind: 'nondeterminism', message } };
}

function reportOf(job: Job, result: SeedResult, cpuMs: number): Report {
  const { failure, swarm, traceHash, events, virtualMs, operations, leaders, exits } = result;
  const faults: Partial<Record<FaultClass, number>> = {};
  for (const { class: name } of result.faults) faults[name] = (faults[name] ?? 0) + 1;
  return {
    job,
    failure: failure && { kind: failure.kind, message: failure.message },
    swarm,
    traceHash,
    events,
    virtualMs,
    operations,
    leaders,
    exits,
    faults,
    probes: result.probes,
    cpuMs,
  };
}

/** The command that runs it again. */
export function replayLine({ seed, only, weights, swarm }: Job): string {
  const parts = [`pnpm sim --seed ${seed}`];
  if (only !== undefined) parts.push(`--only ${only.join(',')}`);
  const weighted = Object.entries(weights ?? {}).map(([name, weight]) => `${name}=${weight}`);
  if (weighted.length > 0) parts.push(`--weights ${weighted.join(',')}`);
  if (swarm !== undefined) parts.push(`--swarm '${JSON.stringify(swarm)}'`);
  return parts.join(' ');
}

export function describe(report: Report): string {
  const { job, operations, faults, leaders, events, virtualMs, traceHash, exits } = report;
  const ended = Object.keys(exits).length === 0 ? '' : ` exits ${JSON.stringify(exits)}`;
  const inflicted = Object.values(faults).reduce((sum, count) => sum + count, 0);
  return (
    `seed ${job.seed}: ${report.failure === undefined ? 'ok' : `FAILED (${report.failure.kind})`} ` +
    `${traceHash} events ${events} virtual ${virtualMs} ms faults ${inflicted} leaders ${leaders} ` +
    `ok ${operations.ok} failed ${operations.failed} unknown ${operations.unknown}${ended}`
  );
}
