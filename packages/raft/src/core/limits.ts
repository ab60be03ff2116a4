/**
 * The numbers that bound one group's consensus, with their units and reasons. Callers may choose others; tests and the
 * simulator choose cruel ones. Pure data.
 */
import { assert } from '@flotilla/base';
import type { RaftLimits, RaftTimings } from './raft-core.ts';

const kib = 1024;
const mib = 1024 * kib;

/**
 * Failover within about 1.0 to 1.5 s on a local network: E of silence, up to 300 ms of jitter, a few round trips.
 * The lease is 900 ms: E less 2 % of clock drift (1 % on either side), less 80 ms for the resolution of clocks.
 */
export const defaultTimings: RaftTimings = {
  electionTimeoutMs: 1000,
  electionJitterMs: 300,
  heartbeatIntervalMs: 200,
  leaseDurationMs: 900,
};

export const defaultLimits: RaftLimits = {
  /** Cruel: 1. Leaves room for other groups in a frame of 256 KiB. */
  appendBytesMax: 128 * kib,
  /** Cruel: 1. Enough appends to fill a round trip of 100 ms at one per millisecond. */
  inflightMessagesMax: 128,
  /** Cruel: 1. 1 MiB over a round trip of 10 ms is 100 MB/s. */
  inflightBytesMax: mib,
  /** Cruel: 1. What a leader that lost its quorum may pile up before it steps down. */
  uncommittedBytesMax: 4 * mib,
  /** Cruel: 0. A follower a little behind is served from memory; nothing is kept for those that are in step. */
  cachedBytesMax: 256 * kib,
  /** Cruel: 1. One batch of the state machine should take a few milliseconds. */
  applyBytesMax: mib,
  /** Cruel: 1. Reads that wait for a quorum, per group. */
  pendingReadsMax: 4096,
};

/** Throws InvariantViolation for timings under which elections or leases could not be safe or live. */
export function assertTimings(timings: RaftTimings): void {
  const { electionTimeoutMs, electionJitterMs, heartbeatIntervalMs, leaseDurationMs } = timings;
  assert(electionTimeoutMs > 0, 'electionTimeoutMs is positive', { electionTimeoutMs });
  assert(electionJitterMs > 0, 'electionJitterMs is positive', { electionJitterMs });
  assert(heartbeatIntervalMs > 0, 'heartbeatIntervalMs is positive', { heartbeatIntervalMs });
  assert(heartbeatIntervalMs * 2 <= electionTimeoutMs, 'two heartbeats fit E', { ...timings });
  assert(leaseDurationMs >= 0, 'leaseDurationMs is not negative', { leaseDurationMs });
  assert(leaseDurationMs < electionTimeoutMs, 'a lease ends before a promise', { ...timings });
}

/** Throws InvariantViolation for limits under which nothing could move. */
export function assertLimits(limits: RaftLimits): void {
  assert(limits.appendBytesMax >= 1, 'appendBytesMax is positive');
  assert(limits.inflightMessagesMax >= 1, 'inflightMessagesMax is positive');
  assert(limits.inflightBytesMax >= 1, 'inflightBytesMax is positive');
  assert(limits.uncommittedBytesMax >= 1, 'uncommittedBytesMax is positive');
  assert(limits.cachedBytesMax >= 0, 'cachedBytesMax is not negative');
  assert(limits.applyBytesMax >= 1, 'applyBytesMax is positive');
  assert(limits.pendingReadsMax >= 1, 'pendingReadsMax is positive');
}
