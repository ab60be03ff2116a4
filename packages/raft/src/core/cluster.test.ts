/**
 * The random cluster: many seeds must pass, and one seed must replay. A failure names its seed: `runSeed(seed)` replays
 * it. That the checks can fail is proved in `planted-bugs.test.ts`.
 */
import { expect, test } from 'vitest';
import { type ClusterReport, RaftCluster } from '../testing/raft-cluster.ts';

function runSeed(seed: number): ClusterReport {
  const voters = seed % 3 === 0 ? 5 : seed % 29 === 0 ? 1 : 3;
  return new RaftCluster({ seed, voters, encode: seed % 8 === 0 }).run();
}

test('150 seeds keep every property, heal and serve', { timeout: 60_000 }, () => {
  const total = { committed: 0, terms: 0, leaseReads: 0, indexReads: 0, refused: 0, crashes: 0 };
  for (let seed = 1; seed <= 150; seed++) {
    const report = runSeed(seed);
    total.committed += report.committed;
    total.terms += report.terms;
    total.leaseReads += report.leaseReads;
    total.indexReads += report.indexReads;
    total.refused += report.refusedLeaseReads;
    total.crashes += report.crashes;
  }
  // The runs were not idle: figures of a typical run are several times these.
  expect(total.committed).toBeGreaterThan(10_000);
  expect(total.terms).toBeGreaterThan(500);
  expect(total.leaseReads).toBeGreaterThan(3_000);
  expect(total.indexReads).toBeGreaterThan(3_000);
  expect(total.refused).toBeGreaterThan(100);
  expect(total.crashes).toBeGreaterThan(200);
});

test('a seed replays step by step', () => {
  expect(runSeed(42)).toEqual(runSeed(42));
  expect(runSeed(42).digest).not.toBe(runSeed(43).digest);
});
