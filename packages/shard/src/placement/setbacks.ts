/**
 * What came to nothing lately, range by range: such a range is left alone for a while, longer each time, except for what is
 * more urgent than what failed; and the stores that did not get their replica, or lease, come after those that have failed less often.
 * What does not fail again is forgotten in time. Knows no clock: it is told the time.
 */
import type { RangeId, StoreId } from '@flotilla/base';
import type { PlacementAction, PlacementRule, Setback } from './picture.ts';

/** Unit: ms. */
const firstRestMs = 5000;
const longestRestMs = 5 * 60_000;
/** Who failed is remembered at least so long: others may hold the places that the next attempt waits for. */
const missesKeptMs = 10 * 60_000;

export interface Rest {
  readonly untilMs: number;
  readonly lengthMs: number;
}

/** The rest that comes now: twice as long each time, up to the longest. */
export function restAfter(before: Rest | undefined, nowMs: number): Rest {
  const again = before !== undefined && !isForgotten(before, nowMs);
  const lengthMs = again ? Math.min(longestRestMs, before.lengthMs * 2) : firstRestMs;
  return { untilMs: nowMs + lengthMs, lengthMs };
}

/** Long enough ago that what comes next is a new beginning. */
export function isForgotten({ untilMs, lengthMs }: Rest, nowMs: number): boolean {
  return nowMs - untilMs >= 10 * lengthMs;
}

interface Known {
  readonly rest: Rest;
  readonly rule: PlacementRule;
  readonly misses: ReadonlyMap<StoreId, number>;
}

export class Setbacks {
  private readonly known = new Map<RangeId, Known>();

  /** The action came to nothing. */
  note(action: PlacementAction, nowMs: number): void {
    const { rangeId, rule } = action;
    const before = this.known.get(rangeId);
    const rest = restAfter(before?.rest, nowMs);
    const misses = new Map(before?.misses);
    for (const storeId of action.kind === 'change' ? action.add : [action.to])
      misses.set(storeId, (misses.get(storeId) ?? 0) + 1);
    this.known.set(rangeId, { rest, rule, misses });
  }

  /** The action was carried out. That something is cleared away says nothing about who could not get it. */
  clear(action: PlacementAction): void {
    if (action.kind === 'change' && action.add.length > 0) this.known.delete(action.rangeId);
  }

  /**
   * Lets go what is forgotten.
   * @param isTried what was decided for the range is being done: it may take longer than it takes to forget
   * @returns what is known, how many ranges are at rest, and whether anything was let go
   */
  at(
    nowMs: number,
    isTried: (rangeId: RangeId) => boolean,
  ): { setbacks: Map<RangeId, Setback>; atRest: number; forgot: boolean } {
    const setbacks = new Map<RangeId, Setback>();
    let atRest = 0;
    let forgot = false;
    for (const [rangeId, { rest, rule, misses }] of this.known) {
      const isOld = nowMs - rest.untilMs >= missesKeptMs;
      if (isOld && isForgotten(rest, nowMs) && !isTried(rangeId)) {
        this.known.delete(rangeId);
        forgot = true;
        continue;
      }
      const isAtRest = nowMs < rest.untilMs;
      if (isAtRest) atRest++;
      setbacks.set(rangeId, { rule, isAtRest, misses });
    }
    return { setbacks, atRest, forgot };
  }
}
