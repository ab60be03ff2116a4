/**
 * Lease disjointness: at no instant of true time do two replicas of a range hold a valid lease, and a leaseholder's log has
 * everything that was ever committed, or it would serve stale reads (thesis §6.4.1; rules L1 to L8 of the raft package).
 */
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

export class Leases {
  private readonly holders = new Map<RangeLedger, ReplicaMemory>();

  /** All replicas of one instant, one after the other. */
  add(ledger: RangeLedger, memory: ReplicaMemory, { state, core }: GroupInside, now: number): void {
    if (state.role.kind !== 'leader' || !core.leaseValid(now)) return;
    const other = this.holders.get(ledger);
    if (other !== undefined)
      throw new SimFailure(
        'twoLeases',
        `${other.name} (t${other.term}) and ${memory.name} (t${state.currentTerm}) hold a lease`,
      );
    this.holders.set(ledger, memory);
  }

  /** When all were added and the ledger knows everything that is committed now. */
  check(): void {
    for (const [ledger, holder] of this.holders)
      if (holder.lastIndex < ledger.committedIndex)
        throw new SimFailure(
          'committedLost',
          `${holder.name} holds the lease with entries up to ${holder.lastIndex}, but ${ledger.committedIndex} was committed`,
        );
  }
}
