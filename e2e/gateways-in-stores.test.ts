/**
 * Stores that are gateways too, as `flotilla start` has them by default: a range comes to be led where it is asked for, and
 * when such a process dies by `kill -9` the others' gateways serve what it acknowledged.
 */
import { checkSet } from '@flotilla/client/testing';
import type { Router } from '@flotilla/router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { busiestTableRange, leaseholderOf, viewCluster } from './harness/cluster-view.ts';
import { openRouter, withPg } from './harness/connections.ts';
import { DemoCluster } from './harness/demo-cluster.ts';
import { eventually } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';
import { PgWriters } from './harness/pg-writer.ts';

let cluster: DemoCluster;
let router: Router;
let closeRouter: () => Promise<void>;

beforeAll(async () => {
  cluster = await DemoCluster.start({ together: true });
  ({ router, close: closeRouter } = await openRouter(cluster));
});
afterAll(async () => {
  await closeRouter?.();
  await cluster?.stop();
});

describe('a store that is a gateway too', () => {
  it('comes to lead what its gateway is asked, and loses nothing acknowledged when it dies', {
    timeout: 120_000,
  }, async () => {
    await withPg(cluster, (client) => client.query('CREATE TABLE marks (id int PRIMARY KEY)'));
    const before = await viewCluster(router);
    const insert = (n: number) => ({ text: 'INSERT INTO marks VALUES ($1)', values: [n] });
    await withPg(cluster, async (client) => {
      for (let n = 1; n <= 50; n++) await client.query(insert(-n));
    });
    const range = busiestTableRange(before, await viewCluster(router));
    const ledBy = async (): Promise<number> =>
      leaseholderOf(await viewCluster(router), range.startKey)?.storeId ?? 0;
    const asker = ((await ledBy()) % 3) + 1;
    const writers = new PgWriters({
      ...{ url: cluster.gatewayUrlOf(asker), connections: 4, perSecond: 50, statement: insert },
    });
    const asked = { ...addressOf(), gatewayUrl: cluster.gatewayUrlOf(asker) };
    let reading = true;
    const reads = Array.from({ length: 8 }, () =>
      withPg(asked, async (client) => {
        while (reading) await client.query('SELECT id FROM marks WHERE id = $1', [-7]);
      }),
    );
    try {
      const { tookMs } = await eventually(
        `the range is led by s${asker}, whose gateway asks`,
        { timeoutMs: 60_000, everyMs: 200 },
        async () => ((await ledBy()) === asker ? true : undefined),
      );
      figure('lease', { followedAfterMs: tookMs });
      const followed = writers.acknowledged.length;
      await eventually('writes are acknowledged there', { timeoutMs: 20_000 }, () =>
        writers.acknowledged.length > followed + 20 ? true : undefined,
      );
      reading = false;
      await Promise.all(reads);
      await cluster.kill(`store-${asker}`);
    } finally {
      reading = false;
      await Promise.allSettled(reads);
      await writers.stop();
    }
    const other = { ...addressOf(), gatewayUrl: cluster.gatewayUrlOf((asker % 3) + 1) };
    const rows = await withPg(other, async (client) => {
      await client.query(insert(-1000).text, insert(-1000).values);
      return (await client.query<{ id: number }>('SELECT id FROM marks WHERE id >= 0')).rows;
    });
    expect(
      checkSet({
        acknowledged: writers.acknowledged.map(({ n }) => `${n}`),
        unknown: writers.unknown.map((n) => `${n}`),
        found: rows.map(({ id }) => `${id}`),
      }),
    ).toEqual({ kind: 'ok' });
    await cluster.restart(`store-${asker}`);
    const count = await withPg(asked, (client) =>
      client.query<{ n: string }>('SELECT count(*) AS n FROM marks WHERE id >= 0'),
    );
    expect(Number(count.rows[0]?.n)).toBe(rows.length);
  });
});

function addressOf() {
  return { natsUrl: cluster.natsUrl, clusterName: cluster.clusterName };
}
