/**
 * Locks of transactions on keys of one range, in the memory of its leaseholder: who holds them, and who waits, first come,
 * first served. Writes of others wait in the same queues. Losing the table costs a retry, never correctness: what a commit
 * relies on is validated. Knows no messages; who waits is called back.
 */
import { assert, compareBytes } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { bytesOfName } from '../state/transaction-rows.ts';
import type { Contention } from './contention.ts';
import { InheritedLocks } from './inherited-locks.ts';
import type { LiveTransactions, LockMode, LockOwnerTable } from './live-transactions.ts';
import type { Waiter, WaitingClock } from './waiting-room.ts';

/** A write needs the key to itself for the moment in which it is evaluated, and keeps nothing. */
export type LockWish = LockMode | 'write';

/** Who wishes. Transactions are named by their ids; a write outside of transactions by whatever its retries share. */
export interface LockOwner {
  readonly name: string;
  /** Undefined: a write outside of transactions, which holds nothing. */
  readonly transaction: { readonly coordinator: string; readonly startedAt: number } | undefined;
}

interface Entry {
  readonly owner: LockOwner;
  readonly wish: LockWish;
  /** When it joined the queue. Monotonic ms. */
  readonly sinceMs: number;
  /** Undefined while the client has an answer in hand and is about to ask again. */
  waiter: Waiter | undefined;
  /** Without a waiter, its place is kept until then. Monotonic ms. */
  keptUntilMs: number;
}

interface KeyLock {
  readonly holders: Map<string, LockMode>;
  readonly queue: Entry[];
}

export interface LockTableLimits {
  /** Keys with a lock or a queue. */
  readonly locksMax: number;
  /** How long the place of a client is kept that has been told to ask again. Unit: ms. */
  readonly lockPlaceMs: number;
}

export interface Blockers {
  readonly holders: flotilla.kv.LockHolder.$Properties[];
  readonly edges: flotilla.kv.WaitEdge.$Properties[];
}

/** A lock, or a wait for one. Transactions by name. */
export interface ListedLock {
  readonly name: string;
  readonly kind: LockWish;
  readonly granted: boolean;
  /** Undefined: a write outside of transactions. */
  readonly transaction: string | undefined;
  readonly waitingMs: number;
  readonly blockedBy: readonly string[];
}

export class LockTable implements LockOwnerTable {
  private readonly live: LiveTransactions;
  private readonly limits: LockTableLimits;
  private readonly clock: WaitingClock;
  private readonly contention: Contention;
  private keys = new Map<string, KeyLock>();
  /** Names of the keys that a transaction holds. */
  private held = new Map<string, Set<string>>();
  private readonly waitedFor = new Set<string>();

  constructor(
    live: LiveTransactions,
    limits: LockTableLimits,
    clock: WaitingClock,
    contention: Contention,
  ) {
    this.live = live;
    this.limits = limits;
    this.clock = clock;
    this.contention = contention;
  }

  /** Keys with a lock or a queue. */
  get size(): number {
    return this.keys.size;
  }

  /** The key has a lock or a queue. */
  has(name: string): boolean {
    return this.keys.has(name);
  }

  /** No further key can be locked: `take` of one fails, and there is nobody to wait for. */
  get isFull(): boolean {
    return this.keys.size >= this.limits.locksMax;
  }

  holds(name: string, transaction: string): boolean {
    return this.keys.get(name)?.holders.has(transaction) === true;
  }

  /** Of a transaction. */
  heldBy(transaction: string): number {
    return this.held.get(transaction)?.size ?? 0;
  }

