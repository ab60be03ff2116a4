/**
 * Locks on keys of a range that has just been cut off, between the leaseholder that gave them and the first one of the new
 * range. Whoever is over meanwhile lets go of them here. Made by `split/births.ts`; taken over, or let go, by the replica.
 */
import type { LiveTransactions, LockMode, LockOwnerTable } from './live-transactions.ts';

export class InheritedLocks implements LockOwnerTable {
  private readonly live: LiveTransactions;
  private readonly held = new Map<string, Map<string, LockMode>>();

  constructor(live: LiveTransactions) {
    this.live = live;
  }

  /** Transactions with a lock. */
  get size(): number {
    return this.held.size;
  }

  add(name: string, transaction: string, mode: LockMode): void {
    if (!this.live.join(transaction, this)) return;
    let names = this.held.get(transaction);
    if (names === undefined) {
      names = new Map();
      this.held.set(transaction, names);
    }
    names.set(name, mode);
  }

  releaseAll(transaction: string): void {
    this.held.delete(transaction);
  }

  /** Everything, once: it is the caller's from now on. */
  *take(): Iterable<{ readonly name: string; readonly transaction: string; mode: LockMode }> {
    for (const [transaction, names] of this.held)
      for (const [name, mode] of names) yield { name, transaction, mode };
    this.letGo();
  }

  letGo(): void {
    for (const transaction of this.held.keys()) this.live.leave(transaction, this);
    this.held.clear();
  }
}
