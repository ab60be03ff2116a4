/** What the composition root says to placement, and hears of it. */
import type { Buckets } from '@flotilla/base';

/** Rows that a store misses before it is suspect: it is given nothing new, and shown as silent. */
export const suspectAfterReports = 3;
/** Before it may be held to be dead: not earlier than it is suspect, and one late row is no death. */
export const deadAfterReports = 4;

/**
 * Silence after which a store is suspect, and dead.
 * @param reportEveryMs of the store itself, as its row says
 * @param deadAfterMs as whoever judges it is set
 */
export function silenceLimits(
  reportEveryMs: number,
  deadAfterMs: number,
): { readonly suspectAfterMs: number; readonly deadAfterMs: number } {
  return {
    suspectAfterMs: reportEveryMs * suspectAfterReports,
    deadAfterMs: Math.max(deadAfterMs, reportEveryMs * deadAfterReports),
  };
}

export interface Capacity {
  readonly capacityBytes: number;
  readonly usedBytes: number;
}

/** What a store has at this moment. */
export interface StoreFigures {
  readonly replicas: number;
  readonly leases: number;
  /** Answered since the process began. */
  readonly requests: number;
  readonly requestsInFlight: number;
  readonly walBytes: number;
  /** Of the replicas that follow: how far the last of them is from the present in what is closed there. Unit: ms. */
  readonly closedLagMs: number;
  /** Of them: those that have heard of nothing that is closed. */
  readonly replicasNothingClosed: number;
  /** Snapshots of closed timestamps that followers here have served, and have sent on, since the process began. */
  readonly followerReads: number;
  readonly followerReadsRefused: number;
  /** Ranges led here that have fewer voters than are wanted. */
  readonly rangesUnderReplicated: number;
  /** Replicas that know no leader. */
  readonly replicasWithoutLeader: number;
  /** Since the process began: how often this store came to lead a range; ranges that it cut. */
  readonly leasesTaken: number;
  readonly splits: number;
  /** Snapshots under way, and since the process began, those that arrived. */
  readonly snapshotsSending: number;
  readonly snapshotsReceiving: number;
  readonly snapshotsSent: number;
  readonly snapshotsReceived: number;
  /** As `DriverHealth`. */
  readonly loopDelayP99Ms: number;
  readonly loopStalls: number;
  readonly droppedMessages: number;
  readonly bytesToWrite: number;
  readonly bytesToApply: number;
  readonly logWriteTimes: Buckets;
  readonly applyTimes: Buckets;
  /** Of one request in sixteen, from its arrival to its answer. Unit: ms. */
  readonly requestTimes: Buckets;
  /** Admitted since the process began: `get`, `scan`, `write`, `transaction`, `other`. */
  readonly requestsByKind: Readonly<Record<string, number>>;
  /** Requests that were refused since then, by reason: `busy`, `not_leaseholder`, … */
  readonly refusals: Readonly<Record<string, number>>;
}

/** Whether a write committed lately. */
export interface WriteHealth {
  /** Monotonic ms of the last write that was known to be committed. Undefined: none yet. */
  readonly committedAtMs: number | undefined;
  /** Why the last attempt failed; empty: it did not. */
  readonly reason: string;
  /** Between two of them. */
  readonly everyMs: number;
}

/** How a store takes part in placement. */
export interface PlacementSettings {
  /** Label of a group of machines that may fail together. Empty: not known. */
  readonly zone?: string;
  /** Voters that a range should have. Default 3. */
  readonly replicationFactor?: number;
  /** A store silent for so long has its replicas replaced: at least `deadAfterReports` reports. Default 5 minutes. Unit: ms. */
  readonly deadAfterMs?: number;
  /** Between two writes of a store's row. Default 5 s. Unit: ms. */
  readonly reportEveryMs?: number;
  /** Leases on their way to, or from, one store. Default 100. */
  readonly leaseMovesMax?: number;
  /** Of the volume with the data. Default: not known. */
  readonly capacity?: () => Promise<Capacity>;
}
