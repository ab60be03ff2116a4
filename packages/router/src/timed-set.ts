/**
 * Everything that waits for an answer or a pause to end, under one timer. Made for many entries of similar, mostly
 * distant times that nearly all leave early: entering and leaving are a few stores, a scan happens when the earliest
 * time comes. Knows nothing about what the entries are.
 *
 * No `Set` is beneath: one that is filled and emptied all the time changes its table with every batch, and each table
 * that V8 gives up points to the next one. As soon as one of them has grown old, all that come after it are kept until
 * the next full collection, with all that was in them.
 */
import type { Clock, Timer } from '@flotilla/base';

export interface Timed {
  /** Written by `TimedSet` alone. Unit: ms of the clock. */
  wakeAtMs: number;
  /** As that: where it is; -1: nowhere. It is in one set at most. */
  timedAt: number;
}

/** Scans are at least this far apart, so that many short pauses cannot make them frequent. Unit: ms. */
const scanEveryMs = 2;

export class TimedSet<Entry extends Timed> {
  private readonly clock: Clock;
  private readonly onDue: (entry: Entry) => void;
  /** In no order. */
  private readonly entries: Entry[] = [];
  private timer: Timer | undefined;
  private armedAtMs = Number.POSITIVE_INFINITY;
  private readonly fire = (): void => this.scan();

  constructor(clock: Clock, onDue: (entry: Entry) => void) {
    this.clock = clock;
    this.onDue = onDue;
  }

  /** Enters, or changes the time of an entry. */
  set(entry: Entry, atMs: number): void {
    entry.wakeAtMs = atMs;
    if (entry.timedAt < 0) {
      entry.timedAt = this.entries.length;
      this.entries.push(entry);
    }
    if (atMs < this.armedAtMs) this.arm(atMs);
  }

  remove(entry: Entry): void {
    const at = entry.timedAt;
    if (at < 0) return;
    entry.timedAt = -1;
    const last = this.entries.pop();
    if (last === undefined || last === entry) return;
    last.timedAt = at;
    this.entries[at] = last;
  }

  get size(): number {
    return this.entries.length;
  }

  snapshot(): Entry[] {
    return [...this.entries];
  }

  close(): void {
    for (const entry of this.entries) entry.timedAt = -1;
    this.entries.length = 0;
    this.timer?.cancel();
    this.timer = undefined;
    this.armedAtMs = Number.POSITIVE_INFINITY;
  }

  private arm(atMs: number): void {
    this.timer?.cancel();
    this.armedAtMs = atMs;
    this.timer = this.clock.setTimer(Math.max(0, atMs - this.clock.nowMs()), this.fire);
  }

  private scan(): void {
    const now = this.clock.nowMs();
    const due: Entry[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.entries) {
      if (entry.wakeAtMs <= now) due.push(entry);
      else if (entry.wakeAtMs < next) next = entry.wakeAtMs;
    }
    this.timer = undefined;
    this.armedAtMs = Number.POSITIVE_INFINITY;
    if (next !== Number.POSITIVE_INFINITY) this.arm(Math.max(next, now + scanEveryMs));
    for (const entry of due) {
      // An earlier one may have settled this one or given it another time.
      if (entry.timedAt < 0 || entry.wakeAtMs > now) continue;
      this.remove(entry);
      this.onDue(entry);
    }
  }
}
