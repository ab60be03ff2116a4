/**
 * The random cluster: many seeds must pass, and one seed must replay. A failure names its seed: `runSeed(seed)` replays
 * it. That the checks can fail is proved in `planted-bugs.test.ts`.
 */
import { type ProbeName, probeCounts, resetProbes } from '@flotilla/base';
import { expect, test } from 'vitest';
import { type ClusterReport, RaftCluster } from '../testing/raft-cluster.ts';

function runSeed(seed: number): ClusterReport {
  const voters = seed % 3 === 0 ? 5 : seed % 29 === 0 ? 1 : 3;
  return new RaftCluster({ seed, voters, encode: seed % 8 === 0 }).run();
}

test('100 seeds keep every property, heal and serve', () => {
  const total = new Map<string, number>();
  resetProbes();
  for (let seed = 1; seed <= 100; seed++)
    for (const [name, count] of Object.entries(runSeed(seed)))
      total.set(name, (total.get(name) ?? 0) + count);
  // The runs were not idle: figures of a typical run are several times these.
  const least = {
    committed: 3_000,
    terms: 250,
    leaseReads: 1_500,
    indexReads: 1_500,
    refusedLeaseReads: 60,
    crashes: 200,
    configurations: 400,
    snapshots: 100,
    followerReads: 300,
  };
  for (const [name, count] of Object.entries(least))
    expect(total.get(name), name).toBeGreaterThan(count);
  const reached = probeCounts();
  for (const name of rarePaths) expect(reached.get(name), name).toBeGreaterThan(0);
});

/** What a change of the harness must not lose. */
const rarePaths: readonly ProbeName[] = [
  'preVoteRefusedByLease',
  'transferAborted',
  'lateTimeoutNowIgnored',
  'logTruncatedConflict',
  'readIndexAcrossLeaderChange',
  'followerRead',
  'jointEntered',
  'jointLeft',
  'jointInterruptedByLeaderCrash',
  'configurationRolledBack',
  'learnerVoted',
  'snapshotInstalled',
  'snapshotRefusedStale',
  'snapshotDuringConfigurationChange',
];

test('a seed replays step by step', () => {
  expect(runSeed(42)).toEqual(runSeed(42));
  expect(runSeed(42).digest).not.toBe(runSeed(43).digest);
});
