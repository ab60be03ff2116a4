/** What a system uses while something runs: processor time, and the most memory at any time in between. */
import type { System } from '../systems/system.ts';
import { sumOf, usageOf } from './process-tree.ts';

const lookEveryMs = 500;

export interface UsedMeanwhile {
  readonly cpuSeconds: number;
  readonly peakResidentBytes: number;
}

/** @returns what `work` gave, and what the system used meanwhile; its time is right only if no process died */
export async function watchUsage<Result>(
  system: Pick<System, 'processes'>,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly used: UsedMeanwhile }> {
  let peakResidentBytes = 0;
  const look = (): number => {
    const { cpuSeconds, residentBytes } = sumOf(usageOf(system.processes.map(({ pid }) => pid)));
    peakResidentBytes = Math.max(peakResidentBytes, residentBytes);
    return cpuSeconds;
  };
  const before = look();
  const timer = setInterval(look, lookEveryMs);
  try {
    const result = await work();
    const cpuSeconds = look() - before;
    return { result, used: { cpuSeconds, peakResidentBytes } };
  } finally {
    clearInterval(timer);
  }
}
