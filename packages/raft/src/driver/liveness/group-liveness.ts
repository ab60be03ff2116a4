/** What store liveness remembers with each group. Data only: `leading.ts` and `following.ts` hold the rules. */
import type { ReplicaId, StoreId } from '@flotilla/base';
import type { Coverage } from '../../core/raft-core.ts';
import type { Leadership } from '../../store-messages.ts';
import type { FollowerSide, HeartbeatSession } from './follower-side.ts';
import type { AnswerSession, LeaderSide } from './leader-side.ts';

/** A member of a group that this store leads, on another store. */
export interface LedMember {
  /** What this store's heartbeats say about it. */
  readonly item: Leadership;
  readonly side: LeaderSide;
  coverage: Coverage;
  /** Whether its store supports it, and in which version of whose words that was read: it holds until they change. */
  isSupported: boolean;
  readSession: AnswerSession | undefined;
  readVersion: number;
  /** While covered: the life of its store that said so. */
  session: AnswerSession | undefined;
  /** The core knows what was answered up to this send time. */
  syncedSentAtMs: number;
}

/** What a group that is vouched for follows, and under which life of its leader's store. */
export interface Followed {
  readonly item: Leadership;
  readonly session: HeartbeatSession;
  readonly side: FollowerSide;
  /** The members that say where the leader lives; undefined: they do not name it. */
  readonly storeOf: ReadonlyMap<ReplicaId, StoreId> | undefined;
  /** The core knows what was heard up to here. */
  syncedMs: number;
}
