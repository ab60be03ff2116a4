/** Every bound and time of the router, with unit and reason. Tests hand in cruel values. */
import { followerReadLagMs } from '@flotilla/shard/protocol';

export interface RouterLimits {
  /** Operations that are under way; more wait for their turn. Bounds memory. */
  readonly operationsMax: number;
  /** Bytes of keys and values of operations under way; one operation may exceed it alone. */
  readonly operationBytesMax: number;
  /** Serial numbers of one session that may be unanswered: half of what a store keeps results for. */
  readonly sessionWindow: number;
  /** Rows of the meta range per look-up: neighbours come along. */
  readonly lookupRows: number;
  /** Earlier attempts of an operation whose late answers are still welcome. */
  readonly earlierAttemptsMax: number;
}

export const defaultRouterLimits: RouterLimits = {
  operationsMax: 16_384,
  operationBytesMax: 64 * 1024 * 1024,
  sessionWindow: 512,
  lookupRows: 64,
  earlierAttemptsMax: 8,
};

/** [least, most) of a uniformly random time. Unit: ms. */
export type Jittered = readonly [number, number];

export interface RouterTimings {
  /** Deadline of an operation that names none. Unit: ms. */
  readonly operationTimeoutMs: number;
  /** An attempt without an answer, at a store that has been silent since, counts as lost after this. */
  readonly attemptTimeoutMs: Jittered;
  /** The same at a store that has been heard since: it is slow rather than gone. */
  readonly slowAttemptTimeoutMs: Jittered;
  /** The same while a leaseholder is being looked for: the next replica may know. */
  readonly searchTimeoutMs: Jittered;
  /** Between rounds over the replicas. Short: it adds to every failover; one operation per range asks, the rest wait. */
  readonly searchPauseMs: Jittered;
  /** The same after `searchRoundsQuick` rounds: this is not an election any more. */
  readonly searchLaterPauseMs: Jittered;
  readonly searchRoundsQuick: number;
  /** Rounds after which the descriptor itself is looked up again. */
  readonly searchRoundsPerRefresh: number;
  /** How long a store that was silent or unreachable is avoided, unless it is heard. */
  readonly suspicionMs: number;
  /** Between questions to all stores while nobody has said where the meta range is. */
  readonly discoverEveryMs: Jittered;
  /** Deadline of look-ups and registrations that operations wait for; they are started again while anybody waits. */
  readonly helperTimeoutMs: number;
  /** Before a transaction that lives, and whose intent is in the way, is asked about again. */
  readonly pushPauseMs: Jittered;
  /** A snapshot that is older may be read at any replica. Unit: ms. */
  readonly followerReadLagMs: number;
}

export const defaultRouterTimings: RouterTimings = {
  operationTimeoutMs: 10_000,
  attemptTimeoutMs: [300, 450],
  slowAttemptTimeoutMs: [900, 1100],
  searchTimeoutMs: [150, 250],
  searchPauseMs: [25, 60],
  searchLaterPauseMs: [200, 400],
  searchRoundsQuick: 60,
  searchRoundsPerRefresh: 10,
  suspicionMs: 2000,
  discoverEveryMs: [100, 200],
  helperTimeoutMs: 5000,
  pushPauseMs: [5, 20],
  followerReadLagMs: followerReadLagMs(),
};