  /** Takes the lock if nobody is in the way. Re-entrant; a sole holder's SHARE becomes EXCLUSIVE. */
  take(name: string, owner: LockOwner, wish: LockWish): boolean {
    const lock = this.keys.get(name);
    if (lock === undefined) {
      if (wish === 'write') return true;
      if (this.isFull) return false;
      this.hold(name, { holders: new Map(), queue: [] }, owner, wish);
      return true;
    }
    const held = lock.holders.get(owner.name);
    const has = held === 'exclusive' || (held !== undefined && held === wish);
    if (!has && this.firstBlockers(lock, owner, wish).next().done !== true) return false;
    this.leaveQueue(name, lock, owner, wish);
    if (wish === 'write') this.dropIfIdle(name, lock);
    else if (!has) this.hold(name, lock, owner, wish);
    return true;
  }

  /** Somebody is in the way: into the queue, or, with a new waiter, on in the place it has. */
  wait(name: string, owner: LockOwner, wish: LockWish, waiter: Waiter): void {
    const lock = this.keys.get(name);
    assert(lock !== undefined, 'somebody holds what is waited for');
    // The same transaction may ask for more and for less of one key at once: a place for each.
    const own = lock.queue.find((entry) => entry.owner.name === owner.name && entry.wish === wish);
    if (own !== undefined) {
      own.waiter?.giveUp();
      own.waiter = waiter;
    } else {
      const sinceMs = this.clock.nowMs();
      const entry: Entry = { owner, wish, sinceMs, waiter, keptUntilMs: 0 };
      this.contention.noteWait(name, sinceMs);
      // Who holds a SHARE stops everybody else in the queue: its upgrade goes first.
      if (lock.holders.has(owner.name)) lock.queue.unshift(entry);
      else lock.queue.push(entry);
    }
    this.waitedFor.add(name);
    this.clock.watch(this);
  }

  /** Who is in the way of it. Those in the queue whom it waits for through another one of them are left out. */
  blockers(name: string, owner: LockOwner, wish: LockWish): Blockers {
    const holders: flotilla.kv.LockHolder.$Properties[] = [];
    const edges: flotilla.kv.WaitEdge.$Properties[] = [];
    const lock = this.keys.get(name);
    if (lock === undefined) return { holders, edges };
    for (const blocker of this.nearestBlockers(lock, owner, wish)) {
      if (blocker === undefined) {
        holders.push({});
        continue;
      }
      holders.push(this.live.describe(blocker));
      edges.push(...this.live.edgesOf(blocker));
    }
    return { holders, edges };
  }

  /** Every lock and every wait, for people: in no order, and only as much as is taken. */
  *listed(): Generator<ListedLock> {
    const now = this.clock.nowMs();
    for (const [name, lock] of this.keys) {
      for (const [transaction, mode] of lock.holders)
        yield { name, kind: mode, granted: true, transaction, waitingMs: 0, blockedBy: [] };
      for (const { owner, wish, sinceMs } of lock.queue) {
        const blockers = [...this.firstBlockers(lock, owner, wish)];
        yield {
          ...{ name, kind: wish, granted: false, waitingMs: now - sinceMs },
          transaction: owner.transaction === undefined ? undefined : owner.name,
          blockedBy: blockers.filter((one) => one !== undefined),
        };
      }
    }
  }

  /** The first key of the span that somebody else has or waits for, as a name. Cost: linear. */
  firstTakenIn(start: string, end: string, owner: LockOwner): string | undefined {
    for (const [name, lock] of this.keys)
      if (
        start <= name &&
        name < end &&
        this.firstBlockers(lock, owner, 'write').next().done !== true
      )
        return name;
    return undefined;
  }

  release(name: string, transaction: string): void {
    const lock = this.keys.get(name);
    if (lock === undefined || !lock.holders.delete(transaction)) return;
    this.forgetHeld(name, transaction);
    this.pump(name, lock);
  }

  /** Everything that it holds or waits for here. */
  releaseAll(transaction: string): void {
    for (const name of this.held.get(transaction) ?? []) this.release(name, transaction);
    for (const name of [...this.waitedFor]) {
      const lock = this.keys.get(name);
      if (lock === undefined) continue;
      const own = lock.queue.filter((entry) => entry.owner.name === transaction);
      if (own.length === 0) continue;
      for (const entry of own) this.unqueue(name, lock, lock.queue.indexOf(entry));
      for (const { waiter } of own) waiter?.giveUp();
      this.pump(name, lock);
    }
  }

