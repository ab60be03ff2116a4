/**
 * Which classes of faults a long campaign should try more: those whose seeds reach rare paths. Weight moves on
 * when a path is not rare any more. Pure bookkeeping.
 */
import { type FaultClass, faultClasses, onRequest, type Weights } from '../swarm.ts';
import type { Report } from './job.ts';

/** Seeds, and how many of them reached each path. */
interface Tally {
  seeds: number;
  readonly reached: Map<string, number>;
}

/** A path reached by a larger share of seeds is not rare. */
const rareShareMax = 0.1;
/** Below this the shares say nothing. Unit: seeds. */
const seedsMin = 40;

export class Adaptation {
  private readonly all: Tally = emptyTally();
  private readonly classes = new Map<FaultClass, Tally>(
    faultClasses.map((name) => [name, emptyTally()]),
  );

  add({ probes, faults }: Report): void {
    const names = Object.keys(probes);
    count(this.all, names);
    for (const [name, tally] of this.classes) if (faults[name] !== undefined) count(tally, names);
  }

  /**
   * Powers of two from ½ to 4: few, so that replay lines stay short. 1 is left out, but for classes that are on where they
   * are asked for only: without a weight no seed would ever show what they are worth.
   */
  weights(): Weights {
    if (this.all.seeds < seedsMin) return {};
    const mean = this.worthPerSeed(this.all);
    if (mean === 0) return {};
    const found: { [Name in FaultClass]?: number } = {};
    for (const [name, tally] of this.classes) {
      if (tally.seeds < seedsMin / 4) {
        if (onRequest.includes(name)) found[name] = 1;
        continue;
      }
      const lift = Math.log2(Math.max(this.worthPerSeed(tally) / mean, 0.01));
      const weight = 2 ** Math.min(2, Math.max(-1, Math.round(2 * lift)));
      if (weight !== 1 || onRequest.includes(name)) found[name] = weight;
    }
    return found;
  }

  /** Every rare path counts the same, however often it was reached. */
  private worthPerSeed({ seeds, reached }: Tally): number {
    let worth = 0;
    for (const [name, count] of reached) {
      const inAll = this.all.reached.get(name) ?? 0;
      if (inAll <= this.all.seeds * rareShareMax) worth += count / inAll;
    }
    return worth / seeds;
  }
}

function emptyTally(): Tally {
  return { seeds: 0, reached: new Map() };
}

function count(tally: Tally, names: readonly string[]): void {
  tally.seeds++;
  for (const name of names) tally.reached.set(name, (tally.reached.get(name) ?? 0) + 1);
}
