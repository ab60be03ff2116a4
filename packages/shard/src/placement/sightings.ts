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

/**
 * Silence since the last look counts up to here, or for as long as it takes to be suspect: while whoever looks stood still, all
 * others may have, and those of them who write their row first would replace what the last ones hold. Unit: ms.
 */
const countedMostMs = 10_000;

interface Sighting {
  readonly version: number;
  /** Since the row changed, or was looked at first, as far as somebody looked. */
  readonly silentMs: number;
  /** The last look. Monotonic ms. */
  readonly lookedAtMs: number;
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
    let confirmed = before === undefined ? Math.abs(row.ageMs) <= suspectAfterMs : true;
    let silentMs = 0;
    if (before?.version === row.version) {
      const sinceMs = nowMs - before.lookedAtMs;
      const countedMs = Math.min(sinceMs, Math.max(suspectAfterMs, countedMostMs));
      silentMs = before.silentMs + countedMs;
      confirmed = before.confirmed && countedMs === sinceMs;
    }
    this.seen.set(storeId, { version: row.version, silentMs, lookedAtMs: nowMs, confirmed });
    if (silentMs > deadAfterMs) return { health: 'dead', silentMs };
    return { health: confirmed && silentMs <= suspectAfterMs ? 'live' : 'suspect', silentMs };
  }

  private limitsOf(saidMs: number): ReturnType<typeof silenceLimits> {
    const { reportEveryMs, deadAfterMs } = this.limits;
    const everyMs = saidMs > 0 ? Math.min(saidMs, reportEveryMostMs) : reportEveryMs;
    return silenceLimits(everyMs, deadAfterMs);
  }
}
