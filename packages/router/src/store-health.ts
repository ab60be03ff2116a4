/**
 * Which stores seem to be there. Suspicion is a hint for choosing where to ask first, never a reason not to believe an
 * answer. Any frame from a store ends it.
 */
import type { Clock } from '@flotilla/base';

export class StoreHealth {
  private readonly clock: Clock;
  private readonly suspicionMs: number;
  private readonly heardAtMs = new Map<number, number>();
  private readonly suspectUntilMs = new Map<number, number>();

  constructor(clock: Clock, suspicionMs: number) {
    this.clock = clock;
    this.suspicionMs = suspicionMs;
  }

  /** @returns true if the store was suspect until now */
  heard(storeId: number): boolean {
    this.heardAtMs.set(storeId, this.clock.nowMs());
    return this.suspectUntilMs.size > 0 && this.suspectUntilMs.delete(storeId);
  }

  heardSince(storeId: number, sinceMs: number): boolean {
    const at = this.heardAtMs.get(storeId);
    return at !== undefined && at > sinceMs;
  }

  suspect(storeId: number): void {
    this.suspectUntilMs.set(storeId, this.clock.nowMs() + this.suspicionMs);
  }

  isSuspect(storeId: number): boolean {
    if (this.suspectUntilMs.size === 0) return false;
    const until = this.suspectUntilMs.get(storeId);
    if (until === undefined) return false;
    if (until > this.clock.nowMs()) return true;
    this.suspectUntilMs.delete(storeId);
    return false;
  }
}
