/**
 * How much each range holds and is asked, as its leaseholders tell the stores of the first range every few seconds. Kept in
 * memory by all of these, read by the one that leads; what is not repeated is forgotten.
 */
import type { Clock } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';

type Told = flotilla.kv.RangeFigures.$Properties;

export interface RangeFigure {
  readonly bytes: number;
  readonly requestsPerSecond: number;
  /** The store whose process asks for most of it. 0: none does. */
  readonly askerStoreId: number;
}

/** Unit: ms. */
const keptMs = 60_000;
/** Ranges that are remembered: some 10 MB. */
const rangesMax = 200_000;

export class RangeFigures {
  private readonly clock: Clock;
  private readonly known = new Map<number, RangeFigure & { readonly atMs: number }>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  take(told: readonly Told[]): void {
    const atMs = this.clock.nowMs();
    for (const { rangeId, bytes, requestsPerSecond, askerStoreId } of told) {
      if (!rangeId || (this.known.size >= rangesMax && !this.known.has(rangeId))) continue;
      if (![bytes, requestsPerSecond, askerStoreId].every(isFigure)) continue;
      this.known.set(rangeId, {
        bytes: bytes ?? 0,
        requestsPerSecond: requestsPerSecond ?? 0,
        askerStoreId: askerStoreId ?? 0,
        atMs,
      });
    }
  }

  of(rangeId: number): RangeFigure | undefined {
    const known = this.known.get(rangeId);
    if (known === undefined || this.clock.nowMs() - known.atMs <= keptMs) return known;
    this.known.delete(rangeId);
    return undefined;
  }
}

function isFigure(n: number | null | undefined): boolean {
  return n === undefined || n === null || (Number.isSafeInteger(n) && n >= 0);
}
