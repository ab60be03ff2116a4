/** One store after another dies by `kill -9` under load: nothing acknowledged is lost, and writing goes on soon. */
import { checkSet } from '@flotilla/client/testing';
import type { Router } from '@flotilla/router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  busiestTableRange,
  hasConverged,
  leaseholderOf,
  viewCluster,
} from './harness/cluster-view.ts';
import { openRouter, withPg } from './harness/connections.ts';
import { DemoCluster } from './harness/demo-cluster.ts';
import { bound, killRounds } from './harness/environment.ts';
import { eventually, sleep } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';
import { PgWriters } from './harness/pg-writer.ts';

const gapMsMax = 3000;
const settleMs = 1000;
/** How long a killed store stays away: longer than a failover takes. */
const deadMs = 2000;

let cluster: DemoCluster;
let router: Router;
let closeRouter: () => Promise<void>;

beforeAll(async () => {
  cluster = await DemoCluster.start();
  ({ router, close: closeRouter } = await openRouter(cluster));
});
afterAll(async () => {
  await closeRouter?.();
  await cluster?.stop();
});

describe('kill -9 of one store at a time', () => {
  it('loses no acknowledged row, doubles none, and serves writes again within 3 s', {
    timeout: bound(20_000, 3 * killRounds),
  }, async () => {
    await withPg(cluster, (client) =>
      client.query('CREATE TABLE marks (id text PRIMARY KEY, n int NOT NULL)'),
    );
    const before = await viewCluster(router);
    const writers = new PgWriters({
      url: cluster.gatewayUrl,
      connections: 4,
      perSecond: 50,
      statement: (n) => ({
        text: 'INSERT INTO marks (id, n) VALUES ($1, $2)',
        values: [`mark-${n}`, n],
      }),
    });
    try {
      await eventually('writes are acknowledged', { timeoutMs: 10_000 }, () =>
        writers.acknowledged.length > 20 ? true : undefined,
      );
      const range = busiestTableRange(before, await viewCluster(router));
      for (let round = 0; round < killRounds; round++) {
        // The leader of the table's range first: whoever leads it now, then the others.
        const leader = await eventually(
          'the range has a leaseholder',
          { timeoutMs: 5000 },
          async () => leaseholderOf(await viewCluster(router), range.startKey),
        );
        const stores = cluster.ofRole('store').map(({ name }) => name);
        const leaderName = cluster.store(leader.value.storeId).name;
        for (const name of [leaderName, ...stores.filter((other) => other !== leaderName)]) {
          await sleep(settleMs);
          const killedAt = performance.now();
          await cluster.kill(name);
          await sleep(deadMs);
          await cluster.restart(name);
          const caughtUp = await eventually(
            `${name} has caught up`,
            { timeoutMs: 15_000 },
            async () => {
              const view = await viewCluster(router);
              const mine = view.filter(({ storeId }) => cluster.store(storeId).name === name);
              return mine.length > 0 && hasCaughtUp(view, mine) ? view : undefined;
            },
          );
          const gapMs = writers.longestGapMs(killedAt - 200, performance.now());
          figure('kill', {
            store: name,
            ledTheRange: name === leaderName,
            gapMs,
            catchUpMs: caughtUp.tookMs,
            acknowledged: writers.acknowledgedBetween(killedAt, performance.now()),
            unknown: writers.unknown.length,
          });
          expect.soft(gapMs, `longest gap after the death of ${name}`).toBeLessThan(gapMsMax);
        }
      }
    } finally {
      await writers.stop();
    }
    figure('writers', {
      begun: writers.begun,
      acknowledged: writers.acknowledged.length,
      unknown: writers.unknown.length,
      refused: writers.refusals,
      failures: JSON.stringify([...writers.failures]),
    });
    expect(writers.impossible).toEqual([]);
    expect(writers.acknowledged.length).toBeGreaterThan(200 * killRounds);
    const found = await withPg(cluster, (client) => client.query('SELECT id FROM marks'));
    expect(
      checkSet({
        acknowledged: writers.acknowledged.map(({ n }) => `mark-${n}`),
        unknown: writers.unknown.map((n) => `mark-${n}`),
        found: found.rows.map((row: { id: string }) => row.id),
      }),
    ).toEqual({ kind: 'ok' });
    const converged = await eventually('all replicas are equal', { timeoutMs: 10_000 }, async () =>
      hasConverged(await viewCluster(router), 3) ? true : undefined,
    );
    figure('converged', { tookMs: converged.tookMs });
  });
});

/** Within a moment's worth of entries of what its peers have applied, while writing goes on. */
function hasCaughtUp(
  view: Awaited<ReturnType<typeof viewCluster>>,
  mine: Awaited<ReturnType<typeof viewCluster>>,
): boolean {
  return mine.every((replica) => {
    const newest = Math.max(
      ...view.filter(({ rangeId }) => rangeId === replica.rangeId).map((r) => r.appliedIndex),
    );
    return replica.appliedIndex >= newest - 25;
  });
}
