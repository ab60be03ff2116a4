/**
 * Everything that waits for an answer or a pause to end, under one timer. Made for many entries of similar, mostly
 * distant times that nearly all leave early: entering and leaving cost a Set operation, a scan happens when the
 * earliest time comes. Knows nothing about what the entries are.
 */
import type { Clock, Timer } from '@flotilla/base';

export interface Timed {
  /** Written by `TimedSet` alone. Unit: ms of the clock. */
  wakeAtMs: number;
}

/** Scans are at least this far apart, so that many short pauses cannot make them frequent. Unit: ms. */
const scanEveryMs = 2;

export class TimedSet<Entry extends Timed> {
  private readonly clock: Clock;
  private readonly onDue: (entry: Entry) => void;
  private readonly entries = new Set<Entry>();
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
    this.entries.add(entry);
    if (atMs < this.armedAtMs) this.arm(atMs);
  }

  remove(entry: Entry): void {
    this.entries.delete(entry);
  }

  get size(): number {
    return this.entries.size;
  }

  snapshot(): Entry[] {
    return [...this.entries];
  }

  close(): void {
    this.entries.clear();
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
      if (!this.entries.has(entry) || entry.wakeAtMs > now) continue;
      this.entries.delete(entry);
      this.onDue(entry);
    }
  }
}