  /** The leadership is gone. Who waits asks again, and hears it. */
  close(): void {
    const { keys, held } = this;
    this.keys = new Map();
    this.held = new Map();
    this.waitedFor.clear();
    for (const transaction of held.keys()) this.live.leave(transaction, this);
    for (const { queue } of keys.values()) for (const { waiter } of queue) waiter?.retry();
  }

  /** Locks on the keys from `key` on, for whoever has them next. They stay here too, until they are dropped. */
  copyFrom(key: Uint8Array): InheritedLocks {
    const copy = new InheritedLocks(this.live);
    for (const [name, { holders }] of this.keys) {
      if (compareBytes(bytesOfName(name), key) < 0) continue;
      for (const [transaction, mode] of holders) copy.add(name, transaction, mode);
    }
    return copy;
  }

  /** Before anything else is locked here. */
  inherit(locks: InheritedLocks): void {
    for (const { name, transaction, mode } of locks.take()) {
      if (!this.live.join(transaction, this)) continue;
      const lock = this.keys.get(name) ?? { holders: new Map<string, LockMode>(), queue: [] };
      this.keys.set(name, lock);
      lock.holders.set(transaction, mode);
      const names = this.held.get(transaction);
      if (names === undefined) this.held.set(transaction, new Set([name]));
      else names.add(name);
    }
  }

  /** Lets go of the keys from `key` on. Who waits for one asks again. */
  dropFrom(key: Uint8Array): void {
    const dropped: KeyLock[] = [];
    for (const [name, lock] of this.keys) {
      if (compareBytes(bytesOfName(name), key) < 0) continue;
      this.keys.delete(name);
      this.waitedFor.delete(name);
      for (const transaction of lock.holders.keys()) this.forgetHeld(name, transaction);
      dropped.push(lock);
    }
    for (const { queue } of dropped) for (const { waiter } of queue) waiter?.retry();
  }

  /** Ends waits that took too long, and places that nobody came back for. @returns whether anybody is queued */
  expire(nowMs: number): boolean {
    for (const name of [...this.waitedFor]) {
      const lock = this.keys.get(name);
      if (lock === undefined || lock.queue.length === 0) {
        this.waitedFor.delete(name);
        continue;
      }
      for (const entry of [...lock.queue]) {
        const { waiter } = entry;
        if (waiter === undefined) {
          if (entry.keptUntilMs > nowMs) continue;
          const at = lock.queue.indexOf(entry);
          if (at >= 0) this.unqueue(name, lock, at);
        } else if (waiter.untilMs <= nowMs) {
          entry.keptUntilMs = nowMs + this.limits.lockPlaceMs;
          waiter.giveUp();
          if (entry.waiter === waiter) entry.waiter = undefined;
        }
      }
      this.pump(name, lock);
    }
    return this.waitedFor.size > 0;
  }

  /** Names of transactions; undefined for a write outside of transactions. Lazy: mostly one look is enough. */
  private *firstBlockers(
    { holders, queue }: KeyLock,
    owner: LockOwner,
    wish: LockWish,
  ): Generator<string | undefined> {
    yield* holdersInTheWay(holders, owner, wish);
    // A holder's upgrade, or its own write, does not wait for those who wait for it.
    if (holders.has(owner.name)) return;
    for (const entry of queue) {
      if (entry.owner.name === owner.name) return;
      if (entry.wish === 'share' && wish === 'share') continue;
      yield entry.owner.transaction === undefined ? undefined : entry.owner.name;
    }
  }

