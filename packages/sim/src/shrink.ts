/**
 * The fewest faults that still make a seed fail in the same way: first whole classes go, then parts of the schedule by
 * delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
 */
import type { FailureKind } from './failure.ts';
import type { Fault } from './faults.ts';
import { runSeed } from './run-seed.ts';
import type { Swarm } from './swarm.ts';

export interface Shrunk {
  readonly faults: readonly Fault[];
  readonly kind: FailureKind | undefined;
  readonly runs: number;
}

/** Runs that shrinking may take. */
const runsMax = 200;

export async function shrink(
  swarm: Swarm,
  faults: readonly Fault[],
  say: (line: string) => void,
): Promise<Shrunk> {
  const { failure } = await runSeed(swarm.seed, { swarm, faults });
  if (failure === undefined) return { faults, kind: undefined, runs: 1 };
  let runs = 1;
  const fails = async (some: readonly Fault[]): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs++;
    const result = await runSeed(swarm.seed, { swarm, faults: some });
    const same = result.failure?.kind === failure.kind;
    if (same) say(`  ${some.length} faults still fail`);
    return same;
  };
  let left = faults;
  for (const each of swarm.faultClasses) {
    const without = left.filter((fault) => fault.class !== each);
    if (without.length < left.length && (await fails(without))) left = without;
  }
  left = await minimize(left, fails);
  return { faults: left, kind: failure.kind, runs };
}

/** A part of `items` from which nothing can be taken by itself: ddmin. `fails(items)` is taken for true. */
export async function minimize<T>(
  items: readonly T[],
  fails: (some: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let left = items;
  let parts = 2;
  while (left.length > 0) {
    const size = Math.ceil(left.length / parts);
    let reduced = false;
    for (let at = 0; at < left.length; at += size) {
      const without = [...left.slice(0, at), ...left.slice(at + size)];
      if (!(await fails(without))) continue;
      left = without;
      parts = Math.max(parts - 1, 2);
      reduced = true;
      break;
    }
    if (reduced) continue;
    if (size <= 1) break;
    parts = Math.min(left.length, parts * 2);
  }
  return left;
}
