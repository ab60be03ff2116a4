/** Another store, as this store's leaders and as its followers see it; with one deadline for both. */

import type { HeardLog, StoreMessage } from '../../store-messages.ts';
import type { Deadlined } from '../deadlines.ts';
import type { FollowerSide } from './follower-side.ts';
import type { LeaderSide } from './leader-side.ts';

export class PeerStore implements Deadlined {
  readonly leader: LeaderSide;
  readonly follower: FollowerSide;
  deadline: number = Number.POSITIVE_INFINITY;
  armedAt: number = Number.POSITIVE_INFINITY;

  private most: HeardLog | undefined;

  constructor(leader: LeaderSide, follower: FollowerSide) {
    this.leader = leader;
    this.follower = follower;
  }

  /** What it told of its log at most: an old copy of its disk, which tells less, does not make that forgotten. */
  get heard(): HeardLog | undefined {
    return this.most;
  }

  hear({ incarnation, logBatch }: StoreMessage): void {
    if (logBatch === 0 || logBatch < (this.most?.logBatch ?? 0)) return;
    this.most = { incarnation, logBatch };
  }

  onDue(now: number): void {
    this.leader.onDue(now);
    this.follower.onDue(now);
  }

  refresh(): this {
    this.deadline = Math.min(this.leader.deadline, this.follower.deadline);
    return this;
  }
}