  /**
   * As `firstBlockers`, without those before a transaction that waits for all of them itself: in a long queue everybody
   * hears of the holder and of the one ahead, not of half the queue.
   */
  private *nearestBlockers(
    { holders, queue }: KeyLock,
    owner: LockOwner,
    wish: LockWish,
  ): Generator<string | undefined> {
    yield* holdersInTheWay(holders, owner, wish);
    if (holders.has(owner.name)) return;
    const own = queue.findIndex((entry) => entry.owner.name === owner.name);
    for (let at = (own < 0 ? queue.length : own) - 1; at >= 0; at--) {
      const entry = queue[at];
      if (entry === undefined || (entry.wish === 'share' && wish === 'share')) continue;
      const { name, transaction } = entry.owner;
      yield transaction === undefined ? undefined : name;
      // A write outside of transactions tells nobody for whom it waits.
      if (entry.wish !== 'share' && transaction !== undefined) return;
    }
  }

  private forgetHeld(name: string, transaction: string): void {
    const names = this.held.get(transaction);
    names?.delete(name);
    if (names?.size !== 0) return;
    this.held.delete(transaction);
    this.live.leave(transaction, this);
  }

  private hold(name: string, lock: KeyLock, owner: LockOwner, mode: LockMode): void {
    assert(owner.transaction !== undefined, 'transactions hold locks');
    this.keys.set(name, lock);
    lock.holders.set(owner.name, mode);
    const names = this.held.get(owner.name);
    if (names === undefined) this.held.set(owner.name, new Set([name]));
    else names.add(name);
    this.live.enter(owner.name, owner.transaction, this);
  }

  /** Has what it waited for. A request that was repeated meanwhile hears so. */
  private leaveQueue(name: string, lock: KeyLock, owner: LockOwner, wish: LockWish): void {
    const { queue } = lock;
    const at = queue.findIndex((entry) => entry.owner.name === owner.name && entry.wish === wish);
    if (at >= 0) this.unqueue(name, lock, at)?.waiter?.giveUp();
  }

  private unqueue(name: string, { queue }: KeyLock, at: number): Entry | undefined {
    const [entry] = queue.splice(at, 1);
    if (entry !== undefined) this.contention.noteWaited(name, this.clock.nowMs() - entry.sinceMs);
    return entry;
  }

  /** Somebody went: whoever is next gets what it waits for. */
  private pump(name: string, lock: KeyLock): void {
    for (let at = 0; at < lock.queue.length; ) {
      const entry = lock.queue[at];
      if (entry === undefined) break;
      const { owner, wish, waiter } = entry;
      if (this.firstBlockers(lock, owner, wish).next().done !== true) {
        at++;
        continue;
      }
      if (wish !== 'write') {
        // Its waiter goes on with the lock in hand.
        this.unqueue(name, lock, at);
        if (lock.holders.get(owner.name) !== 'exclusive') this.hold(name, lock, owner, wish);
        waiter?.retry();
        at = 0;
        continue;
      }
      // A write passes only while its client is there; until then its place is kept.
      if (waiter === undefined) break;
      entry.waiter = undefined;
      entry.keptUntilMs = 0;
      waiter.retry();
      const left = lock.queue.indexOf(entry);
      if (left >= 0 && entry.waiter === undefined) this.unqueue(name, lock, left);
      at = 0;
    }
    this.dropIfIdle(name, lock);
  }

  private dropIfIdle(name: string, { holders, queue }: KeyLock): void {
    if (holders.size > 0 || queue.length > 0) return;
    if (this.keys.get(name)?.queue === queue) this.keys.delete(name);
    this.waitedFor.delete(name);
  }
}

/** Holders whom a wish of `owner` must wait for. */
function* holdersInTheWay(
  holders: ReadonlyMap<string, LockMode>,
  owner: LockOwner,
  wish: LockWish,
): Generator<string> {
  for (const [holder, mode] of holders)
    if (holder !== owner.name && !(mode === 'share' && wish === 'share')) yield holder;
}
