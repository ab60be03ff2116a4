/** The network itself goes away: nats-server is down for five seconds. The cluster goes on by itself afterwards. */
import { checkSet } from '@flotilla/client/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withPg } from './harness/connections.ts';
import { DemoCluster } from './harness/demo-cluster.ts';
import { bound, natsOutageMs, natsOutages } from './harness/environment.ts';
import { eventually, sleep } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';
import { PgWriters } from './harness/pg-writer.ts';

const resumeMsMax = 10_000;

let cluster: DemoCluster;

beforeAll(async () => {
  cluster = await DemoCluster.start();
});
afterAll(async () => {
  await cluster?.stop();
});

describe('an outage of nats-server', () => {
  it('is survived without help, and without losing an acknowledged row', {
    timeout: bound(20_000 + natsOutageMs, natsOutages),
  }, async () => {
    await withPg(cluster, (client) =>
      client.query('CREATE TABLE marks (id int PRIMARY KEY, note text)'),
    );
    const writers = new PgWriters({
      url: cluster.gatewayUrl,
      connections: 4,
      perSecond: 50,
      statement: (n) => ({ text: 'INSERT INTO marks VALUES ($1, $2)', values: [n, `note ${n}`] }),
    });
    try {
      for (let outage = 0; outage < natsOutages; outage++) {
        const before = writers.acknowledged.length;
        await eventually('writes are acknowledged', { timeoutMs: 15_000 }, () =>
          writers.acknowledged.length > before + 20 ? true : undefined,
        );
        await cluster.terminate('nats');
        await sleep(natsOutageMs);
        const during = writers.acknowledged.length;
        await cluster.restart('nats');
        const resumed = await eventually(
          'writes are acknowledged again',
          { timeoutMs: resumeMsMax, everyMs: 20 },
          () => (writers.acknowledged.length > during ? true : undefined),
        );
        figure('outage', { lastedMs: natsOutageMs, resumedAfterMs: resumed.tookMs });
      }
      await sleep(500);
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
    const { rows } = await withPg(cluster, (client) => client.query('SELECT id FROM marks'));
    expect(
      checkSet({
        acknowledged: writers.acknowledged.map(({ n }) => String(n)),
        unknown: writers.unknown.map(String),
        found: rows.map((row: { id: number }) => String(row.id)),
      }),
    ).toEqual({ kind: 'ok' });
  });
});
