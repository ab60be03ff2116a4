/** Locks on keys for the in-memory database: FIFO for each key, re-entrant, upgradable, deadlocks found at once. */
import { DbError } from '@flotilla/base';
import type { LockMode } from '../kv-transaction.ts';

/** Whoever holds or waits. The one with the highest number is the youngest. */
export interface LockOwner {
  readonly number: number;
}

interface Waiter {
  readonly owner: LockOwner;
  readonly mode: LockMode;
  /** It holds the lock already, in a weaker mode: it goes before those who do not. */
  readonly upgrade: boolean;
  readonly grant: () => void;
  readonly refuse: (error: DbError) => void;
}

interface Lock {
  readonly holders: Map<LockOwner, LockMode>;
  readonly queue: Waiter[];
}

export class MemoryLocks {
  private readonly locks = new Map<string, Lock>();
  private readonly held = new Map<LockOwner, Set<string>>();

  /** Whether the key is free for `owner`, or its own, in that mode. */
  available(key: string, owner: LockOwner, mode: LockMode): boolean {
    const lock = this.locks.get(key);
    if (lock === undefined) return true;
    const held = lock.holders.get(owner);
    if (held === 'exclusive' || held === mode) return true;
    return compatible(lock, owner, mode) && (held !== undefined || lock.queue.length === 0);
  }

  take(key: string, owner: LockOwner, mode: LockMode): void {
    let lock = this.locks.get(key);
    if (lock === undefined) {
      lock = { holders: new Map(), queue: [] };
      this.locks.set(key, lock);
    }
    if (lock.holders.get(owner) !== 'exclusive') lock.holders.set(owner, mode);
    const held = this.held.get(owner);
    if (held === undefined) this.held.set(owner, new Set([key]));
    else held.add(key);
  }

  /**
   * Waits for a lock that is not `available`. Throws DEADLOCK, and what `signal` was aborted with.
   * @param signal ends the wait with its reason
   */
  wait(key: string, owner: LockOwner, mode: LockMode, signal: AbortSignal): Promise<void> {
    const lock = this.locks.get(key);
    if (lock === undefined) throw new RangeError('nobody waits for a free lock');
    return new Promise<void>((resolve, reject) => {
      const leave = () => {
        signal.removeEventListener('abort', onAbort);
        const at = lock.queue.indexOf(waiter);
        if (at >= 0) lock.queue.splice(at, 1);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
        this.advance(key);
      };
      const waiter: Waiter = {
        owner,
        mode,
        upgrade: lock.holders.has(owner),
        grant: () => {
          leave();
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
          this.advance(key);
        },
      };
      if (waiter.upgrade) lock.queue.unshift(waiter);
      else lock.queue.push(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
      this.breakCycle(owner);
    });
  }

  release(owner: LockOwner): void {
    const held = this.held.get(owner);
    this.held.delete(owner);
    for (const key of held ?? []) {
      this.locks.get(key)?.holders.delete(owner);
      this.advance(key);
    }
  }

  private advance(key: string): void {
    const lock = this.locks.get(key);
    if (lock === undefined) return;
    for (;;) {
      const [first] = lock.queue;
      if (first === undefined || !compatible(lock, first.owner, first.mode)) break;
      this.take(key, first.owner, first.mode);
      first.grant();
    }
    if (lock.holders.size === 0 && lock.queue.length === 0) this.locks.delete(key);
  }

  /** Refuses the youngest of a cycle of waits that `owner` is in. */
  private breakCycle(owner: LockOwner): void {
    const path: Waiter[] = [];
    const seen = new Set<LockOwner>();
    const visit = (from: LockOwner): boolean => {
      for (const [lock, waiter] of this.waits(from)) {
        path.push(waiter);
        for (const to of blockers(lock, waiter)) {
          if (to === owner) return true;
          if (seen.has(to)) continue;
          seen.add(to);
          if (visit(to)) return true;
        }
        path.pop();
      }
      return false;
    };
    if (!visit(owner)) return;
    const youngest = path.reduce((a, b) => (b.owner.number > a.owner.number ? b : a));
    youngest.refuse(new DbError('DEADLOCK', 'transactions wait for each other'));
  }

  private *waits(owner: LockOwner): Iterable<[Lock, Waiter]> {
    for (const lock of this.locks.values())
      for (const waiter of lock.queue) if (waiter.owner === owner) yield [lock, waiter];
  }
}

function compatible(lock: Lock, owner: LockOwner, mode: LockMode): boolean {
  for (const [holder, held] of lock.holders)
    if (holder !== owner && (mode === 'exclusive' || held === 'exclusive')) return false;
  return true;
}

/** Whom a waiter waits for: holders, and those before it in the queue. */
function blockers(lock: Lock, waiter: Waiter): LockOwner[] {
  const ahead = lock.queue.slice(0, lock.queue.indexOf(waiter)).map(({ owner }) => owner);
  return [...lock.holders.keys(), ...ahead].filter((owner) => owner !== waiter.owner);
}
