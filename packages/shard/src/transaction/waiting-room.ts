/**
 * Requests that wait for a key of one range: for another transaction's intent to be resolved, or for a write that was
 * evaluated to be visible. First come, first served: who is woken is asked again in the order of arrival. One clock for
 * all rooms of a store ends waits that take too long. Knows nothing of what is waited for.
 */
import { assert, type Clock, present, type Timer } from '@flotilla/base';
import { nameOf } from '../state/transaction-rows.ts';

export interface Waiter {
  /** Monotonic ms; then `giveUp` is called. */
  readonly untilMs: number;
  /** Something has changed: look again. */
  readonly retry: () => void;
  readonly giveUp: () => void;
}

/** How often waits are looked through for those that are over. Unit: ms. */
const roundMs = 10;

/** Ends waits that take too long, for all rooms of a store. One timer while anybody waits. */
export class WaitingClock {
  private readonly clock: Clock;
  private readonly onFatal: (error: unknown) => void;
  private readonly occupied = new Set<{ expire(nowMs: number): boolean }>();
  private timer: Timer | undefined;

  constructor(clock: Clock, onFatal: (error: unknown) => void) {
    this.clock = clock;
    this.onFatal = onFatal;
  }

  nowMs(): number {
    return this.clock.nowMs();
  }

  /** @param room asked every few ms until it answers that nobody waits */
  watch(room: { expire(nowMs: number): boolean }): void {
    this.occupied.add(room);
    this.timer ??= this.clock.setTimer(roundMs, () => this.round());
  }

  private round(): void {
    this.timer = undefined;
    const now = this.clock.nowMs();
    try {
      for (const room of [...this.occupied]) if (!room.expire(now)) this.occupied.delete(room);
    } catch (error) {
      this.onFatal(error);
      return;
    }
    if (this.occupied.size > 0) this.timer ??= this.clock.setTimer(roundMs, () => this.round());
  }
}

export class WaitingRoom {
  private readonly clock: WaitingClock | undefined;
  private readonly waitersMax: number;
  private readonly byName = new Map<string, Waiter[]>();
  private count = 0;

  /** @param clock undefined: nobody will wait */
  constructor(clock: WaitingClock | undefined, waitersMax: number) {
    assert(waitersMax > 0, 'somebody may wait');
    this.clock = clock;
    this.waitersMax = waitersMax;
  }

  /** Who waits, on all keys. */
  get size(): number {
    return this.count;
  }

  /** @returns false: too many wait already */
  park(name: string, waiter: Waiter): boolean {
    if (this.count >= this.waitersMax) return false;
    const queue = this.byName.get(name);
    if (queue === undefined) this.byName.set(name, [waiter]);
    else queue.push(waiter);
    this.count++;
    present(this.clock, 'a clock of a room where somebody waits').watch(this);
    return true;
  }

  /** Who waits for the key looks again, in order. Who has to wait further comes in behind. */
  wake(name: string): void {
    const queue = this.byName.get(name);
    if (queue === undefined) return;
    this.byName.delete(name);
    this.count -= queue.length;
    for (const { retry } of queue) retry();
  }

  wakeKeys(changes: readonly { readonly key: Uint8Array }[]): void {
    for (const { key } of changes) {
      if (this.count === 0) return;
      this.wake(nameOf(key));
    }
  }

  /** The replica's part changed: everybody looks again. */
  wakeAll(): void {
    for (const name of [...this.byName.keys()]) this.wake(name);
  }

  /** @returns whether anybody still waits */
  expire(nowMs: number): boolean {
    for (const name of [...this.byName.keys()]) {
      // Whoever gave up may have woken others.
      const queue = this.byName.get(name) ?? [];
      const over = queue.filter(({ untilMs }) => untilMs <= nowMs);
      if (over.length === 0) continue;
      const left = queue.filter(({ untilMs }) => untilMs > nowMs);
      if (left.length === 0) this.byName.delete(name);
      else this.byName.set(name, left);
      this.count -= over.length;
      for (const { giveUp } of over) giveUp();
    }
    return this.count > 0;
  }
}
