/** Whether a run of the guard is as good as the one that was written down, or says nothing. Pure. */
import type { MachineFacts } from '../measure/machine.ts';
import { median } from '../measure/summary.ts';

/** One turn of one workload. */
export interface Turn {
  readonly operationsPerSecond: number;
  /** Of the calibration, before and after. Unit: s. */
  readonly loopSeconds: readonly [number, number];
}

export interface Measured {
  readonly turns: Readonly<Record<string, readonly Turn[]>>;
  /** Of the processor time that was wanted here, what the hypervisor kept; in [0, 1]. */
  readonly stolenShare: number;
  /** Of all processor time, what programs used that have nothing to do with this; in [0, 1]. */
  readonly othersShare: number;
}

/** What is written down and committed. */
export interface Committed {
  readonly version: 1;
  readonly date: string;
  readonly machine: MachineFacts;
  readonly stolenShare: number;
  readonly othersShare: number;
  /** Operations in the time of the calibration, by workload. */
  readonly ratios: Readonly<Record<string, number>>;
}

export const stolenShareMost = 0.1;
export const othersShareMost = 0.15;

/** Operations in the time of the calibration: the median of the turns. @param turns at least one */
export function ratioOfTurns(turns: readonly Turn[]): number {
  return median(
    turns.map(({ operationsPerSecond, loopSeconds: [before, after] }) => {
      return operationsPerSecond * ((before + after) / 2);
    }),
  );
}

export function ratiosOf({ turns }: Measured): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(turns).map(([name, of]) => [name, ratioOfTurns(of)]));
}

/** Why the machine was not fit to judge; undefined if it was. */
export function disturbance({
  stolenShare,
  othersShare,
}: Pick<Measured, 'stolenShare' | 'othersShare'>): string | undefined {
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  if (stolenShare > stolenShareMost)
    return `the hypervisor kept ${percent(stolenShare)} of the processor time, over ${percent(stolenShareMost)}`;
  if (othersShare > othersShareMost)
    return `other programs used ${percent(othersShare)} of the processors, over ${percent(othersShareMost)}`;
  return undefined;
}

export interface Judgement {
  readonly verdict: 'held' | 'fell' | 'not judged';
  /** Why, for people. */
  readonly reason: string;
  /** Change of each workload's ratio against the committed one; -0.2 is a fifth less. Only those that are in both. */
  readonly changes: Readonly<Record<string, number>>;
}

/** @param tolerance a ratio may fall by this share, in [0, 1) */
export function judge(measured: Measured, committed: Committed, tolerance: number): Judgement {
  const ratios = ratiosOf(measured);
  const changes: Record<string, number> = {};
  const missing: string[] = [];
  for (const [name, before] of Object.entries(committed.ratios)) {
    const now = ratios[name];
    if (now === undefined) missing.push(name);
    else changes[name] = now / before - 1;
  }
  const unknown = Object.keys(ratios).filter((name) => committed.ratios[name] === undefined);
  const disturbed = disturbance(measured);
  // A fall and a rise are worth as little as each other on a machine that was not ours.
  if (disturbed !== undefined) return { verdict: 'not judged', reason: disturbed, changes };
  const disturbedThen = disturbance(committed);
  if (disturbedThen !== undefined) {
    const reason = `what is committed was measured while ${disturbedThen}; use --update on a quiet machine`;
    return { verdict: 'not judged', reason, changes };
  }
  if (missing.length + unknown.length > 0) {
    const names = [...missing, ...unknown].join(', ');
    return { verdict: 'not judged', reason: `not in both runs: ${names}; use --update`, changes };
  }
  const fallen = Object.entries(changes).filter(([, change]) => change < -tolerance);
  if (fallen.length === 0)
    return { verdict: 'held', reason: `nothing fell by more than ${tolerance * 100} %`, changes };
  const list = fallen.map(([name, change]) => `${name} by ${(-change * 100).toFixed(0)} %`);
  return { verdict: 'fell', reason: list.join(', '), changes };
}

/** @throws Error if the text holds nothing that could be compared with */
export function parseCommitted(text: string): Committed {
  const value = JSON.parse(text) as Partial<Committed> | null;
  const ratios = Object.values(value?.ratios ?? {});
  if (value?.version !== 1 || ratios.length === 0 || !ratios.every((ratio) => ratio > 0))
    throw new Error('this holds no committed ratios of version 1');
  return value as Committed;
}
