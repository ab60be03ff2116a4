/** Numbers of a store that is alone, with units and reasons. */

const mib = 1024 * 1024;

/**
 * Its ranges have one voter each, so that nobody else can have been promised a vote, and nobody fails over: the times only
 * say how long a directory that was used before takes to open. Unit: ms.
 */
export const timings = {
  electionTimeoutMs: 200,
  electionJitterMs: 20,
  heartbeatIntervalMs: 100,
  leaseDurationMs: 100,
} as const;

/** Preallocated as the log grows: small enough to open at once, and to be let go again soon. */
export const walSegmentBytes: number = 4 * mib;

/** There are no other stores that could take the halves of a range. */
const noSplits = { splitBytes: 0, splitRequestsPerSecond: 0 } as const;

export const storeLimitsOnDisk: {
  readonly splitBytes: number;
  readonly splitRequestsPerSecond: number;
  readonly checkpointBytes?: number;
} = noSplits;

/** The log is memory too, and only ever read by nobody: checkpoints let go of it. */
export const storeLimitsInMemory: typeof storeLimitsOnDisk = {
  ...noSplits,
  checkpointBytes: 4 * mib,
};
