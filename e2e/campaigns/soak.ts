#!/usr/bin/env node
import { shapeOf, shapeText } from '../harness/cluster-shape.ts';
/** Five stores under load and every fault, for as long as one likes: nothing wrong, nothing lost, nothing leaks, all heals. */
import { openRouter, openSdk } from '../harness/connections.ts';
import { sleep } from '../harness/eventually.ts';
import { PgWriters } from '../harness/pg-writer.ts';
import { RegisterWorkload } from '../harness/register-workload.ts';
import { runCampaign } from './campaign.ts';
import { awaitEven } from './parts/await-even.ts';
import { Faults } from './parts/faults.ts';
import { ListLoad } from './parts/list-load.ts';
import { promiseLinearizable, spreadKeys } from './parts/registers.ts';
import { UsageTrend } from './parts/usage-trend.ts';

/** Rows that are written again and again. */
const marks = 5000;

await runCampaign(
  {
    name: 'e2e:soak',
    about: `Five stores, one fault after another: kill -9 and restart, SIGSTOP, splits, moves, hand-overs, stores that join and are
decommissioned; rows through the gateway, keys and transactions through the SDK. At the end everything must be whole and
even again, every history linearizable or serializable, and no process may have grown: the medians of resident memory,
handles and files in the last quarter of the run against the second (criterion: e2e/README.md). s1 and the gateway are
never killed, so that there is something to compare.`,
    knobs: {
      minutes: { byDefault: '20', text: 'length of the time with faults' },
      'fault-every': { byDefault: '4', text: 'seconds between two faults, on average' },
      rate: { byDefault: '50', text: 'rows per second through the gateway' },
      'ranges-max': { byDefault: '60', text: 'ranges beyond which there are no more splits' },
      within: { byDefault: '180', text: 'seconds within which everything must be even afterwards' },
    },
  },
  async (campaign) => {
    const cluster = await campaign.cluster({
      stores: 5,
      settings: { FLOTILLA_DEAD_STORE_AFTER: '60', FLOTILLA_STORE_REPORT_EVERY: '1' },
    });
    const { router } = await openRouter(cluster);
    const clients = await Promise.all([openSdk(cluster), openSdk(cluster)]);
    const [client] = clients;
    await client.sql`CREATE TABLE marks (id text PRIMARY KEY, n int NOT NULL)`;
    const rows = new PgWriters({
      url: cluster.gatewayUrl,
      connections: 4,
      perSecond: campaign.number('rate'),
      // The same keys again and again after a while: a table that does not grow shows what does.
      statement: (n) => ({
        text: 'INSERT INTO marks (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = excluded.n',
        values: [`mark-${n % marks}`, n],
      }),
    });
    const lists = await ListLoad.start({
      clients,
      isolation: 'serializable',
      ...{ workers: 4, regions: 4, lists: 24, appendsPerList: 60, pauseMs: 50 },
    });
    const registers = new RegisterWorkload({
      client,
      keys: spreadKeys,
      ...{ writersPerKey: 1, readersPerKey: 1, pauseMs: 100 },
    });
    const trend = new UsageTrend(cluster, ['store-1', 'gateway']);
    const faults = new Faults({
      ...{ campaign, cluster, router },
      kinds: [
        'kill',
        'kill',
        'pause',
        'pause',
        'split',
        'move',
        'move',
        'transfer',
        'transfer',
        'join',
      ],
      everyMs: campaign.number('fault-every') * 1000,
      spared: [1],
      rangesMax: campaign.number('ranges-max'),
    });
    await sleep(campaign.number('minutes') * 60_000);
    await faults.stop();
    await trend.stop();
    campaign.figure('faults', Object.fromEntries(faults.counts));
    const healedFrom = performance.now();
    const healed = await awaitEven(campaign, router, {
      promise: 'whole and even after the last fault',
      stores: cluster.storeIds,
      withinMs: campaign.number('within') * 1000,
    });
    const before = rows.acknowledged.length + lists.committedAt.length;
    await sleep(3000);
    const after = rows.acknowledged.length + lists.committedAt.length;
    await Promise.all([rows.stop(), lists.stop(), registers.stop()]);
    if (healed !== undefined) campaign.figure('healed, s', (performance.now() - healedFrom) / 1000);
    campaign.promise(
      'it serves when it has healed',
      after > before,
      `${after - before} operations in 3 s`,
    );
    campaign.figure('shape', shapeText(await shapeOf(router, cluster.storeIds)));
    campaign.figure('rows', {
      acknowledged: rows.acknowledged.length,
      unknown: rows.unknown.length,
    });
    campaign.figure('puts', registers.acknowledgedAt.length);
    campaign.figure('failed gets and puts', Object.fromEntries(registers.failures));
    campaign.figure('transactions', {
      committed: lists.count('committed'),
      unknown: lists.unknown,
    });
    campaign.figure('failed transactions', Object.fromEntries(lists.failures.counts));
    campaign.figure('failed inserts', Object.fromEntries(rows.failures));
    campaign.figure('usage', trend.figures());
    campaign.holds('no answer is impossible', rows.impossible[0] ?? lists.impossible.text());
    campaign.holds(
      'every acknowledged mark is there, as new as it was said to be',
      await marksWrong(),
    );
    campaign.holds('transactions are serializable, no append is lost', await lists.check());
    promiseLinearizable(campaign, registers);
    campaign.holds('nothing grows', trend.check());

    async function marksWrong(): Promise<string | undefined> {
      const found = await client.sql<{ id: string; n: number }>`SELECT id, n FROM marks`;
      const numbers = new Map(found.rows.map(({ id, n }) => [id, n]));
      const wrong: string[] = [];
      const unknown = new Set(rows.unknown);
      const newest = new Map<string, number>();
      for (const { n } of rows.acknowledged) {
        const id = `mark-${n % marks}`;
        newest.set(id, Math.max(n, newest.get(id) ?? 0));
      }
      // Rounds of one mark lie minutes apart, so a later one comes later; what is not known may have come or not.
      for (const [id, n] of newest) {
        const there = numbers.get(id);
        if (there !== n && (there === undefined || there < n || !unknown.has(there)))
          wrong.push(`${id} is ${there}, ${n} was acknowledged`);
      }
      return wrong.length === 0 ? undefined : `${wrong.length}: ${wrong.slice(0, 5).join('; ')}`;
    }
  },
);
