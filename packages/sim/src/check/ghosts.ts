/**
 * A replica that has left its store never comes back there: its id is not used again, whatever old message or
 * old log still names it. Looked at while it runs, because a ghost may go again before the end.
 */
import { type GroupInside, inspectGroups } from '@flotilla/raft/testing';
import { consensusOf } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { SimFailure } from '../failure.ts';

export class Ghosts {
  /** By store, and there by range: the replica with a state that was seen last. */
  private readonly seen = new Map<number, Map<number, number>>();
  /** Ids that have left, `store range replica`. */
  private readonly left = new Set<string>();

  /** Throws SimFailure. */
  observe({ store, storeId }: Pick<StoreMachine, 'store' | 'storeId'>): void {
    const raft = store && consensusOf(store);
    if (raft === undefined) return;
    this.look(storeId, inspectGroups(raft));
  }

  /** @param groups all that there are on the store. Throws SimFailure */
  look(storeId: number, groups: readonly Pick<GroupInside, 'state'>[]): void {
    const before = this.seen.get(storeId) ?? new Map<number, number>();
    const now = new Map<number, number>();
    for (const { state } of groups) {
      const { rangeId, self, lastApplied } = state;
      if (this.left.size > 0 && this.left.has(`${storeId} ${rangeId} ${self}`))
        throw new SimFailure(
          'ghost',
          `r${rangeId}/${self} has left s${storeId}, and is there again`,
        );
      // One without a state may be forgotten, and made again by the next message of its leader.
      if (lastApplied > 0 || before.get(rangeId) === self) now.set(rangeId, self);
    }
    for (const [rangeId, replicaId] of before)
      if (now.get(rangeId) !== replicaId) this.left.add(`${storeId} ${rangeId} ${replicaId}`);
    this.seen.set(storeId, now);
  }
}
