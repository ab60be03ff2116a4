/**
 * When each store was seen to write its row last, by the monotonic clock of whoever looks: so that no wall clock, however
 * wrong, makes a store dead or keeps it alive. Whoever begins to look has seen nobody yet: until a row changes, or unless
 * it was clearly written just now, its store is waited for and trusted with nothing.
 */
import type { StoreHealth } from './picture.ts';
import { silenceLimits } from './settings.ts';

export interface SightingLimits {
  /** How often stores report that do not say how often. Unit: ms. */
  readonly reportEveryMs: number;
  /** Silent for longer: dead, unless it reports so seldom that this would be no silence. Unit: ms. */
  readonly deadAfterMs: number;
}

/** Nobody reports less often: a row that says so is not believed. Unit: ms. */
const reportEveryMostMs = 60_000;

interface Sighting {
  readonly version: number;
  /** The row changed, or was looked at first. Monotonic ms. */
  readonly atMs: number;
  readonly confirmed: boolean;
}

export class Sightings {
  private readonly limits: SightingLimits;
  private readonly seen = new Map<number, Sighting>();

  constructor(limits: SightingLimits) {
    this.limits = limits;
  }

  /**
   * A look at a store's row.
   * @param version of the row
   * @param ageMs of the row by wall clocks, which may be wrong: only believed at the first look, and only if it is small
   * @param everyMs how often the store reports, as it says itself. 0: it does not say
   */
  look(
    storeId: number,
    row: { readonly version: number; readonly ageMs: number; readonly everyMs: number },
    nowMs: number,
  ): { readonly health: StoreHealth; readonly silentMs: number } {
    const { suspectAfterMs, deadAfterMs } = this.limitsOf(row.everyMs);
    const before = this.seen.get(storeId);
    let now = before;
    if (before === undefined) {
      const confirmed = Math.abs(row.ageMs) <= suspectAfterMs;
      now = { version: row.version, atMs: nowMs, confirmed };
    } else if (before.version !== row.version)
      now = { version: row.version, atMs: nowMs, confirmed: true };
    if (now === undefined) return { health: 'suspect', silentMs: 0 };
    this.seen.set(storeId, now);
    const silentMs = nowMs - now.atMs;
    if (silentMs > deadAfterMs) return { health: 'dead', silentMs };
    return { health: now.confirmed && silentMs <= suspectAfterMs ? 'live' : 'suspect', silentMs };
  }

  private limitsOf(saidMs: number): ReturnType<typeof silenceLimits> {
    const { reportEveryMs, deadAfterMs } = this.limits;
    const everyMs = saidMs > 0 ? Math.min(saidMs, reportEveryMostMs) : reportEveryMs;
    return silenceLimits(everyMs, deadAfterMs);
  }
}
