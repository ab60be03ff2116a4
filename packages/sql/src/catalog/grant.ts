/**
 * What a process holds while it has a lease on the catalog's version: until `timestamp` that version is the newest. It is
 * the bound of the transactions that rely on it, and counts their commits, so that it can be given up early: when no commit
 * is under way that was told a later moment. Knows nothing of how leases are had.
 */
import { type Clock, timestampSpan, timestampToWallMs, toTimestamp } from '@flotilla/base';
import type { TimeBound } from '../kv-transaction.ts';

export class Grant implements TimeBound {
  readonly version: number;
  /** Falls when the grant is given up; nothing that rests on it is newer. */
  timestamp: number;
  /** The latest moment that a commit may have been told. */
  private promised: number;
  private readonly renew: (timestamp: number) => Promise<void>;
  private commits = 0;
  private runs = 0;
  private inDoubt = false;
  private onIdle: (() => void) | undefined;

  /** @param renew extends it beyond the moment, if that can be had; resolves when it is known. Never rejects */
  constructor(
    version: number,
    timestamp: number,
    renew: (timestamp: number) => Promise<void> = async () => {},
  ) {
    this.version = version;
    this.timestamp = timestamp;
    this.promised = timestamp;
    this.renew = renew;
  }

  async reach(timestamp: number): Promise<boolean> {
    if (timestamp > this.timestamp) await this.renew(timestamp);
    return timestamp <= this.timestamp;
  }

  extend(timestamp: number): void {
    this.timestamp = Math.max(this.timestamp, timestamp);
    this.promised = this.timestamp;
  }

  /** Statements are under way that rest on it: it is to be renewed for as long as they take. */
  get isInUse(): boolean {
    return this.runs > 0 || this.commits > 0;
  }

  /** A run of a statement begins that rests on it. */
  use(): void {
    this.runs++;
  }

  unuse(): void {
    this.runs--;
  }

  /** A commit that may be told `timestamp` begins. */
  enter(): void {
    this.commits++;
  }

  /** It has ended. @param unknown it may still be made */
  leave(unknown: boolean): void {
    if (unknown) this.inDoubt = true;
    if (--this.commits === 0) this.onIdle?.();
  }

  /**
   * Nothing rests on it from `now` on. Resolves when no commit is under way that does, or none can be made any more.
   * @param offsetMs how far stores' clocks may be behind
   */
  async close(now: number, clock: Clock, offsetMs: number): Promise<void> {
    this.timestamp = Math.min(this.timestamp, now);
    if (this.promised <= now || (this.commits === 0 && !this.inDoubt)) return;
    const left =
      timestampToWallMs(toTimestamp(this.promised)) - timestampToWallMs(toTimestamp(now));
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(Math.max(1, left + offsetMs), resolve);
      if (this.inDoubt) return;
      const before = this.onIdle;
      this.onIdle = () => {
        before?.();
        if (this.inDoubt) return;
        timer.cancel();
        resolve();
      };
    });
  }
}

/** A timestamp so much later. */
export function later(timestamp: number, ms: number): number {
  return timestamp + timestampSpan(ms);
}
