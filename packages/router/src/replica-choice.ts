/** Which replica reads of the past are asked of: the nearest that seem to be there, in turn. */
import type { StoreHealth } from './store-health.ts';

export interface ReplicaChoiceOptions {
  readonly health: StoreHealth;
  /** Smaller is nearer. */
  readonly distance: (storeId: number) => number;
}

export class ReplicaChoice {
  private readonly options: ReplicaChoiceOptions;
  private turn = 0;

  constructor(options: ReplicaChoiceOptions) {
    this.options = options;
  }

  /** @returns 0: none that is not suspect */
  pick(storeIds: readonly number[]): number {
    const { health, distance } = this.options;
    const start = this.turn++;
    let nearest = 0;
    let least = Infinity;
    for (let i = 0; i < storeIds.length; i++) {
      const storeId = storeIds[(start + i) % storeIds.length] ?? 0;
      if (health.isSuspect(storeId)) continue;
      const away = distance(storeId);
      if (away >= least) continue;
      nearest = storeId;
      least = away;
    }
    return nearest;
  }
}
