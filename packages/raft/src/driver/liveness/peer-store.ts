/** Another store, as this store's leaders and as its followers see it; with one deadline for both. */
import type { Deadlined } from '../deadlines.ts';
import type { FollowerSide } from './follower-side.ts';
import type { LeaderSide } from './leader-side.ts';

export class PeerStore implements Deadlined {
  readonly leader: LeaderSide;
  readonly follower: FollowerSide;
  deadline: number = Number.POSITIVE_INFINITY;
  armedAt: number = Number.POSITIVE_INFINITY;

  constructor(leader: LeaderSide, follower: FollowerSide) {
    this.leader = leader;
    this.follower = follower;
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
