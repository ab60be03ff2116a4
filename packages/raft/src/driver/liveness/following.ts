/**
 * The groups that follow leaders on other stores: which of them this store vouches for in its answers. Called by
 * `store-liveness.ts`; the only caller of the cores' `leaderHeard`.
 */
import { probe, type ReplicaId } from '@flotilla/base';
import type { Group } from '../group.ts';
import type { FollowerSide } from './follower-side.ts';
import type { Followed } from './group-liveness.ts';
import { says } from './versioned-set.ts';

export interface FollowingOptions {
  /** The store that this member of the group was last known on, as this store hears it. */
  readonly sideOf: (group: Group, replicaId: ReplicaId) => FollowerSide | undefined;
}

export class Following {
  private readonly options: FollowingOptions;

  constructor(options: FollowingOptions) {
    this.options = options;
  }

  /** The group is not led by this store. Ends support that is not true any more, and begins what has become true. */
  review(group: Group): void {
    const { softState, followed } = group;
    const leader = softState?.role === 'follower' ? softState.leader : undefined;
    const term = softState?.term;
    const follows = leader === followed?.item.leader && term === followed?.item.term;
    if (followed !== undefined && follows && isAsBefore(group, followed)) return;
    const side = leader === undefined ? undefined : this.options.sideOf(group, leader);
    const session = side?.session;
    if (followed !== undefined) {
      if (follows && session === followed.session) return;
      if (!follows) probe('storeSupportWithdrawn');
      this.stop(group);
    }
    if (leader === undefined || term === undefined) return;
    if (side === undefined || session === undefined) return;
    const item = { rangeId: group.rangeId, term, leader, follower: group.core.self };
    if (!says(session.led.get(group.rangeId), item)) return;
    session.supported.set(item);
    const storeOf = group.storeOf.has(leader) ? group.storeOf : undefined;
    const syncedMs = Number.NEGATIVE_INFINITY;
    group.followed = { item, session, side, storeOf, syncedMs };
  }

  /** Every later answer is without the group. */
  stop(group: Group): void {
    const { followed } = group;
    if (followed === undefined) return;
    this.sync(group);
    followed.session.supported.delete(group.rangeId);
    group.followed = undefined;
  }

  /**
   * The core learns what its leader's store said last. Must come before anything that may end its following: after that
   * the core would not take it any more, and the promise that was made in its name would not be kept.
   */
  sync(group: Group): void {
    const { followed } = group;
    if (followed === undefined || followed.session.heardAtMs <= followed.syncedMs) return;
    const { item, session } = followed;
    group.core.leaderHeard(item.leader, item.term, session.heardAtMs);
    followed.syncedMs = session.heardAtMs;
  }
}

/** The same life of the same store leads it: the common case, in which nothing is looked up. */
function isAsBefore(group: Group, { side, session, storeOf }: Followed): boolean {
  return side.session === session && storeOf === group.storeOf;
}
