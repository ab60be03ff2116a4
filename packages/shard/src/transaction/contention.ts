/**
 * Keys of a store that are fought over, for people who look for the hot ones: how often somebody waited for a lock, how long,
 * and how often a write found that it came too late. Fed only where something is in the way, so that what is uncontended pays
 * nothing. Bounded: when it is full, the key with the least takes the newcomer's place, which is how the frequent ones stay
 * (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k Elements", 2005). Decides nothing.
 */

export interface ContendedKey {
  readonly waits: number;
  readonly waitedMs: number;
  readonly conflicts: number;
  /** When something happened last. Monotonic ms. */
  readonly atMs: number;
}

interface Counted {
  waits: number;
  waitedMs: number;
  conflicts: number;
  atMs: number;
}

/** Keys that are counted: 256 of 8 KiB, at worst, are 2 MiB. */
const keysMax = 256;

export class Contention {
  private readonly keys = new Map<string, Counted>();

  /** @param name the key, one character per byte */
  noteWait(name: string, nowMs: number): void {
    const counted = this.counted(name, nowMs);
    counted.waits++;
  }

  /** A wait is over, whatever came of it. */
  noteWaited(name: string, waitedMs: number): void {
    const counted = this.keys.get(name);
    if (counted !== undefined) counted.waitedMs += waitedMs;
  }

  noteConflict(name: string, nowMs: number): void {
    const counted = this.counted(name, nowMs);
    counted.conflicts++;
  }

  entries(): Iterable<readonly [string, ContendedKey]> {
    return this.keys;
  }

  private counted(name: string, nowMs: number): Counted {
    let counted = this.keys.get(name);
    if (counted === undefined) {
      if (this.keys.size >= keysMax) this.dropLeast();
      counted = { waits: 0, waitedMs: 0, conflicts: 0, atMs: nowMs };
      this.keys.set(name, counted);
    }
    counted.atMs = nowMs;
    return counted;
  }

  private dropLeast(): void {
    let least: string | undefined;
    let leastCount = Infinity;
    for (const [name, { waits, conflicts }] of this.keys)
      if (waits + conflicts < leastCount) {
        least = name;
        leastCount = waits + conflicts;
      }
    if (least !== undefined) this.keys.delete(least);
  }
}
